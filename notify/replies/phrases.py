"""Phrases that say by themselves what is meant, in French and English, without accents."""

import re
from collections.abc import Sequence

from notify.replies.intents import ACCEPT, ARRIVED, CANCEL, DECLINE, DONE, EN_ROUTE, TALK

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


def find_phrase(plain: str) -> str | None:
    """Return the intent of the first phrase that stands in a text of plain words, or None."""
    return next((name for name, phrase in _PHRASES if re.search(phrase, plain)), None)
