"""Replies: what a person answered, to which question of which case.

A reply binds to an open question put to that address. Where several cases wait for an answer that
would fit, the case number in the reply decides; without one the person is asked which.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlmodel import Field, Session, SQLModel, col, select

from notify.consent import (
    plain_words,
    record_start,
    record_stop,
    wants_help,
    wants_start,
    wants_stop,
)
from notify.message import Delivery, Draft, Message, Recipient, queue_message
from notify.templating import Templates
from prevenant.consent import GRANTED, WITHDRAWN, Consent, record_consent
from prevenant.tables import CaseEvent, add_case_event, add_timeline, utc_column

log = structlog.get_logger()

ACCEPT, DECLINE, CANCEL, EN_ROUTE, ARRIVED, DONE, RATE, TALK = (
    "accept",
    "decline",
    "cancel",
    "en_route",
    "arrived",
    "done",
    "rate",
    "talk",
)
QUESTION = "question"
ANSWER = "answer:"
"""What the intent of an answer to a `question` begins with; the name of the answer follows."""

_NUMBERS = {
    "offer": {1: ACCEPT, 2: DECLINE},
    "acknowledge": {1: ACCEPT, 2: DECLINE},
    "confirm": {1: ACCEPT, 2: DECLINE, 3: CANCEL},
    "progress": {1: EN_ROUTE, 2: ARRIVED, 3: DONE},
    "rating": dict.fromkeys(range(1, 6), RATE),
    "nps": dict.fromkeys(range(11), RATE),
    "ces": dict.fromkeys(range(1, 8), RATE),
}
_PHRASES: Sequence[tuple[str, str]] = (
    (
        TALK,
        r"talk to|speak to|a person|somebody|someone|human|call me|parler a|une personne|quelqu un",
    ),
    (TALK, r"rappelez|appelez moi|conseiller"),
    (EN_ROUTE, r"on (my|the) way|en route|leaving|je pars|j arrive"),
    (ARRIVED, r"\barrived|i am here|on site|sur place|je suis la|arrive\b"),
    (DONE, r"\bdone|finished|fixed|repaired|termine|fini\b|repare|c est fait"),
    (
        CANCEL,
        (
            r"\b(cancel|annulez|annuler|annule|not needed any more|plus besoin)\b"
            r"|^(i )?(cannot|can t) (come|make)|ne (peux|viens) pas|peux plus venir"
        ),
    ),
    (DECLINE, r"^(no|non|nope|decline|cannot|can t|refuse|impossible|another time|un autre)\b"),
    (ACCEPT, r"^(yes|oui|ok|okay|accept|accepte|d accord|sure|je prends|j y vais)\b"),
)
_FITS = {
    "offer": {ACCEPT, DECLINE},
    "acknowledge": {ACCEPT, DECLINE},
    "confirm": {ACCEPT, DECLINE, CANCEL},
    "progress": {EN_ROUTE, ARRIVED, DONE, CANCEL},
    "rating": {RATE},
    "nps": {RATE},
    "ces": {RATE},
}
_CHOICES = {
    "en": {
        "offer": "Reply 1 to take the job, 2 to decline.",
        "acknowledge": "Reply 1 to take it.",
        "confirm": "Reply 1 if the visit suits you, 2 for another time, 3 to cancel it.",
        "progress": "Reply 1 on your way, 2 on arrival, 3 and the cause when done.",
        "rating": "Reply with a number from 1 to 5.",
        "nps": "Reply with a number from 0 to 10.",
        "ces": "Reply with a number from 1 to 7.",
        "question": "Reply with the number: {choices}.",
    },
    "fr": {
        "offer": "Répondez 1 pour accepter, 2 pour refuser.",
        "acknowledge": "Répondez 1 pour vous en charger.",
        "confirm": "Répondez 1 si la visite vous convient, 2 pour un autre moment, 3 pour annuler.",
        "progress": "Répondez 1 en route, 2 sur place, 3 et la cause à la fin.",
        "rating": "Répondez par un chiffre de 1 à 5.",
        "nps": "Répondez par un nombre de 0 à 10.",
        "ces": "Répondez par un chiffre de 1 à 7.",
        "question": "Répondez par le numéro : {choices}.",
    },
}


class Reply(SQLModel, table=True):
    """An inbound message, and what became of it."""

    id: int | None = Field(default=None, primary_key=True)
    provider_id: str = Field(unique=True)
    channel: str
    address: str
    text: str
    received_at: datetime = utc_column()
    message_id: int | None = None
    """The question that it answers."""
    case_id: int | None = Field(default=None, index=True)
    intent: str | None = None
    outcome: str
    """`bound`, `unclear`, `ambiguous`, `unknown sender`, `opted out`, `opted in`,
    `helped`."""


@dataclass(frozen=True, slots=True)
class Inbound:
    """What arrived from a person."""

    provider_id: str
    channel: str
    address: str
    text: str


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What a text says, before it is known what it answers."""

    number: int | None
    intent: str | None
    case_id: int | None
    words: str = ""
    """All of it, in lower case and without accents."""


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
    latest = _messages_to(session, inbound.address)
    if question is not None:
        meaning = read_meaning(inbound.text)
        if _meant(question, meaning):
            _give_to_case(session, reply, question, meaning, now)
        else:
            reply.outcome = "unclear"
    elif wants_stop(inbound.text) or wants_start(inbound.text):
        _take_consent(session, templates, reply, latest, now)
    elif latest and wants_help(inbound.text):
        reply.outcome, reply.message_id = "helped", latest[0].id
        _ask_back(session, templates, reply, latest[0], "reply_help", None, now)
    elif latest:
        _bind(session, templates, reply, latest, now)
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


