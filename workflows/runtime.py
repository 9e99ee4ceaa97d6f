"""The runtime: takes what cases have to hear and the deadlines that have come, most urgent first.

It sleeps until something is committed that concerns a case, or until the next deadline. Everything it
does is in the transaction that marks the event as heard: killed at any instant, it has either done a
thing or not begun it. One transaction takes on several things of one urgency, each behind a savepoint, and
ends soon enough that nothing more urgent waits for long.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

import msgspec
import structlog
from sqlalchemy import bindparam
from sqlalchemy.exc import DBAPIError, NoResultFound, OperationalError
from sqlmodel import Session, col, select

from notify import Templates
from prevenant.clock import Clock, steady_seconds
from prevenant.crm.directory import remember_answers
from prevenant.domain import Severity
from prevenant.errors import StoreUnavailable
from prevenant.shelving import next_release, release_next
from prevenant.store import Store, insert_once
from prevenant.tables import CASE_EVENTS, Alarm, CaseEvent, add_timeline
from workflows import case as cases
from workflows.claims import (
    Busy,
    Due,
    claim_case,
    claim_deadlines,
    claim_events,
    look_for_due,
)
from workflows.definition import Workflow, decode_steps, encode_steps
from workflows.on_call import Schedule
from workflows.running import Progress, RunningCase
from workflows.tables import OPEN, Case, WorkflowVersion

log = structlog.get_logger()

_MAX_ATTEMPTS = 8
_TELL_AFTER = 3
"""After so many attempts to hear an event a person is told, while it is tried again."""
_MAX_OPENINGS = 2
"""How often the workflow of a new case is begun, before a person gets the case instead."""
_STORE_PAUSE_S = 1.0
_BUSY_PAUSE_S = 0.05
"""When to look again at what another worker has."""
_POSTPONED = timedelta(minutes=5)
_TOGETHER = 64
"""How many events, and how many deadlines, one transaction takes on at most."""
_TOGETHER_S = 0.05
"""For how long it begins another event, and another deadline."""
_LOCKED = frozenset({"40P01", "40001", "55P03"})
"""PostgreSQL's codes for a deadlock, a conflict of two transactions, and a lock not to be had."""
_PASSED_ON = (Busy, StoreUnavailable, OperationalError)
"""What is no fault of an event: another worker has what it needs, or the database has gone."""
_WORKFLOWS_KEPT = 1_000

_Item = TypeVar("_Item")


_OPEN_CASE = select(Case.id).where(
    Case.rule == bindparam("rule"), Case.device_id == bindparam("device_id"), Case.state == OPEN
)


