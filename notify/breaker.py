"""A circuit breaker: whether a provider is asked at all, after what it did lately.

    closed ──5 failures within 60 s──▶ open ──its rest is over──▶ half-open: one trial
       ▲                                ▲                              │
       └───────────── the trial is taken ┼──── the trial fails ────────┘

Every rest after a failed trial is twice as long as the one before, five minutes at most.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

FAILURES = 5
WITHIN = timedelta(seconds=60)
FIRST_REST = timedelta(seconds=30)
LONGEST_REST = timedelta(minutes=5)
TRIAL_ENDS_AFTER = timedelta(seconds=60)
"""After so long a trial of which nothing was heard counts as none."""

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half-open"


@dataclass(frozen=True, slots=True)
class Breaker:
    """What is known of a provider; each event gives a new one."""

    failed_at: tuple[datetime, ...] = ()
    """When it failed within the last minute."""
    rests_until: datetime | None = None
    rest: timedelta = FIRST_REST
    trial_at: datetime | None = None
    asked_not_before: datetime | None = None
    """What it advised itself (`Retry-After`)."""
    reason: str = ""
    """Why it rests."""

    def state(self, now: datetime) -> str:
        """Return `closed`, `open` or `half-open`."""
        if self.rests_until is None:
            return CLOSED
        return OPEN if now < self.rests_until else HALF_OPEN

    def admits(self, now: datetime) -> bool:
        """Return whether the provider can be asked."""
        if self.asked_not_before is not None and now < self.asked_not_before:
            return False
        state = self.state(now)
        if state == HALF_OPEN:
            return self.trial_at is None or now - self.trial_at >= TRIAL_ENDS_AFTER
        return state == CLOSED

    def waits_until(self, now: datetime) -> datetime:
        """Return when the provider can be asked again, as far as that is known."""
        trial_ends = self.trial_at + TRIAL_ENDS_AFTER if self.trial_at is not None else now
        return max(now, self.rests_until or now, self.asked_not_before or now, trial_ends)

    def begin(self, now: datetime) -> "Breaker":
        """Note that it is asked: in the half-open state that is the trial."""
        return replace(self, trial_at=now) if self.state(now) == HALF_OPEN else self

    def succeed(self) -> "Breaker":
        """Note that it answered as it should."""
        return Breaker()

    def fail(self, now: datetime, reason: str, advice_s: float | None = None) -> "Breaker":
        """Note that it did not; `advice_s` is for how long it asked not to be asked."""
        advised_s = min(advice_s or 0.0, LONGEST_REST.total_seconds())
        until = now + timedelta(seconds=advised_s) if advised_s else None
        state = self.state(now)
        if state == OPEN:
            # What was under way as it opened says nothing new.
            return replace(self, asked_not_before=until or self.asked_not_before)
        if state == HALF_OPEN:
            rest = min(self.rest * 2, LONGEST_REST)
            return Breaker((), now + rest, rest, None, until, reason)
        failed_at = (*(at for at in self.failed_at if now - at < WITHIN), now)
        if len(failed_at) < FAILURES:
            return replace(self, failed_at=failed_at, asked_not_before=until, reason=reason)
        return Breaker((), now + FIRST_REST, FIRST_REST, None, until, reason)
