"""The life of one rule's alarm on one device: a pure machine over readings and time.

    idle ──when──▶ pending ──held for `for`──▶ active ──clear──▶ clearing ──held `clear_for`──▶ idle

A hold time is time covered by evidence: the span between readings that agree, plus real time since
the last of them was received. One late reading therefore never satisfies `for: 10m` by itself. What
late readings show is not announced before the device had a moment to send what came next.

All times are seconds since 1970, UTC.
"""

from dataclasses import dataclass

import msgspec

from rules.expression import Truth

PENDING, ACTIVE, CLEARING = "pending", "active", "clearing"

LATE_S = 5.0
"""From this delay on, a reading belongs to a burst that may go on."""
SETTLE_S = 5.0
"""How long after a late reading the rest of its burst is waited for."""


@dataclass(frozen=True, slots=True)
class Holds:
    """How long a condition has to hold before the alarm is raised, and before it is cleared."""

    for_s: float
    clear_for_s: float


class AlarmState(msgspec.Struct):
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

    def due_at(self, holds: Holds) -> float | None:
        """Return when the present phase ends if nothing further is received, or None."""
        if self.suspended or self.phase == ACTIVE:
            return None
        hold = holds.for_s if self.phase == PENDING else holds.clear_for_s
        due = self.received + max(0.0, hold - (self.observed - self.since))
        if self.phase == PENDING and self.received - self.observed > LATE_S:
            due = max(due, self.received + SETTLE_S)
        return due


@dataclass(frozen=True, slots=True)
class Change:
    """What a step did to the alarm, if anything: `raised`, `cleared` or `passed`."""

    kind: str
    onset: float
    at: float


Step = tuple[AlarmState | None, Change | None]


@dataclass(frozen=True, slots=True)
class Evidence:
    """A reading's times, and the moment at which it is weighed: its arrival, or a timer's end."""

    observed: float
    received: float
    now: float


def take_evidence(
    state: AlarmState | None, truths: tuple[Truth, Truth], evidence: Evidence, holds: Holds
) -> Step:
    """Return the alarm after a reading that makes `when` and `clear` of the rule these truths."""
    when, clear = truths
    if state is None:
        if when is not True:
            return None, None
        state = AlarmState(
            PENDING, evidence.observed, evidence.observed, evidence.observed, evidence.received
        )
        return take_time(state, evidence.now, holds)
    if state.phase == PENDING:
        return _take_pending(state, when, evidence, holds)
    return _take_active(state, when, clear, evidence, holds)


def take_time(state: AlarmState, now: float, holds: Holds) -> Step:
    """Return the alarm after time has come to `now`."""
    due = state.due_at(holds)
    if due is None or due > now:
        return state, None
    if state.phase == PENDING:
        state.phase = ACTIVE
        return state, Change("raised", state.onset, now)
    return None, Change("cleared", state.onset, now)


def _take_pending(state: AlarmState, when: Truth, evidence: Evidence, holds: Holds) -> Step:
    if when is None:
        state.suspended = True
        return state, None
    if when is False:
        if state.observed - state.since >= holds.for_s:
            return None, Change("passed", state.onset, evidence.now)
        return None, None
    _agree(state, evidence)
    return take_time(state, evidence.now, holds)


def _take_active(
    state: AlarmState, when: Truth, clear: Truth, evidence: Evidence, holds: Holds
) -> Step:
    if clear is None or when is None:
        state.suspended = True
        return state, None
    if not clear or when:
        state.phase = ACTIVE
        _agree(state, evidence)
        return state, None
    if state.phase == ACTIVE:
        state.phase, state.since = CLEARING, evidence.observed
    _agree(state, evidence)
    return take_time(state, evidence.now, holds)


def _agree(state: AlarmState, evidence: Evidence) -> None:
    """Take note of a reading that agrees; one observed at the same moment again is no news of it."""
    if evidence.observed != state.observed or state.suspended:
        state.observed, state.received = evidence.observed, evidence.received
        state.suspended = False
