"""A rehearsal: cases take their course on a store of their own, and nobody is sent anything.

Alarms go in. The same runtime, dispatch and texts as in earnest run on a clock that jumps from one moment
at which something is due to the next. Every message is delivered at once, unless its contact has opted
out, and people answer as `Answering` says.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from sqlmodel import Session, SQLModel, col, or_, select

from notify.consent import find_objection
from notify.delivery import move
from notify.message import DELIVERED, QUEUED, SENT, SUPPRESSED, Delivery, Message
from notify.replies import Inbound, receive
from prevenant.book import Book
from prevenant.clock import epoch_seconds, from_epoch
from prevenant.crm.directory import SiteZones
from prevenant.crm.tables import Contact
from prevenant.domain import Severity, Transition
from prevenant.store import Store
from prevenant.stream.alarms import write_transitions
from prevenant.tables import Alarm, TimelineEntry
from workflows.runtime import Runtime
from workflows.tables import CLOSED, Case, Offer, WorkflowVersion, WorkOrder

_OF_PEOPLE = ("prevenant.crm", "prevenant.consent", "notify.consent", "workflows.on_call")
"""Where the tables are declared whose rows a rehearsal needs: who there is, may be told, or stands in."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What somebody answers, and when, in seconds since 1970."""

    at: float
    text: str


class Answering(Protocol):
    """How people answer what they are asked."""

    def answers(self, message: Message, order: WorkOrder | None, now: datetime) -> Sequence[Answer]:
        """Return what the contact answers to a question; `order` is the job of its case, if any."""


class Obliging:
    """Everybody takes what is offered within minutes, and technicians come when they said."""

    def answers(self, message: Message, order: WorkOrder | None, now: datetime) -> Sequence[Answer]:
        """Return the answers of somebody obliging; nobody rates a visit."""
        at = epoch_seconds(now)
        match message.ask:
            case "offer" | "acknowledge" | "person":
                return [Answer(at + 120.0, "1")]
            case "confirm":
                return [Answer(at + 600.0, "1")]
            case "progress" if order is not None:
                start = max(at + 120.0, epoch_seconds(order.visit_start))
                end = max(start + 60.0, epoch_seconds(order.visit_end))
                return [
                    Answer(max(at + 60.0, start - 1_200.0), "1"),
                    Answer(start, "2"),
                    Answer(end, "3 done"),
                ]
        return []


class Nobody:
    """Nobody answers anything."""

    def answers(self, message: Message, order: WorkOrder | None, now: datetime) -> Sequence[Answer]:
        """Return no answer."""
        del message, order, now
        return []


@dataclass(frozen=True, slots=True)
class RehearsedAlarm:
    """An alarm that was raised. Times are seconds since 1970."""

    rule: str
    device_id: str
    onset_at: float
    raised_at: float
    cleared_at: float | None
    severity: str
    state: str
    held_by: str


@dataclass(frozen=True, slots=True)
class RehearsedOffer:
    """A job that was offered to a technician, because of the alarm with this onset."""

    rule: str
    device_id: str
    onset_at: float
    at: float
    technician: str
    state: str


@dataclass(frozen=True, slots=True)
class RehearsedMessage:
    """What somebody was told, because of the alarm with this onset."""

    case_id: int
    rule: str
    device_id: str
    onset_at: float
    at: float
    name: str
    role: str
    channel: str
    template: str
    language: str
    state: str
    text: str


@dataclass(frozen=True, slots=True)
class Step:
    """A line of a case's story."""

    at: float
    kind: str
    summary: str


