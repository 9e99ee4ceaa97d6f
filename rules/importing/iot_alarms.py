"""Alarm models of AWS IoT Events."""

from rules.importing.carried import Carried, Draft, Unportable, lost_rule
from rules.importing.iot_conditions import IotConditions
from rules.importing.iot_expressions import IotExpressionError, Operation, parse_iot_expression
from rules.importing.iot_inputs import find_type, inputs_of, title_of
from rules.importing.names import name_rule
from rules.importing.source import Part
from rules.importing.wording import say_plainly

_OPERATORS = {
    "GREATER": ">",
    "GREATER_OR_EQUAL": ">=",
    "LESS": "<",
    "LESS_OR_EQUAL": "<=",
    "EQUAL": "==",
    "NOT_EQUAL": "!=",
}


def carry_alarm_model(part: Part, carried: Carried) -> None:
    """Carry over an alarm model: one comparison of one input."""
    title = title_of(part, "alarmModelName")
    part = part.labelled(title)
    rule = part.get("alarmRule").get("simpleRule")
    name = name_rule(title, {one.name for one in carried.rules})
    try:
        tree = _read_comparison(rule)
        draft = Draft(part.place, find_type(part, title, [tree], carried))
        with draft.on_trial():
            when = IotConditions(draft, inputs_of([tree])).narrowed([tree], rule.place)
    except Unportable as error:
        carried.rules.append(lost_rule(name, part.place, error))
        return
    abilities = part.get("alarmCapabilities")
    if abilities.get("initializationConfiguration").get("disabledOnInitialization").value:
        draft.lose("alarms begin disabled", "here they are watched from the start")
    severity = part.get("severity")
    if severity:
        draft.lose(
            f"severity {severity.text()}, a number whose meaning is yours",
            "write severity: info, minor, major, critical or life_safety",
            alters=False,
        )
    for key in ("alarmEventActions", "alarmNotification"):
        if part.get(key):
            remedy = "say in a workflow what is done, and name it in the rule"
            draft.lose(key, remedy, alters=False, place=part.get(key).place)
    is_kept = abilities.get("acknowledgeFlow").get("enabled").value in {True, "true"}
    message = say_plainly(part.get("alarmModelDescription").text())
    carried.rules.append(
        draft.finish(name, {"when": when.text, "latch": is_kept, "message": message})
    )


def _read_comparison(rule: Part) -> Operation:
    sign = _OPERATORS.get(rule.get("comparisonOperator").text())
    if sign is None:
        raise Unportable("its comparisonOperator", f"use one of {', '.join(_OPERATORS)}")
    try:
        measured = parse_iot_expression(rule.get("inputProperty").text())
        threshold = parse_iot_expression(rule.get("threshold").text())
    except IotExpressionError as error:
        what = f"its rule cannot be read: {error}"
        raise Unportable(what, "mend inputProperty or threshold") from None
    return Operation(sign, measured, threshold)
