"""Whether a technician is on duty: shifts by their own clock, without the public holidays of a region."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import cache, lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import holidays as calendars

from prevenant.crm.shifts import is_on_shift

HOLIDAY = "has a public holiday"


def judge_duty(shifts: Sequence[dict[str, Any]], holidays: str, at: datetime, timezone: str) -> str:
    """Return why somebody is off duty, in words, or nothing.

    A shift belongs to the day on which it begins: one that begins on a public holiday is free, and a
    night shift that began the day before goes on.
    """
    if not is_on_shift(shifts, at, timezone):
        return "is off shift"
    if not holidays:
        return ""
    today = at.astimezone(ZoneInfo(timezone)).date()
    free = {day: holiday_on(holidays, day) for day in (today, today - timedelta(days=1))}
    if not any(free.values()):
        return ""
    working = [
        {**shift, "days": [day.weekday()]}
        for shift in shifts
        for day in free
        if day.weekday() in shift["days"] and not free[day]
    ]
    if is_on_shift(working, at, timezone):
        return ""
    return f"{HOLIDAY} ({free[today] or free[today - timedelta(days=1)]})"


@lru_cache(maxsize=10_000)
def holiday_on(region: str, day: date) -> str:
    """Return the name of a region's public holiday, or nothing; `region` is `FR` or `DE-BY`."""
    calendar = _calendar(region)
    return "" if calendar is None else str(calendar.get(day) or "")


def is_region(region: str) -> bool:
    """Return whether the public holidays of a region are known."""
    return _calendar(region) is not None


@cache
def _calendar(region: str) -> calendars.HolidayBase | None:
    country, _, part = region.partition("-")
    try:
        return calendars.country_holidays(country, subdiv=part or None, language="en_US")
    except NotImplementedError:
        return None
