"""The auditor: looks all the time for what would be lost, raises an alarm of it, and says that it lives.

Each loss has one alarm, told to whoever looks after Prevenant and cleared when the loss is healed. Of the
auditor's own alarms it raises none: where one of them would be lost, the heartbeat stops, and an outside
watch speaks up, as it does when the auditor itself stops.
"""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlmodel import Session, col, select

from prevenant.clock import Clock, Wakeup
from prevenant.domain import Severity
from prevenant.errors import StoreUnavailable
from prevenant.shelving import tell_case
from prevenant.store import Store, claim_name
from prevenant.tables import ACTIVE, CLEARED, Alarm, add_timeline
from workflows.audit import CHECKS, LATE, Check, Lost, check_of, newest
from workflows.own_alarm import AUDIT_RULE, AUDIT_SITE

log = structlog.get_logger()

AUDIT_EVERY = timedelta(seconds=30)
_SLICE = 2_000
"""How many rows of a table without an index of its losses are looked at in a round."""
_AT_ONCE = 100
_ALARMS_OF_A_KIND = 20
_MORE = 0
"""The subject of the alarm that stands for all further losses of a kind."""


@dataclass(frozen=True, slots=True)
class Round:
    """What one round of the audit has found."""

    at: datetime
    lost: int
    """How many alarms of the audit are active."""
    is_silenced: bool
    """Whether one of the auditor's own alarms would be lost."""


