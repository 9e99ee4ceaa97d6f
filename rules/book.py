"""The sections `devices` and `rules` of a rule book, read and judged once and wholly."""

import difflib
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from prevenant.document import Value
from prevenant.domain import DeviceType, FieldType, Severity
from prevenant.errors import Problem
from prevenant.units import UNITS
from rules.expression import Condition, Near, atoms_of
from rules.parsing import IDENTITY, ExpressionError, parse_condition

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_KINDS: dict[str, type] = {"bool": bool, "string": str, "number": float}
_RATE = re.compile(r"([1-9][0-9]*) ?/ ?s")
_DEVICE_KEYS = {
    "topic",
    "fields",
    "time",
    "max_skew",
    "max_late",
    "max_payload",
    "max_rate",
    "silent_after",
}
_RULE_KEYS = {"on", "when", "for", "clear", "clear_for", "severity", "workflow", "message"}


@dataclass(frozen=True, slots=True)
class Rule:
    """A named condition on devices of one type, and what follows from it."""

    name: str
    on: str
    when: Condition
    when_text: str
    severity: Severity
    workflow: str | None
    """The workflow of the case that an alarm opens; None where the alarm is only shown."""
    clear: Condition | None = None
    """None: the alarm clears when `when` is false."""
    clear_text: str = ""
    for_s: float = 0.0
    clear_for_s: float = 0.0
    message: Mapping[str, str] = field(default_factory=dict)
    """What is the matter, by language; a Jinja2 template."""
    place: Problem | None = None
    """Where the rule stands, for problems found later."""


