"""What somebody presses on a page of ours: taken as a reply to a message, like any other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from notify.message import Message
from notify.replies.inbound import BOUND, Reply
from prevenant.tables import CaseEvent, add_case_event, add_timeline

LINK = "link"
"""The channel of such a reply."""
_LONGEST = 2_000


@dataclass(frozen=True, slots=True)
class Pressed:
    """What was pressed: nothing has to be understood."""

    key: str
    """Ours for one form of one page: sent twice it is one reply."""
    ask: str
    """The kind of question that it answers."""
    intent: str
    number: int | None = None
    text: str = ""
    """What was written beside it."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What the case is to know beside that."""


def find_question(session: Session, case_id: int, contact_id: str, ask: str = "") -> Message | None:
    """Return the latest message of a case to somebody; with `ask`, the latest that asks that."""
    query = select(Message).where(Message.case_id == case_id, Message.contact_id == contact_id)
    if ask:
        query = query.where(Message.ask == ask)
    return session.exec(query.order_by(col(Message.id).desc()).limit(1)).first()


def take_pressed(session: Session, question: Message, pressed: Pressed, now: datetime) -> Reply:
    """Record what was pressed, and let the case hear it, in the transaction of `session`."""
    number = f"{LINK}-{pressed.key}"
    known = session.exec(select(Reply).where(Reply.provider_id == number)).first()
    if known is not None:
        return known
    reply = Reply(
        provider_id=number,
        channel=LINK,
        address="",
        contact_id=question.contact_id,
        text=pressed.text[:_LONGEST],
        received_at=now,
        message_id=question.id,
        case_id=question.case_id,
        intent=pressed.intent,
        outcome=BOUND,
        reason="pressed on a page",
    )
    session.add(reply)
    is_over = question.ask_until is not None and question.ask_until <= now
    data = {
        **pressed.details,
        "message": question.key,
        "ask": pressed.ask,
        "contact": question.contact_id,
        "name": question.name,
        "role": question.role,
        "intent": pressed.intent,
        "number": pressed.number,
        "text": reply.text,
        "channel": LINK,
        "late": is_over or (question.ask == pressed.ask and not question.ask_open),
    }
    event = CaseEvent(
        key=f"reply:{number}",
        kind="reply",
        at=now,
        urgency=question.severity,
        case_id=question.case_id,
        data=data,
    )
    add_case_event(session, event)
    understood = pressed.intent.replace("_", " ").replace(":", " ")
    add_timeline(
        session,
        now,
        "reply",
        f"{question.name} replies by link: {understood}",
        case_id=question.case_id,
        detail={"text": reply.text, "intent": pressed.intent, "channel": LINK, "outcome": BOUND},
    )
    return reply
