"""Whether and when a technician is on duty: shifts by their own clock, less a region's public holidays."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from prevenant.crm.public_holidays import holiday_on
from prevenant.crm.shifts import is_on_shift

HOLIDAY = "has a public holiday"
_MIDNIGHT = "24:00"


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


def duty_spans(
    shifts: Sequence[dict[str, Any]],
    holidays: str,
    since: datetime,
    until: datetime,
    timezone: str,
) -> list[tuple[datetime, datetime]]:
    """Return when somebody is on duty between two instants, in UTC, earliest first; none touch.

    Where the clock is set, a shift counts as no longer than any reading of its hours would have it.
    """
    zone = ZoneInfo(timezone)
    day = since.astimezone(zone).date() - timedelta(days=1)
    last = until.astimezone(zone).date()
    spans: list[tuple[datetime, datetime]] = []
    while day <= last:
        if not holiday_on(holidays, day):
            spans += [
                span
                for shift in shifts
                if day.weekday() in shift["days"]
                and (span := _span_on(shift, day, zone))[0] < span[1]
            ]
        day += timedelta(days=1)
    clipped = [(max(start, since), min(end, until)) for start, end in spans]
    return _joined(sorted(span for span in clipped if span[0] < span[1]))


def _span_on(shift: dict[str, Any], day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return a shift that begins on a day; an end that is not after its start is on the next."""
    begins, ends = str(shift["start"]), str(shift["end"])
    is_next_day = ends == _MIDNIGHT or ends <= begins
    last = day + timedelta(days=1) if is_next_day else day
    end = time(0) if ends == _MIDNIGHT else time.fromisoformat(ends)
    # An hour that comes twice, or not at all, can be read in two ways.
    starts = _readings(day, time.fromisoformat(begins), zone)
    return max(starts), min(_readings(last, end, zone))


def _readings(day: date, at: time, zone: ZoneInfo) -> list[datetime]:
    local = datetime.combine(day, at, zone)
    return [local.replace(fold=fold).astimezone(UTC) for fold in (0, 1)]


def _joined(spans: Sequence[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    joined: list[tuple[datetime, datetime]] = []
    for start, end in spans:
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        else:
            joined.append((start, end))
    return joined
