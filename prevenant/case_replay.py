"""A case takes its course again: from what it heard, by its own workflow, on a store of its own.

What it heard is given to the runtime at the moments at which it was heard; deadlines are acted on at the
moments at which the case did something. Customers, technicians and sites are those of today; the offers
and jobs of other cases, the texts, and who was on call are those of then. Nothing is sent.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from difflib import SequenceMatcher
from typing import Any

import msgspec
from sqlmodel import Session, col, delete, or_, select

from notify import Templates
from notify.links import hide_tokens
from notify.message import Message
from prevenant.book import Book
from prevenant.clock import epoch_seconds
from prevenant.errors import BookError, ConfigurationError
from prevenant.publishing import BookVersion
from prevenant.rehearsal import Jumping, number_cases_after, people_of, scratch_store
from prevenant.store import Store
from prevenant.tables import ACTIVE, Alarm, CaseEvent, TimelineEntry
from workflows.definition import decode_steps
from workflows.deskwork import find_case
from workflows.members import find_members
from workflows.office import office_of
from workflows.runtime import Runtime
from workflows.story import Route
from workflows.tables import Case, Offer, WorkflowVersion, WorkOrder

_OTHERS_LINES = ("message.", "audit.", "storm.", "reply", "case.failed")
"""Lines of a story that are not the case's own doing."""
_ABSENCE = " cannot come: "
"""In the line of whoever noted an absence; what the case makes of it is its own."""
_OVER = ("done", "cancelled")


@dataclass(frozen=True, slots=True)
class Retold:
    """What came of taking a case's course again."""

    lines: Sequence[str]
    """The story, each line marked `  ` as it was, `- ` no more, `+ ` new, `~ ` worded otherwise."""
    steps: int
    differs: bool


@dataclass(frozen=True, slots=True)
class _Line:
    """One thing that a case did: a line of its story, or a message."""

    at: datetime
    words: str
    text: str = ""
    """What was said; it may be worded otherwise."""


@dataclass(frozen=True, slots=True)
class _Record:
    """What is known of a case."""

    case: Case
    alarms: Sequence[Alarm]
    events: Sequence[CaseEvent]
    lines: Sequence[_Line]
    version: WorkflowVersion
    books: Sequence[tuple[datetime, Book]]
    """The rule books that were in force meanwhile, each with since when."""
    offers: Sequence[Offer]
    orders: Sequence[WorkOrder]


def retell(store: Store, case_id: int, public_url: str = "") -> Retold:
    """Let a case take its course again. Raises ConfigurationError where there is no such case.

    `public_url` is where links in messages lead; each has another secret, which is no other wording.
    """
    with store.read() as session:
        record = _read(session, case_id)
    # Where a deadline and an event came at one moment, nobody wrote down which was first.
    retold = _retell(store, record, deadlines_first=True, public_url=public_url)
    if retold.differs:
        otherwise = _retell(store, record, deadlines_first=False, public_url=public_url)
        retold = retold if otherwise.differs else otherwise
    return retold


def _retell(store: Store, record: _Record, *, deadlines_first: bool, public_url: str) -> Retold:
    with scratch_store(people_of(store)) as scratch:
        with scratch.write() as session:
            number_cases_after(session, (record.case.id or 0) - 1)
            _write_alarms(session, record)
            office_of(session).public_url = public_url
        return _compare(record.lines, _run(scratch, record, deadlines_first=deadlines_first))


