"""The section `rules` of a rule book, read and judged once and wholly."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from prevenant.document import Mapping as Pairs
from prevenant.document import Value, suggest
from prevenant.domain import DeviceType, Severity
from prevenant.errors import Problem
from rules.devices import read_entries
from rules.expression import Condition, Near, Silent, Some, atoms_of
from rules.models import BookModel
from rules.parsing import ExpressionError, parse_condition
from rules.rule import DEVICE_SILENT, SILENT_RULE, Rule, RuleBook
from rules.rule_keys import read_flapping, read_repeat, read_schedule

__all__ = ["Rule", "RuleBook", "read_rules"]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_COMMON_KEYS = {"severity", "workflow", "message", "when_open", "inhibited_by", "flapping", "latch"}
_RULE_KEYS = {*_COMMON_KEYS, "on", "when", "levels", "for", "clear", "clear_for", "repeat"}
_LEVELS = {**{s.word: s for s in Severity}, "warning": Severity.MINOR}


def read_rules(
    sections: list[Value],
    types: Mapping[str, DeviceType],
    models: Mapping[str, BookModel] | None = None,
) -> RuleBook:
    """Return the book of all `rules` sections; problems are noted in the document.

    `types` are the device types, with what `models` say of them.
    """
    rules: dict[str, Rule] = {}
    silent = SILENT_RULE
    entries = read_entries(sections, "rule", _NAME)
    names = [name for name, _ in entries]
    for name, value in entries:
        rule = _read_rule(name, value, types, names)
        if rule is not None and name == DEVICE_SILENT:
            silent = rule
        elif rule is not None:
            rules[name] = rule
    return RuleBook(types, rules, silent, models or {})


def _read_rule(
    name: str, value: Value, types: Mapping[str, DeviceType], names: Iterable[str]
) -> Rule | None:
    if name == DEVICE_SILENT:
        keys = value.mapping(_COMMON_KEYS)
        return _finish(SILENT_RULE, keys, value, names) if keys is not None else None
    keys = value.mapping(_RULE_KEYS)
    if keys is None:
        return None
    on_value = keys.need("on", "name the device type that it is about")
    on = on_value.choice(types) if on_value else None
    device = types.get(on or "")
    if "levels" not in keys and "when" not in keys:
        keys.need("when", "write the condition, as in temperature > 26")
    if device is None:
        return None
    when_value, levels_value = keys.get("when"), keys.get("levels")
    levels = _read_levels(levels_value, device, types) if levels_value else ()
    when = _read_condition(when_value, device, types) if when_value else None
    when_text = ((when_value.raw() or "") if when_value else "").strip()
    if levels_value and when_value:
        when_value.fail("levels say when already: keep one of the two")
    if levels:
        when = Some(tuple(level for _, level in levels)) if len(levels) > 1 else levels[0][1]
        when_text = " or ".join(text for _, text in _texts(levels_value))
    clear_value = keys.get("clear")
    rule = Rule(
        name,
        device.name,
        when or Silent(),
        when_text,
        levels[-1][0] if levels else Severity.MAJOR,
        None,
        clear=_read_condition(clear_value, device, types) if clear_value else None,
        clear_text=((clear_value.raw() or "") if clear_value else "").strip(),
        for_s=keys.duration_s("for", 0.0),
        clear_for_s=keys.duration_s("clear_for", 0.0),
        levels=levels,
        repeat=read_repeat(keys.get("repeat")),
    )
    rule = _finish(rule, keys, value, names)
    return rule if when is not None else None


def _finish(rule: Rule, keys: Pairs, value: Value, names: Iterable[str]) -> Rule:
    """Return the rule with what every rule may have."""
    severity_value, message_value = keys.get("severity"), keys.get("message")
    severity = severity_value.choice([s.word for s in Severity]) if severity_value else None
    if severity_value and rule.levels:
        severity_value.fail("each level has a severity already: remove it")
    latch_value = keys.get("latch")
    return replace(
        rule,
        severity=Severity[severity.upper()] if severity in _LEVELS and severity else rule.severity,
        workflow=keys.text("workflow", None),
        message=_read_message(message_value) if message_value else {},
        schedule=read_schedule(keys.get("when_open")),
        latch=bool(latch_value.boolean()) if latch_value else False,
        inhibited_by=_read_inhibitors(keys.get("inhibited_by"), rule.name, names),
        flapping=read_flapping(keys.get("flapping")),
        place=Problem(value.source, value.line, value.column, f"rule {rule.name!r}"),
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


def _texts(value: Value | None) -> list[tuple[str, str]]:
    return [
        (name, (one.raw() or "").strip()) for name, one in (value.mapping() if value else ()) or ()
    ]


def _read_levels(
    value: Value, device: DeviceType, types: Mapping[str, DeviceType]
) -> tuple[tuple[Severity, Condition], ...]:
    levels: dict[Severity, Condition] = {}
    for name, condition_value in value.mapping(_LEVELS) or ():
        severity = _LEVELS[name]
        condition = _read_condition(condition_value, device, types)
        if severity in levels:
            condition_value.fail(f"{name!r} is the same level as one before it: keep one")
        elif condition is not None:
            levels[severity] = condition
    if not levels and value.is_mapping and not list(value.mapping() or ()):
        value.fail("write at least one level, as in {warning: temperature > 26}")
    return tuple(sorted(levels.items(), key=lambda level: level[0]))


def _read_inhibitors(value: Value | None, rule: str, names: Iterable[str]) -> tuple[str, ...]:
    known = {*names, DEVICE_SILENT} - {rule}
    found = []
    for one in value.one_or_more() if value else ():
        name = one.raw()
        if name == rule:
            one.fail("a rule does not inhibit itself: name another")
        elif name is not None and name not in known:
            one.fail(f"there is no rule {name!r}: {suggest(name, known)}")
        elif name is not None:
            found.append(name)
    return tuple(found)


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
