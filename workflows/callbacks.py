"""Call-backs: somebody needs a person instead of a machine, and people are asked until one takes it.

A call-back is part of the case's progress and has a deadline of its own: it outlives the workflow, kills
and restarts, and is asked again until somebody takes it or works on the case at the desk.
"""

from notify import Ask, find_conversation
from prevenant.clock import epoch_seconds
from prevenant.crm.directory import find_present
from prevenant.tables import CaseEvent
from workflows.recipients import people_of
from workflows.running import DISPATCHER, CallBack, RunningCase
from workflows.tables import ACTIVE_JOBS

_ASK_EVERY_S = 900.0
_ASKED_OFTEN = 3
"""How many rounds are asked at that pace, before it is once a day."""
_DAY_S, _HOUR_S = 86_400.0, 3_600.0
_TURNS = [["sms"], ["email"]]
_TURNS_AGAIN = [["sms", "email"], ["voice"]]
_SHOWN = 160
WISHES = {
    "talk": "person",
    "complaint": "complaint",
    "anger": "anger",
    "misunderstood": "misunderstood",
}
"""What a reply means that only a person can answer, and the phrase of the templates for it."""
_SORRY = frozenset({"complaint", "anger"})


def request(run: RunningCase, event: CaseEvent, wish: str) -> None:
    """Have a person take over from the machine, at once, with what was said.

    Who waits already is asked for no second time: what they say meanwhile stands in the story.
    """
    answer = event.data
    contact = str(answer.get("contact", ""))
    name = str(answer.get("name") or run.place.customer_name or "the customer")
    said = str(answer.get("text") or answer.get("note") or "")
    role = str(answer.get("role", "customer"))
    detail = {"wish": wish, "said": said, "role": role}
    run.note("person.wanted", f"{name} wants a person", detail)
    waiting = next((one for one in _waiting(run) if one.contact == contact), None)
    if waiting is not None:
        waiting.said, waiting.wish = said[:_SHOWN], _stronger(waiting.wish, wish)
        return
    callback = CallBack(contact, name, wish, said[:_SHOWN], epoch_seconds(run.now))
    run.progress.callbacks = [*run.progress.callbacks, callback]
    if _ask(run, callback):
        _tell_customer(run, event, contact, wish)


def take(run: RunningCase, event: CaseEvent) -> None:
    """Take that somebody who was asked calls back, or does not."""
    name, contact = str(event.data["name"]), str(event.data["contact"])
    if event.data["intent"] != "accept":
        run.note("declined", f"{name} does not call back")
        return
    if _waiting(run):
        settle(run, name)
        return
    taken_by = next((one.taken_by for one in reversed(run.progress.callbacks)), "")
    person = find_present(run.session, contact)
    if person is not None and taken_by not in {"", name}:
        run.note("taken.already", f"{name} would call back too")
        role = str(event.data["role"])
        run.tell(person, role, "taken_already", [["sms"]], extra={"owner": taken_by})


def settle(run: RunningCase, by: str) -> None:
    """Let everybody who waits in this case be called back by somebody."""
    waiting = _waiting(run)
    for callback in waiting:
        callback.taken_by, callback.due_at = by or "somebody", None
        run.note("person.found", f"{callback.taken_by} calls {callback.name} back")
    if waiting:
        run.stop_asking("person")


def expire(run: RunningCase) -> None:
    """Ask again for a person whom nobody has taken the call-back of."""
    now = epoch_seconds(run.now)
    for callback in _waiting(run):
        if callback.due_at is not None and callback.due_at <= now:
            _ask(run, callback)


def postpone(run: RunningCase, later: float) -> bool:
    """Let nobody be asked for before a time, in seconds since 1970; return whether anybody waits."""
    waiting = _waiting(run)
    for callback in waiting:
        if callback.due_at is not None:
            callback.due_at = max(later, callback.due_at)
    return bool(waiting)


def _waiting(run: RunningCase) -> list[CallBack]:
    return [one for one in run.progress.callbacks if not one.taken_by]


def _stronger(before: str, wish: str) -> str:
    """Return the wish to be told: whoever becomes angry is so from then on."""
    return wish if wish == "anger" or before == "misunderstood" else before


def _ask(run: RunningCase, callback: CallBack) -> bool:
    """Ask everybody who may call back; return whether there is anybody."""
    people = people_of(run, DISPATCHER)
    pace = _ASK_EVERY_S if callback.asked < _ASKED_OFTEN else _DAY_S
    callback.due_at = epoch_seconds(run.now) + (pace if people else _HOUR_S)
    if not people:
        run.note("escalation.nobody", f"nobody is {DISPATCHER} here", {"role": DISPATCHER})
        return False
    again = f", for the {callback.asked + 1}th time" if callback.asked > _ASKED_OFTEN - 1 else ""
    names = ", ".join(person.name for person in people)
    run.note("person.asked", f"{names} asked to call {callback.name} back{again}")
    turns = _TURNS_AGAIN if callback.asked else _TURNS
    callback.asked += 1
    order = run.work_order()
    extra = {
        "planned": order is not None and order.state in ACTIVE_JOBS,
        "wish": callback.wish,
        "said": callback.said,
        "who": callback.name,
        "conversation": [
            f"{one.who or 'Prevenant'}: {one.text}"
            for one in find_conversation(run.session, run.case.id or 0, callback.contact)
        ],
    }
    for person in people:
        run.tell(person, DISPATCHER, "customer_needs_person", turns, Ask("person"), extra)
    return True


def turns_of(event: CaseEvent) -> list[list[str]]:
    """Return the channels by which a reply is answered: that on which it came, but nobody is called back.

    Who pressed a key has heard what follows from it, and may be speaking still.
    """
    channel = str(event.data.get("channel", "preferred"))
    if channel == "link":
        return [["preferred"]]
    return [["sms"], ["email"]] if channel == "voice" else [[channel], ["sms"]]


def _tell_customer(run: RunningCase, event: CaseEvent, contact: str, wish: str) -> None:
    customer = find_present(run.session, contact)
    if customer is None:
        return
    role = str(event.data.get("role", "customer"))
    turns = turns_of(event)
    template = "complaint_received" if wish in _SORRY else "person_will_call"
    run.tell(customer, role, template, turns)
