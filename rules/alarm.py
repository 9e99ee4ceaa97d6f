"""The life of one rule's alarm on one device: a pure machine over readings and time.

    idle ──when──▶ pending ──held for `for`──▶ active ──clear──▶ clearing ──held `clear_for`──▶ idle
            │                      │
          closed, outside        noted, where `repeat` wants more of them; counted, once it is over
          the opening hours

A hold time is time covered by evidence: the span between readings that agree, plus real time since
the last of them was received. One late reading therefore never satisfies `for: 10m` by itself. What
late readings show is not announced before the device had a moment to send what came next.

All times are seconds since 1970, UTC.
"""

from dataclasses import dataclass
from math import inf

import msgspec

from rules.expression import Truth
from rules.schedule import OpenHours

PENDING, ACTIVE, CLEARING = "pending", "active", "clearing"
CLOSED = "closed"
"""The condition holds outside the opening hours."""
NOTED, COUNTED = "noted", "counted"
"""The condition holds, or held, too few times yet."""
RAISED = (ACTIVE, CLEARING)

LATE_S = 5.0
"""From this delay on, a reading belongs to a burst that may go on."""
SETTLE_S = 5.0
"""How long after a late reading the rest of its burst is waited for."""
_NO_LEVEL = -1


@dataclass(frozen=True, slots=True)
class Repeat:
    """How often a condition has to come about, and within what time."""

    times: int
    within_s: float


@dataclass(frozen=True, slots=True)
class Holds:
    """What a rule asks of time: before its alarm is raised, lowered and cleared."""

    for_s: float
    clear_for_s: float
    repeat: Repeat | None = None
    hours: OpenHours | None = None

    @property
    def lower_s(self) -> float:
        """How long a lower level has to be the highest before it is taken."""
        return self.clear_for_s or self.for_s


class AlarmState(msgspec.Struct, gc=False):
    """Where an alarm that is not idle stands."""

    phase: str
    onset: float
    """Observed time at which the condition began to hold."""
    since: float
    """Observed time of the first reading of the present phase's evidence."""
    observed: float
    received: float
    """Observed and received time of the last reading that agrees."""
    suspended: bool = False
    """The last reading left the condition unknown: no timer runs, nothing is forgotten."""
    level: int = 0
    """The level that the alarm stands at, from 0, the lowest."""
    lower: int = _NO_LEVEL
    """The lower level that holds now, or -1."""
    lower_since: float = 0.0
    onsets: list[float] | None = None
    """With `repeat`: when the condition came about lately."""
    held_by: str = ""
    """Who keeps the raised alarm from being told: a rule, or `flapping`."""
    held_until: float = 0.0
    """Real time at which `flapping` ends."""

    def ends_at(self, holds: Holds) -> float:
        """Return when the present phase ends if nothing further is received, or infinity."""
        if self.suspended:
            return inf
        match self.phase:
            case "active":
                lowers = self.lower != _NO_LEVEL
                return self._ends_at(self.lower_since, holds.lower_s) if lowers else inf
            case "pending":
                due = self._ends_at(self.since, holds.for_s)
                if holds.hours is not None:
                    closing = self._real(holds.hours.changes_at(self.since))
                    if closing < due:
                        return closing
                late = self.received - self.observed > LATE_S
                return max(due, self.received + SETTLE_S) if late else due
            case "closed" if holds.hours is not None:
                return self._real(holds.hours.changes_at(self.closed_at))
            case "clearing":
                return self._ends_at(self.since, holds.clear_for_s)
        return inf

    @property
    def closed_at(self) -> float:
        """Observed time up to which it is known that the rule was closed."""
        return max(self.since, self.observed)

    def _ends_at(self, since: float, hold_s: float) -> float:
        return self.received + max(0.0, hold_s - (self.observed - since))

    def _real(self, observed: float) -> float:
        """Return when an observed time comes if nothing further is received."""
        return self.received + max(0.0, observed - self.observed)


