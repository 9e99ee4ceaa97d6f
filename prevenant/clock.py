"""Time as an argument: the one place where a clock is read.

Nothing below the wiring asks for the time; it is given `now`. Waiting goes through the same clock, so
that a clock that runs sixty times faster also waits sixty times shorter.
"""

import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Protocol, Self
from zoneinfo import available_timezones

_SLEW = 0.001
_ADOPT_S = 86_400.0


@cache
def timezones() -> frozenset[str]:
    """Return the names of all time zones."""
    return frozenset(available_timezones())


class Clock(Protocol):
    """What the engine asks of time."""

    def now(self) -> datetime:
        """Return the present, timezone-aware, in UTC."""

    def seconds_until(self, at: datetime) -> float:
        """Return how many real seconds pass before this clock shows `at`; 0 if it is past."""


class SystemClock:
    """The machine's time of day, without its jumps.

    It starts at the wall clock and then follows the monotonic boot clock, so that a step of the wall
    clock (an operator, NTP, a virtual machine resumed) fires no timer early or late. Towards a wall clock
    that differs it slews by 1 ms a second. A difference of a day or more means that the clock was
    not set when the process began, and is adopted at once.

    `not_before`, in seconds since 1970, is where an earlier process left off: a wall clock that was put
    back meanwhile, by less than a day, does not put this one back.
    """

    def __init__(self, not_before: float = 0.0) -> None:
        self._lock = threading.Lock()
        self._steady = _boot_seconds()
        wall = time.time()
        begin = not_before if 0.0 < not_before - wall < _ADOPT_S else wall
        self._offset = begin - self._steady

    def now(self) -> datetime:
        """Return the present in UTC."""
        steady = _boot_seconds()
        with self._lock:
            elapsed = steady - self._steady
            if elapsed >= 1.0:
                self._follow(time.time() - steady, elapsed)
                self._steady = steady
            return datetime.fromtimestamp(steady + self._offset, UTC)

    def seconds_until(self, at: datetime) -> float:
        """Return the seconds from now to `at`, never negative."""
        return max(0.0, (at - self.now()).total_seconds())

    def _follow(self, wall_offset: float, elapsed: float) -> None:
        difference = wall_offset - self._offset
        if abs(difference) >= _ADOPT_S:
            self._offset = wall_offset
        else:
            self._offset += max(-_SLEW * elapsed, min(_SLEW * elapsed, difference))


class ScaledClock:
    """A clock that runs `speed` times faster, for the demo and for rehearsals of a rule book.

    It showed `origin` when the machine's clock showed `real_origin`. Processes given the same three
    values agree on the time.
    """

    def __init__(self, origin: datetime, real_origin: datetime, speed: float) -> None:
        self.origin = origin
        self.real_origin = real_origin
        self.speed = speed

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `ORIGIN/REAL_ORIGIN/SPEED`, both instants in ISO 8601 with an offset.

        Raises ValueError with the form that is expected.
        """
        clock = None
        with suppress(ValueError):
            origin, real_origin, speed = text.split("/")
            moments = datetime.fromisoformat(origin), datetime.fromisoformat(real_origin)
            clock = cls(*moments, float(speed))
        if (
            clock is None
            or clock.speed <= 0
            or not (clock.origin.tzinfo and clock.real_origin.tzinfo)
        ):
            example = "2026-05-04T08:00:00+00:00/2026-11-23T15:00:00+00:00/60"
            message = f"{text!r} is no clock: write ORIGIN/REAL_ORIGIN/SPEED, as in {example}"
            raise ValueError(message)
        return clock

    def __str__(self) -> str:
        return f"{self.origin.isoformat()}/{self.real_origin.isoformat()}/{self.speed:g}"

    def now(self) -> datetime:
        """Return the scaled present in UTC."""
        elapsed = datetime.now(UTC) - self.real_origin
        return (self.origin + elapsed * self.speed).astimezone(UTC)

    def seconds_until(self, at: datetime) -> float:
        """Return the real seconds until this clock shows `at`, never negative."""
        return max(0.0, (at - self.now()).total_seconds() / self.speed)


class Wakeup:
    """A bell that one thread waits for and any thread rings. A ring is kept until it is heard."""

    def __init__(self) -> None:
        self._rung = threading.Event()

    def ring(self) -> None:
        """Wake the waiting thread now, or let its next wait end at once."""
        self._rung.set()

    def wait(self, clock: Clock, until: datetime | None, at_most_s: float | None = None) -> None:
        """Wait for a ring, or until `clock` shows `until`, and no more than some real seconds."""
        limits = [at_most_s, None if until is None else clock.seconds_until(until)]
        self._rung.wait(min((limit for limit in limits if limit is not None), default=None))
        self._rung.clear()


def wall_time() -> datetime:
    """Return what the machine's own clock shows in UTC, to be held against a date from outside."""
    return datetime.now(UTC)


def steady_seconds() -> float:
    """Return the seconds since the machine's start, which no step of a clock changes."""
    return _boot_seconds()


def epoch_seconds(at: datetime) -> float:
    """Return `at` as seconds since 1970 in UTC, the unit of times inside the hot paths."""
    return at.timestamp()


def from_epoch(seconds: float) -> datetime:
    """Return the instant `seconds` after 1970, timezone-aware, to the microsecond."""
    return _EPOCH + timedelta(microseconds=round(seconds * 1e6))


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _boot_seconds() -> float:
    # CLOCK_BOOTTIME goes on while the machine is suspended; CLOCK_MONOTONIC does not.
    return time.clock_gettime(time.CLOCK_BOOTTIME)
