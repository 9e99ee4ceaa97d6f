"""Alarm rules of ThingsBoard device profiles: severities, filters, holds and hours."""

import json
from typing import Any

import pytest

from prevenant.errors import ConfigurationError
from rules.importing.carried import CarriedRule
from rules.importing.thingsboard import import_thingsboard

NUMERIC = {"type": "NUMERIC", "operation": "GREATER", "value": {"defaultValue": 5}}
SIMPLE = {"type": "SIMPLE"}


def key_filter(
    predicate: dict[str, Any], key: str = "x", kind: str = "TIME_SERIES"
) -> dict[str, Any]:
    return {
        "key": {"type": kind, "key": key},
        "valueType": predicate["type"],
        "predicate": predicate,
    }


def rule_of(*filters: dict[str, Any], spec: Any = None, schedule: Any = None) -> dict[str, Any]:
    condition = {"condition": list(filters), "spec": spec or SIMPLE}
    return {"condition": condition, "schedule": schedule}


def carry(create: dict[str, Any], clear: Any = None) -> list[CarriedRule]:
    alarm = {"alarmType": "A", "createRules": create, "clearRule": clear}
    profile = {"name": "P", "profileData": {"alarms": [alarm]}}
    return import_thingsboard(json.dumps(profile), "p.json").rules


def carry_one(*filters: dict[str, Any], **more: Any) -> CarriedRule:
    (rule,) = carry({"MAJOR": rule_of(*filters, **more)}, rule_of(key_filter(NUMERIC)))
    return rule


def notes(rule: CarriedRule) -> str:
    return "\n".join(map(str, rule.unported))


def given(kind: str, operation: str, value: Any, **more: Any) -> dict[str, Any]:
    return {"type": kind, "operation": operation, "value": {"defaultValue": value}, **more}


def joined(operation: str, *predicates: dict[str, Any]) -> dict[str, Any]:
    return {"type": "COMPLEX", "operation": operation, "predicates": list(predicates)}


@pytest.mark.parametrize(
    ("predicate", "when"),
    [
        (given("NUMERIC", "EQUAL", 1), "x == 1"),
        (given("NUMERIC", "NOT_EQUAL", 1.5), "x != 1.5"),
        (given("NUMERIC", "GREATER", -1), "x > -1"),
        (given("NUMERIC", "LESS", 0), "x < 0"),
        (given("NUMERIC", "GREATER_OR_EQUAL", 1), "x >= 1"),
        (given("NUMERIC", "LESS_OR_EQUAL", 1), "x <= 1"),
        ({"type": "NUMERIC", "operation": "LESS", "value": 7}, "x < 7"),
        (given("BOOLEAN", "EQUAL", value=True), "x"),
        (given("BOOLEAN", "NOT_EQUAL", value=True), "not x"),
        (given("BOOLEAN", "EQUAL", value=False), "not x"),
        (given("STRING", "EQUAL", "it's"), 'x == "it\'s"'),
        (given("STRING", "NOT_EQUAL", "a"), "x != 'a'"),
        (given("STRING", "IN", "a, b"), "x in ['a', 'b']"),
        (given("STRING", "NOT_IN", "a,b"), "not (x in ['a', 'b'])"),
        (joined("OR", given("NUMERIC", "LESS", 1), joined("AND", given("NUMERIC", "GREATER", 5),
                given("NUMERIC", "LESS", 9))), "x < 1 or x > 5 and x < 9"),
    ],
)  # fmt: skip
def test_a_filter_is_a_condition(predicate: dict[str, Any], when: str) -> None:
    number = json.dumps(predicate).count("NUMERIC")
    clear = rule_of(key_filter(predicate if not number else NUMERIC))
    (rule,) = carry({"MAJOR": rule_of(key_filter(predicate))}, clear)
    assert (rule.keys["when"], notes(rule)) == (when, "")


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ([key_filter(given("STRING", "CONTAINS", "a"), "y")], "the operation CONTAINS on y"),
        ([key_filter(NUMERIC, "name", "ENTITY_FIELD")], "a key of type ENTITY_FIELD"),
        ([key_filter(NUMERIC, "y", "CONSTANT")], "a key of type CONSTANT"),
        ([{**key_filter(NUMERIC, "y"), "valueType": "DATE_TIME"}], "y is a date"),
        ([key_filter(given("NUMERIC", "LESS", None), "y")], "a value without a default"),
        ([key_filter(joined("OR"), "y")], "a complex filter OR"),
    ],
)
def test_a_filter_that_cannot_be_said_is_left_out(
    filters: list[dict[str, Any]], words: str
) -> None:
    rule = carry_one(key_filter(NUMERIC), *filters)
    assert rule.keys["when"] == "x > 5"
    assert "a filter is left out" in notes(rule)
    assert words in notes(rule)
    (lost,) = carry({"MAJOR": rule_of(*filters)})
    assert lost.keys == {}
    assert words in notes(lost)


def test_what_is_taken_from_attributes_is_noted() -> None:
    value = {
        "defaultValue": 9,
        "dynamicValue": {"sourceType": "CURRENT_TENANT", "sourceAttribute": "m"},
    }
    limit = {"type": "NUMERIC", "operation": "LESS", "value": value}
    rule = carry_one(key_filter(limit, "y", "ATTRIBUTE"))
    assert rule.keys["when"] == "y < 9"
    assert "the attribute m (CURRENT_TENANT) is fixed at its default" in notes(rule)
    assert "the attribute y is taken as a field" in notes(rule)
    assert rule.in_part


