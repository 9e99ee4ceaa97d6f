"""Taking a reply: recorded once, bound to the question that it answers, and told to its case."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import structlog
from sqlmodel import Session, col, select

from notify.consent import (
    record_start,
    record_stop,
    wants_help,
    wants_no_calls,
    wants_start,
    wants_stop,
)
from notify.message import Message
from notify.replies.answering import Answerer
from notify.replies.binding import (
    Bound,
    Way,
    bind,
    find_answered,
    find_contacts,
    find_latest,
)
from notify.replies.inbound import (
    AMBIGUOUS,
    AUTOMATIC,
    BOUND,
    HANDED_OFF,
    HELPED,
    NOTED,
    OPTED_IN,
    OPTED_OUT,
    THANKED,
    UNCLEAR,
    UNKNOWN,
    Inbound,
    Reply,
)
from notify.replies.intents import FOR_A_PERSON, MISUNDERSTOOD, SURVEYS
from notify.replies.meaning import Meaning, meant, read_meaning
from notify.templating import Templates
from prevenant.consent import GRANTED, WITHDRAWN, Consent, find_consent, record_consent
from prevenant.tables import CaseEvent, add_case_event, add_timeline

log = structlog.get_logger()

_OUTCOMES = {
    Way.GIVE: BOUND,
    Way.THANK: THANKED,
    Way.NOTE: NOTED,
    Way.ASK_AGAIN: UNCLEAR,
    Way.ASK_WHICH: AMBIGUOUS,
    Way.HAND_OFF: HANDED_OFF,
    Way.LEAVE: UNCLEAR,
}
_EARLIER = 5
VOICE = "voice"
_BY_NUMBER = frozenset({"sms", "whatsapp"})
"""The channels whose addresses can be called."""
_SAID_THERE = frozenset({"reply", "provider", "link"})
"""Sources of a word on a channel that came from the address itself."""


def receive(
    session: Session,
    templates: Templates,
    inbound: Inbound,
    now: datetime,
    question: Message | None = None,
    meaning: Meaning | None = None,
) -> Reply:
    """Record a reply, bind it, and give it to its case, in the transaction of `session`.

    `question` is what it answers where that is known, as with a key pressed in a call; `meaning` what
    it says, where that was read before the transaction. The same inbound message received twice changes
    nothing.
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
        outcome=UNKNOWN,
    )
    answerer = Answerer(session, templates, reply, now)
    contacts = find_contacts(session, inbound)
    latest = find_latest(session, contacts)
    reply.contact_id = latest[0].contact_id if latest else next(iter(contacts), "")
    meaning = meaning or read_meaning(inbound.text)
    if inbound.is_automatic:
        reply.outcome, reply.reason = AUTOMATIC, "a machine wrote it"
    elif inbound.is_unproven:
        reply.contact_id, reply.reason = "", "its sender is not proven (dmarc=fail)"
    elif question is not None:
        _take_key(session, reply, question, meaning, is_last=inbound.is_last)
    elif wants_stop(inbound.text, inbound.channel) or wants_start(inbound.text):
        _take_consent(session, answerer, reply, contacts, latest)
    elif wants_no_calls(inbound.text):
        _end_calls(session, answerer, reply, contacts, latest)
    elif latest and wants_help(inbound.text):
        reply.outcome, reply.message_id = HELPED, latest[0].id
        answerer.help(latest[0])
    elif latest:
        answered = find_answered(session, inbound)
        thread = answered.case_id if answered is not None else inbound.thread
        earlier = _find_earlier(session, contacts)
        bound = bind(earlier, latest, meaning, now, thread)
        _follow(session, answerer, reply, bound, meaning, latest)
    if reply.outcome == UNKNOWN:
        log.info("a reply from an unknown address", channel=reply.channel)
    session.add(reply)
    mine = [one.name for one in latest if one.contact_id == reply.contact_id]
    _tell_story(session, reply, mine[0] if mine else "somebody unknown", now)
    return reply


def _tell_story(session: Session, reply: Reply, name: str, now: datetime) -> None:
    understood = (reply.intent or "").replace("_", " ").replace(":", " ") or reply.outcome
    add_timeline(
        session,
        now,
        "reply",
        f"{name} replies by {reply.channel}, understood as: {understood}",
        case_id=reply.case_id,
        detail={
            "text": reply.text,
            "intent": reply.intent,
            "channel": reply.channel,
            "outcome": reply.outcome,
            "reason": reply.reason,
        },
    )


def _find_earlier(session: Session, contacts: Sequence[str]) -> list[Reply]:
    """Return the last replies of some contacts, newest first, without what machines wrote."""
    query = select(Reply).where(
        col(Reply.contact_id).in_(contacts), Reply.contact_id != "", Reply.outcome != AUTOMATIC
    )
    return list(session.exec(query.order_by(col(Reply.id).desc()).limit(_EARLIER)))


def _take_key(
    session: Session, reply: Reply, question: Message, meaning: Meaning, *, is_last: bool
) -> None:
    """Take the key pressed in a call as the answer to the call's own question.

    Whoever cannot be asked again is handed to a person; a survey is not worth one.
    """
    now = reply.received_at
    reply.contact_id, reply.reason = question.contact_id, meaning.reason
    intent = meant(question, meaning)
    if not intent and is_last and question.ask not in SURVEYS:
        reply.outcome, reply.reason = HANDED_OFF, f"{meaning.reason}: no answer, again"
        bound = Bound(Way.HAND_OFF, [question], MISUNDERSTOOD)
        _give_to_case(session, reply, question, bound, meaning, now)
        return
    if not intent:
        reply.outcome = UNCLEAR
        return
    reply.outcome = BOUND
    is_over = question.ask_until is not None and question.ask_until <= now
    is_late = is_over or not question.ask_open
    bound = Bound(Way.GIVE, [question], intent, is_late=is_late, number=meaning.number)
    _give_to_case(session, reply, question, bound, meaning, now)


