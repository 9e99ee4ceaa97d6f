"""What a text says, and what that means as an answer to a question.

A number or a case's number counts before any word, a phrase before a likeness; what is like nothing well
enough is not understood. Each says why.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from notify.consent import plain_words, wants_help, wants_start, wants_stop
from notify.message import Message
from notify.replies.classifier import OTHER, shipped_classifier
from notify.replies.intents import (
    ACCEPT,
    ANSWER,
    ARRIVED,
    CANCEL,
    EN_ROUTE,
    FOR_A_PERSON,
    MEANT_AS,
    NUMBERS,
    SURVEYS,
    TALK,
    THANKS,
)
from notify.replies.numbers import Stars, count_stars, find_numbers, is_of_scale, spoken_words
from notify.replies.phrases import (
    doubts_cancelling,
    find_phrase,
    is_conditional,
    refuses,
    says_yes_and_no,
)

CONFIDENCE = 0.65
"""So sure the classifier has to be; below, a text is not understood."""
TWO_NUMBERS = "two numbers, of which either may be meant"
_AGREES = frozenset({ACCEPT, EN_ROUTE, ARRIVED})
"""What takes an offer."""
_NOTHING: Mapping[str, float] = MappingProxyType({})
_USUAL_STARS = 5
_LONGEST = 2_000
"""So much of a reply is kept, and read: whoever writes a book says nothing more by it."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a text says, before it is known what it answers."""

    number: int | None
    intent: str | None
    case_id: int | None
    words: str = ""
    """All of it, in lower case and without accents."""
    reason: str = ""
    """Why it is taken to mean that, or why it is not understood."""
    likeness: Mapping[str, float] = field(default_factory=lambda: _NOTHING)
    """How much it is like each intent, where no number and no phrase says what is meant."""
    also: tuple[int, ...] = ()
    """What else could be the number of a case."""
    names_case: bool = False
    """Whether `case_id` cannot be anything but the number of a case."""
    takes_back: bool = False
    """Whether the words beside the number refuse what it may agree to."""
    is_pair: bool = False
    """Whether the number and that of the case may as well be two answers."""
    of_scale: bool = False
    """Whether the number is said with its scale: that answers a survey alone."""
    stars: Stars | None = None
    """What is said in stars, where no number says it: that answers a survey alone."""


def read_meaning(text: str) -> Meaning:
    """Return the number, the intent and the case number that a reply names, as far as it does.

    The classifier looks only at what has no number and no phrase, and is not STOP or its kin; its first
    text takes a second, so that whoever holds a lock reads before.
    """
    text = text[:_LONGEST]
    words = spoken_words(text)
    plain = " ".join(words)
    numbers = find_numbers(words)
    stars = count_stars(text)
    if stars is not None and (numbers.answer is None or numbers.answer > max(NUMBERS["nps"])):
        # A number that is on no scale is that of a case.
        case_id = numbers.case if numbers.answer is None else numbers.answer
        found = find_phrase(plain)
        reason = f"{stars.given} of {stars.shown} stars"
        intent = found.intent if found else None
        return Meaning(None, intent, case_id, plain, reason, stars=stars)
    if numbers.is_open:
        return Meaning(None, None, None, plain, TWO_NUMBERS)
    found = find_phrase(plain)
    if numbers.answer is not None:
        beside = " ".join(word for word in words if not word.isdigit())
        found = found or find_phrase(beside)
        intent = found.intent if found else None
        takes_back = intent not in FOR_A_PERSON and (refuses(beside) or is_conditional(beside))
        doubt = ", beside words that refuse or depend on something" if takes_back else ""
        return Meaning(
            numbers.answer, intent, numbers.case, plain, f"the number {numbers.answer}{doubt}",
            also=numbers.also, names_case=numbers.is_plain, takes_back=takes_back,
            is_pair=numbers.is_pair, of_scale=is_of_scale(text),
        )  # fmt: skip
    is_question = "?" in text
    if found is not None:
        reason = f"the words “{found.words}”"
        if found.intent == CANCEL and doubts_cancelling(plain, is_question=is_question):
            return Meaning(
                None, None, numbers.case, plain, f"{reason}, which may only ask about it"
            )
        return Meaning(None, found.intent, numbers.case, plain, reason)
    if wants_stop(text, channel="") or wants_start(text) or wants_help(text):
        return Meaning(None, None, numbers.case, plain, "words about messages themselves")
    if not any(word.isalpha() for word in words):
        return Meaning(None, None, numbers.case, plain, "no words and no number that answers")
    likeness = shipped_classifier().weigh(plain)
    return weigh_meaning(plain, numbers.case, likeness, is_question=is_question)


