"""What workflows need of the rest of a book: templates worded on trial, names that alarms can have."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from notify.templating import LANGUAGES, Templates
from notify.trial import Flaw, Trial
from prevenant.document import Value, suggest
from prevenant.domain import DeviceType
from rules.book import Rule, RuleBook
from rules.models import REASON
from workflows.checking import ComparedUse, NameUse, RoleUse, TemplateUse, TextUse, Use
from workflows.conditions import KINDS
from workflows.recipients import ON_CALL

_SAMPLES: Mapping[type, Any] = {float: 1.0, bool: True, str: "sample"}
_WORKED_OUT = re.compile(r"\{[{%].*?[%}]\}", re.DOTALL)
Texts = dict[tuple[str, str, str], list[Value]]
"""The texts of templates by template, language and channel; an e-mail has several."""
EXTRAS = (
    *("technician", "visit", "offer", "why", "wish", "said", "who", "conversation"),
    *("choices", "owner", "storm", "digest"),
)
"""Variables that some texts have beside those of every case."""


class Needs:
    """What can be relied on in the cases of each workflow: the rules that run it decide."""

    def __init__(self, rules: RuleBook, schedules: Sequence[str] = ()) -> None:
        self.schedules = schedules
        self._types = rules.devices
        self._rules: dict[str, list[Rule]] = defaultdict(list)
        for rule in rules.every_rule:
            self._rules[rule.workflow or ""].append(rule)

    def rules_of(self, workflow: str) -> list[str]:
        """Return the rules whose alarms run a workflow."""
        return [rule.name for rule in self._rules.get(workflow, ())]

    def types_of(self, workflow: str) -> list[DeviceType]:
        """Return the device types whose alarms run a workflow."""
        names = dict.fromkeys(rule.on for rule in self._rules.get(workflow, ()))
        return [self._types[name] for name in names if name in self._types]

    def has_rules(self, workflow: str) -> bool:
        """Return whether any rule runs a workflow."""
        return workflow in self._rules

    def has_levels(self, workflow: str) -> bool:
        """Return whether an alarm that runs a workflow can change its severity."""
        return any(rule.levels for rule in self._rules.get(workflow, ()))

    def has_predictions(self, workflow: str) -> bool:
        """Return whether a model speaks for a device type whose alarms run a workflow."""
        return bool(self.predictions_of(workflow))

    def predictions_of(self, workflow: str) -> list[str]:
        """Return what models say of the devices whose alarms run a workflow, as `probability`."""
        types = self.types_of(workflow)
        names = [field.name.partition(".")[2] for one in types for field in one.predicted]
        return [*dict.fromkeys(names), *REASON] if names else []

    def samples(self, use: TemplateUse | TextUse) -> Iterator[dict[str, Any]]:
        """Yield variables like those of a case at the place of a use, once for each device type."""
        extra = use.extra if isinstance(use, TemplateUse) else ()
        for values in [sample_values(one) for one in self.types_of(use.workflow)] or [{}]:
            yield sample_variables(
                after_dispatch=use.after_dispatch,
                extra=extra,
                answers=use.answers,
                values=values,
                is_predicted=self.has_predictions(use.workflow),
            )


def check_uses(
    uses: Sequence[Use], templates: Templates, needs: Needs, sections: Sequence[Value]
) -> None:
    """Note where a workflow needs what is not there; `sections` are those of the book's templates.

    Templates that are themselves no good have been reported already.
    """
    trial, written = Trial(templates), _find_texts(sections)
    named = {name for name, _, _ in written}
    for use in uses:
        match use:
            case TemplateUse() if use.name not in templates.names:
                if use.name not in named:
                    hint = suggest(use.name, templates.names)
                    use.place.fail(f"there is no template {use.name!r}: {hint}")
            case TemplateUse():
                _check_template(use, templates, trial, needs, written)
            case TextUse():
                _check_text(use, templates, trial, needs)
            case NameUse():
                _check_name(use, needs)
            case ComparedUse():
                _check_compared(use, needs)
            case RoleUse() if use.role.startswith(ON_CALL):
                name = use.role.removeprefix(ON_CALL)
                if name not in needs.schedules:
                    hint = suggest(name, needs.schedules)
                    use.place.fail(f"there is no on-call schedule {name!r}: {hint}")


def _check_template(
    use: TemplateUse, templates: Templates, trial: Trial, needs: Needs, written: Texts
) -> None:
    """Word a template in every language and on every channel, with what it will be given.

    What stands in a text that several languages or channels take is said once.
    """
    channels = sorted({"sms" if c == "preferred" else c for turn in use.turns for c in turn})
    said = set()
    for variables in needs.samples(use):
        for language in dict.fromkeys([*LANGUAGES, *templates.languages_of(use.name)]):
            for channel in channels:
                form = templates.form_for(use.name, language, channel)
                texts = written.get((use.name, *form), [])
                for flaw in trial.word(use.name, language, channel, variables):
                    key = (flaw.reason, form if texts else "")
                    if key not in said:
                        said.add(key)
                        use.place.fail(
                            f"template {use.name!r} cannot be worded here ({language}, {channel}): "
                            f"{_told(flaw, use)}{_place_of(flaw, texts)}"
                        )


def _check_text(use: TextUse, templates: Templates, trial: Trial, needs: Needs) -> None:
    said = set()
    for variables in needs.samples(use):
        flaws = trial.word_text(use.text, "en", variables)
        for flaw in flaws:
            if flaw.reason not in said:
                said.add(flaw.reason)
                message = f"this cannot be worded here: {_told(flaw, use)}"
                use.place.fail(message, _find_name(flaw.name, use.text))
        if flaws or not use.is_topic:
            continue
        topic = templates.render_text(use.text, "en", variables)
        if not topic or any(character in topic for character in "+#"):
            use.place.fail("nothing can be published there: a topic has no + and no #")
            return


def _find_texts(sections: Sequence[Value]) -> Texts:
    """Return the texts of a book's own templates by template, language and channel."""
    found: Texts = {}
    for section in sections:
        for name, value in section.mapping() or ():
            for language, words in value.named(f"template {name!r}").mapping() or ():
                for channel, text in words.mapping() or ():
                    texts = [one for _, one in text.mapping() or ()] if text.is_mapping else [text]
                    found[name, language, channel] = texts
    return found


