"""Which question of which case a reply answers.

A reply binds to an open question put to that address. Where several cases wait for an answer that
would fit, the case number in the reply decides; without one the person is asked which.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from notify.message import Delivery, Message
from notify.replies.answering import ask_back, ask_which
from notify.replies.inbound import Reply
from notify.replies.intents import TALK
from notify.replies.meaning import Meaning, meant, read_meaning
from notify.templating import Templates
from prevenant.tables import CaseEvent, add_case_event


def messages_to(session: Session, address: str) -> list[Message]:
    """Return the latest messages to an address, newest first."""
    query = (
        select(Message)
        .where(col(Message.id).in_(select(Delivery.message_id).where(Delivery.address == address)))
        .order_by(col(Message.id).desc())
        .limit(50)
    )
    return list(session.exec(query))


def bind(
    session: Session,
    templates: Templates,
    reply: Reply,
    latest: Sequence[Message],
    now: datetime,
) -> None:
    """Give a reply to the case that it answers, or ask back; `latest` was said last to its address."""
    meaning = read_meaning(reply.text)
    asked = [m for m in latest if m.ask and (m.ask_until is None or m.ask_until >= now)]
    if meaning.intent == TALK:
        # Whoever wants a person gets one, and is not asked about which case.
        fitting = [m for m in latest if m.case_id is not None][:1]
    else:
        fitting = [m for m in asked if m.ask_open and meant(m, meaning)]
        if not fitting and not any(m.ask_open for m in asked):
            # A late answer still goes to its case, which says that it came too late.
            fitting = [m for m in latest if m.ask and meant(m, meaning)][:1]
    numbered = [m for m in fitting if m.case_id == meaning.case_id]
    fitting = numbered or fitting
    if not fitting:
        reply.outcome = "unclear"
        question = next((m for m in asked if m.ask_open), None)
        ask_back(session, templates, reply, latest[0], "reply_unclear", question, now)
    elif len({m.case_id for m in fitting}) > 1:
        reply.outcome = "ambiguous"
        ask_which(session, templates, reply, fitting, now)
    else:
        give_to_case(session, reply, fitting[0], meaning, now)


def give_to_case(
    session: Session, reply: Reply, message: Message, meaning: Meaning, now: datetime
) -> None:
    """Bind a reply to the message that it answers, and let its case hear it."""
    reply.outcome = "bound"
    reply.message_id = message.id
    reply.case_id = message.case_id
    reply.intent = meant(message, meaning) if message.ask else meaning.intent
    if message.case_id is None:
        return
    data: dict[str, Any] = {
        "message": message.key,
        "ask": message.ask,
        "contact": message.contact_id,
        "name": message.name,
        "role": message.role,
        "intent": reply.intent,
        "number": meaning.number,
        "text": reply.text,
        "channel": reply.channel,
    }
    event = CaseEvent(
        key=f"reply:{reply.provider_id}",
        kind="reply",
        at=now,
        urgency=message.severity,
        case_id=message.case_id,
        data=data,
    )
    add_case_event(session, event)