class Change(msgspec.Struct, frozen=True, gc=False):
    """What a step did to the alarm, if anything: `raised`, `levelled`, `cleared` or `passed`."""

    kind: str
    onset: float
    at: float
    level: int = 0


Step = tuple[AlarmState | None, Change | None]


class Evidence(msgspec.Struct, frozen=True, gc=False):
    """A reading's times, and the moment at which it is weighed: its arrival, or a timer's end."""

    observed: float
    received: float
    now: float
    began: float | None = None
    """Observed time at which what is known only now came about, where that was earlier."""
    is_reading: bool = True
    """False: time or another device gave the occasion, and the device itself said nothing."""

    @property
    def onset(self) -> float:
        """Observed time at which what holds now came about, if it did not hold before."""
        return self.observed if self.began is None else self.began


class Truths(msgspec.Struct, frozen=True, gc=False):
    """What a reading makes of a rule: its `when`, its `clear`, and its levels, the lowest first."""

    when: Truth
    clear: Truth
    levels: tuple[Truth, ...] = ()

    @property
    def highest(self) -> int:
        """The highest level that holds, or -1."""
        if not self.levels:
            return _NO_LEVEL
        return max((n for n, truth in enumerate(self.levels) if truth), default=_NO_LEVEL)

    @property
    def is_sure(self) -> bool:
        """Whether no level above the highest that holds may hold too."""
        return all(truth is False for truth in self.levels[self.highest + 1 :])


def take_evidence(
    state: AlarmState | None, truths: Truths, evidence: Evidence, holds: Holds
) -> Step:
    """Return the alarm after a reading that makes the conditions of the rule these truths."""
    if state is None or state.phase == COUNTED:
        if truths.when is not True:
            return state, None
        state = _begin(state, truths, evidence, holds)
    if state.phase in RAISED:
        return _take_active(state, truths, evidence, holds)
    return _take_pending(state, truths, evidence, holds)


def take_time(state: AlarmState, now: float, holds: Holds) -> Step:
    """Return the alarm after time has come to `now`."""
    while state.ends_at(holds) <= now:
        match state.phase:
            case "pending" if _ends_by_closing(state, holds):
                _close(state, holds)
            case "pending":
                change = _come_about(state, now, holds)
                if change is not None or state.phase == NOTED:
                    return state, change
            case "closed":
                _open(state, holds)
            case "clearing":
                return None, Change("cleared", state.onset, now, state.level)
            case _:
                state.level, state.lower = state.lower, _NO_LEVEL
                return state, Change("levelled", state.onset, now, state.level)
    return state, None


def _begin(
    state: AlarmState | None, truths: Truths, evidence: Evidence, holds: Holds
) -> AlarmState:
    at, received = evidence.onset, evidence.received
    phase = PENDING if holds.hours is None or holds.hours.is_open(at) else CLOSED
    onsets = state.onsets if state else None
    level = max(0, truths.highest) if truths.levels else 0
    return AlarmState(phase, at, at, at, received, level=level, onsets=onsets)


def _take_pending(state: AlarmState, truths: Truths, evidence: Evidence, holds: Holds) -> Step:
    if truths.when is None:
        state.suspended = True
        return state, None
    if truths.when is False:
        if state.phase == PENDING and _held_until(state, state.observed, holds):
            change = _come_about(state, evidence.now, holds)
            if change is not None:
                return None, Change("passed", state.onset, evidence.now, state.level)
        return _count(state), None
    state.level = max(0, truths.highest) if truths.levels else 0
    if state.phase != PENDING or holds.hours is not None:
        _take_rule(state, evidence, holds)
    if holds.hours is not None and state.phase in {PENDING, CLOSED}:
        _take_hours(state, evidence, holds, holds.hours)
    _agree(state, evidence)
    return take_time(state, evidence.now, holds)


def _take_rule(state: AlarmState, evidence: Evidence, holds: Holds) -> None:
    """Go on where the rule has no hours any more, other hours, or no `repeat` any more."""
    hours = holds.hours
    if state.phase == NOTED and holds.repeat is None:
        state.phase = PENDING
    elif state.phase == CLOSED and (hours is None or hours.is_open(state.closed_at)):
        state.phase = PENDING
        state.onset = state.since = evidence.observed
    elif state.phase == PENDING and hours is not None and not hours.is_open(state.since):
        state.phase = CLOSED


