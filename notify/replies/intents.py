"""What answers can mean, and which of it answers which kind of question."""

from collections.abc import Mapping

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

NUMBERS: Mapping[str, Mapping[int, str]] = {
    "offer": {1: ACCEPT, 2: DECLINE},
    "acknowledge": {1: ACCEPT, 2: DECLINE},
    "confirm": {1: ACCEPT, 2: DECLINE, 3: CANCEL},
    "progress": {1: EN_ROUTE, 2: ARRIVED, 3: DONE},
    "rating": dict.fromkeys(range(1, 6), RATE),
    "nps": dict.fromkeys(range(11), RATE),
    "ces": dict.fromkeys(range(1, 8), RATE),
}
"""What a number means, by the kind of question."""
FITS: Mapping[str, frozenset[str]] = {
    "offer": frozenset({ACCEPT, DECLINE}),
    "acknowledge": frozenset({ACCEPT, DECLINE}),
    "confirm": frozenset({ACCEPT, DECLINE, CANCEL}),
    "progress": frozenset({EN_ROUTE, ARRIVED, DONE, CANCEL}),
    "rating": frozenset({RATE}),
    "nps": frozenset({RATE}),
    "ces": frozenset({RATE}),
}
"""What answers a kind of question in words."""
