"""The section `models` of a rule book: what models speak for which devices, and what follows from a cause.

engine:
  on: turbofan
  predicts: remaining life in cycles
  causes:
    s11: {text: {en: "Worn compressor blades"}, parts: [compressor-blades], skill: turbines >= 2}
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from prevenant.document import Value
from prevenant.domain import DeviceType, FieldType
from prevenant.errors import ConfigurationError, Problem
from prevenant.target import FIELDS, FORMS, SECONDS, read_target
from rules.devices import read_entries
from rules.parsing import IDENTITY, ExpressionError, check_input

ACTIVE = "active"
ANY_CAUSE = "otherwise"
"""What follows where the cause has no entry of its own."""
REASON = ("why", "cause", "action", "parts", "skill")
"""What an alarm's values have beside the numbers of a model, as `engine.why`."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SKILL = re.compile(r"[\w-]+(\s*>=\s*\d+)?")
_LANGUAGE = re.compile(r"[a-z]{2}(-[A-Za-z]+)?")
_KEYS = {"on", "predicts", "version", "features", "score_every", "max_age", "causes"}
_CAUSE_KEYS = {"text", "parts", "skill"}
_SCALES = {"minute": 60.0, "hour": 3600.0, "day": 86_400.0}


@dataclass(frozen=True, slots=True)
class Cause:
    """What to do where a sensor is what moved a prediction: the next best action."""

    text: Mapping[str, str] = field(default_factory=dict)
    """By language."""
    parts: tuple[str, ...] = ()
    skill: str = ""


@dataclass(frozen=True, slots=True)
class BookModel:
    """A model as the rule book asks for it: on which devices, what it predicts, and what follows."""

    name: str
    on: str
    kind: str
    """`remaining_life`, `failure` or `anomaly`."""
    unit: str = SECONDS
    """`cycles` or `seconds`: of the horizon, and of what the model itself says of remaining life."""
    horizon: float = 0.0
    """Of `failure`, in `unit`; 0 is now."""
    shown_unit: str | None = None
    """The unit of its fields in rules."""
    shown_scale: float = 1.0
    """How many of the model's own units are one of the fields'."""
    version: int | None = None
    """None: the active one."""
    features: tuple[str, ...] | None = None
    """Fields, or arithmetic over fields; None: found out from the data."""
    score_every_s: float = 600.0
    """Each device is scored at least so often, however slow the model is."""
    max_age_s: float = 0.0
    """A model that was trained longer ago is stale; 0: none is."""
    causes: Mapping[str, Cause] = field(default_factory=dict)
    """By field, or by one of `features`."""
    units: Mapping[str, str] = field(default_factory=dict)
    """Of the fields that its devices send."""
    sent: tuple[str, ...] = ()
    """The fields that its devices send."""
    numbers: tuple[str, ...] = ()
    """The fields that its devices send which are numbers."""
    place: Problem | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """What a detector listens to, which finds out nothing by itself."""
        return self.numbers if self.features is None else self.features

    @property
    def value_field(self) -> str:
        """The name of its prediction, as `remaining_life`."""
        return FIELDS[self.kind][0]

    @property
    def fields(self) -> tuple[FieldType, ...]:
        """What it adds to a reading."""
        names = FIELDS[self.kind]
        return tuple(
            FieldType(f"{self.name}.{name}", float, self.shown_unit, optional=True)
            for name in names
        )

    @property
    def says_the_same(self) -> tuple[object, ...]:
        """What has to be equal for a trained version to go on in another version of the book."""
        return self.on, self.kind, self.unit, self.horizon

    def cause_of(self, sensor: str) -> Cause:
        """Return what to do where `sensor` moved the prediction."""
        return self.causes.get(sensor) or self.causes.get(ANY_CAUSE) or Cause()


def read_models(
    sections: list[Value], types: Mapping[str, DeviceType]
) -> tuple[dict[str, BookModel], dict[str, DeviceType]]:
    """Return the models of all `models` sections, and the device types with what models say of them.

    Problems are noted in the document.
    """
    models: dict[str, BookModel] = {}
    known = dict(types)
    for name, value in read_entries(sections, "model", _NAME):
        model = _read_model(name, value, types)
        if model is None:
            continue
        models[name] = model
        on = known[model.on]
        known[model.on] = replace(on, predicted=(*on.predicted, *model.fields))
    return models, known


