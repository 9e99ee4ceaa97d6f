"""A visit that the customer moves: to a time that its technician has at the moment it is moved.

What was free when a page was shown may be taken since. It is decided in the transaction that writes it,
while nobody else can give the technician anything: of two who want the same time one gets it.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlmodel import Session, select

from notify import Ask
from prevenant.crm.directory import Place, find_place, find_present, find_technicians
from prevenant.globe import distance_km
from prevenant.tables import CaseEvent
from workflows import callbacks, redispatch
from workflows.definition import Dispatch
from workflows.dispatch import travel_seconds
from workflows.loads import hold_technicians
from workflows.running import RunningCase
from workflows.slots import Agenda, Span, Visit, free_slots, judge_slot, way_between
from workflows.tables import IS_UNDER_WAY, OPEN, WorkOrder

SLOT = "slot"
"""Where a reply says which time is wanted: `start` and `end` in ISO 8601."""
_UNKNOWN_WAY_S = 1_800.0
_LATE = timedelta(seconds=30)
"""Whoever is answered later may not look at the page any more."""


def can_move(run: RunningCase, order: WorkOrder | None) -> bool:
    """Return whether a visit can still be moved: it is planned, and is none that is due at once."""
    if order is None or order.state != "accepted" or run.case.state != OPEN:
        return False
    step = run.step_at(order.step)
    return isinstance(step, Dispatch) and step.arrive_within_s is None


def find_slots(run: RunningCase, order: WorkOrder) -> list[Span]:
    """Return the times to which a visit can be moved, earliest first."""
    agenda = _agenda_of(run.session, order, run.place)
    if agenda is None or not can_move(run, order):
        return []
    lasts = order.visit_end - order.visit_start
    return free_slots(agenda, lasts, run.place.timezone, run.now)


def move(run: RunningCase, event: CaseEvent) -> None:
    """Move the visit to the time that the customer has chosen, where the technician still has it."""
    name = str(event.data.get("name") or run.place.customer_name or "the customer")
    order = run.work_order()
    slot = _slot_of(event)
    if order is None or not can_move(run, order):
        _refuse(run, event, name, "the visit cannot be moved any more")
        return
    hold_technicians(run.session, [order.technician_id])
    why = _judge(run, order, slot)
    if why:
        _refuse(run, event, name, why)
        return
    before = (order.visit_start, order.visit_end)
    order.visit_start, order.visit_end = slot
    order.updated_at = run.now
    run.session.add(order)
    run.session.flush()
    run.set_fact("customer.confirmed")
    run.stop_asking("confirm", contact_id=str(event.data.get("contact", "")))
    run.note(
        "visit.moved",
        f"{name} moves the visit, to a time that {order.technician_name} has",
        {"visit_start": _iso(slot[0]), "visit_end": _iso(slot[1]), "before": _iso(before[0])},
    )
    redispatch.follow_visit(run, order)
    _tell_both(run, event, order)


def _judge(run: RunningCase, order: WorkOrder, slot: Span) -> str:
    """Return why the technician cannot come then, or nothing."""
    agenda = _agenda_of(run.session, order, run.place)
    if agenda is None:
        return f"{order.technician_name} works for us no more"
    if slot[1] - slot[0] != order.visit_end - order.visit_start:
        return "the window is not as long as the visit's"
    return judge_slot(agenda, slot, run.place.timezone, run.now)


def _refuse(run: RunningCase, event: CaseEvent, name: str, why: str) -> None:
    run.note("visit.not_moved", f"{name} would move the visit: {why}", {"slot": event.data[SLOT]})
    if run.now - event.at > _LATE:
        callbacks.request(run, event, "other_time")


def _tell_both(run: RunningCase, event: CaseEvent, order: WorkOrder) -> None:
    customer = find_present(run.session, str(event.data.get("contact", "")))
    if customer is not None:
        role = str(event.data.get("role", "customer"))
        run.tell(customer, role, "visit_rescheduled", [["preferred"]])
    technician = find_present(run.session, order.contact_id)
    if technician is not None:
        run.stop_asking("progress", contact_id=order.contact_id)
        turns = [["sms", "email"], ["voice"]]
        run.tell(technician, "technician", "job_moved", turns, Ask("progress"))


def _agenda_of(session: Session, order: WorkOrder, place: Place) -> Agenda | None:
    """Return what takes up the time of a visit's technician; None for one who works for us no more."""
    found = find_technicians(session, [order.technician_id])
    if not found:
        return None
    one = found[0]
    return Agenda(
        one.person.name,
        one.timezone,
        one.shifts,
        one.holidays,
        one.leave,
        one.capacity,
        list(_other_visits(session, order, place)),
    )


def _other_visits(session: Session, order: WorkOrder, place: Place) -> Iterator[Visit]:
    # Columns, and no rows: what another transaction has just written counts.
    query = select(
        WorkOrder.site_id, WorkOrder.device_id, WorkOrder.visit_start, WorkOrder.visit_end
    ).where(IS_UNDER_WAY, WorkOrder.technician_id == order.technician_id, WorkOrder.id != order.id)
    for site_id, device_id, start, end in session.exec(query).all():
        there = find_place(session, "", site_id, device_id).position
        travel_s = _UNKNOWN_WAY_S
        if there is not None and place.position is not None:
            travel_s = travel_seconds(distance_km(there, place.position), on_foot=False)
        yield Visit(start, end, way_between(travel_s))


def _slot_of(event: CaseEvent) -> Span:
    slot = event.data[SLOT]
    return datetime.fromisoformat(slot["start"]), datetime.fromisoformat(slot["end"])


def _iso(at: datetime) -> str:
    return at.isoformat()
