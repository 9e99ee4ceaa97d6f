"""Models of AWS IoT Events: the way from the normal state into another becomes a rule."""

import json
from typing import Any

import pytest

from prevenant.errors import ConfigurationError
from rules.importing.carried import Carried, CarriedRule
from rules.importing.iot_events import import_iot_events
from rules.importing.iot_expressions import IotExpressionError, parse_iot_expression


def way(condition: str, to: str) -> dict[str, Any]:
    return {"eventName": f"to {to}", "condition": condition, "nextState": to}


def state(name: str, *ways: dict[str, Any], timers: dict[str, Any] | None = None) -> dict[str, Any]:
    actions = [{"setTimer": {"timerName": t, "seconds": s}} for t, s in (timers or {}).items()]
    entry = {"events": [{"eventName": "enter", "condition": "true", "actions": actions}]}
    return {"stateName": name, "onEnter": entry, "onInput": {"transitionEvents": list(ways)}}


def model(*states: dict[str, Any]) -> Carried:
    definition = {"initialStateName": states[0]["stateName"], "states": list(states)}
    text = json.dumps({"detectorModelName": "M", "detectorModelDefinition": definition})
    return import_iot_events(text, "m.json")


def carry(condition: str, back: str = "$input.P.a < 0") -> CarriedRule:
    return model(state("N", way(condition, "A")), state("A", way(back, "N"))).rules[0]


def notes(rule: CarriedRule) -> str:
    return "\n".join(map(str, rule.unported))


@pytest.mark.parametrize(
    ("condition", "when"),
    [
        ("$input.P.b > 70", "b > 70"),
        ("$input.P.data.b[2].c >= -1.5", "c >= -1.5"),
        ("$input.P.`odd name` != 3", "odd_name != 3"),
        ("70 < $input.P.b", "70 < b"),
        ("($input.P.b - 2.5) * 3 / 2.0 > $input.P.a + 1", "(b - 2.5) * 3 / 2 > a + 1"),
        ("$input.P.b > 1 && ($input.P.c == 'x' || $input.P.d)", "b > 1 and (c == 'x' or d)"),
        ("!$input.P.d && $input.P.e == true && $input.P.f != true", "not d and e and not f"),
        ('currentInput("P") && $input.P.b > 1', "b > 1"),
        ('triggerType("Message") && $input.P.b > 1', "b > 1"),
        ("true && $input.P.b > 1", "b > 1"),
        ('$input.P.c != "it\'s"', 'c != "it\'s"'),
    ],
)
def test_an_expression_is_a_condition(condition: str, when: str) -> None:
    rule = carry(condition)
    assert (rule.keys["when"], notes(rule)) == (when, "")


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("$variable.x == 1", "the variable x"),
        ("contains($input.P.c, 'x')", "contains()"),
        ("isUndefined($input.P.c)", "a missing value makes a condition unknown"),
        ("convert(Decimal, $input.P.c) > 3", "convert()"),
        ("($input.P.c & 4) == 4", "the operator &"),
        ("1 > 2", "two fixed values"),
        ("$input.P.c > 'x'", "`>` with 'x'"),
        ("$input.P.c == '${$input.P.d}'", "a text with ${…}"),
        ("$input.P > 3", "an input as a whole"),
        ("$sitewise.a.b > 3", "a value of $sitewise"),
        ('triggerType("Timer")', "triggerType()"),
    ],
)
def test_a_part_that_cannot_be_said_is_left_out_and_noted(part: str, words: str) -> None:
    rule = carry(f"$input.P.b > 70 && {part}")
    assert rule.keys["when"] == "b > 70"
    assert rule.in_part
    assert words in notes(rule)
    for whole in (part, f"$input.P.b > 70 || {part}"):
        lost = carry(whole)
        assert lost.keys == {}
        assert words in notes(lost)


@pytest.mark.parametrize("text", ["", "(", "$input.", "$input.a[x]", "a b", "#", "f(1", "((" * 50])
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(IotExpressionError):
        parse_iot_expression(text)
    assert "its condition cannot be read" in notes(carry(text or "("))


def test_the_way_back_clears_unless_it_is_the_opposite() -> None:
    assert carry("$input.P.a > 9", "$input.P.a < 5").keys["clear"] == "a < 5"
    assert "clear" not in carry("$input.P.a > 9", "$input.P.a <= 9").keys
    both = carry("$input.P.a > 9 && $input.P.b == 'x'", "$input.P.a <= 9 || $input.P.b != 'x'")
    assert "clear" not in both.keys


def test_a_state_in_which_time_passes_is_how_long_it_holds() -> None:
    carried = model(
        state("N", way("$input.P.a > 9", "Wait")),
        state("Wait", way('timeout("t")', "A"), way("$input.P.a <= 9", "N"), timers={"t": 90}),
        state("A", way("$input.P.a < 5", "Calm")),
        state("Calm", way('timeout("u")', "N"), way("$input.P.a >= 5", "A"), timers={"u": 600}),
    )
    (rule,) = carried.rules
    assert rule.keys == {
        "on": "p",
        "when": "a > 9",
        "for": "90s",
        "clear": "a < 5",
        "clear_for": "10m",
    }
    assert not rule.in_part


