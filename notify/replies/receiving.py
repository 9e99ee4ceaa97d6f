"""Taking a reply: recorded once, bound to the question that it answers, and told to its case."""

from collections.abc import Sequence
from datetime import datetime

import structlog
from sqlmodel import Session, select

from notify.consent import record_start, record_stop, wants_start, wants_stop
from notify.message import Message
from notify.replies.answering import ask_back
from notify.replies.binding import bind, give_to_case, messages_to
from notify.replies.inbound import Inbound, Reply
from notify.replies.meaning import meant, read_meaning
from notify.templating import Templates
from prevenant.consent import GRANTED, WITHDRAWN, Consent, record_consent
from prevenant.tables import add_timeline

log = structlog.get_logger()


def receive(
    session: Session,
    templates: Templates,
    inbound: Inbound,
    now: datetime,
    question: Message | None = None,
) -> Reply:
    """Record a reply, bind it, and give it to its case, in the transaction of `session`.

    `question` is what it answers where that is known, as with a key pressed in a call. The same inbound
    message received twice changes nothing.
    """
    known = session.exec(select(Reply).where(Reply.provider_id == inbound.provider_id)).first()
    if known is not None:
        return known
    reply = Reply(
        provider_id=inbound.provider_id,
        channel=inbound.channel,
        address=inbound.address,
        text=inbound.text[:2_000],
        received_at=now,
        outcome="unknown sender",
    )
    session.add(reply)
    latest = messages_to(session, inbound.address)
    if question is not None:
        meaning = read_meaning(inbound.text)
        if meant(question, meaning):
            give_to_case(session, reply, question, meaning, now)
        else:
            reply.outcome = "unclear"
    elif wants_stop(inbound.text) or wants_start(inbound.text):
        _take_consent(session, templates, reply, latest, now)
    elif latest:
        bind(session, templates, reply, latest, now)
    if reply.outcome == "unknown sender":
        log.info("a reply from an unknown address", channel=reply.channel)
    add_timeline(
        session,
        now,
        "reply",
        _summary(reply, latest[0].name if latest else "somebody unknown"),
        case_id=reply.case_id,
        detail={"text": reply.text, "intent": reply.intent, "channel": reply.channel},
    )
    return reply


def _summary(reply: Reply, name: str) -> str:
    understood = (reply.intent or "").replace("_", " ").replace(":", " ") or reply.outcome
    return f"{name} replies by {reply.channel}, understood as: {understood}"


def _take_consent(
    session: Session, templates: Templates, reply: Reply, latest: Sequence[Message], now: datetime
) -> None:
    stops = wants_stop(reply.text)
    reply.outcome = "opted out" if stops else "opted in"
    reply.message_id = latest[0].id if latest else None
    if latest:
        word = Consent(
            contact_id=latest[0].contact_id,
            channel=reply.channel,
            state=WITHDRAWN if stops else GRANTED,
            at=now,
            source="reply",
            proof=reply.text[:200],
        )
        record_consent(session, word)
    if stops:
        record_stop(session, reply.channel, reply.address, reply.text, now)
    else:
        record_start(session, reply.channel, reply.address)
        if latest:
            ask_back(session, templates, reply, latest[0], "reply_started", None, now)
