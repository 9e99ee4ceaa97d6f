"""When a rule is watched: days and hours of the clock on the wall, across changes of summer time."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from math import inf
from zoneinfo import ZoneInfo

from prevenant.domain import DAYS

OF_SITE = "site"
"""Stands for the time zone of the device's site."""

_HORIZON = 9
"""How many days around an instant are looked at: every weekly schedule opens and closes within them."""
_MINUTES_A_DAY = 1440
_HOURS = re.compile(r"([01]\d|2[0-4]):([0-5]\d)\s*-\s*([01]\d|2[0-4]):([0-5]\d)")


@dataclass(frozen=True, slots=True)
class Schedule:
    """Weekly opening hours; each stretch belongs to the day on which it begins."""

    days: tuple[int, ...]
    """From 0, Monday."""
    hours: tuple[tuple[int, int], ...]
    """Beginning and end in minutes since midnight; an end at or before its beginning is the next day's."""
    zone: str = OF_SITE
    """An IANA name, or `site`."""

    def in_zone(self, zone: str) -> "OpenHours":
        """Return the hours at a site in the time zone `zone`."""
        return _open_hours(self, zone if self.zone == OF_SITE else self.zone)


class OpenHours:
    """A schedule on one clock. Instants are seconds since 1970."""

    def __init__(self, schedule: Schedule, zone: str) -> None:
        self._schedule = schedule
        self._zone = ZoneInfo(zone)
        self._looked_at: date | None = None
        self._bounds: list[float] = []
        """Openings and closings in turn, around the day last looked at."""

    def is_open(self, at: float) -> bool:
        """Return whether the rule is watched at `at`."""
        return bisect_right(self._around(at), at) % 2 == 1

    def changes_at(self, at: float) -> float:
        """Return the next opening or closing after `at`, or infinity where there is none."""
        bounds = self._around(at)
        position = bisect_right(bounds, at)
        return bounds[position] if position < len(bounds) else inf

    def _around(self, at: float) -> list[float]:
        day = datetime.fromtimestamp(at, self._zone).date()
        if day != self._looked_at:
            self._looked_at = day
            self._bounds = self._find_bounds(day)
        return self._bounds

    def _find_bounds(self, day: date) -> list[float]:
        stretches = sorted(
            (self._instant(one, begin), self._instant(one, end + _MINUTES_A_DAY * (end <= begin)))
            for one in (day + timedelta(days=n) for n in range(-_HORIZON, _HORIZON + 1))
            if one.weekday() in self._schedule.days
            for begin, end in self._schedule.hours
        )
        bounds: list[float] = []
        for begin, end in stretches:
            if bounds and begin <= bounds[-1]:
                bounds[-1] = max(bounds[-1], end)
            elif end > begin:
                bounds += [begin, end]
        last = self._instant(day + timedelta(days=_HORIZON), 0)
        if bounds and bounds[-1] >= last:
            bounds[-1] = inf
        return bounds

    def _instant(self, day: date, minutes: int) -> float:
        """Return the instant of a time on the wall; one that a spring night skips is an hour later."""
        days, minutes = divmod(minutes, _MINUTES_A_DAY)
        wall = datetime.combine(day + timedelta(days=days), time(*divmod(minutes, 60)))
        return wall.replace(tzinfo=self._zone).astimezone(UTC).timestamp()


def parse_days(texts: Sequence[str]) -> tuple[int, ...]:
    """Read days such as `mon-fri`, `sat` or `fri-mon`. Raises ValueError with the form."""
    days: set[int] = set()
    for part in (part.strip() for text in texts for part in text.split(",")):
        first, _, last = (end.strip().lower()[:3] for end in part.partition("-"))
        if first not in DAYS or (last or first) not in DAYS:
            message = f"{part!r} is no day: write days such as mon-fri, sun"
            raise ValueError(message)
        begin, end = DAYS.index(first), DAYS.index(last or first)
        days |= {day % len(DAYS) for day in range(begin, end + 1 + len(DAYS) * (end < begin))}
    return tuple(sorted(days))


def parse_hours(text: str) -> tuple[int, int]:
    """Read hours such as `05:00-23:30`; `22:00-06:00` passes midnight. Raises ValueError."""
    match = _HOURS.fullmatch(text.strip())
    if match is None:
        message = f'{text!r} are no hours: write them as "05:00-23:30"'
        raise ValueError(message)
    begin_hour, begin_minute, end_hour, end_minute = (int(part) for part in match.groups())
    begin, end = begin_hour * 60 + begin_minute, end_hour * 60 + end_minute
    if max(begin, end) > _MINUTES_A_DAY or begin == _MINUTES_A_DAY:
        message = f"{text!r} reaches beyond the day: the last minute of a day ends at 24:00"
        raise ValueError(message)
    return begin, end


@cache
def _open_hours(schedule: Schedule, zone: str) -> OpenHours:
    return OpenHours(schedule, zone)