def _read_model(name: str, value: Value, types: Mapping[str, DeviceType]) -> BookModel | None:
    keys = value.mapping(_KEYS)
    if keys is None:
        return None
    on_value = keys.need("on", "name the device type that it speaks for")
    on = types.get((on_value.choice(types) if on_value else None) or "")
    predicts_value = keys.need("predicts", FORMS)
    predicts = _read_predicts(predicts_value) if predicts_value else None
    features_value, causes_value = keys.get("features"), keys.get("causes")
    features = _read_features(features_value, on) if features_value else None
    causes = _read_causes(causes_value, on, features or ()) if causes_value else {}
    version = _read_version(keys.get("version"))
    score_every_s = keys.duration_s("score_every", 600.0)
    max_age_s = keys.duration_s("max_age", 0.0)
    if name in {"this", *IDENTITY}:
        value.fail(f"{name!r} means something else in conditions: choose another name")
    elif on is not None and on.field(name) is not None:
        value.fail(f"{on.name} has a field of that name: choose another one for the model")
    if on is None or predicts is None:
        return None
    return replace(
        predicts,
        name=name,
        on=on.name,
        version=version,
        features=features,
        score_every_s=score_every_s,
        max_age_s=max_age_s,
        causes=causes,
        units={one.name: one.unit for one in on.fields if one.unit},
        sent=tuple(one.name for one in on.fields),
        numbers=tuple(one.name for one in on.fields if one.kind is float),
        place=Problem(value.source, value.line, value.column, f"model {name!r}"),
    )


def _read_predicts(value: Value) -> BookModel | None:
    """Return a model without a name that predicts what the text says."""
    text = value.raw()
    if text is None:
        return None
    try:
        target, shown_unit = read_target(text)
    except ConfigurationError as error:
        value.fail(str(error))
        return None
    scale = _SCALES.get(shown_unit or "", 1.0)
    return BookModel("", "", target.kind, target.unit, target.horizon, shown_unit, scale)


def _read_version(value: Value | None) -> int | None:
    if value is None or value.scalar() == ACTIVE:
        return None
    number = value.scalar()
    if isinstance(number, int) and not isinstance(number, bool) and number > 0:
        return number
    value.fail("write `active`, or the number of a version, as in `version: 3`")
    return None


def _read_features(value: Value, on: DeviceType | None) -> tuple[str, ...] | None:
    if not value.is_list:
        if value.scalar() != "auto":
            value.fail("write `auto`, or a list of fields and arithmetic over fields")
        return None
    found: list[str] = []
    for one in value.items() or ():
        text = one.raw()
        if text is None or on is None:
            continue
        text = " ".join(text.split())
        try:
            check_input(text, on)
        except ExpressionError as error:
            one.fail(str(error), error.offset)
            continue
        if text in found:
            one.fail(f"{text!r} stands here twice: keep one of them")
        found.append(text)
    if on is not None and not list(value.items() or ()):
        value.fail("the list is empty: name at least one field, or write `auto`")
    return tuple(found)


def _read_causes(
    value: Value, on: DeviceType | None, features: tuple[str, ...]
) -> dict[str, Cause]:
    if on is None:
        value.mapping()
        return {}
    known = [*(one.name for one in on.fields), *features, ANY_CAUSE]
    return {name: _read_cause(one) for name, one in value.mapping(known) or ()}


def _read_cause(value: Value) -> Cause:
    keys = value.mapping(_CAUSE_KEYS)
    if keys is None:
        return Cause()
    if not list(keys):
        value.fail("nothing follows from it: write text, parts or skill")
    parts_value, skill_value, text_value = keys.get("parts"), keys.get("skill"), keys.get("text")
    parts = [one.text() for one in parts_value.one_or_more()] if parts_value else []
    for one in parts_value.one_or_more() if parts_value else ():
        if "," in (one.text() or ""):
            one.fail("a part's name has no comma: write a list, as in [door-seal, fan]")
    skill = (skill_value.text() or "").strip() if skill_value else ""
    if skill_value and skill and not _SKILL.fullmatch(skill):
        skill_value.fail("write a skill, perhaps with its least level, as in refrigeration >= 2")
    texts = _read_texts(text_value) if text_value else {}
    return Cause(texts, tuple(part for part in parts if part), skill)


def _read_texts(value: Value) -> dict[str, str]:
    """Return a text by language; one that stands alone is for every language."""
    if not value.is_mapping:
        text = value.text()
        return {"": text} if text else {}
    texts = {}
    for language, text_value in value.mapping() or ():
        text = text_value.text()
        if not _LANGUAGE.fullmatch(language):
            text_value.fail(f"{language!r} is no language: write a code such as en or fr")
        elif text:
            texts[language] = text
    return texts
