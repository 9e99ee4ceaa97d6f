"""The runtime: takes what cases have to hear and the deadlines that have come, most urgent first.

It sleeps until something is committed that concerns a case, or until the next deadline. Everything it
does is in the transaction that marks the event as heard: killed at any instant, it has either done a
thing or not begun it. One transaction takes on several things of one urgency, each behind a savepoint, and
ends soon enough that nothing more urgent waits for long.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

import msgspec
import structlog
from sqlalchemy.exc import DBAPIError, NoResultFound, OperationalError
from sqlmodel import Session

from notify import OUTBOX, Templates
from prevenant.clock import Clock, steady_seconds
from prevenant.crm.directory import remember_answers
from prevenant.domain import Severity
from prevenant.errors import StoreUnavailable
from prevenant.shelving import release_next
from prevenant.store import Busy, Store, at_the_end
from prevenant.tables import (
    CASE_EVENTS,
    GIVEN_UP,
    CaseEvent,
    add_timeline,
    unwritten_lines,
    written_events,
)
from workflows import case as cases
from workflows import grouping, members
from workflows.claims import (
    Due,
    claim_case,
    claim_deadlines,
    claim_events,
    claim_events_of,
    claim_written,
    first_deadline,
    look_for_due,
)
from workflows.definition import Workflow
from workflows.on_call import Schedule
from workflows.running import Progress, RunningCase, last_number
from workflows.story import Route, Story
from workflows.tables import Case
from workflows.versions import new_versions, run_case, running

log = structlog.get_logger()

_MAX_ATTEMPTS = 8
_TELL_AFTER = 3
"""After so many attempts to hear an event a person is told, while it is tried again."""
_STORE_PAUSE_S = 1.0
_BUSY_PAUSE_S = 0.05
"""When to look again at what another worker has."""
_NEVER = datetime.max.replace(tzinfo=UTC)
_POSTPONED = timedelta(minutes=5)
_TOGETHER = 64
"""How many events, and how many deadlines, one transaction takes on at most."""
_TOGETHER_S = 0.05
"""For how long it begins another event, and another deadline."""
_RAISED = "alarm.raised"
_LOCKED = frozenset({"40P01", "40001", "55P03"})
"""PostgreSQL's codes for a deadlock, a conflict of two transactions, and a lock not to be had."""
_PASSED_ON = (Busy, StoreUnavailable, OperationalError)
"""What is no fault of an event: another worker has what it needs, or the database has gone."""
_WORKFLOWS_KEPT = 1_000

