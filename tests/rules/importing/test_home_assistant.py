"""Automations of Home Assistant: each trigger on each entity becomes a rule."""

import pytest

from prevenant.errors import ConfigurationError
from rules.importing.carried import Carried, CarriedRule
from rules.importing.home_assistant import import_home_assistant

GROUP = """{or: [
  {condition: state, entity_id: sensor.m, state: a},
  {not: [{condition: state, entity_id: fan.g, state: 'on'}]},
]}"""


def carry(triggers: str, conditions: str = "[]") -> CarriedRule:
    text = f"- alias: A\n  triggers: [{triggers}]\n  conditions: {conditions}\n"
    (rule,) = import_home_assistant(text, "a.yaml").rules
    return rule


def notes(rule: CarriedRule) -> str:
    return "\n".join(map(str, rule.unported))


@pytest.mark.parametrize(
    ("trigger", "when"),
    [
        ("{trigger: numeric_state, entity_id: sensor.x, above: 20}", "x > 20"),
        ("{platform: numeric_state, entity_id: sensor.x, below: '7.5'}", "x < 7.5"),
        ("{trigger: numeric_state, entity_id: sensor.x, above: 1, below: 2}", "1 < x < 2"),
        ("{trigger: numeric_state, entity_id: sensor.x, above: sensor.y}", "x > y"),
        ("{trigger: numeric_state, entity_id: sun.sun, attribute: elevation, below: -4}",
         "sun_elevation < -4"),
        ("{trigger: state, entity_id: binary_sensor.x, to: 'on'}", "x"),
        ("{trigger: state, entity_id: binary_sensor.x, from: 'on', to: 'off'}", "not x"),
        ("{trigger: state, entity_id: switch.x, from: 'off'}", "x"),
        ("{trigger: state, entity_id: sensor.x, to: [a, b]}", "x in ['a', 'b']"),
        ("{trigger: state, entity_id: person.x, from: home}", "not (x == 'home')"),
        ("{trigger: state, entity_id: light.x, attribute: brightness, to: 255}", "x_brightness == 255"),
        ("{trigger: state, entity_id: vacuum.x, attribute: stuck, to: true}", "x_stuck"),
    ],
)  # fmt: skip
def test_a_trigger_is_a_condition(trigger: str, when: str) -> None:
    rule = carry(trigger)
    assert (rule.keys["when"], notes(rule)) == (when, "")


@pytest.mark.parametrize(
    ("written", "hold"),
    [
        ("'00:05:00'", "5m"),
        ("00:05:00", "5m"),
        ("'01:30'", "90m"),
        ("{minutes: 1, seconds: 30}", "90s"),
        ("45", "45s"),
        ("{milliseconds: 500}", "500ms"),
    ],
)
def test_for_is_how_long_it_holds(written: str, hold: str) -> None:
    trigger = f"{{trigger: numeric_state, entity_id: sensor.x, above: 1, for: {written}}}"
    assert carry(trigger).keys["for"] == hold


def test_a_for_that_is_reckoned_is_noted() -> None:
    rule = carry('{trigger: state, entity_id: sensor.x, to: a, for: "{{ 5 }}"}')
    assert "for" not in rule.keys
    assert "`for` is a template" in notes(rule)


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("{condition: state, entity_id: input_boolean.g, state: 'on'}", "g"),
        ("{condition: state, entity_id: [light.g, light.h], state: 'on'}", "g and h"),
        ("{condition: state, entity_id: [light.g, light.h], state: 'on', match: any}", "(g or h)"),
        ("{condition: numeric_state, entity_id: sensor.x, below: 90}", "x < 90"),
        (GROUP, "(m == 'a' or not g)"),
        ("{condition: not, conditions: [{condition: state, entity_id: sensor.m, state: a}]}",
         "not (m == 'a')"),
    ],
)  # fmt: skip
def test_conditions_join_the_trigger(condition: str, said: str) -> None:
    rule = carry("{trigger: numeric_state, entity_id: sensor.x, above: 20}", f"[{condition}]")
    assert rule.keys["when"] == f"x > 20 and {said}"
    assert "only at the moment of the trigger" in notes(rule)
    assert rule.in_part


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ('"{{ now().hour > 8 }}"', "a template"),
        ("{condition: template, value_template: x}", "a template"),
        ("{condition: sun, after: sunset}", "a condition of kind 'sun'"),
        ("{condition: state, entity_id: sensor.m, state: a, for: 60}", "has to have lasted"),
        ("{condition: state, entity_id: sensor.m, state: unavailable}", "silent_after"),
        (
            "{or: [{condition: sun}, {condition: state, entity_id: sensor.m, state: a}]}",
            "kind 'sun'",
        ),
    ],
)
def test_a_condition_that_cannot_be_said_is_left_out_and_noted(condition: str, words: str) -> None:
    rule = carry("{trigger: numeric_state, entity_id: sensor.x, above: 20}", f"[{condition}]")
    assert rule.keys["when"] == "x > 20"
    assert "a condition is left out" in notes(rule)
    assert words in notes(rule)