@pytest.mark.parametrize(
    ("unit", "amount", "hold"),
    [("SECONDS", 90, "90s"), ("MINUTES", 5, "5m"), ("HOURS", 2, "2h"), ("DAYS", 1, "1d")],
)
def test_a_duration_is_how_long_it_holds(unit: str, amount: int, hold: str) -> None:
    spec = {"type": "DURATION", "unit": unit, "predicate": {"defaultValue": amount}}
    assert carry_one(key_filter(NUMERIC), spec=spec).keys["for"] == hold


@pytest.mark.parametrize(("count", "in_part"), [(1, False), (3, True)])
def test_messages_in_a_row_are_not_counted(count: int, in_part: bool) -> None:
    spec = {"type": "REPEATING", "predicate": {"defaultValue": count}}
    rule = carry_one(key_filter(NUMERIC), spec=spec)
    assert rule.in_part == in_part
    assert ("it has to hold in 3 messages in a row" in notes(rule)) == in_part


def hours(begin: float, end: float) -> dict[str, int]:
    return {"startsOn": int(begin * 3_600_000), "endsOn": int(end * 3_600_000)}


@pytest.mark.parametrize(
    ("schedule", "opening", "noted"),
    [
        ({"type": "ANY_TIME"}, None, False),
        ({"type": "SPECIFIC_TIME", "timezone": "Europe/Rome", "daysOfWeek": [1, 2, 3], **hours(8, 18.5)},
         {"days": "mon-wed", "hours": "08:00-18:30", "timezone": "Europe/Rome"}, False),
        ({"type": "SPECIFIC_TIME", "daysOfWeek": [6, 7], **hours(0, 0)},
         {"days": "sat, sun", "timezone": "site"}, False),
        ({"type": "SPECIFIC_TIME", "daysOfWeek": [*range(1, 8)], **hours(22, 6)},
         {"hours": "22:00-06:00", "timezone": "site"}, False),
        ({"type": "SPECIFIC_TIME", "daysOfWeek": [5], **hours(22, 6)},
         {"days": "fri", "hours": "22:00-06:00", "timezone": "site"}, True),
        ({"type": "CUSTOM", "items": [{"enabled": True, "dayOfWeek": 2, **hours(8, 9)},
                                      {"enabled": False, "dayOfWeek": 3, **hours(1, 2)}]},
         {"days": "tue", "hours": "08:00-09:00", "timezone": "site"}, False),
        ({"type": "CUSTOM", "items": [{"enabled": True, "dayOfWeek": 2, **hours(8, 9)},
                                      {"enabled": True, "dayOfWeek": 3, **hours(1, 2)}]}, None, True),
    ],
)  # fmt: skip
def test_a_schedule_is_when_the_rule_is_open(schedule: Any, opening: Any, noted: bool) -> None:
    rule = carry_one(key_filter(NUMERIC), schedule=schedule)
    assert rule.keys.get("when_open") == opening
    assert rule.in_part == noted


def test_a_schedule_without_hours_is_lost_and_an_unknown_zone_noted() -> None:
    never = {"type": "SPECIFIC_TIME", "daysOfWeek": [], **hours(8, 9)}
    assert "never watched" in notes(carry_one(key_filter(NUMERIC), schedule=never))
    moon = {"type": "SPECIFIC_TIME", "daysOfWeek": [1], "timezone": "Moon/Base", **hours(8, 9)}
    rule = carry_one(key_filter(NUMERIC), schedule=moon)
    assert rule.keys["when_open"]["timezone"] == "site"
    assert "the time zone Moon/Base" in notes(rule)


def test_severities_with_the_same_times_are_levels() -> None:
    create = {
        name: rule_of(key_filter(given("NUMERIC", "GREATER", bound)))
        for name, bound in (("INDETERMINATE", 1), ("WARNING", 2), ("CRITICAL", 9), ("MINOR", 4))
    }
    (rule,) = carry(create)
    assert rule.keys["levels"] == {
        "info": "x > 2 or x > 1",
        "minor": "x > 4",
        "critical": "x > 9",
    }
    assert rule.keys["latch"] is True
    assert "WARNING is info here" in notes(rule)


def test_severities_with_times_of_their_own_are_rules() -> None:
    slow = {"type": "DURATION", "unit": "MINUTES", "predicate": {"defaultValue": 5}}
    critical, minor, odd = carry(
        {
            "MINOR": rule_of(key_filter(NUMERIC), spec=slow),
            "CRITICAL": rule_of(key_filter(NUMERIC)),
            "ODD": rule_of(key_filter(NUMERIC)),
        }
    )
    assert (critical.name, critical.keys["severity"]) == ("a-critical", "critical")
    assert (minor.name, minor.keys["for"]) == ("a-minor", "5m")
    assert "times of their own" in notes(minor)
    assert "the severity ODD" in notes(odd)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "p.json:1:2: this is not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"name": "x"}', "p.json is no device profile of ThingsBoard"),
        ('{"profileData": {"alarms": 3}}', "p.json: profileData.alarms: expected a list, not '3'"),
        ('{"profileData": {"alarms": [{"createRules": []}]}}', "expected `key: value` pairs"),
    ],
)
def test_a_malformed_file_is_one_clear_error(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        import_thingsboard(text, "p.json")
    assert words in str(refused.value)