@dataclass(frozen=True, slots=True)
class Route:
    """What follows from a rule's alarm: a workflow (or none), and what to say is the matter."""

    workflow: str | None
    message: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Story:
    """What a rule book says of cases: new ones go by it."""

    workflows: Mapping[str, Workflow]
    routes: Mapping[str, Route]
    templates: Templates
    schedules: Mapping[str, Schedule]


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
        self._story = _Story(workflows, routes, templates, schedules or {})
        self._steady = steady
        self._together = 4
        """How many events, and how many deadlines, a transaction takes on: what it has time for."""
        self._workflows: dict[str, Workflow] = {}
        """By version, as they stand in the store."""
        self._new_workflows: dict[str, Workflow] = {}
        """Those that the transaction under way has written."""
        self._wakeup = store.listen(CASE_EVENTS)
        self._stopping = threading.Event()

    def run(self) -> None:
        """Work until `stop`."""
        while not self._stopping.is_set():
            try:
                now = self._clock.now()
                due = self._look(now)
                if not self._work(due, now):
                    self._wait(due)
            except StoreUnavailable as error:
                log.error("cases wait", reason=str(error))
                self._stopping.wait(_STORE_PAUSE_S)

    def _wait(self, due: Due) -> None:
        if due.urgency is None:
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
        self._story = _Story(workflows, routes, templates, schedules or {})

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
            due, released = look_for_due(session, now), next_release(session)
        if released is None:
            return due
        next_at = released if due.next_at is None else min(due.next_at, released)
        is_over = released <= now
        # How urgent it is will be known once it is told.
        urgency = Severity.LIFE_SAFETY if is_over else due.urgency
        return Due(urgency, next_at, due.has_deadlines, is_over)

    def _work(self, due: Due, now: datetime) -> bool:
        urgency = due.urgency
        if urgency is None:
            return False
        self._new_workflows = {}
        with self._store.write(urgency) as session:
            remember_answers(session)
            is_released = due.is_shelf_over and release_next(session, now)
            is_done = any(
                self._work_on(session, severity, due, now)
                for severity in reversed(Severity)
                if severity <= urgency
            )
        self._keep_workflows(self._new_workflows)
        return is_done or is_released

    def _work_on(self, session: Session, severity: int, due: Due, now: datetime) -> bool:
        """Hear events and end waits of one urgency for a while; return whether there were any."""
        events = claim_events(session, severity, now, self._together)
        heard = self._each(severity, events, partial(self._hear_event, session, now=now))
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

    def _hear_event(self, session: Session, event: CaseEvent, now: datetime) -> None:
        try:
            with _savepoint(session):
                self._hear(session, event, now)
                event.heard_at = now
                session.add(event)
        except _PASSED_ON:
            raise
        except Exception as error:  # noqa: BLE001  logged; it stops nothing else
            self._new_workflows.clear()
            self._set_aside(session, event, error, now)

    def _expire(self, session: Session, case: Case, now: datetime) -> None:
        try:
            with _savepoint(session):
                cases.expire(self._running(session, case, now))
        except _PASSED_ON:
            raise
        except Exception as error:
            log.error("case deadline failed", case=case.id, error=repr(error), exc_info=error)
            self._give_to_person(session, case, f"a deadline could not be handled: {error!r}", now)

    def _hear(self, session: Session, event: CaseEvent, now: datetime) -> None:
        if event.kind == "alarm.raised":
            self._take_alarm(session, event, now)
            return
        case = self._find_case(session, event)
        if case is None:
            return
        run = self._running(session, case, now)
        cases.hear(run, event)

    def _take_alarm(self, session: Session, event: CaseEvent, now: datetime) -> None:
        """Open a case for an alarm, or give it to the open case of the same rule and device."""
        alarm = session.get_one(Alarm, event.alarm_id)
        story = self._story
        route = story.routes.get(alarm.rule)
        about = {"rule": alarm.rule, "device_id": alarm.device_id}
        found = session.exec(_OPEN_CASE, params=about).first()
        if found is not None:
            known = claim_case(session, found)
            known.alarm_id = alarm.id or 0
            cases.hear(self._running(session, known, now), event)
            return
        if route is None or route.workflow is None or route.workflow not in story.workflows:
            return
        workflow = story.workflows[route.workflow]
        self._keep_version(session, workflow)
        case = Case(
            alarm_id=alarm.id or 0,
            rule=alarm.rule,
            device_type=alarm.device_type,
            site_id=alarm.site_id,
            device_id=alarm.device_id,
            severity=alarm.severity,
            workflow=workflow.name,
            workflow_version=workflow.version,
            progress={"message": dict(route.message)},
            opened_at=now,
        )
        session.add(case)
        session.flush()
        run = self._run(session, workflow, case, now)
        where = f"{run.place.label}, {run.place.site_name}"
        run.note(
            "case.opened",
            f"case {case.id}: {alarm.rule} on {where}; runs {workflow.name}",
            {"rule": alarm.rule, "workflow": workflow.name},
        )
        if event.attempts < _MAX_OPENINGS:
            cases.start(run)
        else:
            # An alarm must not be left without a case because its workflow cannot begin.
            cases.fail(run, f"the workflow cannot begin: {event.error}", instead=True)

    def _running(self, session: Session, case: Case, now: datetime) -> RunningCase:
        version = case.workflow_version
        workflow = self._workflows.get(version) or self._new_workflows.get(version)
        if workflow is None:
            row = session.get_one(WorkflowVersion, version)
            workflow = decode_steps(case.workflow, row.steps)
            self._new_workflows[version] = workflow
        return self._run(session, workflow, case, now)

    def _run(self, session: Session, workflow: Workflow, case: Case, now: datetime) -> RunningCase:
        story = self._story
        return RunningCase(session, story.templates, workflow, case, now, story.schedules)

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
            event.heard_at = now
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
            session.add(case)
            add_timeline(session, now, "case.failed", f"needs a person: {why}", case_id=case.id)

    def _running_or_rest(
        self, session: Session, case: Case, now: datetime
    ) -> tuple[RunningCase, bool]:
        """Return a case; of one whose steps or progress cannot be read, what a person needs of it."""
        try:
            return self._running(session, case, now), True
        except (msgspec.MsgspecError, NoResultFound):
            case.progress = {}
            nothing = Workflow(case.workflow, [])
            return self._run(session, nothing, case, now), False

    def _find_case(self, session: Session, event: CaseEvent) -> Case | None:
        """Return an event's case, which nobody else moves meanwhile."""
        case_id = event.case_id
        if case_id is None:
            query = select(Case.id).where(Case.alarm_id == event.alarm_id)
            case_id = session.exec(query.order_by(col(Case.id).desc())).first()
        return None if case_id is None else claim_case(session, case_id)

    def _keep_version(self, session: Session, workflow: Workflow) -> None:
        version = workflow.version
        if version not in self._workflows and version not in self._new_workflows:
            steps = encode_steps(workflow)
            insert_once(session, WorkflowVersion(version=version, name=workflow.name, steps=steps))
            self._new_workflows[version] = workflow

    def _keep_workflows(self, new: Mapping[str, Workflow]) -> None:
        """Have at hand what is in the store by now; the oldest give way."""
        self._workflows.update(new)
        while len(self._workflows) > _WORKFLOWS_KEPT:
            del self._workflows[next(iter(self._workflows))]


@contextmanager
def _savepoint(session: Session) -> Iterator[None]:
    """Undo what the block wrote where it fails. Raises Busy for a lock that was not to be had."""
    try:
        with session.begin_nested():
            yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) in _LOCKED:
            raise Busy from error
        raise


__all__ = ["Progress", "Route", "Runtime"]
