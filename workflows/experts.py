"""A technician who asks an expert: the question goes to the experts' chat, with what the case is about."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from notify import find_conversation
from prevenant.crm.directory import find_role_holders
from prevenant.tables import CaseEvent, TimelineEntry
from workflows.running import DISPATCHER, RunningCase
from workflows.tables import WorkOrder

ASK = "ask_expert"
"""What such a reply means."""
ROLE = "expert"
"""Whoever has it is asked: a person, or a contact whose chat address is a room."""
_ASKED, _ANSWERED = "expert.asked", "desk.said"
_TURNS = [["chat"], ["sms", "email"], ["voice"]]
_LONGEST = 500


@dataclass(frozen=True, slots=True)
class Spoken:
    """What a technician asked, or what somebody at a desk wrote back."""

    at: datetime
    who: str
    text: str
    is_question: bool


def find_talk(session: Session, case_id: int, contact_id: str) -> Sequence[Spoken]:
    """Return what a technician asked about a job and what was written to them from a desk, in order."""
    query = select(TimelineEntry).where(
        TimelineEntry.case_id == case_id, col(TimelineEntry.kind).in_([_ASKED, _ANSWERED])
    )
    lines = session.exec(query.order_by(col(TimelineEntry.id)))
    talk = [_spoken(one) for one in lines if one.detail.get("contact") == contact_id]
    return talk if any(one.is_question for one in talk) else []


def _spoken(line: TimelineEntry) -> Spoken:
    if line.kind == _ASKED:
        who, text = line.detail["name"], line.detail["said"]
        return Spoken(line.at, str(who), str(text), is_question=True)
    who, text = line.detail["by"], line.detail["text"]
    return Spoken(line.at, str(who), str(text), is_question=False)


def ask(run: RunningCase, order: WorkOrder, event: CaseEvent) -> None:
    """Put a technician's question to the experts; where there are none, to the dispatchers."""
    question = str(event.data.get("text", "")).strip()[:_LONGEST]
    site_id = run.place.site_id
    role = ROLE
    people = find_role_holders(run.session, role, site_id)
    if not people:
        role = DISPATCHER
        people = find_role_holders(run.session, role, site_id)
    if not people:
        run.note("expert.nobody", f"{order.technician_name} asks, and nobody is {ROLE} here")
        return
    names = ", ".join(person.name for person in people)
    run.note(
        _ASKED,
        f"{order.technician_name} asks {names}",
        {"said": question, "name": order.technician_name, "contact": order.contact_id},
    )
    talk = find_conversation(run.session, run.case.id or 0, order.contact_id)
    extra = {
        "said": question,
        "who": order.technician_name,
        "conversation": [f"{one.who or 'Prevenant'}: {one.text}" for one in talk],
    }
    run.tell_all(people, role, "expert_wanted", _TURNS, extra=extra)
