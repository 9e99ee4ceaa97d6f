"""What answers can mean, and which of it answers which kind of question."""

from collections.abc import Mapping
from datetime import timedelta

ACCEPT, DECLINE, CANCEL, CANNOT = "accept", "decline", "cancel", "cannot"
"""Yes; no, or another time; no longer wanted; wanted, and not possible for who says it."""
EN_ROUTE, ARRIVED, DONE = "en_route", "arrived", "done"
RATE = "rate"
TALK, COMPLAINT, ANGER, MISUNDERSTOOD = "talk", "complaint", "anger", "misunderstood"
THANKS = "thanks"
QUESTION = "question"
ANSWER = "answer:"
"""What the intent of an answer to a `question` begins with; the name of the answer follows."""

FOR_A_PERSON = frozenset({TALK, COMPLAINT, ANGER, MISUNDERSTOOD})
"""What no machine answers, whatever was asked."""

NUMBERS: Mapping[str, Mapping[int, str]] = {
    "offer": {1: ACCEPT, 2: DECLINE},
    "acknowledge": {1: ACCEPT, 2: DECLINE},
    "person": {1: ACCEPT, 2: DECLINE},
    "confirm": {1: ACCEPT, 2: DECLINE, 3: CANCEL},
    "progress": {1: EN_ROUTE, 2: ARRIVED, 3: DONE},
    "rating": dict.fromkeys(range(1, 6), RATE),
    "nps": dict.fromkeys(range(11), RATE),
    "ces": dict.fromkeys(range(1, 8), RATE),
}
"""What a number means, by the kind of question."""

SURVEYS = frozenset({"rating", "nps", "ces"})
"""The kinds of questions that ask for a number and nothing else."""
CORRECTED_WITHIN = timedelta(hours=1)
"""How long whoever has answered a survey may still give another number."""

_TAKING: Mapping[str, str] = {
    ACCEPT: ACCEPT,
    EN_ROUTE: ACCEPT,
    ARRIVED: ACCEPT,
    DECLINE: DECLINE,
    CANCEL: DECLINE,
    CANNOT: DECLINE,
}
MEANT_AS: Mapping[str, Mapping[str, str]] = {
    "offer": _TAKING,
    "acknowledge": _TAKING,
    "person": _TAKING,
    # Whoever cannot be at home then still wants the visit.
    "confirm": {ACCEPT: ACCEPT, DECLINE: DECLINE, CANNOT: DECLINE, CANCEL: CANCEL},
    "progress": {
        EN_ROUTE: EN_ROUTE,
        ARRIVED: ARRIVED,
        DONE: DONE,
        CANCEL: CANCEL,
        CANNOT: CANCEL,
    },
}
"""What is meant by words in answer to a kind of question; what does not stand here answers it not."""
