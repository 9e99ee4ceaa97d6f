"""What becomes of offers and jobs when a technician cannot come after all, or when the case is over."""

from sqlmodel import col, select

from notify import Ask, Message, is_invited
from prevenant.clock import epoch_seconds
from prevenant.crm.directory import find_present, find_role_holders
from prevenant.tables import CaseEvent
from workflows.definition import Wait
from workflows.running import RunningCase, Track
from workflows.tables import (
    ACTIVE_JOBS,
    CLOSED,
    COMPLETED,
    OPEN,
    Offer,
    WaitingJob,
    WorkOrder,
)

_DISPATCHER = "dispatcher"
FACTS = (
    "technician.accepted",
    "technician.en_route",
    "technician.arrived",
    "technician.done",
)


def take_unavailable(run: RunningCase, event: CaseEvent) -> None:
    """Send somebody else where a technician has fallen ill; open offers are their step's business."""
    technician_id = str(event.data["technician"])
    reason = str(event.data.get("reason") or "unavailable")
    why = f"is {reason}" if " " not in reason else reason
    query = select(WorkOrder).where(
        WorkOrder.case_id == run.case.id,
        WorkOrder.technician_id == technician_id,
        col(WorkOrder.state).in_(ACTIVE_JOBS),
    )
    for order in run.session.exec(query.order_by(col(WorkOrder.id))).all():
        release(run, order, "unavailable", why)
    run.progress.excluded.setdefault(technician_id, why)


def release(run: RunningCase, order: WorkOrder, kind: str, why: str) -> None:
    """Take a job from its technician, and have the step that sent them send somebody else."""
    cancel(run, order)
    run.progress.excluded[order.technician_id] = why
    run.forget_facts(*FACTS)
    run.note(f"technician.{kind}", f"{order.technician_name} {why}")
    if run.case.state != OPEN:
        _tell_person(run)
    has_own_step = any(track.data.get("order") == order.id for track in run.progress.tracks)
    if run.case.state == OPEN and not has_own_step:
        run.progress.tracks.append(Track(order.step, ends_after=order.step))


def cancels_visit(event: CaseEvent) -> bool:
    """Return whether by this event the customer cancels the visit, however that is said."""
    is_reply = event.kind == "reply" and event.data.get("ask") == "confirm"
    return event.kind == "customer.cancelled" or (is_reply and event.data["intent"] == "cancel")


def cancel_job(run: RunningCase, why: str) -> None:
    """Take the job from everybody who has one, and say so; who is done keeps it."""
    query = select(WorkOrder).where(
        WorkOrder.case_id == run.case.id, col(WorkOrder.state).in_(ACTIVE_JOBS)
    )
    orders = run.session.exec(query.order_by(col(WorkOrder.id))).all()
    for order in orders:
        cancel(run, order)
        run.note("work_order.cancelled", f"{order.technician_name}: {why}")
        tell_lost(run, order.contact_id, "job_over")
    if orders:
        clear_calendar(run)


def clear_calendar(run: RunningCase) -> None:
    """Take a visit that does not take place out of the customer's calendar."""
    customer = run.place.customer
    if customer is not None and is_invited(run.session, run.case.id or 0, customer.contact_id):
        run.tell(customer, "customer", "visit_cancelled", [["email"]])


def cancel(run: RunningCase, order: WorkOrder) -> None:
    """End a job before its time."""
    order.state, order.updated_at = "cancelled", run.now
    run.session.add(order)
    run.session.flush()
    run.stop_asking("progress", contact_id=order.contact_id)


def tell_of_change(run: RunningCase, order: WorkOrder) -> None:
    """Let waits follow the visit of whoever comes instead, and the customer know of another time."""
    query = (
        select(WorkOrder)
        .where(
            WorkOrder.case_id == run.case.id,
            WorkOrder.step == order.step,
            WorkOrder.state == "cancelled",
        )
        .order_by(col(WorkOrder.id).desc())
    )
    before = run.session.exec(query).first()
    follow_visit(run, order)
    if before is None or not _was_promised(run, before):
        return
    same = (before.visit_start, before.visit_end) == (order.visit_start, order.visit_end)
    customer = run.place.customer
    if customer is None or same:
        return
    run.progress.facts.pop("customer.confirmed", None)
    run.note("visit.moved", f"the visit moves: {order.technician_name} comes instead")
    run.tell(customer, "customer", "visit_moved", [["preferred"]])