def weigh_meaning(
    plain: str, case_id: int | None, likeness: Mapping[str, float], *, is_question: bool = False
) -> Meaning:
    """Return what a text means by its likeness to the examples; nothing where it is not sure enough.

    Who says yes and no at once means neither by likeness; that a person is wanted still counts. What may
    ask not to cancel cancels nothing.
    """
    if doubts_cancelling(plain, is_question=is_question):
        likeness = {one: 0.0 if one == CANCEL else share for one, share in likeness.items()}
    if is_conditional(plain):
        # Whether the condition holds, a person knows: nothing is agreed to yet.
        likeness = {one: 0.0 if one in _AGREES else share for one, share in likeness.items()}
    if says_yes_and_no(plain):
        wishes = {one: share for one, share in likeness.items() if one in FOR_A_PERSON}
        likeness = {**wishes, OTHER: 1.0 - sum(wishes.values())}
        return Meaning(None, _surest("", likeness), case_id, plain, "yes and no at once", likeness)
    if refuses(plain):
        # Thanks want no answer: whoever declines with thanks would be heard by nobody.
        likeness = {one: 0.0 if one == THANKS else share for one, share in likeness.items()}
    likely = sorted(likeness.items(), key=lambda one: -one[1])[:2]
    reason = "most like " + ", ".join(f"“{intent}” ({share:.0%})" for intent, share in likely)
    return Meaning(None, _surest("", likeness), case_id, plain, reason, likeness)


def as_two_answers(meaning: Meaning) -> Meaning:
    """Return what two numbers say of which the second is that of no case: either may be meant."""
    return Meaning(None, None, None, meaning.words, TWO_NUMBERS)


def number_for(ask: str, meaning: Meaning) -> int | None:
    """Return the number that answers a question of kind `ask`; stars are one on their own scale.

    Five stars are the most that anybody gives, unless more are shown. `4/5` answers nothing but a survey.
    """
    if meaning.of_scale and ask not in SURVEYS:
        return None
    if meaning.number is not None or meaning.stars is None or ask not in SURVEYS:
        return meaning.number
    has_usual = max(NUMBERS[ask]) == _USUAL_STARS
    return meaning.stars.given if has_usual == (meaning.stars.shown <= _USUAL_STARS) else None


def intent_for(ask: str, meaning: Meaning, choices: Sequence[Mapping[str, Any]] = ()) -> str | None:
    """Return what a reply means as an answer to a question of kind `ask`, or None.

    `choices` are the answers to a `question`; what is meant by one of them is `answer:NAME`. Thanks, and
    what only a person can answer, mean the same whatever was asked.
    """
    answer = _choice_of(meaning, choices) if choices else None
    if answer is not None:
        return f"{ANSWER}{answer}"
    number = number_for(ask, meaning)
    if number is not None:
        by_number = None if choices else NUMBERS.get(ask, {}).get(number)
        if by_number == ACCEPT and meaning.takes_back:
            return None
        return by_number or (meaning.intent if meaning.intent in FOR_A_PERSON else None)
    if meaning.intent == THANKS or meaning.intent in FOR_A_PERSON:
        return meaning.intent
    if meaning.likeness:
        return _surest(ask, meaning.likeness)
    return MEANT_AS.get(ask, {}).get(meaning.intent or "")


def _surest(ask: str, likeness: Mapping[str, float]) -> str | None:
    """Return what a text is like enough, in answer to a question.

    What comes to the same there counts together: whoever cannot come and whoever would rather not both
    decline an offer, and a person answers complaint and anger alike. Without a question each intent
    stands for itself.
    """
    answers = MEANT_AS.get(ask, {})
    shares: dict[str, float] = {}
    for intent, share in likeness.items():
        if intent in FOR_A_PERSON:
            effect = TALK
        else:
            effect = intent if not ask or intent == THANKS else answers.get(intent, OTHER)
        shares[effect] = shares.get(effect, 0.0) + share
    effect, share = max(shares.items(), key=lambda one: one[1], default=(OTHER, 0.0))
    if share < CONFIDENCE or effect == OTHER:
        return None
    if effect == TALK:
        return max(FOR_A_PERSON & likeness.keys(), key=lambda one: (likeness[one], one))
    return effect


def _choice_of(meaning: Meaning, choices: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the only answer that a reply names, by its number or by its words."""
    if meaning.number is not None and not meaning.of_scale:
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


def meant(message: Message, meaning: Meaning) -> str | None:
    """Return what a reply means as an answer to the question of a message, or None."""
    return intent_for(message.ask or "", meaning, message.ask_choices)