class Rehearsal:
    """Cases of a book, among given people, with nothing sent. Use `rehearse`."""

    def __init__(self, book: Book, store: Store, answering: Answering) -> None:
        self._book = book
        self._store = store
        self._answering = answering
        self._clock = Jumping()
        self._runtime = Runtime(
            store, self._clock, book.workflows, book.routes, book.templates, book.schedules
        )
        self._planned: list[tuple[float, int, Callable[[Session, datetime, str], None]]] = []
        self._answers = 0
        self.zone_of = SiteZones(store).zone_of
        """The time zone of a site, by its name."""

    def run(self, transitions: Sequence[Transition], until: float) -> None:
        """Let alarms happen, and everything that follows from them up to `until`."""
        waiting = deque(transitions)
        while True:
            moments = [waiting[0].at] if waiting else []
            moments += self._due()
            moment = max(min(moments, default=until + 1), self._clock.at)
            if moment > until:
                return
            self._clock.at = moment
            taken = []
            while waiting and waiting[0].at <= moment:
                taken.append(waiting.popleft())
            if taken:
                with self._store.write() as session:
                    write_transitions(session, taken)
            self._settle(from_epoch(moment))

    def say(self, at: float, name: str, text: str) -> None:
        """Have somebody write to us by SMS at a time."""

        def write(session: Session, now: datetime, identity: str) -> None:
            contact = session.exec(select(Contact).where(Contact.name == name)).one()
            inbound = Inbound(identity, "sms", contact.phone, text)
            receive(session, self._book.templates, inbound, now)

        self._plan(at, write)

    def names(self) -> list[str]:
        """Return the names of all contacts."""
        with self._store.read() as session:
            return sorted(session.exec(select(Contact.name)))

    def alarms(self) -> list[RehearsedAlarm]:
        """Return what was raised, in the order of time."""
        with self._store.read() as session:
            rows = session.exec(select(Alarm).order_by(col(Alarm.onset_at), col(Alarm.id)))
            return [
                RehearsedAlarm(
                    one.rule,
                    one.device_id,
                    epoch_seconds(one.onset_at),
                    epoch_seconds(one.raised_at),
                    epoch_seconds(one.cleared_at) if one.cleared_at else None,
                    Severity(one.severity).word,
                    one.state,
                    one.held_by,
                )
                for one in rows
            ]

    def offers(self) -> list[RehearsedOffer]:
        """Return which jobs were offered to whom, in the order of time."""
        query = (
            select(Offer, Case, Alarm)
            .where(Offer.case_id == Case.id, Case.alarm_id == Alarm.id)
            .order_by(col(Offer.offered_at), col(Offer.id))
        )
        with self._store.read() as session:
            return [
                RehearsedOffer(
                    case.rule,
                    case.device_id,
                    epoch_seconds(alarm.onset_at),
                    epoch_seconds(offer.offered_at),
                    offer.technician_name,
                    offer.state,
                )
                for offer, case, alarm in session.exec(query)
            ]

    def messages(self) -> list[RehearsedMessage]:
        """Return what was said to whom, a line for each channel, in the order of time."""
        query = (
            select(Delivery, Message, Case, Alarm)
            .where(Delivery.message_id == Message.id, Message.case_id == Case.id)
            .where(Case.alarm_id == Alarm.id)
            .order_by(col(Delivery.updated_at), col(Delivery.id))
        )
        with self._store.read() as session:
            return [
                RehearsedMessage(
                    case.id or 0,
                    case.rule,
                    case.device_id,
                    epoch_seconds(alarm.onset_at),
                    epoch_seconds(delivery.updated_at),
                    message.name,
                    message.role,
                    delivery.channel,
                    message.template,
                    message.language,
                    delivery.state,
                    _text_of(message, delivery.channel),
                )
                for delivery, message, case, alarm in session.exec(query)
            ]

    def steps(self) -> list[Step]:
        """Return the stories of all cases, without what they said, in the order of time."""
        query = select(TimelineEntry).where(col(TimelineEntry.case_id).is_not(None))
        query = query.where(col(TimelineEntry.kind).not_like("message.%"))
        with self._store.read() as session:
            return [
                Step(epoch_seconds(one.at), one.kind, one.summary)
                for one in session.exec(query.order_by(col(TimelineEntry.id)))
            ]

    def _due(self) -> list[float]:
        """Return the moments, later than now, at which something is due."""
        due = self._runtime.next_due()
        with self._store.read() as session:
            query = select(Delivery.next_at).where(Delivery.state == QUEUED)
            sent = session.exec(query.order_by(col(Delivery.next_at))).first()
        moments = [epoch_seconds(at) for at in (due, sent) if at is not None]
        moments += [self._planned[0][0]] if self._planned else []
        return [at for at in moments if at > self._clock.at]

    def _settle(self, now: datetime) -> None:
        """Do everything that is due now, and what follows from it at once."""
        while self._runtime.work_once(now) or self._deliver(now) or self._answer(now):
            pass

    def _deliver(self, now: datetime) -> bool:
        is_due = or_(col(Delivery.next_at).is_(None), col(Delivery.next_at) <= now)
        query = select(Delivery).where(Delivery.state == QUEUED, is_due)
        query = query.order_by(col(Delivery.severity).desc(), col(Delivery.id))
        with self._store.write() as session:
            deliveries = session.exec(query).all()
            for delivery in deliveries:
                message = session.get_one(Message, delivery.message_id)
                objection = find_objection(
                    session, delivery.channel, delivery.address, message.contact_id
                )
                if objection:
                    move(session, delivery, SUPPRESSED, now, objection)
                    continue
                move(session, delivery, SENT, now)
                move(session, delivery, DELIVERED, now)
                self._ask(session, message, now)
        return bool(deliveries)

    def _ask(self, session: Session, message: Message, now: datetime) -> None:
        if not message.ask_open:
            return
        orders = select(WorkOrder).where(WorkOrder.case_id == message.case_id)
        order = session.exec(orders.order_by(col(WorkOrder.id).desc())).first()
        for answer in self._answering.answers(message, order, now):
            self._plan(answer.at, self._answer_to(message.id or 0, answer.text))

    def _answer_to(self, message_id: int, text: str) -> Callable[[Session, datetime, str], None]:
        def write(session: Session, now: datetime, identity: str) -> None:
            question = session.get_one(Message, message_id)
            if question.ask_open:
                channel, address = next(iter(question.addresses.items()))
                inbound = Inbound(identity, channel, address, text)
                receive(session, self._book.templates, inbound, now, question)

        return write

    def _plan(self, at: float, work: Callable[[Session, datetime, str], None]) -> None:
        self._answers += 1
        heapq.heappush(self._planned, (at, self._answers, work))

    def _answer(self, now: datetime) -> bool:
        if not self._planned or self._planned[0][0] > self._clock.at:
            return False
        _, number, write = heapq.heappop(self._planned)
        with self._store.write() as session:
            write(session, now, f"rehearsed-{number}")
        return True