@pytest.mark.parametrize(
    ("condition", "opening"),
    [
        ("{condition: time, after: '08:00:00', before: '18:30:00'}", {"hours": "08:00-18:30"}),
        ("{condition: time, after: '22:00', before: '06:00'}", {"hours": "22:00-06:00"}),
        ("{condition: time, weekday: [sat, sun]}", {"days": "sat, sun"}),
        ("{condition: time, before: 09:00:00, weekday: [mon, tue, wed]}",
         {"days": "mon-wed", "hours": "00:00-09:00"}),
    ],
)  # fmt: skip
def test_a_time_is_when_the_rule_is_open(condition: str, opening: dict[str, str]) -> None:
    rule = carry("{trigger: state, entity_id: light.x, to: 'on'}", f"[{condition}]")
    assert rule.keys["when_open"] == opening


@pytest.mark.parametrize(
    ("trigger", "words"),
    [
        ("{trigger: time, at: '21:00:00'}", "a trigger of kind 'time'"),
        (
            "{trigger: numeric_state, entity_id: sensor.x, above: 1, value_template: y}",
            "a template",
        ),
        ("{trigger: numeric_state, entity_id: sensor.x}", "neither above nor below"),
        ("{trigger: numeric_state, entity_id: sensor.x, above: !input limit}", "the bound !input"),
        ("{trigger: state, entity_id: !input motion, to: 'on'}", "without the name of an entity"),
        ("{trigger: state, entity_id: sensor.x}", "any change of state fires it"),
        ("{trigger: state, entity_id: sensor.x, not_to: [a]}", "not_to"),
        ("{trigger: state, entity_id: sensor.x, to: unavailable}", "silent_after"),
        ("{trigger: state, entity_id: sensor.x, to: a, enabled: false}", "switched off"),
    ],
)
def test_a_trigger_that_cannot_be_said_is_lost(trigger: str, words: str) -> None:
    rule = carry(trigger)
    assert rule.keys == {}
    assert words in notes(rule)


def test_an_entity_compared_in_two_ways_keeps_the_first() -> None:
    text = """
- alias: A
  triggers: [{trigger: numeric_state, entity_id: sensor.x, above: 1}]
- alias: B
  triggers: [{trigger: state, entity_id: sensor.x, to: idle}]
"""
    first, second = import_home_assistant(text, "a.yaml").rules
    assert first.keys
    assert not second.keys
    assert "as a number and as a string" in notes(second)


def test_actions_are_listed_and_do_not_count() -> None:
    text = """
alias: A
trigger: {platform: state, entity_id: sensor.x, to: idle}
action:
  - service: notify.me
  - choose: []
"""
    carried: Carried = import_home_assistant(text, "a.yaml")
    assert "a.yaml (A): actions notify.me, choose: " in "\n".join(map(str, carried.unported))
    assert carried.summary == "1 rule carried over, 0 in part, 0 not"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "a.yaml:1:5: this is not YAML"),
        ("light: {}", "a.yaml holds no automations"),
        ("", "a.yaml holds no automations"),
        ("- 3", "a.yaml: [0]: expected an automation, not '3'"),
        ("- {triggers: [{trigger: state, entity_id: sensor.x, to: [[1]]}]}", "expected a state"),
    ],
)
def test_a_malformed_file_is_one_clear_error(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        import_home_assistant(text, "a.yaml")
    assert words in str(refused.value)