def _take_hours(state: AlarmState, evidence: Evidence, holds: Holds, hours: OpenHours) -> None:
    """Go through the openings and closings since the last reading that agreed, up to this one."""
    while True:
        if state.phase == PENDING:
            closing = hours.changes_at(state.since)
            if closing > evidence.observed or closing - state.since >= holds.for_s:
                return
            state.phase, state.since = CLOSED, closing
        else:
            opening = hours.changes_at(state.since)
            if opening > evidence.observed:
                return
            state.phase = PENDING
            state.onset = state.since = opening


def _held_until(state: AlarmState, observed: float, holds: Holds) -> bool:
    """Return whether the condition, held until `observed`, held long enough in opening hours."""
    until = observed if holds.hours is None else min(observed, holds.hours.changes_at(state.since))
    return until - state.since >= holds.for_s


def _ends_by_closing(state: AlarmState, holds: Holds) -> bool:
    hours = holds.hours
    return hours is not None and hours.changes_at(state.since) - state.since < holds.for_s


def _close(state: AlarmState, holds: Holds) -> None:
    if holds.hours is not None:
        state.phase, state.since = CLOSED, holds.hours.changes_at(state.since)


def _open(state: AlarmState, holds: Holds) -> None:
    if holds.hours is not None:
        opening = holds.hours.changes_at(state.closed_at)
        state.phase, state.onset, state.since = PENDING, opening, opening


def _come_about(state: AlarmState, now: float, holds: Holds) -> Change | None:
    """Raise the alarm of a condition that has held long enough, or take note that it came about."""
    if holds.repeat is not None:
        lately = [one for one in state.onsets or [] if state.onset - one <= holds.repeat.within_s]
        state.onsets = [*lately, state.onset]
        if len(state.onsets) < holds.repeat.times:
            state.phase = NOTED
            return None
        state.onsets = None
    state.phase = ACTIVE
    return Change("raised", state.onset, now, state.level)


def _count(state: AlarmState) -> AlarmState | None:
    """Return what is left of a condition that is over, and was not raised."""
    if not state.onsets:
        return None
    state.phase, state.suspended = COUNTED, False
    return state


def _take_active(state: AlarmState, truths: Truths, evidence: Evidence, holds: Holds) -> Step:
    change = None
    if truths.levels and truths.highest > state.level:
        state.level, state.lower = truths.highest, _NO_LEVEL
        change = Change("levelled", state.onset, evidence.now, state.level)
    if truths.when or truths.clear is False:
        state.phase = ACTIVE
        if truths.levels and not _take_lower(state, truths, evidence):
            state.suspended = True
            return state, change
    elif truths.when is None or truths.clear is None:
        state.suspended = True
        return state, change
    elif state.phase == ACTIVE:
        state.phase, state.since, state.lower = CLEARING, evidence.onset, _NO_LEVEL
        state.observed, state.received = evidence.observed, evidence.received
    _agree(state, evidence)
    return (state, change) if change else take_time(state, evidence.now, holds)


def _take_lower(state: AlarmState, truths: Truths, evidence: Evidence) -> bool:
    """Begin to wait where only a lower level is left; return whether that is known."""
    highest = truths.highest
    if highest in {state.level, _NO_LEVEL}:
        state.lower = _NO_LEVEL
    elif not truths.is_sure:
        return False
    elif state.lower != highest:
        state.lower, state.lower_since = highest, evidence.onset
        state.observed, state.received = evidence.observed, evidence.received
    return True


def _agree(state: AlarmState, evidence: Evidence) -> None:
    """Take note of a reading that agrees; one observed at the same moment again is no news of it."""
    if state.suspended or (evidence.is_reading and evidence.observed != state.observed):
        state.observed, state.received = evidence.observed, evidence.received
        state.suspended = False