def read_meaning(text: str) -> _Meaning:
    """Return the number, the intent and the case number that a reply names, as far as it does."""
    words = plain_words(text)
    plain = " ".join(words)
    numbers = [int(word) for word in words if re.fullmatch(r"\d{1,6}", word)]
    first = numbers[0] if numbers and words[0].isdigit() else None
    others = numbers[1:] if first is not None else numbers
    intent = next((name for name, phrase in _PHRASES if re.search(phrase, plain)), None)
    return _Meaning(first, intent, others[-1] if others else None, plain)


def intent_for(
    ask: str, meaning: _Meaning, choices: Sequence[Mapping[str, Any]] = ()
) -> str | None:
    """Return what a reply means as an answer to a question of kind `ask`, or None.

    `choices` are the answers to a `question`; what is meant by one of them is `answer:NAME`.
    """
    if choices:
        chosen = _choice_of(meaning, choices)
        if chosen is not None:
            return f"{ANSWER}{chosen}"
        return TALK if meaning.intent == TALK else None
    if meaning.number is not None:
        return _NUMBERS.get(ask, {}).get(meaning.number)
    if meaning.intent == CANCEL and CANCEL not in _FITS.get(ask, ()):
        return DECLINE if DECLINE in _FITS.get(ask, ()) else None
    if meaning.intent == TALK or meaning.intent in _FITS.get(ask, ()):
        return meaning.intent
    return None