def _find_name(name: str, text: str) -> int:
    """Return at which character of a text a name is worked out; 0 where it is not to be found."""
    for part in _WORKED_OUT.finditer(text):
        found = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", part[0]) if name else None
        if found:
            return part.start() + found.start()
    return 0


def _place_of(flaw: Flaw, texts: Sequence[Value]) -> str:
    """Return where a name that is missing stands in a template, where that is known."""
    for text in texts:
        if offset := _find_name(flaw.name, str(text.scalar())):
            line, column = text.place_at(offset)
            return f"; it stands at {text.source}:{line}:{column}"
    return ""


def _told(flaw: Flaw, use: TemplateUse | TextUse) -> str:
    """Return what is wrong, with when it would be right; else with which name is near."""
    remedy = _remedy(flaw, use)
    return f"{flaw.reason}; {remedy}" if remedy else str(flaw)


def _remedy(flaw: Flaw, use: TemplateUse | TextUse) -> str:
    match flaw.variable:
        case "technician" | "visit" if not use.after_dispatch:
            return (
                "technician and visit are known only after a `dispatch` whose `otherwise` "
                "ends the case"
            )
        case "answer":
            return "answer.NAME is known only where every way before has an `ask` of that name"
        case "prediction":
            return "prediction is known only where a model speaks for the device type"
        case "values":
            return "values are the fields of every device type whose rules run this workflow"
    return ""


def _check_name(use: NameUse, needs: Needs) -> None:
    if not needs.has_rules(use.workflow):
        return
    group, _, name = use.name.partition(".")
    if use.name == "alarm.levelled" and not needs.has_levels(use.workflow):
        use.place.fail("alarm.levelled never comes here: no rule that runs this has `levels`")
    elif group == "prediction" and not needs.has_predictions(use.workflow):
        use.place.fail(
            f"{use.name} is never known here: no model speaks for the device types whose rules run this"
        )
    elif group == "prediction" and name not in (known := needs.predictions_of(use.workflow)):
        use.place.fail(f"no model says {name!r} here: {suggest(name, known)}")
    elif group == "values" and "." not in name:
        fields = {field.name for one in needs.types_of(use.workflow) for field in one.fields}
        if fields and name not in fields:
            use.place.fail(
                f"no rule that runs this has a field {name!r}: {suggest(name, sorted(fields))}"
            )


