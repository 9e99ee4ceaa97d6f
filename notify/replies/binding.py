"""Which question of which case a reply answers.

A reply binds to an open question put to its contact, on whatever channel it was put. Where several cases
wait for an answer that would fit, the case's number in the reply decides, or words that stand in one of
the questions alone; without either the person is asked which. Nothing is guessed: what is not understood
is asked back once, and then goes to a person.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from sqlmodel import Session, col, func, select

from notify.consent import plain_words
from notify.message import Delivery, Message
from notify.replies.inbound import AMBIGUOUS, HANDED_OFF, UNCLEAR, Inbound, Reply
from notify.replies.intents import (
    ACCEPT,
    ANSWER,
    CORRECTED_WITHIN,
    FOR_A_PERSON,
    MISUNDERSTOOD,
    RATE,
    SURVEYS,
    THANKS,
)
from notify.replies.meaning import (
    Meaning,
    as_two_answers,
    intent_for,
    meant,
    number_for,
    read_meaning,
)

_LATEST = 50
"""So many of the latest messages to somebody are looked at."""
_FORGOTTEN = timedelta(days=3)
"""After so long, what was not understood does not count any more."""
_SHORT = 3
"""Words up to this length tell no two questions apart."""


class Way(Enum):
    """What is to be done with a reply."""

    GIVE = "it goes to its case"
    THANK = "it is thanks, and wants no answer"
    NOTE = "it agrees, and nothing was asked"
    ASK_AGAIN = "it is not understood: it is asked back"
    ASK_WHICH = "several cases could be meant: it is asked which"
    HAND_OFF = "it is not understood again: a person has to"
    LEAVE = "it is not understood again, and not worth a person"


@dataclass(frozen=True, slots=True)
class Bound:
    """What a reply answers, and what is to be done with it."""

    way: Way
    messages: Sequence[Message] = ()
    """What it answers; of several cases where it is to be asked which."""
    intent: str | None = None
    reason: str = ""
    is_late: bool = False
    """Whether the answer was not expected any more."""
    number: int | None = None
    """The number that answers, wherever it stands."""


def find_contacts(session: Session, inbound: Inbound) -> list[str]:
    """Return whose address a reply comes from: who was written to there, and whom the CRM has there."""
    if inbound.is_unproven or not inbound.address:
        return []
    latest = (
        select(Delivery.message_id)
        .where(col(Delivery.address).in_({inbound.address, inbound.address.lower()}))
        .order_by(col(Delivery.id).desc())
        .limit(_LATEST)
    )
    query = (
        select(Message.contact_id)
        .where(col(Message.id).in_(latest), Message.contact_id != "")
        .order_by(col(Message.id).desc())
    )
    return list(dict.fromkeys([*session.exec(query), *filter(None, inbound.contacts)]))


def find_latest(session: Session, contacts: Sequence[str]) -> list[Message]:
    """Return the latest messages to some contacts, on whatever channel, newest first."""
    query = (
        select(Message)
        .where(col(Message.contact_id).in_(contacts))
        .order_by(col(Message.id).desc())
        .limit(_LATEST)
    )
    return list(session.exec(query))


def find_answered(session: Session, inbound: Inbound) -> Message | None:
    """Return the message that a mail answers by its Message-ID; only one that went to its sender."""
    address = inbound.address.lower()
    for key in inbound.answers:
        query = select(Message).join(Delivery).where(Delivery.key == key)
        found = session.exec(query.where(func.lower(Delivery.address) == address)).first()
        if found is not None:
            return found
    return None


def bind(
    earlier: Sequence[Reply],
    latest: Sequence[Message],
    meaning: Meaning,
    now: datetime,
    thread: int | None = None,
) -> Bound:
    """Decide what a reply answers and what follows.

    `latest` was said last to its contact, `earlier` are the contact's last replies, both newest first; a
    mail of the `thread` of a case is about that case and no other.
    """
    about = [m for m in latest if thread is None or m.case_id == thread]
    meaning = _without_pair(meaning, about)
    asked = [m for m in about if m.ask and m.ask_open and not _is_over(m, now)]
    if not _names_number(asked, meaning) and not _names_choice(asked, meaning):
        if meaning.intent in FOR_A_PERSON:
            return _for_a_person(about, meaning, meaning.intent, meaning.reason)
        if meaning.intent == THANKS:
            return Bound(Way.THANK, about[:1], THANKS, meaning.reason)
    others = _of_another_case(about, asked, meaning)
    fitting, understood, is_late = _find_fitting(others or about, [] if others else asked, meaning)
    if not fitting and not others:
        completed = _complete(earlier, asked, meaning, now)
        if completed is not None:
            fitting, understood, is_late = _find_fitting(about, asked, completed)
    fitting = [m for m in fitting if not is_late or _may_be_late(m, earlier, now)]
    fitting, why = _tell_apart(fitting, understood)
    if len({m.case_id for m in fitting}) > 1:
        if _is_again(earlier, now, AMBIGUOUS):
            return _for_a_person(
                fitting, understood, MISUNDERSTOOD, "not clear again which is meant"
            )
        return Bound(Way.ASK_WHICH, fitting, None, "several cases could be meant")
    if fitting:
        reason = f"{understood.reason}{why}"
        number = number_for(fitting[0].ask or "", understood)
        return Bound(Way.GIVE, fitting[:1], meant(fitting[0], understood), reason, is_late, number)
    if meaning.intent == ACCEPT and not asked:
        return Bound(Way.NOTE, about[:1], ACCEPT, meaning.reason)
    return _not_understood(earlier, about, asked, meaning, now)


def _without_pair(meaning: Meaning, about: Sequence[Message]) -> Meaning:
    """Return what a reply means where neither of its two numbers is that of a case of its contact."""
    cases = {m.case_id for m in about}
    is_open = meaning.is_pair and cases.isdisjoint({meaning.number, meaning.case_id})
    return as_two_answers(meaning) if is_open else meaning


def _of_another_case(
    about: Sequence[Message], asked: Sequence[Message], meaning: Meaning
) -> list[Message]:
    """Return what was said in the case that a reply names by its number, where that case asks nothing.

    Whoever names a case that is over does not answer one that is open.
    """
    named = {meaning.case_id, *meaning.also} - {None} if meaning.names_case else set()
    if meaning.number is None or named & {m.case_id for m in asked}:
        return []
    if meaning.number in {m.case_id for m in asked}:
        return []
    return [m for m in about if m.case_id in named]


def _names_number(asked: Sequence[Message], meaning: Meaning) -> bool:
    return meaning.number is not None or any(
        number_for(m.ask or "", meaning) is not None for m in asked
    )


def _names_choice(asked: Sequence[Message], meaning: Meaning) -> bool:
    """Return whether the words of a choice stand where no phrase does: they count before likeness."""
    choices = (m for m in asked if m.ask_choices)
    return bool(meaning.likeness) and any(
        (meant(m, meaning) or "").startswith(ANSWER) for m in choices
    )


def _is_over(message: Message, now: datetime) -> bool:
    return message.ask_until is not None and message.ask_until < now


def _may_be_late(message: Message, earlier: Sequence[Reply], now: datetime) -> bool:
    """Return whether a question still takes an answer: a survey does shortly after its own, or its end."""
    if message.ask not in SURVEYS:
        return True
    before = next((r for r in earlier if r.message_id == message.id and r.intent == RATE), None)
    until = message.ask_until if message.ask_open and before is None else None
    at = before.received_at if before is not None else until
    return at is not None and at >= now - CORRECTED_WITHIN


def _find_fitting(
    about: Sequence[Message], asked: Sequence[Message], meaning: Meaning
) -> tuple[list[Message], Meaning, bool]:
    """Return the questions that a reply could answer, what it means, and whether it comes too late."""
    understood = meaning
    fitting = [m for m in asked if meant(m, meaning)]
    if not fitting and meaning.number is not None and meaning.case_id is not None:
        # `18 1` is as clear as `1 18`, where 18 is a case.
        turned = replace(meaning, number=meaning.case_id, case_id=meaning.number)
        named = {turned.case_id, *turned.also}
        fitting = [m for m in asked if m.case_id in named and meant(m, turned)]
        understood = turned if fitting else meaning
    if not fitting and meaning.number is not None:
        # As is `18 yes`; `18 thanks` answers nothing.
        turned = replace(meaning, number=None, case_id=meaning.number)
        named = {turned.case_id} if meaning.intent != THANKS else set()
        fitting = [m for m in asked if m.case_id in named and meant(m, turned)]
        understood = turned if fitting else meaning
    is_late = not fitting and not asked
    if is_late:
        # A late answer still goes to its case, which says that it came too late.
        fitting = [m for m in about if m.ask and meant(m, meaning)][:1]
    if understood.number is None:
        # Who has a job and an offer, and is on the way, is on the way to the job.
        fitting = [m for m in fitting if meant(m, understood) == understood.intent] or fitting
    return fitting, understood, is_late


def _tell_apart(fitting: list[Message], meaning: Meaning) -> tuple[list[Message], str]:
    """Leave the one case that a reply names, by its number or by words of its question alone."""
    if len({m.case_id for m in fitting}) < 2:  # noqa: PLR2004  nothing to tell apart
        return fitting, ""
    numbered = [m for m in fitting if m.case_id in {meaning.case_id, *meaning.also} - {None}]
    if numbered:
        return numbered, f", of case {numbered[0].case_id}"
    if len({(m.template, m.language) for m in fitting}) > 1:
        # Other templates have other words, whatever they are about.
        return fitting, ""
    words: dict[int | None, set[str]] = {}
    for message in fitting:
        words.setdefault(message.case_id, set()).update(_words_of(message))
    said = {word for word in meaning.words.split() if len(word) > _SHORT}
    named = {
        word: [case_id for case_id, its in words.items() if word in its] for word in sorted(said)
    }
    cases = {in_cases[0]: word for word, in_cases in named.items() if len(in_cases) == 1}
    if len(cases) != 1:
        return fitting, ""
    ((case_id, word),) = cases.items()
    return [m for m in fitting if m.case_id == case_id], f", and “{word}” for case {case_id}"


def _words_of(message: Message) -> list[str]:
    texts = [
        text if isinstance(text, str) else f"{text.get('subject', '')} {text.get('text', '')}"
        for text in message.texts.values()
    ]
    return plain_words(" ".join(texts))


def _complete(
    earlier: Sequence[Reply], asked: Sequence[Message], meaning: Meaning, now: datetime
) -> Meaning | None:
    """Return what was said before it was asked which, with the case that is said now; else None."""
    if not _is_again(earlier, now, AMBIGUOUS):
        return None
    case_id = meaning.case_id if meaning.case_id is not None else meaning.number
    said = read_meaning(earlier[0].text)
    is_turned = said.case_id is not None and said.number in {m.case_id for m in asked}
    number = said.case_id if is_turned else said.number
    return replace(said, number=number, case_id=case_id, also=(), words=meaning.words)


def _is_again(earlier: Sequence[Reply], now: datetime, *outcomes: str) -> bool:
    """Return whether the contact's last reply was one of these, not long ago."""
    return bool(
        earlier and earlier[0].outcome in outcomes and earlier[0].received_at >= now - _FORGOTTEN
    )


