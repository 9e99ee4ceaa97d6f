"""Days, weeks and months as they are on the clocks of a place: a day may have 23 hours, or 25."""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

Every = Literal["day", "week", "month"]

DECEMBER = 12
MOST = 800
"""So many periods at most: two years of days, and a little."""


def begin_of(at: datetime, every: Every, zone: ZoneInfo) -> datetime:
    """Return when the period began that holds `at`. A week begins on Monday."""
    return _midnight(_first_day(at.astimezone(zone).date(), every), zone)


def begins_between(
    since: datetime, until: datetime, every: Every, zone: ZoneInfo
) -> list[datetime]:
    """Return when each period begins that has a part between two instants, the earliest first."""
    day = _first_day(since.astimezone(zone).date(), every)
    begins: list[datetime] = []
    while (begin := _midnight(day, zone)) < until and len(begins) < MOST:
        begins.append(begin)
        day = _next(day, every)
    return begins


def place_of(begins: Sequence[datetime], at: datetime) -> int:
    """Return in which of some periods `at` falls, counted from 0; what is later is in the last."""
    return max(0, bisect_right(begins, at) - 1)


def _first_day(day: date, every: Every) -> date:
    match every:
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)


def _next(day: date, every: Every) -> date:
    match every:
        case "day":
            return day + timedelta(days=1)
        case "week":
            return day + timedelta(weeks=1)
        case "month":
            return date(day.year + day.month // DECEMBER, day.month % DECEMBER + 1, 1)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(0), zone).astimezone(UTC)