class Auditor:
    """Goes round and round; `beat` is called after each round that was completed."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        beat: Callable[[datetime], None] = lambda _now: None,
        late: timedelta = LATE,
    ) -> None:
        self._store, self._clock, self._beat, self._late = store, clock, beat, late
        self._started_at = clock.now()
        self._reached = {check.kind: 0 for check in CHECKS if check.is_sliced}
        self._bell = Wakeup()
        self._stopping = threading.Event()
        self.last: Round | None = None
        """The last round that was completed."""

    def run(self) -> None:
        """Audit until `stop`."""
        next_at = self._clock.now()
        while not self._stopping.is_set():
            now = self._clock.now()
            if now < next_at:
                self._bell.wait(self._clock, next_at)
                continue
            next_at = now + AUDIT_EVERY
            try:
                self.last = self.audit(now)
            except StoreUnavailable as error:
                log.error("the audit waits", reason=str(error))
            except Exception:
                log.exception("the audit has failed")
            else:
                if not self.last.is_silenced:
                    self._beat(now)

    def stop(self) -> None:
        """End `run` after the round under way."""
        self._stopping.set()
        self._bell.ring()

    def audit(self, now: datetime) -> Round:
        """Go round once: raise alarms for what is lost now, and clear those of what is healed."""
        with self._store.read() as session:
            found = self._look(session, now)
            active = _active_alarms(session)
        own = [one for one in found if one.is_own]
        for one in own:
            log.error("an alarm of the audit would be lost", reason=one.reason)
        lost = [one for one in found if not one.is_own]
        known = {alarm.device_id for alarm in active}
        if active or any(_name(one.kind, one.subject) not in known for one in lost):
            with self._store.write() as session:
                if not claim_name(session, "audit"):
                    # Another worker is writing what it has found: the next round sees it.
                    return Round(now, len(active), bool(own))
                _raise_new(session, lost, self._clear_healed(session, now), now)
                active = _active_alarms(session)
        return Round(now, len(active), bool(own))

    def _look(self, session: Session, now: datetime) -> list[Lost]:
        found: list[Lost] = []
        for check in self._checks(now):
            if not check.is_sliced:
                found += check.find(session, now, late=self._late, limit=_AT_ONCE)
                continue
            end = newest(session, check.table)
            after = self._reached[check.kind]
            found += self._slice(session, check, now, after)
            self._reached[check.kind] = after + _SLICE if after + _SLICE < end else 0
            if end - _SLICE > after + _SLICE:
                # What is new is looked at in every round, whatever else the round looks at.
                found += self._slice(session, check, now, end - _SLICE)
        return found

    def _slice(self, session: Session, check: Check, now: datetime, after: int) -> list[Lost]:
        upto = after + _SLICE
        return check.find(session, now, late=self._late, after=after, upto=upto, limit=_AT_ONCE)

    def _checks(self, now: datetime) -> Sequence[Check]:
        """Return what can be judged: what was due while we were down is late, and not lost for that."""
        is_long_up = now - self._started_at >= self._late
        return [check for check in CHECKS if is_long_up or not check.is_about_time]

    def _clear_healed(self, session: Session, now: datetime) -> Counter[str]:
        """End the alarms of what is healed; return how many losses of each kind still have their own."""
        counts, more = Counter[str](), []
        for alarm in _active_alarms(session):
            if alarm.values["subject"] == _MORE:
                more.append(alarm)
            elif self._is_healed(session, alarm, now):
                _clear(session, alarm, now)
            else:
                counts[alarm.values["kind"]] += 1
        for alarm in more:
            if counts[alarm.values["kind"]] < _ALARMS_OF_A_KIND:
                _clear(session, alarm, now)
        session.flush()
        return counts

    def _is_healed(self, session: Session, alarm: Alarm, now: datetime) -> bool:
        check = check_of(alarm.values["kind"])
        if check is None:
            return True
        return not check.find(session, now, late=self._late, ids=[alarm.values["subject"]])


def _raise_new(session: Session, lost: Sequence[Lost], counts: Counter[str], now: datetime) -> None:
    """Raise an alarm for each loss that has none; beyond so many of a kind, one for all."""
    known = {alarm.device_id for alarm in _active_alarms(session)}
    left = Counter[str]()
    for one in lost:
        if _name(one.kind, one.subject) in known:
            continue
        if counts[one.kind] < _ALARMS_OF_A_KIND:
            counts[one.kind] += 1
            _raise(session, one, now)
        else:
            left[one.kind] += 1
    for kind, count in left.items():
        if _name(kind, _MORE) not in known:
            reason = f"{_ALARMS_OF_A_KIND} others and at least {count} more: {kind}"
            _raise(session, Lost(kind, _MORE, reason, Severity.MAJOR), now)


def _active_alarms(session: Session) -> list[Alarm]:
    query = select(Alarm).where(Alarm.rule == AUDIT_RULE, Alarm.state == ACTIVE)
    return list(session.exec(query.order_by(col(Alarm.id))))


def _name(kind: str, subject: int) -> str:
    """Return the name under which a loss is known: it stands where an alarm has its device."""
    return f"{AUDIT_SITE}/{kind}/{subject}"


def _raise(session: Session, lost: Lost, now: datetime) -> None:
    severity = min(Severity.CRITICAL, max(Severity.MAJOR, lost.severity))
    alarm = Alarm(
        rule=AUDIT_RULE,
        device_type=AUDIT_SITE,
        site_id=AUDIT_SITE,
        device_id=_name(lost.kind, lost.subject),
        severity=severity,
        onset_at=now,
        raised_at=now,
        values={"kind": lost.kind, "subject": lost.subject, "reason": lost.reason},
        reason=lost.reason,
    )
    session.add(alarm)
    session.flush()
    log.error("would be lost", kind=lost.kind, reason=lost.reason)
    summary = f"{AUDIT_RULE}: {lost.reason}"
    add_timeline(session, now, "audit.lost", summary, alarm_id=alarm.id, case_id=lost.case_id)
    tell_case(session, alarm, "alarm.raised", now, lost.reason)


def _clear(session: Session, alarm: Alarm, now: datetime) -> None:
    alarm.state, alarm.cleared_at = CLEARED, now
    session.add(alarm)
    summary = f"{AUDIT_RULE}: healed: {alarm.reason}"
    add_timeline(session, now, "audit.healed", summary, alarm_id=alarm.id)
    tell_case(session, alarm, "alarm.cleared", now, "healed")
