"""How much alarms ask of the people who watch them, measured as ISA-18.2 does.

An *operator* is somebody who watches all the time. One can look after an alarm every ten minutes; more
than ten in ten minutes are a *flood*, in which what matters is overlooked. An alarm that comes three times
in a minute *chatters*, one that has been there for a day is *stale*: both teach people to look away.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

WINDOW = timedelta(minutes=10)
PERIOD = timedelta(days=1)
STALE_AFTER = timedelta(days=1)
FLOOD_BEGINS, FLOOD_ENDS = 10, 5
"""More in ten minutes than the one, for each operator, begin a flood; fewer than the other end it."""
MANAGEABLE, AT_MOST = 1.0, 2.0
"""So many an operator in ten minutes leave time to act, and so many are the most that can be borne."""
_CHATTERS, _CHATTERS_WITHIN = 3, timedelta(minutes=1)
_WORST = 10


class Burden(Enum):
    """What the alarms of the last ten minutes ask of an operator."""

    CALM = "calm"
    BUSY = "busy"
    TOO_MUCH = "too_much"
    FLOOD = "flood"


@dataclass(frozen=True, slots=True)
class Told:
    """An alarm of which people were told, and when."""

    rule: str
    device_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Flood:
    """A time in which more alarms came than anybody can look after."""

    began_at: datetime
    ended_at: datetime | None
    """None: it goes on."""
    alarms: int
    """How many came in it, with those of the ten minutes that began it."""


@dataclass(frozen=True, slots=True)
class Frequent:
    """A rule on a device, and how often it was told in the period."""

    rule: str
    device_id: str
    count: int
    share: float
    """Of all alarms of the period."""
    in_a_minute: int
    """The most that came within a minute."""

    @property
    def chatters(self) -> bool:
        """Whether it came so often in a minute that no condition can mean it."""
        return self.in_a_minute >= _CHATTERS


@dataclass(frozen=True, slots=True)
class Load:
    """What the alarms of a period asked of `operators` people."""

    operators: int
    total: int
    latest: int
    """In the last ten minutes."""
    peak: int
    """The most in any ten minutes."""
    slots: tuple[int, ...]
    """In each ten minutes of the period, the oldest first; the last slot ends now."""
    floods: tuple[Flood, ...]
    in_flood: float
    """The share of the period that was flood."""
    frequent: tuple[Frequent, ...]
    """The ten that were told most, the most frequent first."""
    chattering: tuple[Frequent, ...]

    @property
    def per_operator(self) -> float:
        """Alarms in the last ten minutes, for each operator."""
        return self.latest / self.operators

    @property
    def average(self) -> float:
        """Alarms in ten minutes for each operator, over the period."""
        return self.total / self.operators / (PERIOD / WINDOW)

    @property
    def burden(self) -> Burden:
        """What the last ten minutes ask of each."""
        if self.floods and self.floods[-1].ended_at is None:
            return Burden.FLOOD
        if self.per_operator > AT_MOST:
            return Burden.TOO_MUCH
        return Burden.BUSY if self.per_operator > MANAGEABLE else Burden.CALM


def measure_load(told: Iterable[Told], now: datetime, operators: int) -> Load:
    """Measure the period that ends `now`; what lies outside of it counts for nothing."""
    inside = sorted((one for one in told if now - PERIOD < one.at <= now), key=lambda one: one.at)
    times = [one.at for one in inside]
    floods = find_floods(times, now, operators)
    frequent = _count_each(inside)
    lasted = sum(((one.ended_at or now) - one.began_at for one in floods), timedelta())
    return Load(
        operators=operators,
        total=len(times),
        latest=sum(at > now - WINDOW for at in times),
        peak=_most_within(times, WINDOW),
        slots=_fill_slots(times, now),
        floods=tuple(floods),
        in_flood=lasted / PERIOD,
        frequent=tuple(frequent[:_WORST]),
        chattering=tuple(one for one in frequent if one.chatters),
    )


def find_floods(times: Sequence[datetime], now: datetime, operators: int) -> list[Flood]:
    """Return the floods in `times`, which are in order, the oldest first."""
    floods: list[Flood] = []
    recent: deque[datetime] = deque()
    began_at: datetime | None = None
    alarms = 0

    def leave(until: datetime) -> None:
        """Let those leave the window that are ten minutes old; with too few of them left a flood ends."""
        nonlocal began_at
        while recent and recent[0] + WINDOW <= until:
            gone = recent.popleft()
            if began_at is not None and len(recent) < FLOOD_ENDS * operators:
                floods.append(Flood(began_at, gone + WINDOW, alarms))
                began_at = None

    for at in times:
        leave(at)
        recent.append(at)
        if began_at is not None:
            alarms += 1
        elif len(recent) > FLOOD_BEGINS * operators:
            began_at, alarms = at, len(recent)
    leave(now)
    if began_at is not None:
        floods.append(Flood(began_at, None, alarms))
    return floods


def is_stale(raised_at: datetime, now: datetime) -> bool:
    """Return whether an alarm that is still there has been for so long that nobody sees it any more."""
    return now - raised_at >= STALE_AFTER


def _count_each(told: Sequence[Told]) -> list[Frequent]:
    times: dict[tuple[str, str], list[datetime]] = defaultdict(list)
    for one in told:
        times[one.rule, one.device_id].append(one.at)
    found = [
        Frequent(
            rule, device, len(each), len(each) / len(told), _most_within(each, _CHATTERS_WITHIN)
        )
        for (rule, device), each in times.items()
    ]
    return sorted(found, key=lambda one: (-one.count, one.rule, one.device_id))


def _most_within(times: Sequence[datetime], span: timedelta) -> int:
    """Return how many of `times`, which are in order, lie within a span at most."""
    most = first = 0
    for last, at in enumerate(times):
        while times[first] <= at - span:
            first += 1
        most = max(most, last - first + 1)
    return most


def _fill_slots(times: Sequence[datetime], now: datetime) -> tuple[int, ...]:
    count = PERIOD // WINDOW
    slots = [0] * count
    for at in times:
        slots[count - 1 - (now - at) // WINDOW] += 1
    return tuple(slots)
