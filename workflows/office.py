"""What one process keeps for dispatch beside the store: the crowd, and how to ask a routing server.

The crowd is brought up to date before each use, by what the database notes of changes, whichever process
made them. It reads what is committed, on a connection of its own.
"""

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, Pool
from sqlmodel import Session, col, func, select

from prevenant.clock import Clock
from prevenant.crm.changes import changed_since, read_mark
from prevenant.crm.directory import Person, TechnicianView
from prevenant.crm.tables import Contact, Exclusion, Leave, Technician
from prevenant.store import Store, in_chunks
from prevenant.tables import CaseEvent, add_case_event
from workflows.crowd import Crowd
from workflows.loads import open_jobs
from workflows.roads import Answered, Question, Roads
from workflows.tables import Case

SMALL = 2_000
"""Up to how many technicians everybody is judged: the crowd gains nothing there."""
GATHER_S = 3.0
_MANY_CHANGES = 5_000


class Office:
    """The crowd of one database, and how dispatch goes about its work in this process."""

    def __init__(self) -> None:
        self.roads: Roads | None = None
        self.gather_s = GATHER_S
        """How long a job waits in a rush, so that several are assigned together."""
        self.public_url = ""
        """Where people without a login reach us; empty: no message carries a link."""
        self.small = SMALL
        self._crowd = Crowd()
        self._mark: int | None = None
        self._lock = threading.Lock()
        self._tell: Answered | None = None

    @contextmanager
    def crowd(self, session: Session) -> Iterator[Crowd]:
        """Give the crowd, as it is committed now."""
        with self._lock, _reading(session) as reader:
            self._refresh(reader)
            yield self._crowd

    def use_roads(self, roads: Roads, store: Store, clock: Clock) -> None:
        """Have a routing server's answers come to the cases that asked."""
        self.roads = roads
        self._tell = partial(_tell_case, store, clock, roads.name)

    def close(self) -> None:
        """Ask no server any more, and give out no links."""
        self.public_url = ""
        roads, self.roads, self._tell = self.roads, None, None
        if roads is not None:
            roads.stop()

    def ask_ways(self, question: Question) -> None:
        """Ask the routing server."""
        if self.roads is not None and self._tell is not None:
            self.roads.ask(question, self._tell)

    def is_small(self, session: Session) -> bool:
        """Return whether there are so few technicians that everybody is judged."""
        some = select(Technician.id).where(col(Technician.is_active)).limit(self.small + 1)
        return session.exec(select(func.count()).select_from(some.subquery())).one() <= self.small

    def warm(self, session: Session) -> None:
        """Read the crowd before it is needed, where it will be."""
        if not self.is_small(session):
            with self.crowd(session):
                pass

    def _refresh(self, session: Session) -> None:
        mark = read_mark(session)
        changed = None if self._mark is None else changed_since(session, self._mark)
        if changed is not None and len(changed) > _MANY_CHANGES:
            changed = None
        if changed is None:
            self._crowd = Crowd()
            self._crowd.put(list(read_views(session, None)), open_jobs(session))
        else:
            for some in in_chunks(changed):
                views = list(read_views(session, some))
                self._crowd.put(views, open_jobs(session, some))
                self._crowd.drop(set(some) - {view.id for view in views})
        self._mark = mark


def read_views(session: Session, ids: Sequence[str] | None) -> Iterator[TechnicianView]:
    """Yield the technicians who work for us as the crowd needs them: without names and addresses."""
    columns: tuple[Any, ...] = (
        Technician.id,
        Contact.phone,
        Contact.email,
        Contact.whatsapp,
        Contact.chat,
        Technician.latitude,
        Technician.longitude,
        Technician.position_latitude,
        Technician.position_longitude,
        Technician.position_at,
        Technician.timezone,
        Technician.capacity,
        Technician.skills,
        Technician.shifts,
        Technician.holidays,
        Technician.areas,
        Technician.parts,
    )
    query = (
        select(*columns)
        .where(Technician.contact_id == Contact.id)
        .where(col(Technician.is_active), col(Contact.is_active))
    )
    leave: dict[str, list[tuple[Any, Any, str]]] = defaultdict(list)
    refused: dict[str, dict[str, str]] = defaultdict(dict)
    away, refusals = select(Leave), select(Exclusion)
    if ids is not None:
        query = query.where(col(Technician.id).in_(ids))
        away = away.where(col(Leave.technician_id).in_(ids))
        refusals = refusals.where(col(Exclusion.technician_id).in_(ids))
    for one in session.exec(away):
        leave[one.technician_id].append((one.starts_at, one.ends_at, one.reason))
    for refusal in session.exec(refusals):
        refused[refusal.technician_id][refusal.customer_id] = refusal.reason
    reached, lost = _person({"sms": "known"}), _person({})
    for row in session.exec(query.order_by(col(Technician.id))):
        (key, phone, email, whatsapp, chat, lat, lon, seen_lat, seen_lon, seen_at, *rest) = row
        timezone, capacity, skills, shifts, holidays, areas, parts = rest
        is_seen = None not in (seen_lat, seen_lon, seen_at)
        yield TechnicianView(
            id=key,
            person=reached if phone or email or whatsapp or chat else lost,
            position=(seen_lat, seen_lon) if is_seen else (lat, lon),
            timezone=timezone,
            capacity=capacity,
            skills=skills,
            shifts=shifts,
            position_at=seen_at if is_seen else None,
            base=(lat, lon),
            holidays=holidays,
            areas=frozenset(areas),
            parts=parts,
            leave=leave.get(key, ()),
            excluded_by=refused.get(key, {}),
        )


def office_of(session: Session) -> Office:
    """Return the office of the database that a session is on."""
    pool = _engine(session).pool
    with _GUARD:
        return _OFFICES.setdefault(pool, Office())


def _tell_case(
    store: Store, clock: Clock, name: str, question: Question, ways: Mapping[str, float], why: str
) -> None:
    """Give the case the routing server's answer."""
    with store.write() as session:
        case = session.get(Case, question.case_id)
        event = CaseEvent(
            key=f"ways-{question.case_id}-{question.step}-{question.asked_at}",
            kind="ways.found",
            urgency=case.severity if case else 1,
            case_id=question.case_id,
            data={
                "step": question.step,
                "asked_at": question.asked_at,
                "ways": dict(ways),
                "why": why,
                "by": name,
            },
            at=clock.now(),
        )
        add_case_event(session, event)


_OFFICES: WeakKeyDictionary[Pool, Office] = WeakKeyDictionary()
_GUARD = threading.Lock()


def _person(addresses: dict[str, str]) -> Person:
    return Person("", "", "en", "UTC", "sms", addresses)


def _engine(session: Session) -> Engine:
    bind = session.get_bind()
    return bind if isinstance(bind, Engine) else bind.engine


@contextmanager
def _reading(session: Session) -> Iterator[Session]:
    # A session that writes holds SQLite's lock already; this one only reads.
    engine = _engine(session).execution_options(writes=False)
    with Session(engine, expire_on_commit=False) as reader:
        yield reader
