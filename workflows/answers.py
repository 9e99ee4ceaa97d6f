"""What people's replies mean for a case, beside the step that may be waiting for them."""

from notify import Ask
from prevenant.crm.directory import find_person, find_role_holders
from prevenant.tables import CaseEvent
from workflows import offers, redispatch
from workflows.running import RunningCase
from workflows.tables import OPEN, WorkOrder

DISPATCHER = "dispatcher"
"""The role that answers customers who ask for a person."""

_JOB_STATES = {"en_route": "en_route", "arrived": "arrived", "done": "done"}


def take(run: RunningCase, event: CaseEvent) -> None:
    """Take a reply to any question of the case."""
    answer = event.data
    intent = answer["intent"]
    if intent == "talk":
        _call_person(run, event, "person")
        return
    match answer["ask"]:
        case "offer":
            _take_offer_answer(run, event)
        case "acknowledge" if intent == "accept":
            _acknowledge(run, event)
        case "acknowledge":
            run.note("declined", f"{answer['name']} does not take it")
        case "progress":
            _take_progress(run, event)
        case "confirm" if intent == "accept":
            run.set_fact("customer.confirmed")
            run.stop_asking("confirm", contact_id=answer["contact"])
            run.note("customer.confirmed", f"{answer['name']} confirms the visit")
        case "confirm":
            run.set_fact("customer.moved")
            run.stop_asking("confirm", contact_id=answer["contact"])
            _call_person(run, event, "other_time")
        case "rating":
            run.case.rating = answer["number"]
            run.stop_asking("rating", contact_id=answer["contact"])
            run.note("customer.rated", f"{answer['name']} rates the visit {answer['number']} of 5")


def _acknowledge(run: RunningCase, event: CaseEvent) -> None:
    """Give the case to the first who takes it; tell the second who has it."""
    if "acknowledged" in run.progress.facts or run.case.state != OPEN:
        person = find_person(run.session, event.data["contact"])
        if person and run.case.owner and run.case.owner != person.name:
            run.note("taken.already", f"{person.name} would take it too")
            extra = {"owner": run.case.owner}
            run.tell(person, event.data["role"], "taken_already", [["sms"]], extra=extra)
        return
    run.case.owner = event.data["name"]
    run.set_fact("acknowledged")
    run.stop_asking("acknowledge")
    run.note("acknowledged", f"{event.data['name']} ({event.data['role']}) takes it")


def _take_offer_answer(run: RunningCase, event: CaseEvent) -> None:
    """Tell someone who answers too late; an open offer is the business of its step."""
    contact_id = event.data["contact"]
    if offers.has_open_offer(run, contact_id):
        return
    order = run.work_order()
    if event.data["intent"] != "accept" or (order and order.contact_id == contact_id):
        return
    person = find_person(run.session, contact_id)
    run.note("offer.late", f"{event.data['name']} accepts too late")
    if person:
        run.tell(person, "technician", "job_gone" if order else "job_over", [["sms"]])


def _take_progress(run: RunningCase, event: CaseEvent) -> None:
    order = run.work_order()
    intent = event.data["intent"]
    if order is not None and order.contact_id == event.data["contact"] and intent == "cancel":
        redispatch.release(run, order, "cancelled", "cannot come after all")
        return
    if order is None or order.contact_id != event.data["contact"] or intent not in _JOB_STATES:
        return
    order.state, order.updated_at = _JOB_STATES[intent], run.now
    run.set_fact(f"technician.{intent}")
    if intent == "done":
        # Who is done was there, whether or not the arrival was reported.
        run.progress.facts.setdefault("technician.arrived", run.progress.facts["technician.done"])
        order.cause = _cause(event.data["text"])
        run.stop_asking("progress", contact_id=order.contact_id)
    run.session.add(order)
    _tell_progress(run, order, intent)


def _tell_progress(run: RunningCase, order: WorkOrder, intent: str) -> None:
    words = {"en_route": "is on the way", "arrived": "has arrived", "done": "is done"}[intent]
    cause = f": {order.cause}" if intent == "done" and order.cause else ""
    run.note(f"technician.{intent}", f"{order.technician_name} {words}{cause}")


def _call_person(run: RunningCase, event: CaseEvent, wish: str) -> None:
    """Have a person take over from the machine, at once, with what was said."""
    answer = event.data
    extra = {"wish": wish, "said": answer["text"][:160]}
    people = find_role_holders(run.session, DISPATCHER, run.place.site_id)
    run.note(
        "person.wanted", f"{answer['name']} wants a person", {"wish": wish, "said": answer["text"]}
    )
    if not people:
        run.note("escalation.nobody", f"nobody is {DISPATCHER} here", {"role": DISPATCHER})
    for person in people:
        run.tell(
            person,
            DISPATCHER,
            "customer_needs_person",
            [["sms"], ["email"]],
            Ask("acknowledge"),
            extra,
        )
    customer = find_person(run.session, answer["contact"])
    if customer and people:
        run.tell(customer, answer["role"], "person_will_call", [[answer["channel"]], ["sms"]])


def _cause(text: str) -> str:
    """Return what a technician says beside "done": `3 seal worn` is `seal worn`."""
    return text.strip().lstrip("3").removeprefix("done").strip(" ,.:-")[:200]
