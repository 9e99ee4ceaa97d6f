"""The section `rules` of a rule book, read and judged once and wholly."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from prevenant.document import Value
from prevenant.domain import DeviceType, Severity
from prevenant.errors import Problem
from rules.devices import read_entries
from rules.expression import Condition, Near, atoms_of
from rules.parsing import ExpressionError, parse_condition

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
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


def read_rules(sections: list[Value], types: Mapping[str, DeviceType]) -> dict[str, Rule]:
    """Return the rules of all `rules` sections; problems are noted in the document."""
    rules: dict[str, Rule] = {}
    for name, value in read_entries(sections, "rule", _NAME):
        rule = _read_rule(name, value, types)
        if rule is not None:
            rules[name] = rule
    return rules


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
