"""What a text says, and what that means as an answer to a question."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from notify.consent import plain_words
from notify.message import Message
from notify.replies.intents import ANSWER, CANCEL, DECLINE, FITS, NUMBERS, TALK
from notify.replies.phrases import find_phrase


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a text says, before it is known what it answers."""

    number: int | None
    intent: str | None
    case_id: int | None
    words: str = ""
    """All of it, in lower case and without accents."""


def read_meaning(text: str) -> Meaning:
    """Return the number, the intent and the case number that a reply names, as far as it does."""
    words = plain_words(text)
    plain = " ".join(words)
    numbers = [int(word) for word in words if re.fullmatch(r"\d{1,6}", word)]
    first = numbers[0] if numbers and words[0].isdigit() else None
    others = numbers[1:] if first is not None else numbers
    return Meaning(first, find_phrase(plain), others[-1] if others else None, plain)


def intent_for(ask: str, meaning: Meaning, choices: Sequence[Mapping[str, Any]] = ()) -> str | None:
    """Return what a reply means as an answer to a question of kind `ask`, or None.

    `choices` are the answers to a `question`; what is meant by one of them is `answer:NAME`.
    """
    if choices:
        chosen = _choice_of(meaning, choices)
        if chosen is not None:
            return f"{ANSWER}{chosen}"
        return TALK if meaning.intent == TALK else None
    if meaning.number is not None:
        return NUMBERS.get(ask, {}).get(meaning.number)
    if meaning.intent == CANCEL and CANCEL not in FITS.get(ask, ()):
        return DECLINE if DECLINE in FITS.get(ask, ()) else None
    if meaning.intent == TALK or meaning.intent in FITS.get(ask, ()):
        return meaning.intent
    return None


def _choice_of(meaning: Meaning, choices: Sequence[Mapping[str, Any]]) -> str | None:
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


def meant(message: Message, meaning: Meaning) -> str | None:
    """Return what a reply means as an answer to the question of a message, or None."""
    return intent_for(message.ask or "", meaning, message.ask_choices)
