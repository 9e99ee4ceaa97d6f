"""Alarm rules of ThingsBoard, from the export of a device profile."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prevenant.errors import ConfigurationError
from rules.importing.carried import (
    Carried,
    CarriedRule,
    CarriedType,
    Draft,
    Unportable,
    lost_rule,
)
from rules.importing.names import name_rule, name_type
from rules.importing.source import Part, read_json_source
from rules.importing.thingsboard_conditions import ProfileConditions, read_hold, read_opening
from rules.importing.wording import Said, say_any, say_plainly, say_time

DIFFERS = (
    "ThingsBoard compares the newest value of each key; here fields of a condition come in one message.",
    "ThingsBoard never lowers an alarm's severity; here it falls when only a lower level holds.",
)

_SEVERITIES = {
    "CRITICAL": "critical",
    "MAJOR": "major",
    "MINOR": "minor",
    "WARNING": "minor",
    "INDETERMINATE": "info",
}
"""From the highest to the lowest, as ThingsBoard tries them."""
_KEY_IN_TEXT = re.compile(r"\$\{([^}]+)\}")


@dataclass(frozen=True, slots=True)
class _Level:
    """The rule of one severity of an alarm."""

    part: Part
    source_severity: str
    when: Said
    hold_s: float
    opening: Mapping[str, Any]
    draft: Draft
    """What is otherwise with this severity alone."""


def import_thingsboard(text: str, source: str) -> Carried:
    """Carry over the alarms of a device profile. Raises ConfigurationError where it is none."""
    document = read_json_source(text, source)
    carried = Carried("alarm rules of a ThingsBoard device profile", source, DIFFERS)
    for profile in document.one_or_more():
        if not isinstance(profile.value, dict) or "profileData" not in profile:
            message = (
                f"{source} is no device profile of ThingsBoard: export one as JSON from Profiles > "
                "Device profiles; it has `profileData`"
            )
            raise ConfigurationError(message)
        _carry_profile(profile, carried)
    return carried


def _carry_profile(profile: Part, carried: Carried) -> None:
    name = profile.get("name").text("device")
    data = profile.get("profileData")
    told = data.get("transportConfiguration").get("deviceTelemetryTopic").text()
    check = f"devices of this profile publish on {told}" if told else "name the device in it"
    types = {one.name for one in carried.types}
    on = CarriedType(name_type(name, types), profile.get("name").place, check)
    carried.types.append(on)
    for alarm in data.get("alarms").items():
        kind = alarm.get("alarmType").text("alarm")
        carried.rules += _carry_alarm(alarm.labelled(kind), on, carried)


def _carry_alarm(alarm: Part, on: CarriedType, carried: Carried) -> list[CarriedRule]:
    """Return the rule of an alarm, or one for each severity where they cannot be one."""
    taken = {rule.name for rule in carried.rules}
    name = name_rule(alarm.label, taken)
    levels: list[_Level] = []
    lost: list[CarriedRule] = []
    creating = alarm.get("createRules")
    order = {severity: number for number, severity in enumerate(_SEVERITIES)}
    for severity in sorted(creating.mapping(), key=lambda one: order.get(one, len(order))):
        part = creating.get(severity)
        try:
            levels.append(_read_level(part, severity, Draft(alarm.place, on)))
        except Unportable as error:
            lost_name = name_rule(f"{name} {severity}", taken)
            lost.append(lost_rule(lost_name, part.place, error, _condition_text(part)))
    if not levels:
        why = Unportable("it has no createRules", "nothing has to be done")
        return lost or [lost_rule(name, alarm.place, why)]
    if len({(level.hold_s, str(level.opening)) for level in levels}) == 1:
        return [_join_levels(name, alarm, levels, on), *lost]
    rules = []
    for level in levels:
        level.draft.lose(
            "the severities of the alarm have times of their own, and become a rule each",
            "give them the same times, and join them in levels:",
        )
        level_name = name_rule(f"{name} {level.source_severity}", taken)
        rules.append(_join_levels(level_name, alarm, [level], on))
    return [*rules, *lost]


def _join_levels(name: str, alarm: Part, levels: list[_Level], on: CarriedType) -> CarriedRule:
    """Return one rule of severities that have their times in common."""
    draft = Draft(alarm.place, on)
    draft.unported += dict.fromkeys(note for level in levels for note in level.draft.unported)
    keys = {**_conditions(levels, draft), **_read_clear(alarm, draft)}
    keys["message"] = _message(levels, draft)
    _note_the_rest(alarm, draft)
    return draft.finish(name, keys)


def _read_level(part: Part, severity: str, draft: Draft) -> _Level:
    if severity not in _SEVERITIES:
        what = f"the severity {severity}"
        raise Unportable(what, f"use one of {', '.join(_SEVERITIES)}")
    with draft.on_trial():
        when = ProfileConditions(draft).condition(part.get("condition"))
        hold_s = read_hold(part.get("condition").get("spec"), draft)
        opening = read_opening(part.get("schedule"), draft)
    return _Level(part, severity, when, hold_s, opening, draft)


def _conditions(levels: list[_Level], draft: Draft) -> dict[str, Any]:
    """Return when a rule raises, at which severity, after which time and in which hours."""
    first = levels[0]
    keys: dict[str, Any] = {
        "for": say_time(first.hold_s) if first.hold_s else "",
        "when_open": first.opening,
    }
    if len(levels) == 1:
        return {"when": first.when.text, "severity": _SEVERITIES[first.source_severity], **keys}
    said: dict[str, list[Said]] = {}
    for level in levels:
        severity = _SEVERITIES[level.source_severity]
        if level.source_severity == "WARNING" and severity in said:
            severity = "info"
            what = "WARNING is info here, since MINOR is minor"
            draft.lose(what, "choose other severities", alters=False)
        said.setdefault(severity, []).append(level.when)
    texts = {severity: say_any(parts).text for severity, parts in reversed(said.items())}
    return {"levels": texts, **keys}


def _read_clear(alarm: Part, draft: Draft) -> dict[str, Any]:
    """Return how an alarm clears; without a rule for that, a person clears it."""
    rule = alarm.get("clearRule")
    if not rule:
        return {"latch": True}
    try:
        with draft.on_trial():
            said = ProfileConditions(draft).condition(rule.get("condition"))
            hold_s = read_hold(rule.get("condition").get("spec"), draft)
            if read_opening(rule.get("schedule"), draft):
                draft.lose("the hours of the clear rule", "here an alarm clears at any hour")
    except Unportable as error:
        draft.lose(f"the clear rule is left out: {error.what}", error.remedy, place=rule.place)
        return {}
    return {"clear": said.text, "clear_for": say_time(hold_s) if hold_s else ""}


def _message(levels: list[_Level], draft: Draft) -> str:
    """Return the details of the highest severity, with keys as fields."""
    details = [level.part.get("alarmDetails") for level in levels]
    texts = [part.text() for part in details if part]
    if not texts:
        return ""
    if len(set(texts)) > 1:
        what, remedy = "details of the other severities", "the message is the highest one's"
        draft.lose(what, remedy, alters=False)
    names = {key: one.name for key, one in draft.on.fields.items()}
    unknown = [key for key in _KEY_IN_TEXT.findall(texts[0]) if key not in names]
    if unknown:
        draft.lose(
            f"{', '.join(unknown)} in the details",
            "add the field, and write {{ values.FIELD }} for …",
            alters=False,
        )
    return _KEY_IN_TEXT.sub(
        lambda match: f"{{{{ values.{names[match[1]]} }}}}" if match[1] in names else "…",
        say_plainly(texts[0]),
    )


def _note_the_rest(alarm: Part, draft: Draft) -> None:
    names = [
        name
        for name in (
            "propagate",
            "propagateToOwner",
            "propagateToOwnerHierarchy",
            "propagateToTenant",
        )
        if alarm.get(name).value
    ]
    if names:
        draft.lose(
            f"{', '.join(names)}",
            "alarms are shown by site; a workflow says who is told",
            alters=False,
        )
    rules = [part for _, part in alarm.get("createRules").parts()]
    if any(part.get("dashboardId") for part in rules):
        draft.lose("a dashboard of the alarm", "link it in a template", alters=False)


def _condition_text(part: Part) -> str:
    return str(part.get("condition").get("condition").value or "")
