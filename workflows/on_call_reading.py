"""Reads the section `on_call` of a rule book: schedules, their layers, turns and hours."""

import re
from datetime import date, datetime, time, timedelta

from prevenant.clock import timezones
from prevenant.crm.public_holidays import judge_region
from prevenant.crm.shifts import parse_shifts
from prevenant.document import Mapping, Value
from prevenant.domain import DAYS
from prevenant.errors import Problem
from workflows.on_call import A_MONDAY, ALWAYS, HOLIDAY_RULES, Layer, Schedule, first_turn

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_HAND_OVER = re.compile(rf"(?:({'|'.join(DAYS)})\s+)?([01]\d|2[0-3]):([0-5]\d)")
_DAY_S, _WEEK_S = 86_400.0, 604_800.0
_SCHEDULE_KEYS = {"timezone", "holidays", "layers"}
_LAYER_KEYS = {"people", "turn", "hand_over", "since", "hours", "holidays"}


def read_schedules(sections: list[Value]) -> dict[str, Schedule]:
    """Return the schedules of a book; problems are noted in the document."""
    schedules: dict[str, Schedule] = {}
    for section in sections:
        for name, value in section.mapping() or ():
            named = value.named(f"on_call {name!r}")
            if not _NAME.fullmatch(name):
                named.fail("a name is made of letters, digits, dashes and underscores")
            elif name in schedules:
                named.fail("stands twice: rename one")
            else:
                schedule = _read_schedule(name, named)
                if schedule is not None:
                    schedules[name] = schedule
    return schedules


def _read_schedule(name: str, value: Value) -> Schedule | None:
    pairs = value.mapping(_SCHEDULE_KEYS)
    if pairs is None:
        return None
    zone = pairs.need("timezone", "name the zone by whose clock people hand over: Europe/Paris")
    timezone = _read_zone(zone) if zone else None
    holidays = _read_holidays(pairs)
    layers_value = pairs.need("layers", "list who takes turns, as in [{people: [ines, tom]}]")
    layers = [
        layer
        for one in (layers_value.items() or () if layers_value else ())
        if (layer := _read_layer(one.named(f"{value.what}: layer"), has_holidays=bool(holidays)))
    ]
    if layers_value is not None and layers_value.is_list and not layers_value.items():
        layers_value.fail("list at least one layer, as in [{people: [ines, tom]}]")
    if timezone is None or not layers:
        return None
    place = Problem(value.source, value.line, value.column, "")
    return Schedule(name, timezone, tuple(layers), holidays, place)


def _read_zone(value: Value) -> str | None:
    text = value.text()
    if text not in timezones():
        value.fail(f"{text!r} is no time zone: write one such as Europe/Paris")
        return None
    return text


def _read_holidays(pairs: Mapping) -> str:
    value = pairs.get("holidays")
    text = value.text() if value else None
    if value is None or text is None:
        return ""
    try:
        return judge_region(text)
    except ValueError as error:
        value.fail(str(error))
        return ""


def _read_layer(value: Value, *, has_holidays: bool) -> Layer | None:
    pairs = value.mapping(_LAYER_KEYS)
    if pairs is None:
        return None
    people_value = pairs.need("people", "name the contacts who take turns, as in [ines, tom]")
    named = people_value.one_or_more() if people_value else []
    people = [person for one in named if (person := one.text())]
    if people_value is not None and not people:
        people_value.fail("name at least one contact, as in [ines, tom]")
    turn_s = pairs.duration_s("turn", _WEEK_S)
    turn_value = pairs.get("turn")
    if turn_value is not None and not _is_even(turn_s):
        turn_value.fail(
            "a turn is a part of a day that comes out even (12h, 8h), or whole days or weeks"
        )
        return None
    holidays_value = pairs.get("holidays")
    on_holidays = (holidays_value.choice(HOLIDAY_RULES) if holidays_value else None) or ALWAYS
    if holidays_value is not None and on_holidays != ALWAYS and not has_holidays:
        holidays_value.fail("say whose: the schedule needs `holidays: FR` or the like")
    begins = _read_begin(pairs, turn_s)
    hours = _read_hours(pairs)
    if not people or begins is None:
        return None
    return Layer(tuple(people), timedelta(seconds=turn_s), begins, tuple(hours), on_holidays)


def _is_even(turn_s: float) -> bool:
    return turn_s > 0 and (_DAY_S % turn_s == 0 if turn_s < _DAY_S else turn_s % _DAY_S == 0)


def _read_begin(pairs: Mapping, turn_s: float) -> datetime | None:
    since_value, hand_over_value = pairs.get("since"), pairs.get("hand_over")
    since = A_MONDAY.date()
    if since_value is not None:
        try:
            since = date.fromisoformat(since_value.text() or "")
        except ValueError:
            since_value.fail("write the day on which the first turn begins, as in 2026-01-05")
            return None
    if hand_over_value is None:
        weekday = 0 if turn_s % _WEEK_S == 0 and since_value is None else None
        return first_turn(since, A_MONDAY.time(), weekday)
    match = _HAND_OVER.fullmatch((hand_over_value.text() or "").strip().lower())
    if match is None:
        hand_over_value.fail("write when people hand over, as in mon 09:00 or 09:00")
        return None
    if match[1] and turn_s % _WEEK_S:
        hand_over_value.fail("a weekday needs turns of whole weeks: write the hour alone")
        return None
    weekday = DAYS.index(match[1]) if match[1] else None
    return first_turn(since, time(int(match[2]), int(match[3])), weekday)


def _read_hours(pairs: Mapping) -> list[dict[str, object]]:
    value = pairs.get("hours")
    text = value.text() if value else None
    if value is None or text is None:
        return []
    try:
        return parse_shifts(text)
    except ValueError as error:
        value.fail(str(error))
        return []
