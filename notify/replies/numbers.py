"""The numbers in a reply: the one that answers, and the one of a case."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from notify.consent import plain_words

_SCALE = r"(\d)\s*(?:/|sur|out of)\s*(?:5|7|10|20|100)\b"
_SIGNS: Sequence[tuple[str, str]] = (
    (r"(?<=\d)\ufe0f?\u20e3", ""),
    (r"🔟", " 10 "),
    (r"\bn\s?[°º]\s?(?=\d)", " "),
    (r"[👍👌✅✔☑🆗]", " ok "),
    (r"🙏", " merci "),
    (r"[😡🤬]", " furious "),
    (r"[👎❌]", " non "),
    (_SCALE, r"\1"),
    (r"(?<!\d)(\d)\s*(?:/|sur|out of)\s*(?=\d\b)", r"\1 or "),
    (r"\d+[.,]\d+|\b\d\s*/\s*1[12]\b|(?<!\S)-\d+", " fraction "),
)
"""What is said without letters, as words: 👍 is an ok, `4/5` a 4, `1/2` either, 4.5 is on no scale."""
_WORDS = {
    word: number
    for number, words in enumerate(
        (
            "zero",
            "one un une",
            "two deux",
            "three trois",
            "four quatre",
            "five cinq",
            "six",
            "seven sept",
            "eight huit",
            "nine neuf",
            "ten dix",
        )
    )
    for word in words.split()
}
_UNITS = re.compile(
    r"min(ute)?s?|mn|h|hours?|heures?|days?|jours?|weeks?|semaines?|am|pm|o|km|met[er]{2}s?|degrees?"
    r"|degres?|euros?|fois|times|personnes|people"
)
_CASE = re.compile(r"case|dossier|ref(erence)?")
_FILLERS = re.compile(
    r"option|tape[rz]?|touche|press(ed)?|key|choi[xc]e?|answer|reponse|reply|numbers?|numero|no|n|je|j|i|mets|met|donne|give|say|dis"
    r"|choisis|choose|pick|rate|note|a|la|le|l|un|une|the|it|c|est|is|s|my|ma|mon|pour|for|etoiles?"
    r"|stars?|points?|please|pls|svp|stp|merci|thanks|thank|you|vous|il|te|plait|d|et|and|or|ou"
    r"|bonjour|bonsoir|salut|hello|hi|hey|madame|monsieur|cordialement|regards"
)
"""What may stand beside a number without saying anything of its own."""
_INSTEAD = re.compile(
    r"or|ou|non|no|nan|pardon|sorry|oops|wait|rather|plutot|actually|euh|erreur|mistake"
)
"""What between two numbers takes the first one back, or leaves open which it is."""
_BOTH = (["et"], ["and"])
"""What makes two numbers of one answer where it stands alone between them."""
_GREETING = re.compile(r"bonjour|bonsoir|salut|hello|hi|hey|madame|monsieur")
_LARGEST_ANSWER = 10
_FULL_STARS, _EMPTY_STARS = "⭐★🌟✭✮✯⭑✪", "☆✩⚝"


@dataclass(frozen=True, slots=True)
class Numbers:
    """What numbers a reply names. A number that is beside words of its own is only a case's."""

    answer: int | None
    case: int | None
    also: tuple[int, ...] = ()
    """What else could be the number of a case."""
    is_plain: bool = False
    """Whether the case is called one, or nothing is said but numbers."""
    is_open: bool = False
    """Whether of two numbers it is open which one answers."""
    is_pair: bool = False
    """Whether it is so unless the second is the number of a case, as in `1 2`."""


@dataclass(frozen=True, slots=True)
class Stars:
    """What is said in stars, as ★★★★☆ is."""

    given: int
    shown: int
    """How many there are with those that are empty."""


def count_stars(text: str) -> Stars | None:
    """Return the stars of a reply, or None where it has none."""
    full = sum(text.count(star) for star in _FULL_STARS)
    empty = sum(text.count(star) for star in _EMPTY_STARS)
    return Stars(full, full + empty) if full or empty else None


def is_of_scale(text: str) -> bool:
    """Return whether a number is said with the scale that it is on, as in `4/5`: that rates."""
    return re.search(_SCALE, text, re.IGNORECASE) is not None


def spoken_words(text: str) -> list[str]:
    """Return the words of a reply, plain, with signs said in words."""
    for sign, words in _SIGNS:
        text = re.sub(sign, words, text, flags=re.IGNORECASE)
    return plain_words(text)


def find_numbers(words: Sequence[str]) -> Numbers:
    """Return the number that answers and the number of a case, as far as a reply names them.

    A number answers where it comes first, but for a greeting, or where nothing else is said; `10 minutes`
    is a time.
    """
    alone = [word for word in words if word in _WORDS or not _FILLERS.fullmatch(word)]
    is_nobody = "no one" in " ".join(words)
    if len(alone) == 1 and alone[0] in _WORDS and not is_nobody:
        return Numbers(_WORDS[alone[0]], None)
    found = [
        index
        for index, word in enumerate(words)
        if re.fullmatch(r"\d{1,6}", word) and not _UNITS.fullmatch((*words, "")[index + 1])
    ]
    if any(_takes_back(words[a : b + 1]) for a, b in pairwise(found)):
        return Numbers(None, None, is_open=True)
    cases = [index for index in found if index and _CASE.fullmatch(words[index - 1])]
    others = [index for index in found if index not in cases]
    says_more = any(
        not (word.isdigit() or _FILLERS.fullmatch(word) or _CASE.fullmatch(word)) for word in words
    )
    first = next((index for index, word in enumerate(words) if not _GREETING.fullmatch(word)), 0)
    answer = others.pop(0) if others and (others[0] == first or not says_more) else None
    case = next(reversed(cases or others), None)
    return Numbers(
        int(words[answer]) if answer is not None else None,
        int(words[case]) if case is not None else None,
        tuple(int(words[index]) for index in (*cases, *others) if index != case),
        is_plain=bool(cases) or not says_more,
        is_pair=not cases and not says_more and _are_two_answers([words[index] for index in found]),
    )


def _are_two_answers(numbers: Sequence[str]) -> bool:
    named = {int(one) for one in numbers}
    return len(named) > 1 and max(named) <= _LARGEST_ANSWER


def _takes_back(words: Sequence[str]) -> bool:
    """Return whether of two numbers, with what stands between them, it is open which one answers."""
    first, *between, second = words
    return (
        int(first) != int(second)
        and max(int(first), int(second)) <= _LARGEST_ANSWER
        and (between in _BOTH or any(_INSTEAD.fullmatch(word) for word in between))
        and not any(_CASE.fullmatch(word) for word in between)
    )
