"""How simulated technicians, responders, guards and customers answer their phones.

They read what they are told, in English or French, and answer as it asks. Times are in seconds of
the carrier's clock.
"""

import hashlib
import re
from dataclasses import dataclass

DECLINING = frozenset({"+33639980021"})
"""Someone who is always busy, so that the next nearest is asked."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person sends, and how long after having read."""

    after_s: float
    text: str


def answers_to(text: str, number: str) -> list[Answer]:
    """Return what the person at `number` answers to a text message."""
    pause = 15.0 + _variety(number) * 30.0
    if re.search(r"1 \(badly\)|1 \(mauvais\)", text):
        return [Answer(pause, "5")]
    if re.search(r"2 when you are there|2 sur place, 3 quand", text):
        return [Answer(90.0, "2"), Answer(420.0, "3 back in its cabinet")]
    if re.search(r"2 on arrival|2 sur place", text):
        return [
            Answer(240.0, "1"),
            Answer(1_500.0, "2"),
            Answer(2_700.0, "3 compressor relay replaced"),
        ]
    if re.search(r"1 if you go|1 si vous y allez", text):
        return [Answer(8.0 + _variety(number) * 12.0, "1")]
    if re.search(r"1 to take it, 2 to decline|1 pour accepter, 2 pour refuser", text):
        return [Answer(pause, "2" if number in DECLINING else "1")]
    if re.search(r"[Rr]eply 1|[Rr]épondez 1", text):
        return [Answer(pause, "1")]
    return []


def key_for(spoken: str, number: str) -> str | None:
    """Return the key that the person at `number` presses in a call, or None."""
    if number in DECLINING:
        return None
    # About half of the people prefer to answer the text message.
    if _variety(number) < 0.5:  # noqa: PLR2004  half
        return None
    return "1" if re.search(r"[Pp]ress 1|[Tt]apez 1", spoken) else None


def _variety(number: str) -> float:
    """Return a number from 0 to 1 that stays the same for the same person."""
    return hashlib.sha256(number.encode()).digest()[0] / 255
