"""A calendar of who is on call: duties laid out by day, as clocks on the wall have days. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

DAYS_SHOWN = 14
_MIDNIGHT = "00:00"
_SHORT, _HALF, _LONG = timedelta(hours=4), timedelta(hours=9), timedelta(hours=16)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of one day in which one person, or nobody, is on call."""

    starts_at: datetime
    ends_at: datetime
    hours: str
    """By the clock on the wall; empty for the whole day."""
    name: str | None
    """None is a gap."""
    reason: str
    is_hand_over: bool
    """Whether this person takes over here: the night goes on with who had the evening."""
    is_now: bool

    @property
    def size(self) -> int:
        """How long it is, from 1 (some hours) to 4 (the day, or nearly)."""
        lasts = self.ends_at - self.starts_at
        return 1 + sum(lasts >= bound for bound in (_SHORT, _HALF, _LONG))


@dataclass(frozen=True, slots=True)
class Day:
    """A day and its stretches, in order."""

    day: date
    is_today: bool
    stretches: tuple[Stretch, ...]

    @property
    def has_gap(self) -> bool:
        """Whether at some time nobody is on call."""
        return any(one.name is None for one in self.stretches)


def first_day(wanted: str, today: date) -> date:
    """Return the Monday of the week that holds a day written as 2026-05-04; else of this week."""
    try:
        day = date.fromisoformat(wanted)
    except ValueError:
        day = today
    # Beyond these years no date can be reckoned with.
    day = min(max(day, date(1970, 1, 5)), date(2200, 1, 6))
    return day - timedelta(days=day.weekday())


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """Return when a day begins."""
    return datetime.combine(day, time(0), zone).astimezone(UTC)


def lay_out(
    duties: Sequence[Mapping[str, Any]], first: date, zone: ZoneInfo, now: datetime
) -> tuple[Day, ...]:
    """Return so many days from `first` on, with the duties that were found between their ends.

    Each duty has `from`, `name` or `contact` (None: a gap) and `reason`, and lasts until the next begins.
    """
    days = [first + timedelta(days=number) for number in range(DAYS_SHOWN)]
    end = midnight(days[-1] + timedelta(days=1), zone)
    ends = [*(one["from"] for one in duties[1:]), end]
    today = now.astimezone(zone).date()
    laid = []
    for day in days:
        begin, over = midnight(day, zone), midnight(day + timedelta(days=1), zone)
        stretches = tuple(
            _stretch(duty, max(duty["from"], begin), min(until, over), zone, now)
            for duty, until in zip(duties, ends, strict=True)
            if duty["from"] < over and until > begin
        )
        laid.append(Day(day, day == today, stretches))
    return tuple(laid)


def _stretch(
    duty: Mapping[str, Any], starts_at: datetime, ends_at: datetime, zone: ZoneInfo, now: datetime
) -> Stretch:
    begins, ends = (f"{at.astimezone(zone):%H:%M}" for at in (starts_at, ends_at))
    is_to_the_end = ends == _MIDNIGHT
    return Stretch(
        starts_at,
        ends_at,
        "" if begins == ends == _MIDNIGHT else f"{begins} - {'24:00' if is_to_the_end else ends}",
        duty["name"] or duty["contact"],
        duty["reason"],
        is_hand_over=starts_at == duty["from"] and begins != _MIDNIGHT,
        is_now=starts_at <= now < ends_at,
    )


def read_wall_time(text: str, zone: ZoneInfo) -> datetime | None:
    """Return the instant that a form names by the clock on the wall, or None for none.

    An hour that comes twice is meant the first time; one that is skipped is as much later.
    """
    if not text.strip():
        return None
    return datetime.fromisoformat(text.strip()).replace(tzinfo=zone).astimezone(UTC)