def _follow(
    session: Session,
    answerer: Answerer,
    reply: Reply,
    bound: Bound,
    meaning: Meaning,
    latest: Sequence[Message],
) -> None:
    """Do what was decided about a reply."""
    reply.outcome, reply.reason = _OUTCOMES[bound.way], bound.reason
    message = bound.messages[0] if bound.messages else None
    if message is not None:
        reply.contact_id = message.contact_id
    match bound.way:
        case Way.GIVE | Way.HAND_OFF if message is not None:
            _give_to_case(session, reply, message, bound, meaning, reply.received_at)
        case Way.GIVE | Way.HAND_OFF:
            # Nothing that was ever said to this contact belongs to a case: the story shows it.
            reply.outcome, reply.intent = NOTED, bound.intent
        case Way.THANK | Way.NOTE if message is not None:
            reply.case_id, reply.intent = message.case_id, bound.intent
        case Way.ASK_WHICH:
            answerer.ask_which(bound.messages)
        case Way.ASK_AGAIN:
            question = message if message is not None and message.ask_open else None
            answerer.ask_again(message or latest[0], question)


def _give_to_case(
    session: Session,
    reply: Reply,
    message: Message,
    bound: Bound,
    meaning: Meaning,
    now: datetime,
) -> None:
    """Bind a reply to the message that it answers, and let its case hear it."""
    reply.message_id = message.id
    reply.case_id = message.case_id
    reply.intent = bound.intent
    if message.case_id is None:
        return
    data: dict[str, Any] = {
        "message": message.key,
        "ask": message.ask,
        "contact": message.contact_id,
        "name": message.name,
        "role": message.role,
        "intent": reply.intent,
        "number": bound.number,
        "text": reply.text,
        "channel": reply.channel,
        "late": bound.is_late,
    }
    if meaning.intent in FOR_A_PERSON and bound.intent not in FOR_A_PERSON:
        data["wish"] = meaning.intent
    event = CaseEvent(
        key=f"reply:{reply.provider_id}",
        kind="reply",
        at=now,
        urgency=message.severity,
        case_id=message.case_id,
        data=data,
    )
    add_case_event(session, event)


def _take_consent(
    session: Session,
    answerer: Answerer,
    reply: Reply,
    contacts: Sequence[str],
    latest: Sequence[Message],
) -> None:
    """Take STOP or START as the word of whoever was last written to there, and of the address for all.

    What STOP took back for others at that address, START gives them again.
    """
    now = reply.received_at
    stops = wants_stop(reply.text, reply.channel)
    reply.outcome = OPTED_OUT if stops else OPTED_IN
    message = _settle_whose(reply, contacts, latest)
    if not stops:
        _allow_calls(session, reply, contacts)
    if message is not None:
        others = (
            []
            if stops
            else [one for one in contacts[1:] if _has_stopped(session, reply.channel, one)]
        )
        for contact_id in (message.contact_id, *others):
            _record_word(session, reply, contact_id, reply.channel, WITHDRAWN if stops else GRANTED)
    if stops:
        record_stop(session, reply.channel, reply.address, reply.text, now)
    else:
        record_start(session, reply.channel, reply.address)
        if message is not None:
            answerer.welcome_back(message)


def _end_calls(
    session: Session,
    answerer: Answerer,
    reply: Reply,
    contacts: Sequence[str],
    latest: Sequence[Message],
) -> None:
    """Take *stop calling me*, on whatever channel it is written, as STOP for calls; and say so."""
    reply.outcome, reply.reason = OPTED_OUT, "no more calls"
    message = _settle_whose(reply, contacts, latest)
    if reply.channel in _BY_NUMBER:
        record_stop(session, VOICE, reply.address, reply.text, reply.received_at)
    if message is not None:
        _record_word(session, reply, message.contact_id, VOICE, WITHDRAWN)
        answerer.promise_no_calls(message)


def _allow_calls(session: Session, reply: Reply, contacts: Sequence[str]) -> None:
    """Let START take back that somebody wanted no calls, too."""
    if reply.channel in _BY_NUMBER:
        record_start(session, VOICE, reply.address)
    for contact_id in contacts:
        if _has_stopped(session, VOICE, contact_id):
            _record_word(session, reply, contact_id, VOICE, GRANTED)


def _settle_whose(
    reply: Reply, contacts: Sequence[str], latest: Sequence[Message]
) -> Message | None:
    """Take a reply as the word of whoever was last written to there; return what was said to them last."""
    own = (one for one in latest if one.contact_id == contacts[0])
    message = next(own, latest[0] if latest else None)
    if message is not None:
        reply.contact_id, reply.message_id = message.contact_id, message.id
    return message


def _record_word(session: Session, reply: Reply, contact_id: str, channel: str, state: str) -> None:
    word = Consent(
        contact_id=contact_id,
        channel=channel,
        state=state,
        at=reply.received_at,
        source="reply",
        proof=reply.text[:200],
    )
    record_consent(session, word)


def _has_stopped(session: Session, channel: str, contact_id: str) -> bool:
    """Return whether a contact has ended a channel by a word of their own at the address itself."""
    word = find_consent(session, contact_id, channel)
    return word is not None and word.state == WITHDRAWN and word.source in _SAID_THERE