@dataclass(frozen=True, slots=True)
class RuleBook:
    """What devices publish, and the rules on it."""

    devices: Mapping[str, DeviceType]
    rules: Mapping[str, Rule]

    @property
    def fingerprint(self) -> str:
        """A short text that differs between books that decide differently."""
        parts = [repr(device) for device in self.devices.values()]
        parts += [
            f"{r.name} {r.on} {r.when} {r.clear} {r.for_s} {r.clear_for_s}"
            for r in self.rules.values()
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def read_devices(sections: list[Value]) -> dict[str, DeviceType]:
    """Return the device types of all `devices` sections; problems are noted in the document."""
    types: dict[str, DeviceType] = {}
    for name, value in _entries(sections, "device type", _FIELD_NAME):
        device = _read_device(name, value)
        if device is not None:
            types[name] = device
    return types


def read_rules(sections: list[Value], types: Mapping[str, DeviceType]) -> dict[str, Rule]:
    """Return the rules of all `rules` sections; problems are noted in the document."""
    rules: dict[str, Rule] = {}
    for name, value in _entries(sections, "rule", _NAME):
        rule = _read_rule(name, value, types)
        if rule is not None:
            rules[name] = rule
    return rules


def _entries(sections: list[Value], what: str, form: re.Pattern[str]) -> list[tuple[str, Value]]:
    seen: dict[str, Value] = {}
    for section in sections:
        for name, value in section.mapping() or ():
            named = value.named(f"{what} {name!r}")
            if not form.fullmatch(name):
                named.fail("a name is made of letters, digits and underscores")
            elif name in seen:
                earlier = seen[name]
                named.fail(f"stands twice, first in {earlier.source}:{earlier.line}: rename one")
            else:
                seen[name] = named
    return list(seen.items())


def _read_device(name: str, value: Value) -> DeviceType | None:
    keys = value.mapping(_DEVICE_KEYS)
    if keys is None:
        return None
    topic_value = keys.need(
        "topic", "write the pattern of its topics, as in site/{site}/doors/{device}"
    )
    fields_value = keys.need("fields", "list what it publishes, as in {temperature: celsius}")
    topic = topic_value.raw() if topic_value else None
    if topic_value and topic is not None:
        _check_topic(topic, topic_value)
    fields = _read_fields(fields_value) if fields_value else ()
    keys.duration_s("silent_after", 0.0)
    if topic is None or not fields:
        return None
    return DeviceType(
        name,
        topic,
        fields,
        time_field=keys.text("time", "observed_at"),
        max_skew_s=keys.duration_s("max_skew", 60.0),
        max_late_s=keys.duration_s("max_late", 86_400.0),
        max_payload_bytes=int(keys.number("max_payload", 65_536)),
        max_rate=_read_rate(keys.get("max_rate")),
    )


def _read_rate(value: Value | None) -> int:
    """Return how many changes a second are weighed; 100 where the book does not say."""
    text = value.raw() if value else None
    if value is None or text is None:
        return 100
    match = _RATE.fullmatch(text.strip())
    if match is None:
        value.fail(f"{text!r} is no rate: write how many changes a second, as in 100/s")
        return 100
    return int(match[1])


def _check_topic(topic: str, value: Value) -> None:
    levels = topic.split("/")
    names = _PLACEHOLDER.findall(topic)
    if "device" not in names:
        value.fail("the topic has to name {device}, as in site/{site}/doors/{device}")
    for name in names:
        if name not in {"device", "site"}:
            value.fail(f"{{{name}}} is not known in a topic: write {{site}}, {{device}} or +")
        elif names.count(name) > 1:
            value.fail(f"{{{name}}} stands twice in the topic: keep one of them")
    for level in levels:
        plain = not set(level) & set("+#{}")
        if not plain and level != "+" and not _PLACEHOLDER.fullmatch(level):
            value.fail(f"{level!r} is no level of a topic: a placeholder fills a whole level")
    if not levels[0]:
        value.fail("a topic does not begin with a slash")


def _read_fields(value: Value) -> tuple[FieldType, ...]:
    fields = []
    for name, kind in value.mapping() or ():
        if not _FIELD_NAME.fullmatch(name):
            kind.fail("a field's name is made of letters, digits and underscores")
        elif name in IDENTITY:
            kind.fail(f"{name!r} already means the {name} of the topic: choose another name")
        else:
            field_type = _read_field(name, kind)
            if field_type is not None:
                fields.append(field_type)
    return tuple(fields)


def _read_field(name: str, value: Value) -> FieldType | None:
    text = value.raw()
    if text is None:
        return None
    word = text.removesuffix("?")
    optional = word != text
    if word in _KINDS:
        return FieldType(name, _KINDS[word], None, optional)
    if word in UNITS:
        return FieldType(name, float, word, optional)
    close = difflib.get_close_matches(word, [*_KINDS, *UNITS], 1)
    hint = "write bool, string, number or a unit such as celsius, percent or ampere"
    value.fail(
        f"{word!r} is neither a kind nor a unit: "
        + (f"did you mean {close[0]!r}?" if close else hint)
    )
    return None


def _read_rule(name: str, value: Value, types: Mapping[str, DeviceType]) -> Rule | None:
    keys = value.mapping(_RULE_KEYS)
    if keys is None:
        return None
    on_value = keys.need("on", "name the device type that it is about")
    when_value = keys.need("when", "write the condition, as in temperature > 26")
    severity_value = keys.get("severity")
    severity = severity_value.choice([s.word for s in Severity]) if severity_value else "major"
    on = on_value.choice(types) if on_value else None
    device = types.get(on or "")
    if device is None:
        return None
    when = _read_condition(when_value, device, types) if when_value else None
    clear_value = keys.get("clear")
    clear = _read_condition(clear_value, device, types) if clear_value else None
    workflow = keys.text("workflow", None)
    for_s = keys.duration_s("for", 0.0)
    clear_for_s = keys.duration_s("clear_for", 0.0)
    message_value = keys.get("message")
    message = _read_message(message_value) if message_value else {}
    if when is None or when_value is None or severity not in {s.word for s in Severity}:
        return None
    return Rule(
        name,
        device.name,
        when,
        (when_value.raw() or "").strip(),
        Severity[str(severity).upper()],
        workflow,
        clear=clear,
        clear_text=((clear_value.raw() or "") if clear_value else "").strip(),
        for_s=for_s,
        clear_for_s=clear_for_s,
        message=message,
        place=Problem(value.source, value.line, value.column, f"rule {name!r}"),
    )


def _read_condition(
    value: Value, device: DeviceType, types: Mapping[str, DeviceType]
) -> Condition | None:
    text = value.raw()
    if text is None:
        return None
    try:
        condition = parse_condition(text, device, types)
    except ExpressionError as error:
        value.fail(str(error), error.offset)
        return None
    if all(isinstance(atom, Near) for atom in atoms_of(condition)):
        value.fail("near() is about the moment of another condition: write one beside it")
        return None
    return condition


def _read_message(value: Value) -> dict[str, str]:
    if not value.is_mapping:
        text = value.raw()
        return {"": text} if text else {}
    texts = {}
    for language, text_value in value.mapping() or ():
        text = text_value.raw()
        if text:
            texts[language] = text
    return texts