def _read(session: Session, case_id: int) -> _Record:
    case = find_case(session, case_id)
    if case.storm_of:
        message = f"case {case_id} is a storm: it runs no workflow; replay one of its cases"
        raise ConfigurationError(message)
    version = session.get(WorkflowVersion, case.workflow_version)
    if version is None:
        message = f"version {case.workflow_version} of {case.workflow} is gone: nothing to replay"
        raise ConfigurationError(message)
    ids = [one.alarm_id for one in find_members(session, case_id)]
    begin, end = case.opened_at, case.closed_at
    offers = select(Offer).where(
        Offer.case_id != case_id,
        or_(col(Offer.answered_at).is_(None), col(Offer.answered_at) > begin),
    )
    orders = select(WorkOrder).where(
        WorkOrder.case_id != case_id,
        or_(col(WorkOrder.state).not_in(_OVER), col(WorkOrder.updated_at) > begin),
    )
    if end is not None:
        offers = offers.where(Offer.offered_at < end)
        orders = orders.where(WorkOrder.accepted_at < end)
    return _Record(
        case,
        list(session.exec(select(Alarm).where(col(Alarm.id).in_(ids)))),
        _read_events(session, case, ids),
        _read_lines(session, case_id),
        version,
        _find_books(session, begin, end),
        list(session.exec(offers)),
        list(session.exec(orders)),
    )


def _read_events(session: Session, case: Case, alarm_ids: Sequence[int]) -> list[CaseEvent]:
    """Return what a case heard, in its order."""
    of_alarms = col(CaseEvent.alarm_id).in_(alarm_ids) & (col(CaseEvent.heard_at) >= case.opened_at)
    if case.closed_at is not None:
        of_alarms &= col(CaseEvent.heard_at) <= case.closed_at
    query = (
        select(CaseEvent)
        .where(col(CaseEvent.heard_at).is_not(None), CaseEvent.outcome == "")
        .where((col(CaseEvent.case_id) == case.id) | of_alarms)
        .order_by(col(CaseEvent.heard_at), col(CaseEvent.id))
    )
    events = list(session.exec(query))
    if not any(one.kind == "alarm.raised" and one.alarm_id == case.alarm_id for one in events):
        # It left another case when it became one of life-safety.
        parted = next(one for one in events if one.alarm_id == case.alarm_id)
        events[events.index(parted)] = CaseEvent(
            **{**parted.model_dump(), "kind": "alarm.raised", "key": f"{parted.key}:parted"}
        )
    return events


def _read_lines(session: Session, case_id: int) -> list[_Line]:
    """Return the story of a case and its messages, each with what it followed from."""
    query = select(TimelineEntry).where(TimelineEntry.case_id == case_id)
    lines = [
        _Line(one.at, f"{one.kind}  {one.summary}")
        for one in session.exec(query.order_by(col(TimelineEntry.id)))
        if not one.kind.startswith(_OTHERS_LINES) and _ABSENCE not in one.summary
    ]
    told = select(Message).where(Message.case_id == case_id).order_by(col(Message.id))
    # Only what the case itself decided to say: an answer to somebody's words has another kind of key.
    lines += [
        _Line(one.created_at, f"message  {one.template} to {one.name} ({one.role})", _text_of(one))
        for one in session.exec(told)
        if one.key.startswith(f"case-{case_id}-")
    ]
    return sorted(lines, key=lambda line: line.at)


def _text_of(message: Message) -> str:
    return hide_tokens(msgspec.json.encode(message.texts, order="sorted").decode())


def _find_books(
    session: Session, begin: datetime, end: datetime | None
) -> list[tuple[datetime, Book]]:
    """Return the book that was in force at the beginning, and those that took over until the end."""
    in_force_at = col(BookVersion.in_force_at)
    query = select(BookVersion).where(in_force_at <= begin).order_by(col(BookVersion.id).desc())
    versions = list(session.exec(query.limit(1)))
    later = select(BookVersion).where(in_force_at > begin).order_by(in_force_at)
    versions += session.exec(later if end is None else later.where(in_force_at <= end))
    books = []
    for version in versions:
        # What this release finds fault with could not be gone by now.
        with suppress(BookError):
            books.append((version.in_force_at or begin, version.load()))
    return books


def _write_alarms(session: Session, record: _Record) -> None:
    """Write the alarms of a case as they were when they were raised."""
    raised: Mapping[int | None, CaseEvent] = {
        one.alarm_id: one for one in reversed(record.events) if one.kind == "alarm.raised"
    }
    for alarm in record.alarms:
        values: dict[str, Any] = {**alarm.model_dump(), "state": ACTIVE, "cleared_at": None}
        if alarm.id in raised:
            values["severity"] = raised[alarm.id].data.get("severity", alarm.severity)
        session.add(Alarm(**{**values, "held_by": "", "held_until": None}))


