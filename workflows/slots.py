"""The times at which a technician can really come: on shift, not away, room beside other visits. Pure.

A slot is a window like the one that a visit was promised in. It lies wholly within working hours of the
technician, and within the hours at which people are visited where the site is. No two visits share a
time, between two there is time for the way, and a day has no more than the technician takes on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from prevenant.crm.duty import duty_spans

NOTICE = timedelta(hours=2)
"""No time that begins sooner is shown."""
SOONEST = timedelta(hours=1)
"""Nor is one given: whoever chooses has looked at the page for a while."""
AHEAD = timedelta(days=14)
"""How far ahead a visit can be moved."""
MOST = 40
"""So many slots are shown at most."""
_EARLIEST, _LATEST = time(7), time(21)
"""People are visited between these, by the clock of the site."""
_STEP = timedelta(minutes=30)
_QUARTER_S = 900.0

Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Visit:
    """Another visit of a technician, and how long the way is from there to ours, or back."""

    start: datetime
    end: datetime
    way: timedelta


@dataclass(frozen=True, slots=True)
class Agenda:
    """What a technician's time is taken up by."""

    name: str
    timezone: str
    shifts: Sequence[dict[str, Any]]
    holidays: str = ""
    leave: Sequence[tuple[datetime, datetime, str]] = ()
    capacity: int = 1
    """How many jobs the technician takes on: so many visits on one day at most."""
    visits: Sequence[Visit] = ()
    """The others, without the one that is to be moved."""


def free_slots(agenda: Agenda, lasts: timedelta, site_zone: str, now: datetime) -> list[Span]:
    """Return windows of this length at which a technician can come, earliest first; none overlap."""
    slots: list[Span] = []
    for start in _starts(agenda, lasts, now):
        end = start + lasts
        is_apart = not slots or start >= slots[-1][1]
        if is_apart and not judge_slot(agenda, (start, end), site_zone, now):
            slots.append((start, end))
            if len(slots) == MOST:
                break
    return slots


def judge_slot(agenda: Agenda, slot: Span, site_zone: str, now: datetime) -> str:
    """Return why a technician cannot come in a window, in words, or nothing."""
    start, end = slot
    if start < now + SOONEST:
        return "it begins too soon"
    if end > now + AHEAD:
        return "it is too far ahead"
    if not _is_daytime(slot, site_zone):
        return "nobody is visited at that hour"
    spans = duty_spans(agenda.shifts, agenda.holidays, start, end, agenda.timezone)
    if (start, end) not in spans:
        return f"{agenda.name} is off duty"
    if any(begins < end and start < ends for begins, ends, _ in agenda.leave):
        return f"{agenda.name} is away"
    if any(start < one.end + one.way and one.start < end + one.way for one in agenda.visits):
        return f"{agenda.name} has another visit then"
    day = _day(start, agenda.timezone)
    if sum(_day(one.start, agenda.timezone) == day for one in agenda.visits) >= agenda.capacity:
        return f"{agenda.name} has enough visits that day"
    return ""


def way_between(travel_s: float) -> timedelta:
    """Return how long a way is counted, in whole quarters of an hour."""
    return timedelta(seconds=-(-travel_s // _QUARTER_S) * _QUARTER_S)


def _starts(agenda: Agenda, lasts: timedelta, now: datetime) -> Iterator[datetime]:
    """Yield when a window could begin: every half hour of working time."""
    since, until = now + NOTICE, now + AHEAD
    for begins, ends in duty_spans(agenda.shifts, agenda.holidays, since, until, agenda.timezone):
        start = _next_half_hour(begins)
        while start + lasts <= ends:
            yield start
            start += _STEP


def _next_half_hour(at: datetime) -> datetime:
    past = timedelta(minutes=at.minute % 30, seconds=at.second, microseconds=at.microsecond)
    return at - past + _STEP if past else at


def _day(at: datetime, timezone: str) -> date:
    return at.astimezone(ZoneInfo(timezone)).date()


def _is_daytime(slot: Span, site_zone: str) -> bool:
    zone = ZoneInfo(site_zone)
    start, end = (one.astimezone(UTC).astimezone(zone) for one in slot)
    is_one_day = start.date() == end.date()
    return is_one_day and start.time() >= _EARLIEST and end.time() <= _LATEST