@pytest.mark.parametrize("back", [[], [way("$input.P.a <= 3", "N")]])
def test_a_timer_that_runs_on_is_noted(back: list[dict[str, Any]]) -> None:
    carried = model(
        state("N", way("$input.P.a > 9", "Wait")),
        state("Wait", way('timeout("t")', "A"), *back, timers={"t": 90}),
        state("A", way("$input.P.a < 5", "N")),
    )
    (rule,) = carried.rules
    assert rule.keys["for"] == "90s"
    assert "the state Wait is not left as soon as the condition ends" in notes(rule)


def test_several_ways_into_one_state_are_one_rule() -> None:
    carried = model(
        state(
            "N",
            way("$input.P.a > 9", "A"),
            way("$input.P.b == 1", "A"),
            way("$input.P.b == 2", "B"),
        ),
        state("A", way("$input.P.a < 5", "N"), way("$input.P.a > 90", "C")),
        state("B"),
        state("C", way("$input.P.a < 50", "A")),
    )
    first, second, third = carried.rules
    assert (first.name, first.keys["when"]) == ("m-a", "a > 9 or b == 1")
    assert "the way from A to C is left out" in notes(first)
    assert second.keys == {"on": "p", "when": "b == 2", "latch": True}
    assert third.keys == {}
    assert "the state C is not entered from N" in notes(third)


def test_a_way_back_after_a_time_is_noted() -> None:
    carried = model(
        state("N", way("$input.P.a > 9", "A")),
        state("A", way('timeout("t")', "N"), timers={"t": 60}),
    )
    (rule,) = carried.rules
    assert rule.keys == {"on": "p", "when": "a > 9"}
    assert "the way from A to N after a time is left out" in notes(rule)


def test_a_timer_that_messages_renew_is_the_silence_of_a_device() -> None:
    beat = {"eventName": "b", "condition": "true", "actions": [{"resetTimer": {"timerName": "t"}}]}
    online = state("On", way('timeout("t")', "Off"), timers={"t": 300})
    online["onInput"]["events"] = [beat]
    carried = model(online, state("Off", way("$input.P.a > 0", "On")))
    assert carried.used_types[0].silent_after_s == 300
    assert carried.rules[0].name == "device-silent"
    without = state("On", way('timeout("t")', "Off"), timers={"t": 300})
    (lost, _) = model(without, state("Off", way("$input.P.a > 0", "On"))).rules
    assert "the timer t runs from the beginning of On" in notes(lost)


def test_inputs_that_come_apart_are_noted() -> None:
    rule = carry('$input.P.a > 9 && $input.Q.b > 9 && currentInput("Q")')
    assert rule.keys["on"] == "m"
    assert "it joins the inputs P and Q" in notes(rule)
    assert "which of the inputs a message came by" in notes(rule)


def alarm_model(**more: Any) -> CarriedRule:
    simple = {"inputProperty": "$input.P.a", "comparisonOperator": "LESS", "threshold": "3"}
    body = {
        "alarmModelName": "Low Oil",
        "alarmRule": {"simpleRule": {**simple, **more.pop("rule", {})}},
    }
    (rule,) = import_iot_events(json.dumps({**body, **more}), "m.json").rules
    return rule


@pytest.mark.parametrize(
    ("operator", "sign"),
    [
        ("GREATER", ">"),
        ("GREATER_OR_EQUAL", ">="),
        ("LESS", "<"),
        ("LESS_OR_EQUAL", "<="),
        ("EQUAL", "=="),
        ("NOT_EQUAL", "!="),
    ],
)
def test_an_alarm_model_is_a_comparison(operator: str, sign: str) -> None:
    rule = alarm_model(rule={"comparisonOperator": operator})
    assert rule.keys == {"on": "p", "when": f"a {sign} 3"}


def test_an_alarm_model_that_is_acknowledged_latches() -> None:
    rule = alarm_model(severity=1, alarmCapabilities={"acknowledgeFlow": {"enabled": True}})
    assert rule.keys["latch"] is True
    assert "severity 1" in notes(rule)
    assert not rule.in_part


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"comparisonOperator": "ABOUT"}, "its comparisonOperator"),
        ({"threshold": "3 +"}, "its rule cannot be read"),
        ({"inputProperty": "$sitewise.x.y"}, "a value of $sitewise"),
    ],
)
def test_an_alarm_model_that_cannot_be_said_is_lost(rule: dict[str, str], words: str) -> None:
    lost = alarm_model(rule=rule)
    assert lost.keys == {}
    assert words in notes(lost)


def test_a_template_in_yaml_is_read_too() -> None:
    text = """
Resources:
  Role: {Type: "AWS::IAM::Role"}
  Low:
    Type: AWS::IoTEvents::AlarmModel
    Properties:
      AlarmModelName: !Sub "${Stack}-low"
      AlarmRule: {SimpleRule: {InputProperty: $input.P.a, ComparisonOperator: LESS, Threshold: 3}}
"""
    (rule,) = import_iot_events(text, "m.yaml").rules
    assert rule.keys["when"] == "a < 3"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "m.json:1:2: this is not JSON"),
        ("{}", "m.json holds no model of AWS IoT Events"),
        ("a: [", "this is not YAML"),
        ('{"states": 3}', "m.json (model): states: expected a list, not '3'"),
    ],
)
def test_a_malformed_file_is_one_clear_error(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        import_iot_events(text, "m.json")
    assert words.replace(" (model)", "") in str(refused.value).replace(" (model)", "")