_Item = TypeVar("_Item")


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
        steady: Callable[[], float] = steady_seconds,
    ) -> None:
        self._store = store
        self._clock = clock
        self._kept: dict[str, Workflow] = {}
        """By version, as they stand in the store."""
        self._keeping = threading.Lock()
        self._story = Story(workflows, routes, templates, schedules or {}, self._kept)
        self._steady = steady
        self._together = 4
        """How many events, and how many deadlines, a transaction takes on: what it has time for."""
        self._wakeup = store.listen(CASE_EVENTS)
        self._wakes_at: datetime | None = None
        """Until when `run` sleeps, unless it is rung for; None while it is up."""
        self._stopping = threading.Event()

    def run(self) -> None:
        """Work until `stop`; what others write meanwhile, they may let us hear at once."""
        self._store.attend(CASE_EVENTS, self._hear_at_once)
        try:
            self._run()
        finally:
            self._store.attend(CASE_EVENTS, None)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                now = self._clock.now()
                self._wakes_at = None
                due = self._look(now)
                if not self._work(due, now):
                    self._wait(due)
            except StoreUnavailable as error:
                log.error("cases wait", reason=str(error))
                self._stopping.wait(_STORE_PAUSE_S)

    def _wait(self, due: Due) -> None:
        if due.urgency is None:
            self._wakes_at = due.next_at or _NEVER
            self._wakeup.wait(self._clock, due.next_at)
        else:
            # What is due and was not done is another worker's, who may end without a word.
            self._wakeup.wait(self._clock, None, _BUSY_PAUSE_S)

    def change_book(
        self,
        workflows: Mapping[str, Workflow],
        routes: Mapping[str, Route],
        templates: Templates,
        schedules: Mapping[str, Schedule] | None = None,
    ) -> None:
        """Let another book say what new cases do; those under way keep their workflow and its texts."""
        templates.add_missing(self._story.templates)
        self._story = Story(workflows, routes, templates, schedules or {}, self._kept)

    def stop(self) -> None:
        """End `run` after the transaction under way."""
        self._stopping.set()
        self._wakeup.ring()

    def work_once(self, now: datetime) -> bool:
        """Do the most urgent of what is due, in one transaction; return whether anything was done."""
        return self._work(self._look(now), now)

    def next_due(self) -> datetime | None:
        """Return when the next deadline, retry or end of a shelf comes, or None."""
        return self._look(self._clock.now()).next_at

    def _look(self, now: datetime) -> Due:
        with self._store.read() as session:
            return look_for_due(session, now)

    def _work(self, due: Due, now: datetime) -> bool:
        urgency = due.urgency
        if urgency is None:
            return False
        with self._store.write(urgency) as session:
            self._prepare(session)
            is_released = due.is_shelf_over and release_next(session, now)
            is_done = any(
                self._work_on(session, severity, due, now)
                for severity in reversed(Severity)
                if severity <= urgency
            )
            self._store.go_on(session, OUTBOX, urgency)
        return is_done or is_released

    def _prepare(self, session: Session) -> None:
        remember_answers(session)
        members.remember_members(session)
        at_the_end(session, partial(self._keep_workflows, new_versions(session)))

    def _hear_at_once(self, session: Session, urgency: int) -> bool:
        """Hear events in the transaction that writes them, where there is nothing to hear before.

        An alarm that was raised is heard without a savepoint, which costs as much as three statements:
        whoever writes alarms writes them again where that fails. Returns whether nothing is left but
        deadlines, for which `run` is woken only where it would sleep longer: just then the interpreter
        is needed for what the cases have to say.
        """
        now = self._clock.now()
        events = claim_written(session, urgency, now)
        if not events:
            return False
        self._prepare(session)
        left: set[tuple[int | None, int | None]] = set()
        for event in events:
            if event.kind == _RAISED:
                # Not all at once: what gathers looks for the others that nobody has heard.
                event.heard_at = now
                with _busy_named():
                    self._hear(session, event, now)
                continue
            with suppress(Busy):
                self._hear_event(session, left, event, now)
        self._store.go_on(session, OUTBOX, urgency)
        if any(one.heard_at is None for one in written_events(session) if one in session):
            return False
        at_the_end(session, partial(self._wake_by, first_deadline(session)))
        return True

    def _wake_by(self, deadline: datetime | None) -> None:
        """Wake `run` where it would sleep longer than until a deadline that has just been written.

        Where it is up, it may have looked before that was written.
        """
        wakes_at = self._wakes_at
        if deadline is not None and (wakes_at is None or wakes_at > deadline):
            self._wakeup.ring()

    def _work_on(self, session: Session, severity: int, due: Due, now: datetime) -> bool:
        """Hear events and end waits of one urgency for a while; return whether there were any."""
        events = claim_events(session, severity, now, self._together)
        left: set[tuple[int | None, int | None]] = set()
        heard = self._each(severity, events, partial(self._hear_event, session, left, now=now))
        if not due.has_deadlines:
            return heard > 0
        cases_due = claim_deadlines(session, severity, now, self._together)
        ended = self._each(severity, cases_due, partial(self._expire, session, now=now))
        return heard + ended > 0

    def _each(self, severity: int, items: Sequence[_Item], work: Callable[[_Item], None]) -> int:
        """Do something with each, until others should have their turn; return with how many."""
        began = self._steady()
        done = 0
        for item in items:
            is_long = self._steady() - began >= _TOGETHER_S
            if done and (is_long or self._store.is_wanted(severity)):
                self._together = done
                break
            try:
                work(item)
            except Busy:
                continue
            done += 1
        else:
            if len(items) >= self._together:
                self._together = min(2 * self._together, _TOGETHER)
        return done

    def _hear_event(
        self,
        session: Session,
        left: set[tuple[int | None, int | None]],
        event: CaseEvent,
        now: datetime,
    ) -> None:
        """Let an event be heard; not one behind another about the same that was `left` for later."""
        about = event.case_id, event.alarm_id
        if about in left:
            raise Busy
        try:
            with _savepoint(session):
                self._hear(session, event, now)
                event.heard_at = now
                session.add(event)
        except Busy:
            left.add(about)
            raise
        except _PASSED_ON:
            raise
        except Exception as error:  # noqa: BLE001  logged; it stops nothing else
            self._set_aside(session, event, error, now)

    def _expire(self, session: Session, case: Case, now: datetime) -> None:
        """End the waits of a case whose time is over, unless an answer has come that is not heard yet."""
        for event in claim_events_of(session, case.id or 0, now):
            self._hear_event(session, set(), event, now)
        if case.due_at is None or case.due_at > now:
            return
        try:
            with _savepoint(session):
                cases.expire(self._running(session, case, now))
        except _PASSED_ON:
            raise
        except Exception as error:
            log.error("case deadline failed", case=case.id, error=repr(error), exc_info=error)
            self._give_to_person(session, case, f"a deadline could not be handled: {error!r}", now)

    def _hear(self, session: Session, event: CaseEvent, now: datetime) -> None:
        if event.kind == _RAISED:
            grouping.take_alarm(session, self._story, event, now)
            return
        if grouping.part_life_safety(session, self._story, event, now):
            return
        case = self._find_case(session, event)
        if case is None:
            return
        run = self._running(session, case, now)
        cases.hear(run, event)

    def _running(self, session: Session, case: Case, now: datetime) -> RunningCase:
        return running(session, self._story, case, now)

    def _set_aside(
        self, session: Session, event: CaseEvent, error: Exception, now: datetime
    ) -> None:
        """Try a failed event again later; after a few times a person is told, and sees to the case."""
        log.error("case event failed", case_event=event.id, error=repr(error), exc_info=error)
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
            if case is not None:
                why = f"{event.kind} could not be handled: {error!r}"
                self._give_to_person(session, case, why, now)

    def _give_to_person(self, session: Session, case: Case, why: str, now: datetime) -> None:
        """Have a person see to a case; where even that fails, it is tried again, and said."""
        why = why[:300]
        try:
            with _savepoint(session):
                run, is_whole = self._running_or_rest(session, case, now)
                too_often = run.progress.failures + 1 >= _MAX_ATTEMPTS
                cases.fail(run, why, instead=too_often or not is_whole)
        except _PASSED_ON:
            raise
        except Exception as error:  # noqa: BLE001  whatever it is, the case must not be lost
            log.error("nobody could be given a case", case=case.id, error=repr(error))
            case.due_at = now + _POSTPONED
            case.failures += 1
            session.add(case)
            add_timeline(session, now, "case.failed", f"needs a person: {why}", case_id=case.id)

    def _running_or_rest(
        self, session: Session, case: Case, now: datetime
    ) -> tuple[RunningCase, bool]:
        """Return a case; of one whose steps or progress cannot be read, what a person needs of it."""
        try:
            return self._running(session, case, now), True
        except (msgspec.MsgspecError, NoResultFound):
            case.progress = {"messages": last_number(session, case)}
            nothing = Workflow(case.workflow, [])
            return run_case(session, self._story, nothing, case, now), False

    def _find_case(self, session: Session, event: CaseEvent) -> Case | None:
        """Return an event's case, which nobody else moves meanwhile."""
        if event.case_id is not None:
            return claim_case(session, event.case_id)
        return grouping.find_case(session, event.alarm_id)

    def _keep_workflows(self, new: Mapping[str, Workflow]) -> None:
        """Have at hand what is in the store by now; the oldest give way."""
        with self._keeping:
            self._kept.update(new)
            while len(self._kept) > _WORKFLOWS_KEPT:
                del self._kept[next(iter(self._kept))]


@contextmanager
def _savepoint(session: Session) -> Iterator[None]:
    """Undo what the block wrote where it fails. Raises Busy for a lock that was not to be had."""
    lines = unwritten_lines(session)
    before = len(lines)
    try:
        with _busy_named(), session.begin_nested():
            yield
    except BaseException:
        del lines[before:]
        new_versions(session).clear()
        members.remember_members(session)
        raise


@contextmanager
def _busy_named() -> Iterator[None]:
    """Raise Busy for a lock that was not to be had."""
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) in _LOCKED:
            raise Busy from error
        raise


__all__ = ["Progress", "Route", "Runtime"]
