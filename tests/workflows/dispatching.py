"""A desk with a customer, a site and technicians around it, for stories of dispatch without servers."""

from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from notify.message import Message
from prevenant.crm.shifts import parse_shifts
from prevenant.crm.tables import Contact, Customer, Device, Site, Technician
from prevenant.store import Store
from prevenant.tables import CaseEvent, TimelineEntry, add_case_event
from tests.moved_clock import MovedClock
from tests.workflows.test_case import Desk
from workflows.office import Office, office_of
from workflows.tables import Candidate, Case, DispatchRound, Offer, WorkOrder

HERE = (47.32, 5.04)
VISIT = """
- dispatch: {skill: hvac, within: 100 km, offer: 10m}
  otherwise: {hand_off: guard}
- tell: customer
  template: visit_planned
- wait: technician.arrived
  within: visit.end + 15m
  otherwise: {escalate: chief}
- close: done
"""
URGENT = """
- dispatch: {skill: hvac, within: 100 km, offer: 60s, at_once: 3, arrive_within: 4m}
  otherwise: {hand_off: guard}
- wait: technician.done
  within: 8h
  otherwise: {escalate: chief}
"""


class DispatchDesk(Desk):
    """A desk whose cases are about rooms at the site `s`, whose customer is Ann."""

    def __init__(self, store: Store, clock: MovedClock, steps: str = VISIT) -> None:
        super().__init__(store, clock, steps)
        with store.write() as session:
            session.add(Customer(id="acme", name="Acme"))
            session.add(Contact(id="ann", name="Ann Lee", phone="+33639980100"))
            session.flush()
            session.add(
                Site(
                    id="s",
                    name="Site",
                    customer_id="acme",
                    contact_id="ann",
                    latitude=HERE[0],
                    longitude=HERE[1],
                )
            )
            for role in ("dispatcher",):
                session.add(Contact(id=role, name=role.title(), phone="+33639980101"))

    @property
    def office(self) -> Office:
        """The office of the desk's database."""
        with self.store.read() as session:
            return office_of(session)

    def add_technician(self, key: str, km: float, **values: Any) -> None:
        """Let a technician set out from some kilometres north of the site."""
        row = {
            "skills": {"hvac": 1},
            "shifts": parse_shifts("always"),
            "latitude": HERE[0] + km / 111.19,
            "longitude": HERE[1],
        }
        with self.store.write() as session:
            session.add(Contact(id=key, name=f"{key.title()} Doe", phone="+33639980102"))
            session.flush()
            session.add(Technician(id=key, contact_id=key, **{**row, **values}))

    def add_device(self, number: int, km: float) -> None:
        """Let a device stand some kilometres north of the site."""
        with self.store.write() as session:
            session.add(
                Device(
                    id=f"s/{number}",
                    site_id="s",
                    type="room",
                    label=f"Room {number}",
                    latitude=HERE[0] + km / 111.19,
                    longitude=HERE[1],
                )
            )

    def post(self, kind: str, **data: Any) -> None:
        """Let the latest case hear something."""
        with self.store.write() as session:
            event = CaseEvent(
                key=f"{kind}-{self.clock.now()}-{data}",
                kind=kind,
                at=self.clock.now(),
                urgency=3,
                case_id=self.case().id,
                data=data,
            )
            add_case_event(session, event)
        self.work()

    def reply_for(self, device: str, contact: str, intent: str) -> None:
        """Let a technician answer the offer of a device's case."""
        with self.store.write() as session:
            case_id = case_of(session, device).id or 0
            add_case_event(session, answer(case_id, contact, self.clock.now(), intent))
        self.work()

    def rows(self, table: Any, **values: Any) -> list[Any]:
        """Return rows, the oldest first."""
        with self.store.read() as session:
            found = session.exec(select(table).order_by(table.id)).all()
        return [one for one in found if all(getattr(one, k) == v for k, v in values.items())]

    def offers(self, **values: Any) -> list[tuple[str, str]]:
        """Return to whom something was offered, and what became of it."""
        return [(one.technician_id, one.state) for one in self.rows(Offer, **values)]

    def orders(self, **values: Any) -> list[tuple[str, str]]:
        """Return who got a job, and what became of it."""
        return [(one.technician_id, one.state) for one in self.rows(WorkOrder, **values)]

    def templates_told(self, contact: str) -> list[str]:
        """Return the templates of what somebody was told, in order."""
        return [one.template for one in self.rows(Message, contact_id=contact)]

    def lines(self, kind: str) -> list[str]:
        """Return what the story says of one kind."""
        return [one.summary for one in self.rows(TimelineEntry, kind=kind)]

    def rounds(self) -> list[DispatchRound]:
        """Return the rounds of dispatch."""
        return self.rows(DispatchRound)

    def candidates(self, case_id: int | None = None) -> list[tuple[str, int | None, str]]:
        """Return what was thought of each candidate of the last round of a case."""
        number = case_id or self.case().id
        found = self.rows(Candidate, case_id=number)
        last = max((one.round for one in found), default=0)
        return [(o.technician_id, o.rank, o.reason) for o in found if o.round == last]


def answer(case_id: int, contact: str, at: datetime, intent: str) -> CaseEvent:
    """Return the event by which a technician answers an offer."""
    return CaseEvent(
        key=f"offer-{case_id}-{contact}-{at}",
        kind="reply",
        at=at,
        urgency=3,
        case_id=case_id,
        data={
            "contact": contact,
            "name": contact.title(),
            "role": "technician",
            "ask": "offer",
            "intent": intent,
            "number": 1,
            "text": intent,
            "channel": "sms",
            "message": "m",
        },
    )


def case_of(session: Session, device: str) -> Case:
    """Return the case of a device."""
    return session.exec(
        select(Case).where(Case.device_id == device).order_by(col(Case.id).desc())
    ).one()


def at(text: str) -> datetime:
    """Return a time."""
    return datetime.fromisoformat(text)