def _choice_of(meaning: _Meaning, choices: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the only answer that a reply names, by its number or by its words."""
    if meaning.number is not None:
        in_range = 1 <= meaning.number <= len(choices)
        return str(choices[meaning.number - 1]["name"]) if in_range else None
    named = [
        str(choice["name"])
        for choice in choices
        if any(_says(meaning.words, words) for words in choice["words"])
    ]
    return named[0] if len(named) == 1 else None


def _says(said: str, words: str) -> bool:
    wanted = " ".join(plain_words(words))
    return bool(wanted) and f" {wanted} " in f" {said} "


def _meant(message: Message, meaning: _Meaning) -> str | None:
    return intent_for(message.ask or "", meaning, message.ask_choices)


def _messages_to(session: Session, address: str) -> list[Message]:
    """Return the latest messages to an address, newest first."""
    query = (
        select(Message)
        .where(col(Message.id).in_(select(Delivery.message_id).where(Delivery.address == address)))
        .order_by(col(Message.id).desc())
        .limit(50)
    )
    return list(session.exec(query))


def _bind(
    session: Session,
    templates: Templates,
    reply: Reply,
    latest: Sequence[Message],
    now: datetime,
) -> None:
    meaning = read_meaning(reply.text)
    asked = [m for m in latest if m.ask and (m.ask_until is None or m.ask_until >= now)]
    if meaning.intent == TALK:
        # Whoever wants a person gets one, and is not asked about which case.
        fitting = [m for m in latest if m.case_id is not None][:1]
    else:
        fitting = [m for m in asked if m.ask_open and _meant(m, meaning)]
        if not fitting and not any(m.ask_open for m in asked):
            # A late answer still goes to its case, which says that it came too late.
            fitting = [m for m in latest if m.ask and _meant(m, meaning)][:1]
    numbered = [m for m in fitting if m.case_id == meaning.case_id]
    fitting = numbered or fitting
    if not fitting:
        reply.outcome = "unclear"
        question = next((m for m in asked if m.ask_open), None)
        _ask_back(session, templates, reply, latest[0], "reply_unclear", question, now)
    elif len({m.case_id for m in fitting}) > 1:
        reply.outcome = "ambiguous"
        _ask_which(session, templates, reply, fitting, now)
    else:
        _give_to_case(session, reply, fitting[0], meaning, now)


def _give_to_case(
    session: Session, reply: Reply, message: Message, meaning: _Meaning, now: datetime
) -> None:
    reply.outcome = "bound"
    reply.message_id = message.id
    reply.case_id = message.case_id
    reply.intent = _meant(message, meaning) if message.ask else meaning.intent
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
            _ask_back(session, templates, reply, latest[0], "reply_started", None, now)


def _ask_which(
    session: Session,
    templates: Templates,
    reply: Reply,
    messages: Sequence[Message],
    now: datetime,
) -> None:
    by_case = {m.case_id: m for m in reversed(messages)}
    first = reply.text.split()[0]
    choices = ", ".join(f"“{first} {case_id}”" for case_id in by_case)
    _say(session, templates, reply, messages[0], ("reply_which", {"choices": choices}), now)


def _ask_back(
    session: Session,
    templates: Templates,
    reply: Reply,
    message: Message,
    template: str,
    question: Message | None,
    now: datetime,
) -> None:
    variables = {"choices": _say_choices(question, message.language) if question else ""}
    _say(session, templates, reply, message, (template, variables), now)


def _say_choices(question: Message, language: str) -> str:
    words = _CHOICES.get(language, _CHOICES["en"])
    if not question.ask_choices:
        return words[question.ask or ""]
    return words[QUESTION].format(choices=list_choices(question.ask_choices))


def list_choices(choices: Sequence[Mapping[str, Any]]) -> str:
    """Return the answers to a question with their numbers: `1: at home, 2: with the neighbour`."""
    shown = [next(iter(choice["words"]), choice["name"]) for choice in choices]
    return ", ".join(f"{number}: {words}" for number, words in enumerate(shown, 1))


def _say(
    session: Session,
    templates: Templates,
    reply: Reply,
    message: Message,
    wording: tuple[str, Mapping[str, Any]],
    now: datetime,
) -> None:
    """Answer on the channel of the reply, to the contact of `message`."""
    template, variables = wording
    if reply.channel != "sms":
        return
    recipient = Recipient(
        message.contact_id,
        message.name,
        message.role,
        message.language,
        "UTC",
        {"sms": reply.address},
    )
    draft = Draft(
        key=f"answer:{reply.provider_id}",
        recipient=recipient,
        template=template,
        variables=variables,
        turns=[["sms"]],
        severity=message.severity,
        case_id=None,
    )
    queue_message(session, templates, draft, now)
