"""Whether a technician is on duty: shifts by their own clock, without the public holidays of a region."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from prevenant.crm.public_holidays import holiday_on
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