@contextmanager
def rehearse(
    book: Book, people: Callable[[Session], None], answering: Answering, first_case: int = 1
) -> Iterator[Rehearsal]:
    """Prepare a rehearsal among the people whom `people` writes into a store; it is gone at the end.

    Its cases are numbered from `first_case` on.
    """
    with scratch_store(people) as store:
        if first_case > 1:
            with store.write() as session:
                number_cases_after(session, first_case - 1)
        yield Rehearsal(book, store, answering)


@contextmanager
def scratch_store(people: Callable[[Session], None]) -> Iterator[Store]:
    """Open a store with the people whom `people` writes into it; it is gone at the end."""
    with TemporaryDirectory(prefix="prevenant-rehearsal-") as folder:
        # What is lost with the machine here is not missed.
        store = Store(f"sqlite:///{Path(folder) / 'rehearsal.db'}", is_durable=False)
        try:
            store.upgrade()
            with store.write() as session:
                people(session)
            yield store
        finally:
            store.close()


def people_of(store: Store) -> Callable[[Session], None]:
    """Return how to copy everybody, and what they have consented to, from another store."""

    def copy(session: Session) -> None:
        with store.read() as source:
            for table in _tables_of_people():
                rows = [dict(row._mapping) for row in source.execute(table.select())]
                if rows:
                    session.execute(table.insert(), rows)

    return copy


def _tables_of_people() -> list[Any]:
    modules = {
        mapper.local_table: mapper.class_.__module__ for mapper in SQLModel._sa_registry.mappers
    }
    return [
        table
        for table in SQLModel.metadata.sorted_tables
        if modules.get(table, "").startswith(_OF_PEOPLE)
    ]


def number_cases_after(session: Session, last: int) -> None:
    """Leave a closed case behind, with the last number: the database goes on from there."""
    at = from_epoch(0.0)
    session.add(WorkflowVersion(version="none", name="none", steps="[]"))
    session.flush()
    session.add(
        Case(
            id=last,
            alarm_id=0,
            rule="",
            device_type="",
            site_id="",
            device_id="",
            severity=0,
            workflow="none",
            workflow_version="none",
            state=CLOSED,
            opened_at=at,
            closed_at=at,
        )
    )


class Jumping:
    """A clock that shows what it is put to."""

    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> datetime:
        """Return what it was put to."""
        return from_epoch(self.at)

    def seconds_until(self, at: datetime) -> float:
        """Return how long until `at`."""
        return max(0.0, (at - self.now()) / timedelta(seconds=1))


def _text_of(message: Message, channel: str) -> str:
    text = message.texts[channel]
    return text if isinstance(text, str) else f"{text['subject']}\n{text['text']}"