def _check_compared(use: ComparedUse, needs: Needs) -> None:
    """Find a value that is never met, so that the way of `then`, or of `else`, is never gone."""
    one, types = use.compared, needs.types_of(use.workflow)
    group, _, name = one.name.partition(".")
    if group == "values":
        kinds = {KINDS[field.kind] for each in types for field in each.fields if field.name == name}
        if kinds and one.kind not in kinds:
            kind = " or ".join(sorted(kinds))
            use.place.fail(f"{one.name} is {kind}, and never {one.kind}: {one.value!r}", one.offset)
        return
    known = {"alarm.rule": needs.rules_of(use.workflow), "device.type": [t.name for t in types]}
    if one.is_same and known.get(one.name) and one.value not in known[one.name]:
        hint = suggest(str(one.value), known[one.name])
        use.place.fail(f"{one.name} is never {one.value!r} here: {hint}", one.offset)


def sample_values(device_type: DeviceType | None) -> dict[str, Any]:
    """Return values like those of a reading."""
    fields = device_type.fields if device_type else ()
    return {field.name: _SAMPLES[field.kind] for field in fields}


def sample_variables(
    *,
    after_dispatch: bool,
    extra: tuple[str, ...] = (),
    answers: tuple[str, ...] = (),
    values: Mapping[str, Any] | None = None,
    is_predicted: bool = False,
) -> dict[str, Any]:
    """Return variables like those of a case, for a trial rendering or a preview."""
    at = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)
    later = {
        "technician": {"name": "Camille Roux", "first_name": "Camille"},
        "visit": {"start": at, "end": at.replace(hour=14)},
        "offer": {"distance": "4.2 km", "until": at},
        "why": "in_time",
        "wish": "person",
        "said": "sample",
        "who": "Camille Roux",
        "conversation": ["Camille Roux: sample"],
        "choices": "1: sample, 2: sample",
        "owner": "Camille Roux",
        "prediction": _Predicted(),
        "digest": {"count": 5, "lines": ["Sample.", "Sample."], "more": 3, "cases": "17, 18"},
        "storm": {
            "workflow": "sample",
            "cases": 300,
            "open": 120,
            "handed_over": 7,
            "sites": 280,
            "rules": "sample",
        },
    }
    names = {*extra, *(("technician", "visit") if after_dispatch else ())}
    names |= {"prediction"} if is_predicted else set()
    return {
        "case": {"number": 17, "owner": ""},
        "severity": "major",
        "alarm": {"rule": "sample", "message": "Sample.", "reason": "sample"},
        "device": {
            "id": "t2/D14",
            "name": "D14",
            "label": "Door 14",
            "place": "Gate B",
            "type": "door",
            "camera_url": "https://camera.example.com/14",
            "loudspeaker_url": "https://talk.example.com/14",
        },
        "site": {"id": "t2", "name": "Terminal 2", "address": "1 Runway Road"},
        "customer": {"id": "airport", "name": "Airport"},
        "contact": {"name": "Camille Roux", "first_name": "Camille"},
        "values": dict(values or {}),
        "alarms": [{"rule": "sample", "device": "Door 14", "severity": "major"}],
        "others": 0,
        "answer": {name: _Answered("sample") for name in answers},
        "link": "https://service.example.com/v/AbCdEfGhIjKlMnOpQrStUvWx",
        **{name: value for name, value in later.items() if name in names},
    }


class _Predicted(dict[str, Any]):
    """What a model might have said under any name."""

    def __missing__(self, name: str) -> Any:
        return "sample" if name in REASON else 1.0


class _Answered(str):
    """The answer to a question, or what a webhook has answered under any name."""

    __slots__ = ()

    def __getattr__(self, name: str) -> str:
        if name.startswith("_"):
            raise AttributeError(name)
        return "sample"