def follow_visit(run: RunningCase, order: WorkOrder) -> None:
    """Let the waits that go by the visit go by its time as it is now."""
    for track in run.progress.tracks:
        step = run.step_at(track.path)
        if track.begun and isinstance(step, Wait) and step.within.visit:
            base = order.visit_start if step.within.visit == "start" else order.visit_end
            track.due_at = epoch_seconds(base) + step.within.seconds


def withdraw_all(run: RunningCase) -> None:
    """After the case is over: whoever still thinks about an offer, or is on the way, is told.

    A case that was handed to a person keeps its technician: that is for the person to decide. So does one
    whose workflow came to its end with the sending of somebody: nothing has said that the job is over.
    """
    offers = select(Offer).where(Offer.case_id == run.case.id, Offer.state == "open")
    for offer in run.session.exec(offers.order_by(col(Offer.id))).all():
        withdraw(run, offer)
    waiting = select(WaitingJob).where(
        WaitingJob.case_id == run.case.id, WaitingJob.state != "over"
    )
    for job in run.session.exec(waiting).all():
        job.state = "over"
        run.session.add(job)
    if run.case.state != CLOSED or run.case.outcome == COMPLETED:
        return
    orders = select(WorkOrder).where(
        WorkOrder.case_id == run.case.id, col(WorkOrder.state).in_(ACTIVE_JOBS)
    )
    for order in run.session.exec(orders.order_by(col(WorkOrder.id))).all():
        if order.state == "arrived":
            order.state, order.updated_at = "done", run.now
            run.session.add(order)
            continue
        cancel(run, order)
        run.note("technician.released", f"{order.technician_name} is not needed any more")
        tell_lost(run, order.contact_id, "job_over")
        clear_calendar(run)


def withdraw(run: RunningCase, offer: Offer) -> None:
    """Take back an offer that stands, from somebody who has nothing to do with the reason."""
    offer.state, offer.answered_at = "withdrawn", run.now
    run.session.add(offer)
    run.session.flush()
    run.stop_asking("offer", contact_id=offer.contact_id)
    run.note("offer.withdrawn", f"the offer to {offer.technician_name} is withdrawn")
    tell_lost(run, offer.contact_id, "job_over")


def tell_lost(run: RunningCase, contact_id: str, template: str) -> None:
    """Tell somebody that the job is not theirs, once, until it is offered to them again."""
    person = find_present(run.session, contact_id)
    if person is None or contact_id in run.progress.lost:
        return
    run.progress.lost.append(contact_id)
    is_in_calendar = is_invited(run.session, run.case.id or 0, contact_id)
    run.tell(person, "technician", template, [["sms", "email"] if is_in_calendar else ["sms"]])


def forget_lost(run: RunningCase, contact_id: str) -> None:
    """Let somebody to whom the job is offered again hear of its end again."""
    run.progress.lost = [one for one in run.progress.lost if one != contact_id]


def _tell_person(run: RunningCase) -> None:
    """Let those know who look after cases whose workflow sends nobody any more."""
    people = find_role_holders(run.session, _DISPATCHER, run.place.site_id)
    if not people:
        run.note("escalation.nobody", f"nobody is {_DISPATCHER} here", {"role": _DISPATCHER})
    for person in people:
        turns = [["sms"], ["voice"]]
        extra = {"why": "technician_unavailable"}
        run.tell(person, _DISPATCHER, "escalation", turns, Ask("acknowledge"), extra)


def _was_promised(run: RunningCase, order: WorkOrder) -> bool:
    """Return whether the customer was told anything since a job was accepted."""
    query = select(Message.id).where(
        Message.case_id == run.case.id,
        Message.role == "customer",
        Message.created_at >= order.accepted_at,
    )
    return run.session.exec(query.limit(1)).first() is not None