def _run(scratch: Store, record: _Record, *, deadlines_first: bool) -> list[_Line]:
    """Let the case take its course on the scratch store; return what came of it."""
    case, clock = record.case, Jumping()
    workflow = decode_steps(case.workflow, record.version.steps)
    first = next(one for one in record.events if one.alarm_id == case.alarm_id)
    if case.gathers_until is not None:
        waits_s = (case.gathers_until - first.at).total_seconds()
        workflow = msgspec.structs.replace(workflow, group_wait_s=waits_s)
    else:
        workflow = msgspec.structs.replace(workflow, group_wait_s=0.0)
    message = case.progress.get("message", {})
    routes = {alarm.rule: Route(case.workflow, message) for alarm in record.alarms}
    runtime = Runtime(scratch, clock, {case.workflow: workflow}, routes, Templates())
    books = deque(record.books)
    moments = {one.heard_at for one in record.events if one.heard_at}
    moments |= {line.at for line in record.lines}
    waiting = list(record.events)
    for moment in sorted(moments):
        clock.at = epoch_seconds(moment)
        while books and books[0][0] <= moment:
            _, book = books.popleft()
            runtime.change_book({case.workflow: workflow}, routes, book.templates, book.schedules)
        while deadlines_first and runtime.work_once(moment):
            pass
        due = [one for one in waiting if _is_known(one, case, moment)]
        waiting = [one for one in waiting if one not in due]
        with scratch.write() as session:
            for one in due:
                unheard = {"heard_at": None, "retry_at": None, "attempts": 0, "error": None}
                session.add(CaseEvent(**{**one.model_dump(), **unheard}))
            _set_others(session, record, moment)
        while runtime.work_once(moment):
            pass
    with scratch.read() as session:
        return _read_lines(session, case.id or 0)


def _is_known(event: CaseEvent, case: Case, moment: datetime) -> bool:
    """Return whether a case may know of an event: one that gathers knows of all that were raised."""
    if event.heard_at is not None and event.heard_at <= moment:
        return True
    gathers = case.gathers_until is not None and event.at <= case.gathers_until
    return gathers and event.kind == "alarm.raised" and event.at <= moment


def _set_others(session: Session, record: _Record, moment: datetime) -> None:
    """Have technicians be as busy with other cases as they were at a moment."""
    other = (record.case.id or 0) - 1
    session.exec(delete(Offer).where(col(Offer.case_id) == other))
    session.exec(delete(WorkOrder).where(col(WorkOrder.case_id) == other))
    for row in _busy(record, moment):
        session.add(row)


def _busy(record: _Record, moment: datetime) -> Iterator[Offer | WorkOrder]:
    other = (record.case.id or 0) - 1
    for offer in record.offers:
        if offer.offered_at <= moment and (offer.answered_at or moment) >= moment:
            yield Offer(**{**offer.model_dump(exclude={"id"}), "state": "open", "case_id": other})
    for order in record.orders:
        is_over = order.state in _OVER and order.updated_at <= moment
        if order.accepted_at <= moment and not is_over:
            values = {**order.model_dump(exclude={"id"}), "state": "accepted", "case_id": other}
            yield WorkOrder(**values)


def _compare(before: Sequence[_Line], after: Sequence[_Line]) -> Retold:
    lines: list[str] = []
    differs = False
    matcher = SequenceMatcher(
        None, [one.words for one in before], [one.words for one in after], autojunk=False
    )
    for tag, begin, end, from_, to in matcher.get_opcodes():
        if tag == "equal":
            for old, new in zip(before[begin:end], after[from_:to], strict=True):
                lines.append(_shown("~ " if old.text != new.text else "  ", old))
            continue
        differs = True
        lines += [_shown("- ", one) for one in before[begin:end]]
        lines += [_shown("+ ", one) for one in after[from_:to]]
    return Retold(lines, len(before), differs)


def _shown(mark: str, line: _Line) -> str:
    return f"{mark}{line.at:%Y-%m-%d %H:%M:%S}  {line.words}"
