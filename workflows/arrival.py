"""When a technician who is on the way will be there, as a window that can be kept. Pure.

From where the technician was seen, the way takes as long as a road does, and may take half as long again.
Where nobody has been seen lately, nothing better is known than what was promised; once that is over, it is
said that it is late, and no other time is made up.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

PLAN, POSITION, LATE = "plan", "position", "late"
FRESH = timedelta(minutes=10)
"""So long a position counts as where somebody is."""
_SLOWER = 1.5
_SLACK = timedelta(minutes=5)
_STEP = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Arrival:
    """The window in which somebody is expected, and what it is known by."""

    start: datetime
    end: datetime
    by: str
    """`plan`, `position`, or `late`: it was promised for earlier, and nothing better is known."""


def expect_arrival(
    promised: tuple[datetime, datetime],
    travel_s: float | None,
    seen_at: datetime | None,
    now: datetime,
) -> Arrival:
    """Return when somebody on the way is expected.

    `travel_s` is the way from where they were seen at `seen_at`; both None where that is not known.
    """
    start, end = promised
    if travel_s is not None and seen_at is not None and now - seen_at <= FRESH:
        soonest = max(now, seen_at + timedelta(seconds=travel_s))
        latest = max(now, seen_at + timedelta(seconds=travel_s * _SLOWER)) + _SLACK
        return Arrival(_down(soonest), _up(latest), POSITION)
    return Arrival(start, end, PLAN if now <= end else LATE)


def _down(at: datetime) -> datetime:
    return at - _past(at)


def _up(at: datetime) -> datetime:
    past = _past(at)
    return at - past + _STEP if past else at


def _past(at: datetime) -> timedelta:
    return timedelta(minutes=at.minute % 5, seconds=at.second, microseconds=at.microsecond)
