"""What people's replies mean for a case, beside the step that may be waiting for them."""

from prevenant.crm.directory import find_present
from prevenant.tables import CaseEvent
from workflows import callbacks, experts, offers, questions, redispatch, surveys, visits
from workflows.closing import CODES, read_code
from workflows.definition import Dispatch
from workflows.running import RunningCase
from workflows.tables import OPEN, WorkOrder

_JOB_WORDS = {"en_route": "is on the way", "arrived": "has arrived", "done": "is done"}
_VISIT_ANSWERS = {"accept": "confirmed", "decline": "moved", "cancel": "cancelled"}
_VISIT_WORDS = {
    "confirmed": "confirms the visit",
    "moved": "wants the visit at another time",
    "cancelled": "cancels the visit",
}


def take(run: RunningCase, event: CaseEvent) -> None:
    """Take a reply to any question of the case."""
    answer = event.data
    intent = answer["intent"]
    if intent not in callbacks.WISHES:
        _take_answer(run, event)
    # Who answers by a number may want a person all the same.
    wish = callbacks.WISHES.get(answer.get("wish") or intent)
    if wish is not None:
        callbacks.request(run, event, wish)


def _take_answer(run: RunningCase, event: CaseEvent) -> None:
    """Take what was answered to a question."""
    answer = event.data
    intent = answer["intent"]
    match answer["ask"]:
        case "offer":
            _take_offer_answer(run, event)
        case "acknowledge" if intent == "accept":
            _acknowledge(run, event)
        case "acknowledge":
            run.note("declined", f"{answer['name']} does not take it")
        case "person":
            callbacks.take(run, event)
        case "progress":
            _take_progress_answer(run, event)
        case "confirm" if intent in _VISIT_ANSWERS:
            take_visit_answer(run, _VISIT_ANSWERS[intent], event)
        case "rating" | "nps" | "ces":
            surveys.take_rating(run, event)
        case str() as ask if ask.startswith("question:"):
            questions.take_answer(run, event)


def _take_progress_answer(run: RunningCase, event: CaseEvent) -> None:
    """Take what a technician who has a job says of it; somebody else's word means nothing."""
    order, intent = run.work_order(event.data["contact"]), str(event.data["intent"])
    if order is None:
        return
    if intent == "cancel":
        reason = str(event.data.get("reason", "")).strip()[:120]
        why = f"cannot come after all{f': {reason}' if reason else ''}"
        redispatch.release(run, order, "cancelled", why)
    elif intent == experts.ASK:
        experts.ask(run, order, event)
    elif "code" in event.data:
        order.parts = str(event.data.get("parts", ""))[:200]
        take_progress(run, order, intent, str(event.data["cause"]), str(event.data["code"]))
    else:
        code, cause = read_code(_cause(event.data["text"]))
        take_progress(run, order, intent, cause, code)


def take_progress(
    run: RunningCase, order: WorkOrder | None, state: str, cause: str, code: str = ""
) -> None:
    """Take how far the technician of a job has come: `en_route`, `arrived` or `done`."""
    if order is None or state not in _JOB_WORDS or _is_behind(state, order.state):
        return
    order.state, order.updated_at = state, run.now
    run.set_fact(f"technician.{state}")
    if state == "done":
        # Who is done was there, whether or not the arrival was reported.
        run.progress.facts.setdefault("technician.arrived", run.progress.facts["technician.done"])
        order.cause, order.code = cause[:200], code if code in CODES else ""
        run.stop_asking("progress", contact_id=order.contact_id)
    run.session.add(order)
    parts = f"parts {order.parts}" if order.parts else ""
    said = [order.code.replace("_", " "), order.cause, parts] if state == "done" else []
    because = "".join(f": {one}" for one in said if one)
    summary = f"{order.technician_name} {_JOB_WORDS[state]}{because}"
    run.note(f"technician.{state}", summary, {"order": order.id})


def _is_behind(state: str, reached: str) -> bool:
    """Return whether a job has come further already: word of it may come late."""
    order = [*_JOB_WORDS]
    return reached in order and order.index(state) < order.index(reached)


def take_visit_answer(run: RunningCase, answer: str, event: CaseEvent) -> None:
    """Take that the customer has `confirmed`, `moved` or `cancelled` the visit, however it was said.

    A visit that is moved goes to a person, unless the customer has chosen a time that the technician has;
    one that is cancelled goes there too, and its technician is told.
    """
    if answer == "moved" and visits.SLOT in event.data:
        visits.move(run, event)
        return
    is_fixed = answer == "cancelled" and bool(event.data.get("fixed"))
    name = str(event.data.get("name") or run.place.customer_name or "the customer")
    run.forget_facts(*(f"customer.{one}" for one in _VISIT_WORDS))
    run.set_fact(f"customer.{answer}")
    run.stop_asking("confirm", contact_id=str(event.data.get("contact", "")))
    said = f"{name} {_VISIT_WORDS[answer]}"
    run.note(f"customer.{answer}", f"{said}: it is fixed already" if is_fixed else said)
    if answer == "cancelled":
        redispatch.cancel_job(run, "the customer has cancelled the visit")
        callbacks.request(run, event, "fixed" if is_fixed else "no_visit")
    elif answer == "moved":
        callbacks.request(run, event, "other_time")


def _acknowledge(run: RunningCase, event: CaseEvent) -> None:
    """Give the case to the first who takes it; tell the second who has it."""
    if "acknowledged" in run.progress.facts or run.case.state != OPEN:
        _say_owner(run, event)
        return
    run.case.owner = event.data["name"]
    run.set_fact("acknowledged")
    run.stop_asking("acknowledge")
    run.note("acknowledged", f"{event.data['name']} ({event.data['role']}) takes it")


def _say_owner(run: RunningCase, event: CaseEvent) -> None:
    """Say who has the case, once: a key pressed in a call and an SMS are the same answer."""
    person, owner = find_present(run.session, event.data["contact"]), run.case.owner
    if person is None or not owner or owner == person.name:
        return
    if run.progress.owner_told.get(person.contact_id) == owner:
        run.note("taken.already", f"{person.name} would take it too, and knows who has it")
        return
    run.progress.owner_told[person.contact_id] = owner
    run.note("taken.already", f"{person.name} would take it too")
    run.tell(person, event.data["role"], "taken_already", [["sms"]], extra={"owner": owner})


def _take_offer_answer(run: RunningCase, event: CaseEvent) -> None:
    """Tell someone who answers too late; an open offer is the business of its step."""
    contact_id = event.data["contact"]
    if offers.has_open_offer(run, contact_id):
        return
    order = run.work_order()
    if event.data["intent"] != "accept" or run.work_order(contact_id):
        return
    run.note("offer.late", f"{event.data['name']} accepts too late")
    step = run.step_at(order.step) if order else None
    template = step.gone_template if isinstance(step, Dispatch) else "job_over"
    redispatch.tell_lost(run, contact_id, template)


def _cause(text: str) -> str:
    """Return what a technician says beside "done": `3 seal worn` is `seal worn`."""
    return text.strip().lstrip("3").removeprefix("done").strip(" ,.:-")[:200]
