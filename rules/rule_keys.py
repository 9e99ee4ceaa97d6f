"""The values of a rule's keys that are small languages of their own."""

import difflib
import re

from prevenant.clock import timezones
from prevenant.document import Value
from prevenant.durations import parse_duration
from rules.alarm import Repeat
from rules.rule import Flapping
from rules.schedule import OF_SITE, Schedule, parse_days, parse_hours

_SCHEDULE_KEYS = {"days", "hours", "timezone"}
_REPEAT = re.compile(r"(\d+)\s*(?:times|x)?\s+in\s+(\w+)")
_FLAPPING = re.compile(r"(\d+)\s*(?:times|x)?\s+in\s+(\w+)\s*,\s*shelve\s+(\w+)")


def read_repeat(value: Value | None) -> Repeat | None:
    """Return how often a condition has to come about, as in `3 in 10m`."""
    text = value.raw() if value else None
    if value is None or text is None:
        return None
    match = _REPEAT.fullmatch(text.strip())
    within_s = _duration(match[2]) if match else 0.0
    if match is None or not within_s or int(match[1]) < 2:  # noqa: PLR2004  once is no repetition
        value.fail(f"{text!r} is no repetition: write how often within what time, as in 3 in 10m")
        return None
    return Repeat(int(match[1]), within_s)


def read_flapping(value: Value | None) -> Flapping | None:
    """Return when an alarm counts as flapping, as in `10 in 10m, shelve 1h`; None where never."""
    text = value.raw() if value else None
    if value is None or text is None:
        return Flapping()
    if text.strip() == "never":
        return None
    match = _FLAPPING.fullmatch(text.strip())
    within_s, shelve_s = (_duration(match[2]), _duration(match[3])) if match else (0.0, 0.0)
    if match is None or not within_s or not shelve_s or int(match[1]) < 2:  # noqa: PLR2004  as above
        value.fail(f"{text!r} cannot be used: write 10 in 10m, shelve 1h, or never")
        return Flapping()
    return Flapping(int(match[1]), within_s, shelve_s)


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError:
        return 0.0


def read_schedule(value: Value | None) -> Schedule | None:
    """Return the opening hours of a rule; None where it is always watched."""
    keys = value.mapping(_SCHEDULE_KEYS) if value else None
    if keys is None:
        return None
    days: tuple[int, ...] = tuple(range(7))
    hours: list[tuple[int, int]] = []
    days_value, hours_value = keys.get("days"), keys.get("hours")
    if days_value is not None:
        try:
            days = parse_days([one.raw() or "" for one in days_value.one_or_more()])
        except ValueError as error:
            days_value.fail(str(error))
    for one in hours_value.one_or_more() if hours_value else ():
        try:
            hours.append(parse_hours(one.raw() or ""))
        except ValueError as error:
            one.fail(str(error))
    zone_value = keys.get("timezone")
    zone = (zone_value.raw() or OF_SITE) if zone_value else OF_SITE
    if zone_value is not None and zone != OF_SITE and zone not in timezones():
        close = difflib.get_close_matches(zone, sorted(timezones()), 1)
        hint = f"did you mean {close[0]!r}?" if close else "write site, or a name as Europe/Paris"
        zone_value.fail(f"there is no time zone {zone!r}: {hint}")
        zone = OF_SITE
    return Schedule(days, tuple(hours) or ((0, 1440),), zone)
