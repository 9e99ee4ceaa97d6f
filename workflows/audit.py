"""The self-audit: every alarm has a named end or a live timer; what has neither is found, with its reason.

Each check selects what must not be. Most are answered by an index that holds nothing else, so that they
cost nothing however many cases wait; the others are looked at in slices of their table.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, literal_column
from sqlmodel import Session, SQLModel, col, exists, or_, select

from notify import Delivery, Message, is_stuck, is_unfollowed
from prevenant.tables import NO_WORKFLOW, Alarm, CaseEvent, ModelState
from workflows.own_alarm import AUDIT_RULE
from workflows.tables import Case, CaseAlarm, Offer, WorkflowVersion

LATE = timedelta(minutes=2)
"""After so long something that is due has been missed."""
STUCK = timedelta(minutes=10)
"""After so long a message that is to be sent has been missed: providers have bad hours."""
_FAILING = 3

# As literals, for SQLite to see that the index of just these rows will do.
_OPEN: ColumnElement[str] = literal_column("'open'")
_HANDED_OVER: ColumnElement[str] = literal_column("'handed_over'")
_ACTIVE: ColumnElement[str] = literal_column("'active'")
_GIVEN_UP: ColumnElement[str] = literal_column("'given up'")
_NOTHING: ColumnElement[str] = literal_column("''")


@dataclass(frozen=True, slots=True)
class Lost:
    """Something that would be lost, and why."""

    kind: str
    subject: int
    """The number of its row, in the table that the kind is about."""
    reason: str
    severity: int
    case_id: int | None = None
    alarm_id: int | None = None
    is_own: bool = False
    """Whether it is about an alarm of the self-audit itself."""


Conditions = list[ColumnElement[bool]]


@dataclass(frozen=True, slots=True)
class Check:
    """One kind of loss: which rows of a table are lost, and what to say of one."""

    kind: str
    table: type[SQLModel]
    conditions: Callable[[datetime, timedelta], Conditions]
    describe: Callable[[Any], str]
    is_sliced: bool = False
    """Whether no index holds just these rows."""
    is_about_time: bool = False
    """Whether it is about something that should have happened by now."""

    def find(
        self,
        session: Session,
        now: datetime,
        *,
        late: timedelta = LATE,
        ids: Sequence[int] | None = None,
        after: int | None = None,
        upto: int | None = None,
        limit: int = 1_000,
    ) -> list[Lost]:
        """Return what is lost: in the whole table, among some rows, or in a slice of it."""
        number = _id(self.table)
        query = select(self.table).where(*self.conditions(now, late))
        if ids is not None:
            query = query.where(number.in_(ids))
        if after is not None:
            query = query.where(number > after)
        if upto is not None:
            query = query.where(number <= upto)
        if self.is_sliced:
            query = query.order_by(number)
        # Any other order than that of its index would have SQLite read the whole table.
        rows = session.exec(query.limit(limit)).all()
        return sorted((self._lost(session, row) for row in rows), key=lambda lost: lost.subject)

    def _lost(self, session: Session, row: Any) -> Lost:
        case_id, alarm_id = _concerns(session, row)
        case = session.get(Case, case_id) if case_id is not None else None
        alarm = session.get(Alarm, alarm_id) if alarm_id is not None else None
        rules = {one.rule for one in (case, alarm) if one is not None}
        severities = [one.severity for one in (case, alarm) if one is not None]
        words = self.describe(row)
        if case is not None and not isinstance(row, Case):
            words += f" (case {case.id}, {case.rule} on {case.device_id})"
        elif alarm is not None and not isinstance(row, Case | Alarm):
            words += f" (alarm {alarm.id}, {alarm.rule} on {alarm.device_id})"
        severity = max(severities, default=0)
        return Lost(self.kind, row.id, words, severity, case_id, alarm_id, AUDIT_RULE in rules)


def find_lost(session: Session, now: datetime, late: timedelta = LATE) -> list[Lost]:
    """Return everything that is lost in the whole store, at most a thousand of a kind."""
    return [lost for check in CHECKS for lost in check.find(session, now, late=late)]


def check_of(kind: str) -> Check | None:
    """Return the check that finds a kind of loss, or None."""
    return next((check for check in CHECKS if check.kind == kind), None)


def _unfinished_alarms(now: datetime, late: timedelta) -> Conditions:
    """Select active alarms that people should know of, and that no case has or will have."""
    has_case = exists().where(
        col(CaseAlarm.alarm_id) == Alarm.id, col(CaseAlarm.ended_at).is_(None)
    )
    will_have = exists().where(
        col(CaseEvent.alarm_id) == Alarm.id,
        col(CaseEvent.kind) == "alarm.raised",
        or_(col(CaseEvent.heard_at).is_(None), col(CaseEvent.outcome) == NO_WORKFLOW),
    )
    told = [col(Alarm.state) == _ACTIVE, col(Alarm.held_by) == _NOTHING]
    return [*told, col(Alarm.raised_at) < now - late, ~has_case, ~will_have]


def _given_up_events(_now: datetime, _late: timedelta) -> Conditions:
    """Select events that could not be heard and still matter."""
    in_open_case = exists().where(col(Case.id) == CaseEvent.case_id, col(Case.state) == _OPEN)
    of_active_alarm = exists().where(
        col(Alarm.id) == CaseEvent.alarm_id, col(Alarm.state) == _ACTIVE
    )
    return [col(CaseEvent.outcome) == _GIVEN_UP, or_(in_open_case, of_active_alarm)]


def _cases_without_workflow(_now: datetime, _late: timedelta) -> Conditions:
    has_version = exists().where(col(WorkflowVersion.version) == Case.workflow_version)
    return [col(Case.state) == _OPEN, ~has_version]


def _cases_without_alarm(_now: datetime, _late: timedelta) -> Conditions:
    has_alarm = exists().where(col(CaseAlarm.case_id) == Case.id)
    return [col(Case.state) == _OPEN, col(Case.storm_of) == "", ~has_alarm]


def _describe_model(one: ModelState) -> str:
    if one.state in {"none", "speaking"}:
        return f"model {one.name}: {one.refused}"
    refused = f"; {one.refused}" if one.refused else ""
    if one.state == "slow":
        return f"model {one.name} takes more of the machine than it should: {one.reason}{refused}"
    return (
        f"model {one.name} is {one.state} and not believed of any {one.device_type}: {one.reason}; "
        f"the rules go on without it{refused}"
    )


def _case(words: str) -> Callable[[Case], str]:
    return lambda case: f"case {case.id} ({case.rule} on {case.device_id}) {words}"


CHECKS = (
    Check(
        "alarm-without-case",
        Alarm,
        _unfinished_alarms,
        lambda one: f"alarm {one.id} ({one.rule} on {one.device_id}) is active and has no case",
        is_sliced=True,
        is_about_time=True,
    ),
    Check(
        "case-without-deadline",
        Case,
        lambda _now, _late: [col(Case.state) == _OPEN, col(Case.due_at).is_(None)],
        _case("is open and waits for nothing that ends"),
    ),
    Check(
        "deadline-missed",
        Case,
        lambda now, late: [col(Case.due_at) < now - late],
        _case("has a deadline that has passed and was not acted on"),
        is_about_time=True,
    ),
    Check(
        "deadline-failing",
        Case,
        lambda _now, _late: [
            col(Case.failures) > literal_column("0"),
            col(Case.failures) >= _FAILING,
        ],
        _case("has a deadline that cannot be handled, again and again"),
    ),
    Check(
        "event-unheard",
        CaseEvent,
        lambda now, late: [col(CaseEvent.heard_at).is_(None), col(CaseEvent.at) < now - late],
        lambda one: f"{one.kind} of {one.at:%H:%M:%S} is not heard: {one.error or 'nobody tried'}",
        is_about_time=True,
    ),
    Check(
        "event-given-up",
        CaseEvent,
        _given_up_events,
        lambda one: f"{one.kind} could not be heard: {one.error}",
    ),
    Check(
        "case-without-workflow",
        Case,
        _cases_without_workflow,
        _case("runs a version of its workflow that is not there"),
        is_sliced=True,
    ),
    Check(
        "case-without-alarm",
        Case,
        _cases_without_alarm,
        _case("is open and hears of no alarm"),
        is_sliced=True,
    ),
    Check(
        "case-without-owner",
        Case,
        lambda _now, _late: [col(Case.state) == _HANDED_OVER, col(Case.owner) == _NOTHING],
        _case("was handed over to nobody"),
    ),
    Check(
        "offer-left-open",
        Offer,
        lambda now, late: [col(Offer.state) == _OPEN, col(Offer.expires_at) < now - late],
        lambda one: f"the offer to {one.technician_name} has passed and stands open",
        is_about_time=True,
    ),
    Check(
        "shelf-over",
        Alarm,
        lambda now, late: [
            col(Alarm.state) == _ACTIVE,
            col(Alarm.held_until).is_not(None),
            col(Alarm.held_until) < now - late,
            col(Alarm.held_by) != "",
        ],
        lambda one: f"alarm {one.id} ({one.rule} on {one.device_id}) is shelved beyond its time",
        is_about_time=True,
    ),
    Check(
        "model-out",
        ModelState,
        lambda _now, _late: [
            or_(col(ModelState.state).not_in(("none", "speaking")), col(ModelState.refused) != "")
        ],
        _describe_model,
        is_sliced=True,
    ),
    Check(
        "message-stuck",
        Delivery,
        lambda now, late: [is_stuck(now - late * (STUCK / LATE))],
        lambda one: f"a message by {one.channel} is {one.state}: {one.reason or 'no word since'}",
        is_about_time=True,
    ),
    Check(
        "message-unfollowed",
        Message,
        lambda now, late: [is_unfollowed(now - late * (STUCK / LATE))],
        lambda one: f"message {one.id} has waited too long for a receipt or a reply",
        is_about_time=True,
    ),
)


def _id(table: type[SQLModel]) -> Any:
    return col(table.id)  # type: ignore[attr-defined]


def _concerns(session: Session, row: Any) -> tuple[int | None, int | None]:
    """Return the case and the alarm that a row is about."""
    match row:
        case Case():
            return row.id, row.alarm_id
        case Alarm():
            return None, row.id
        case ModelState():
            return None, None
        case CaseEvent():
            return row.case_id, row.alarm_id
        case Delivery():
            message = session.get(Message, row.message_id)
            return (message.case_id if message else None), None
    return row.case_id, None


def newest(session: Session, table: type[SQLModel]) -> int:
    """Return the number of the newest row of a table; 0 where there is none."""
    number = _id(table)
    return session.exec(select(number).order_by(number.desc()).limit(1)).first() or 0


__all__ = ["CHECKS", "LATE", "Check", "Lost", "check_of", "find_lost", "newest"]