def _for_a_person(about: Sequence[Message], meaning: Meaning, intent: str, reason: str) -> Bound:
    """Whoever needs a person gets one, and is not asked about which case; a number may say it."""
    with_case = [m for m in about if m.case_id is not None]
    numbered = [m for m in with_case if m.case_id == meaning.case_id]
    way = Way.HAND_OFF if intent == MISUNDERSTOOD else Way.GIVE
    return Bound(way, (numbered or with_case)[:1], intent, reason)


def _not_understood(
    earlier: Sequence[Reply],
    about: Sequence[Message],
    asked: Sequence[Message],
    meaning: Meaning,
    now: datetime,
) -> Bound:
    reason = meaning.reason
    thanked = [m for m in about if m.case_id == meaning.number]
    if meaning.intent == THANKS and thanked:
        return Bound(Way.THANK, thanked[:1], THANKS, reason)
    if asked and not any(intent_for(m.ask or "", meaning, m.ask_choices) for m in asked):
        reason += ": no answer to what was asked"
    if not _is_again(earlier, now, UNCLEAR, AMBIGUOUS, HANDED_OFF):
        return Bound(Way.ASK_AGAIN, [*asked[:1], *about[:1]][:1], None, reason)
    if asked and all(m.ask in SURVEYS for m in asked):
        return Bound(Way.LEAVE, (), None, reason)
    return _for_a_person([*asked, *about], meaning, MISUNDERSTOOD, f"{reason}, again")
