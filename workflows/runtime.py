"""The runtime: takes what cases have to hear and the deadlines that have come, one transaction each.

It sleeps until something is committed that concerns a case, or until the next deadline. Everything it
does is in the transaction that marks the event as heard: killed at any instant, it has either done a
thing or not begun it.
"""

import threading
from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec
import structlog
from sqlalchemy.exc import NoResultFound
from sqlmodel import Session, col, or_, select

from notify import Templates
from prevenant.clock import Clock
from prevenant.errors import StoreUnavailable
from prevenant.shelving import next_release, release_next
from prevenant.store import Store
from prevenant.tables import CASE_EVENTS, GIVEN_UP, CaseEvent, add_timeline
from workflows import case as cases
from workflows import grouping
from workflows.definition import Workflow
from workflows.on_call import Schedule
from workflows.running import Progress, RunningCase
from workflows.story import Route, Story
from workflows.tables import Case
from workflows.versions import run_case, running

log = structlog.get_logger()

_MAX_ATTEMPTS = 8
_TELL_AFTER = 3
"""After so many attempts to hear an event a person is told, while it is tried again."""
_STORE_PAUSE_S = 1.0
_POSTPONED = timedelta(minutes=5)


class Runtime:
    """Moves cases forward."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        workflows: Mapping[str, Workflow],
        routes: Mapping[str, Route],
        templates: Templates,
        schedules: Mapping[str, Schedule] | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._story = Story(workflows, routes, templates, schedules or {})
        self._wakeup = store.listen(CASE_EVENTS)
        self._stopping = threading.Event()

    def run(self) -> None:
        """Work until `stop`."""
        while not self._stopping.is_set():
            try:
                if not self.work_once(self._clock.now()):
                    self._wakeup.wait(self._clock, self.next_due())
            except StoreUnavailable as error:
                log.error("cases wait", reason=str(error))
                self._stopping.wait(_STORE_PAUSE_S)

    def change_book(
        self,
        workflows: Mapping[str, Workflow],
        routes: Mapping[str, Route],
        templates: Templates,
        schedules: Mapping[str, Schedule] | None = None,
    ) -> None:
        """Let another book say what new cases do; those under way keep their workflow and its texts."""
        templates.add_missing(self._story.templates)
        self._story = Story(workflows, routes, templates, schedules or {})

    def stop(self) -> None:
        """End `run` after the transaction under way."""
        self._stopping.set()
        self._wakeup.ring()

    def work_once(self, now: datetime) -> bool:
        """Hear one event or end one wait; return whether there was anything to do."""
        return self._release_next(now) or self._hear_next(now) or self._expire_next(now)

    def next_due(self) -> datetime | None:
        """Return when the next deadline or retry comes, or None."""
        with self._store.read() as session:
            due = session.exec(
                select(Case.due_at).where(col(Case.due_at).is_not(None)).order_by(col(Case.due_at))
            ).first()
            retry = session.exec(
                select(CaseEvent.retry_at)
                .where(col(CaseEvent.heard_at).is_(None), col(CaseEvent.retry_at).is_not(None))
                .order_by(col(CaseEvent.retry_at))
            ).first()
            released = next_release(session)
        return min((at for at in (due, retry, released) if at is not None), default=None)

    def _release_next(self, now: datetime) -> bool:
        """Let the case of an alarm begin whose shelf has ended."""
        with self._store.read() as session:
            due = next_release(session)
        if due is None or due > now:
            return False
        with self._store.write() as session:
            return release_next(session, now)

    def _hear_next(self, now: datetime) -> bool:
        query = (
            select(CaseEvent)
            .where(col(CaseEvent.heard_at).is_(None))
            .where(or_(col(CaseEvent.retry_at).is_(None), col(CaseEvent.retry_at) <= now))
            .order_by(col(CaseEvent.urgency).desc(), col(CaseEvent.id))
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        with self._store.read() as session:
            if session.exec(query).first() is None:
                return False
        event_id = None
        try:
            with self._store.write() as session:
                event = session.exec(query).first()
                if event is None:
                    return False
                event_id = event.id
                self._hear(session, event, now)
                event.heard_at = now
                session.add(event)
        except StoreUnavailable:
            raise
        except Exception as error:
            if event_id is None:
                raise
            self._set_aside(event_id, error, now)
        return True

    def _hear(self, session: Session, event: CaseEvent, now: datetime) -> None:
        if event.kind == "alarm.raised":
            grouping.take_alarm(session, self._story, event, now)
            return
        if grouping.part_life_safety(session, self._story, event, now):
            return
        case = self._find_case(session, event)
        if case is None:
            return
        run = self._running(session, case, now)
        cases.hear(run, event)

    def _expire_next(self, now: datetime) -> bool:
        query = (
            select(Case)
            .where(col(Case.due_at) <= now)
            .order_by(col(Case.severity).desc(), col(Case.due_at))
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        with self._store.read() as session:
            if session.exec(query).first() is None:
                return False
        case_id = None
        try:
            with self._store.write() as session:
                case = session.exec(query).first()
                if case is None:
                    return False
                case_id = case.id
                case.failures = 0
                cases.expire(self._running(session, case, now))
        except StoreUnavailable:
            raise
        except Exception as error:
            if case_id is None:
                raise
            self._postpone(case_id, error, now)
        return True

    def _running(self, session: Session, case: Case, now: datetime) -> RunningCase:
        return running(session, self._story, case, now)

    def _find_case(self, session: Session, event: CaseEvent) -> Case | None:
        """Return an event's case, which nobody else moves meanwhile."""
        if event.case_id is not None:
            return session.get(Case, event.case_id, with_for_update=True)
        return grouping.find_case(session, event.alarm_id)

    def _postpone(self, case_id: int, error: Exception, now: datetime) -> None:
        """Try a case's deadline again in a while; a person is told at once, and in the end takes it."""
        log.error("case deadline failed", case=case_id, error=repr(error), exc_info=error)
        self._give_to_person(case_id, f"a deadline could not be handled: {error!r}", now)

    def _give_to_person(self, case_id: int, why: str, now: datetime) -> None:
        """Have a person see to a case; where even that fails, it is tried again, and said."""
        why = why[:300]
        try:
            with self._store.write() as session:
                case = session.get_one(Case, case_id)
                run, is_whole = self._running_or_rest(session, case, now)
                too_often = run.progress.failures + 1 >= _MAX_ATTEMPTS
                cases.fail(run, why, instead=too_often or not is_whole)
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001  whatever it is, the case must not be lost
            log.error("nobody could be given a case", case=case_id, error=repr(error))
            with self._store.write() as session:
                case = session.get_one(Case, case_id)
                case.due_at = now + _POSTPONED
                case.failures += 1
                session.add(case)
                add_timeline(session, now, "case.failed", f"needs a person: {why}", case_id=case_id)

    def _running_or_rest(
        self, session: Session, case: Case, now: datetime
    ) -> tuple[RunningCase, bool]:
        """Return a case; of one whose steps or progress cannot be read, what a person needs of it."""
        try:
            return self._running(session, case, now), True
        except (msgspec.MsgspecError, NoResultFound):
            case.progress = {}
            nothing = Workflow(case.workflow, [])
            return run_case(session, self._story, nothing, case, now), False

    def _set_aside(self, event_id: int, error: Exception, now: datetime) -> None:
        """Try a failed event again later; after a few times a person is told, and sees to the case."""
        log.error("case event failed", case_event=event_id, error=repr(error), exc_info=error)
        case_id = None
        with self._store.write() as session:
            event = session.get_one(CaseEvent, event_id)
            event.attempts += 1
            event.error = repr(error)[:500]
            if event.attempts < _MAX_ATTEMPTS:
                event.retry_at = now + timedelta(seconds=2**event.attempts)
            else:
                event.heard_at, event.outcome = now, GIVEN_UP
                summary = f"{event.kind} could not be handled and needs a person: {event.error}"
                add_timeline(session, now, "case.failed", summary, case_id=event.case_id)
            session.add(event)
            if event.attempts in {_TELL_AFTER, _MAX_ATTEMPTS}:
                case = self._find_case(session, event)
                case_id = case.id if case else None
        if case_id is not None:
            self._give_to_person(case_id, f"{event.kind} could not be handled: {error!r}", now)


__all__ = ["Progress", "Route", "Runtime"]
