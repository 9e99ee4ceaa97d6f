"""What somebody at a desk says to the people of a case, and the hand-over of a case to a colleague.

Both are posted as events of the case, and happen when the case hears them: what is said then stands in its
story and its conversation like anything else, under the same rules of consent and quiet hours.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from notify import Message, find_conversation
from prevenant.crm.directory import (
    Person,
    find_customer,
    find_place,
    find_present,
    find_role_holders,
)
from prevenant.errors import ConfigurationError
from prevenant.tables import CaseEvent, add_case_event
from workflows import callbacks
from workflows.deskwork import find_case
from workflows.running import DISPATCHER, RunningCase
from workflows.tables import CLOSED, HANDED_OVER, Case, WorkOrder

SAID, HANDED = "case.said", "case.handed"
CHANNELS = ("sms", "email", "whatsapp", "voice")
"""By which somebody at a desk can speak to people."""
_LONGEST = 1_000
_TURNS = [["sms"], ["email"], ["voice"]]


@dataclass(frozen=True, slots=True)
class Partner:
    """Somebody whom a case concerns: as what, and by which channels they can be reached."""

    contact_id: str
    name: str
    role: str
    channels: tuple[str, ...]


def find_partners(session: Session, case: Case) -> list[Partner]:
    """Return whom one can speak to about a case: the customer, the technicians, whoever was told."""
    place = find_place(session, case.device_type, case.site_id, case.device_id)
    customer = place.customer or find_customer(session, place.customer_id)
    roles: dict[str, str] = {customer.contact_id: "customer"} if customer else {}
    orders = select(WorkOrder.contact_id).where(WorkOrder.case_id == case.id)
    told = select(Message.contact_id, Message.role).where(Message.case_id == case.id)
    for contact_id in session.exec(orders.order_by(col(WorkOrder.id).desc())):
        roles.setdefault(contact_id, "technician")
    for contact_id, role in session.exec(told.order_by(col(Message.id))):
        roles.setdefault(contact_id, role)
    people = {one: find_present(session, one) for one in roles if one}
    return [
        Partner(one, person.name, roles[one], reachable)
        for one, person in people.items()
        if person and (reachable := _channels_of(person))
    ]


def find_colleagues(session: Session, case: Case) -> list[Person]:
    """Return to whom a case can be handed: whoever has a role at its site, by name."""
    roles = select(Message.role).where(Message.case_id == case.id).distinct()
    names = {DISPATCHER, *session.exec(roles)} - {"customer", "site-contact", "technician"}
    found = {
        person.contact_id: person
        for role in sorted(names)
        for person in find_role_holders(session, role, case.site_id)
    }
    return sorted(found.values(), key=lambda one: one.name)


def post_words(
    session: Session, case_id: int, now: datetime, by: str, contact_id: str, channel: str, text: str
) -> None:
    """Let a case say something to somebody. Raises ConfigurationError where that cannot be."""
    case = find_case(session, case_id)
    words = text.strip()
    if not words:
        raise ConfigurationError("write what is to be said")
    if len(words) > _LONGEST:
        message = f"this has {len(words)} characters: say it in {_LONGEST} at most"
        raise ConfigurationError(message)
    partner = next((x for x in find_partners(session, case) if x.contact_id == contact_id), None)
    if partner is None:
        raise ConfigurationError("choose somebody whom the case concerns")
    if channel not in partner.channels:
        message = f"{partner.name} cannot be reached by {channel or 'no channel'}: choose another"
        raise ConfigurationError(message)
    data = {"by": by, "contact": contact_id, "role": partner.role, "channel": channel}
    _post(session, case, SAID, now, {**data, "text": words})


def post_hand_over(
    session: Session, case_id: int, now: datetime, by: str, contact_id: str, note: str
) -> None:
    """Give a case to a colleague. Raises ConfigurationError where that cannot be."""
    case = find_case(session, case_id)
    if case.state == CLOSED:
        message = f"case {case_id} is closed ({case.outcome}): there is nothing left to hand over"
        raise ConfigurationError(message)
    known = {person.contact_id for person in find_colleagues(session, case)}
    if contact_id not in known:
        raise ConfigurationError("choose a colleague who has a role at the site")
    _post(session, case, HANDED, now, {"by": by, "contact": contact_id, "note": note.strip()})


def say(run: RunningCase, event: CaseEvent) -> None:
    """Say to somebody what was written at a desk; no step of the workflow takes it for its own words."""
    data = event.data
    person = find_present(run.session, str(data["contact"]))
    by, channel, text = str(data["by"]), str(data["channel"]), str(data["text"])
    if person is None:
        run.note("desk.unsaid", f"nobody is left to be told by {by}: {text[:80]}")
        return
    said = {"by": by, "text": text, "contact": person.contact_id}
    run.note("desk.said", f"{by} writes to {person.name} by {channel}", said)
    told, facts = run.progress.told, dict(run.progress.facts)
    if _has_written(run, person):
        run.answering = person.contact_id
    extra = {"said": text, "who": by}
    run.tell(person, str(data["role"]), "desk_words", [[channel]], extra=extra)
    run.progress.told, run.progress.facts = told, facts


def hand_over(run: RunningCase, event: CaseEvent) -> None:
    """Give the case to a colleague, who is told; where it still ran by itself, that is over."""
    by, note = str(event.data["by"]), str(event.data["note"])
    person = find_present(run.session, str(event.data["contact"]))
    if person is None or run.case.state == CLOSED:
        run.note("desk.unsaid", f"{by} could not hand it over: nobody is there, or it is closed")
        return
    callbacks.settle(run, person.name)
    said = f": {note[:300]}" if note else ""
    run.case.owner = person.name
    run.set_fact("acknowledged")
    run.set_fact("taken_over")
    run.stop_asking("acknowledge", "person")
    run.note("case.handed", f"{by} hands it over to {person.name}{said}", {"by": by, "note": note})
    run.tell(person, DISPATCHER, "desk_hand_over", _TURNS, extra={"said": note, "who": by})
    if run.case.state != HANDED_OVER and not run.waits_for("taken_over"):
        run.end(HANDED_OVER, f"handed over to {person.name}")


def _post(session: Session, case: Case, kind: str, now: datetime, data: dict[str, str]) -> None:
    key = f"{kind}:{case.id}:{now.timestamp():.6f}:{data['by']}:{data['contact']}"
    if session.exec(select(CaseEvent.id).where(CaseEvent.key == key)).first() is not None:
        return
    event = CaseEvent(
        key=key,
        kind=kind,
        at=now,
        urgency=case.severity,
        case_id=case.id,
        site_id=case.site_id,
        data=data,
    )
    add_case_event(session, event)


def _channels_of(person: Person) -> tuple[str, ...]:
    ordered = sorted(CHANNELS, key=lambda one: one != person.preferred)
    return tuple(one for one in ordered if one in person.addresses)


def _has_written(run: RunningCase, person: Person) -> bool:
    """Return whether somebody waits for an answer: those are never gathered into a digest."""
    said = find_conversation(run.session, run.case.id or 0, person.contact_id)
    return any(one.who for one in said)
