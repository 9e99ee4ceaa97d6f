"""What one transaction takes on: events to hear and deadlines that have come, each by one worker alone.

An event is claimed by locking its row, the order of events by claiming what they are about: all events
of one alarm, and all of one case, are heard in the order in which they came, whichever worker hears them.
Nobody waits for a lock: what another worker has is left to it, and looked at again in a moment.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, bindparam, func
from sqlalchemy.orm.util import identity_key
from sqlmodel import Session, col, or_, select

from prevenant.bells import lock_number
from prevenant.domain import Severity
from prevenant.shelving import NEXT_RELEASE
from prevenant.store import Busy, UtcDateTime, keep_at_hand
from prevenant.tables import Alarm, CaseEvent, written_events
from workflows.tables import Case

_SQLITE = "sqlite"


@dataclass(frozen=True, slots=True)
class Due:
    """What there is to do."""

    urgency: int | None
    """That of the most urgent thing that can be done now; None where there is nothing."""
    next_at: datetime | None
    """When the next deadline or retry comes, or has come; None where there is none."""
    has_deadlines: bool = False
    """Whether a deadline has come."""
    is_shelf_over: bool = False
    """Whether an alarm has come out from under its shelf."""


def look_for_due(session: Session, now: datetime) -> Due:
    """Return what there is to do now, and when there will be."""
    event, deadline, retry, release = session.exec(_LOOK, params={"now": now}).one()
    next_at = min((at for at in (deadline, retry, release) if at is not None), default=None)
    has_deadlines = deadline is not None and deadline <= now
    if release is not None and release <= now:
        # How urgent it is will be known once it is told.
        return Due(Severity.LIFE_SAFETY, next_at, has_deadlines, is_shelf_over=True)
    if not has_deadlines:
        return Due(event, next_at)
    for severity in reversed(Severity):
        if event is not None and event >= severity:
            break
        due = select(Case.id).where(Case.severity == int(severity), col(Case.due_at) <= now)
        if session.exec(due.limit(1)).first() is not None:
            return Due(severity, next_at, has_deadlines=True)
    return Due(event, next_at, has_deadlines=True)


def first_deadline(session: Session) -> datetime | None:
    """Return the first deadline of the cases and alarms that a transaction has moved, or None."""
    moved = list(session.identity_map.values())
    deadlines = [one.due_at for one in moved if isinstance(one, Case)]
    deadlines += [one.held_until for one in moved if isinstance(one, Alarm)]
    return min((one for one in deadlines if one is not None), default=None)


def claim_written(session: Session, urgency: int, now: datetime) -> list[CaseEvent]:
    """Claim what this transaction has written, of one urgency, where nothing is to be heard before it.

    Its rows are not in the database yet: what is heard at once is written there as heard.
    """
    events = [one for one in written_events(session) if one in session]
    if not events or any(one.urgency != urgency for one in events):
        return []
    params = {
        "now": now,
        "urgency": urgency,
        "ids": [one.id for one in events if one.id is not None],
        "alarms": [one.alarm_id for one in events],
        "cases": [one.case_id for one in events],
    }
    with session.no_autoflush:
        if any(session.exec(_GOES_BEFORE, params=params).one()):
            return []
        if session.get_bind().dialect.name == _SQLITE:
            return events
        names = _names(session, events)
        others = _unclaimed(session, set(names))
    return [event for event, name in zip(events, names, strict=True) if name not in others]


def claim_events(session: Session, severity: int, now: datetime, at_most: int) -> list[CaseEvent]:
    """Claim events of one urgency, oldest first, and earlier ones about the same, whatever their urgency.

    A later event about what another worker has is left out.
    """
    params = {"severity": severity, "now": now, "at_most": at_most}
    events = list(session.exec(_EVENTS, params=params))
    if not events:
        return events
    waiting = _earlier(session, events, now)
    if waiting:
        rows = select(CaseEvent).where(col(CaseEvent.id).in_(waiting), *_can_be_heard(now))
        earlier = session.exec(rows.order_by(col(CaseEvent.id)).with_for_update(skip_locked=True))
        events = sorted([*earlier, *events], key=lambda one: one.id or 0)
    names = _names(session, events)
    if session.get_bind().dialect.name == _SQLITE:
        # Whoever writes there is alone.
        return events
    taken = waiting - {one.id or 0 for one in events}
    others = _names_of_events(session, taken) if taken else set()
    others |= _unclaimed(session, set(names))
    return [event for event, name in zip(events, names, strict=True) if name not in others]


def claim_deadlines(session: Session, severity: int, now: datetime, at_most: int) -> Sequence[Case]:
    """Claim cases of one severity whose deadline has come, the earliest first."""
    params = {"severity": severity, "now": now, "at_most": at_most}
    return session.exec(_DEADLINES, params=params).all()


def claim_events_of(session: Session, case_id: int, now: datetime) -> Sequence[CaseEvent]:
    """Claim what a case that is ours has not heard yet, oldest first, however little urgent it is."""
    return session.exec(_OF_CASE, params={"case_id": case_id, "now": now}).all()


def claim_case(session: Session, case_id: int) -> Case:
    """Claim a case until the transaction ends. Raises Busy where another worker moves it."""
    query = select(Case).where(Case.id == case_id)
    locked = query.with_for_update(skip_locked=True, key_share=True)
    case = session.exec(locked.execution_options(**_AFRESH)).first()
    if case is None:
        raise Busy
    return case


def _can_be_heard(now: datetime | BindParameter[datetime]) -> list[ColumnElement[bool]]:
    retry_at = col(CaseEvent.retry_at)
    return [col(CaseEvent.heard_at).is_(None), or_(retry_at.is_(None), retry_at <= now)]


_AFRESH = {"populate_existing": True}
"""A case may have been read before it was claimed, and moved by another worker in between."""
# What is asked at every step stands ready: to build a statement costs as much as to run it.
_NOW: BindParameter[datetime] = bindparam("now", type_=UtcDateTime())
_MOST_URGENT_EVENT = (
    select(CaseEvent.urgency)
    .where(*_can_be_heard(_NOW))
    .order_by(col(CaseEvent.urgency).desc())
    .limit(1)
)
# Of those that have one, as the index does.
_FIRST_DEADLINE = select(func.min(Case.due_at)).where(col(Case.due_at).is_not(None))
_FIRST_RETRY = (
    select(CaseEvent.retry_at)
    .where(col(CaseEvent.heard_at).is_(None), col(CaseEvent.retry_at).is_not(None))
    .order_by(col(CaseEvent.retry_at))
    .limit(1)
)
# All at once: a statement costs more than what it asks for.
_LOOKED_FOR: list[Any] = [
    one.scalar_subquery()
    for one in (_MOST_URGENT_EVENT, _FIRST_DEADLINE, _FIRST_RETRY, NEXT_RELEASE)
]
_LOOK: Any = select(*_LOOKED_FOR)
_BEFORE = (
    select(CaseEvent.id)
    .where(*_can_be_heard(_NOW), col(CaseEvent.id).not_in(bindparam("ids", expanding=True)))
    .limit(1)
)
_EACH_BEFORE: list[Any] = [
    _BEFORE.where(one).scalar_subquery()
    for one in (
        CaseEvent.urgency >= bindparam("urgency"),
        col(CaseEvent.alarm_id).in_(bindparam("alarms", expanding=True)),
        col(CaseEvent.case_id).in_(bindparam("cases", expanding=True)),
    )
]
_GOES_BEFORE: Any = select(*_EACH_BEFORE)
_EVENTS = (
    select(CaseEvent)
    .where(CaseEvent.urgency == bindparam("severity"), *_can_be_heard(_NOW))
    .order_by(col(CaseEvent.id))
    .limit(bindparam("at_most"))
    .with_for_update(skip_locked=True)
)
_OF_CASE = (
    select(CaseEvent)
    .where(CaseEvent.case_id == bindparam("case_id"), *_can_be_heard(_NOW))
    .order_by(col(CaseEvent.id))
    .with_for_update(skip_locked=True)
)
_ALARMS = select(Alarm).where(col(Alarm.id).in_(bindparam("ids", expanding=True)))
_EARLIER = {
    name: select(CaseEvent.id, column)
    .where(column.in_(bindparam("about", expanding=True)), *_can_be_heard(_NOW))
    .where(col(CaseEvent.id) < bindparam("last"))
    .where(col(CaseEvent.id).not_in(bindparam("ids", expanding=True)))
    for name, column in (("alarm", col(CaseEvent.alarm_id)), ("case", col(CaseEvent.case_id)))
}
_DEADLINES = (
    select(Case)
    .where(Case.severity == bindparam("severity"), col(Case.due_at) <= _NOW)
    .order_by(col(Case.due_at))
    .limit(bindparam("at_most"))
    .with_for_update(skip_locked=True, key_share=True)
    .execution_options(**_AFRESH)
)


def _earlier(session: Session, events: Sequence[CaseEvent], now: datetime) -> set[int]:
    """Return which other events came before these, are about the same, and can be heard."""
    ids = [one.id or 0 for one in events]
    found: set[int] = set()
    abouts = {
        "alarm": [one.alarm_id for one in events],
        "case": [one.case_id for one in events],
    }
    for column, about_each in abouts.items():
        last = dict(zip(about_each, ids, strict=True))
        last.pop(None, None)
        if last:
            params = {"now": now, "about": list(last), "last": max(ids), "ids": ids}
            rows = session.exec(_EARLIER[column], params=params)
            found |= {one or 0 for one, about in rows if (one or 0) < last[about]}
    return found


def _names_of_events(session: Session, ids: Iterable[int]) -> set[str]:
    query = select(CaseEvent).where(col(CaseEvent.id).in_(list(ids)))
    return set(_names(session, session.exec(query).all()))


def _names(session: Session, events: Sequence[CaseEvent]) -> list[str]:
    """Return what each event is about, under which its order is claimed.

    Alarms of one rule on one device share a name, since they share a case.
    """
    alarms = _alarms_of(session, events)
    names = []
    for one in events:
        alarm = alarms.get(one.alarm_id)
        if one.case_id is not None or alarm is None:
            names.append(f"case {one.case_id}")
        else:
            names.append(f"alarm {alarm.rule} {alarm.device_id}")
    return names


def _alarms_of(session: Session, events: Sequence[CaseEvent]) -> dict[int | None, Alarm]:
    """Return the alarms that events without a case are about; those that are at hand are not asked for."""
    ids = {one.alarm_id for one in events if one.case_id is None}
    keys = {one: session.identity_map.get(identity_key(Alarm, one)) for one in ids}
    alarms = {one: alarm for one, alarm in keys.items() if isinstance(alarm, Alarm)}
    others = ids - alarms.keys()
    if others:
        found = session.exec(_ALARMS, params={"ids": list(others)}).all()
        alarms |= {alarm.id: alarm for alarm in found}
        keep_at_hand(session, found)
    return alarms


def _unclaimed(session: Session, names: set[str]) -> set[str]:
    """Claim names until the transaction ends; return those that another worker has."""
    numbers = {lock_number(name): name for name in names}
    each = func.unnest(list(numbers)).table_valued("number").render_derived()
    query = select(each.c.number, func.pg_try_advisory_xact_lock(each.c.number))
    others = {numbers[number] for number, is_ours in session.exec(query) if not is_ours}
    held_names(session).update(names - others)
    return others


def held_names(session: Session) -> set[str]:
    """Return the names that a transaction has claimed for as long as it lasts.

    Not those that it claims while it hears something: what undoes that gives them back.
    """
    held: set[str] = session.info.setdefault("held names", set())
    return held
