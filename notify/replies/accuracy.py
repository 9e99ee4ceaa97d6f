"""How well replies are understood: phrases and classifier tried on examples that it was not trained on."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from notify.replies.classifier import OTHER, Classifier, Example
from notify.replies.intents import (
    ACCEPT,
    ANGER,
    ARRIVED,
    CANCEL,
    CANNOT,
    COMPLAINT,
    DECLINE,
    DONE,
    EN_ROUTE,
    FOR_A_PERSON,
    MEANT_AS,
    TALK,
    THANKS,
)
from notify.replies.meaning import Meaning, intent_for, weigh_meaning
from notify.replies.phrases import find_phrase

FOLDS = 5
ASKED = "asked back"
PERSON = "a person"
_TWINS = 0.45
"""Examples that share so many of their triples of letters are ways of writing one phrase."""
_ALWAYS = frozenset({TALK, COMPLAINT, ANGER, THANKS, OTHER})
SAID_TO: Mapping[str, frozenset[str]] = {
    "confirm": _ALWAYS | {ACCEPT, DECLINE, CANCEL},
    "offer": _ALWAYS | {ACCEPT, DECLINE},
    "progress": _ALWAYS | {EN_ROUTE, ARRIVED, DONE, CANNOT},
}
"""What is said in answer to a question: by a customer, a technician with an offer, one with a job."""


@dataclass(frozen=True, slots=True)
class Tried:
    """An example, what should follow as an answer to a question, and what would."""

    example: Example
    ask: str
    wanted: str
    understood: str


@dataclass(slots=True)
class Accuracy:
    """What came of a trial."""

    tried: list[Tried] = field(default_factory=list)

    @property
    def right(self) -> float:
        """The share that is understood rightly; what answers nothing is so where it is asked back."""
        return _share([one.understood == one.wanted for one in self.tried])

    @property
    def asked(self) -> float:
        """The share that means something and is asked back for want of confidence."""
        return _share([one.understood == ASKED != one.wanted for one in self.tried])

    @property
    def wrong(self) -> float:
        """The share that is acted on and means something else."""
        return _share([one.understood not in {ASKED, one.wanted} for one in self.tried])

    @property
    def precision(self) -> float:
        """The share of what is acted on that is right."""
        acted = [one for one in self.tried if one.understood != ASKED]
        return _share([one.understood == one.wanted for one in acted])

    def of(self, *, ask: str = "", intent: str = "") -> "Accuracy":
        """Return the part about one question, about one intent, or both."""
        return Accuracy(
            [
                one
                for one in self.tried
                if ask in {"", one.ask} and intent in {"", one.example.intent}
            ]
        )

    def mistakes(self) -> list[tuple[str, str, int]]:
        """Return what was taken for what, and how often, the most frequent first."""
        found = Counter(
            (one.example.intent, one.understood)
            for one in self.tried
            if one.understood not in {ASKED, one.wanted}
        )
        return [(meant, taken, count) for (meant, taken), count in found.most_common()]


def try_out(examples: Sequence[Example], folds: int = FOLDS) -> Accuracy:
    """Cross-validate: each part is read by a classifier that was trained on the others.

    Ways of writing one phrase stay together, so that none is recognised by its twin. The parts are always
    the same.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # noqa: PLC0415  half a second

    parts = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=0)
    intents = [one.intent for one in examples]
    accuracy = Accuracy()
    for trained, held in parts.split(intents, intents, _find_twins(examples)):
        classifier = Classifier([examples[index] for index in trained])
        tried = [examples[index] for index in held]
        weights = classifier.weigh_all([one.plain for one in tried])
        for example, likeness in zip(tried, weights, strict=True):
            accuracy.tried += _judge(example, likeness)
    return accuracy


def _judge(example: Example, likeness: Mapping[str, float]) -> list[Tried]:
    """Return what an example would be taken for, for each question to which people say such a thing."""
    found = find_phrase(example.plain)
    if found is not None:
        meaning = Meaning(None, found.intent, None, example.plain)
    else:
        meaning = weigh_meaning(example.plain, None, likeness)
    tried = []
    for ask, said in SAID_TO.items():
        if example.intent in said:
            wanted = MEANT_AS[ask].get(example.intent, example.intent)
            understood = intent_for(ask, meaning) or ASKED
            tried.append(Tried(example, ask, _effect(wanted), _effect(understood)))
    return tried


def _effect(intent: str) -> str:
    """Return what follows: whoever complains, is angry or wants to talk gets a person alike."""
    if intent in FOR_A_PERSON:
        return PERSON
    return ASKED if intent == OTHER else intent


def _find_twins(examples: Sequence[Example]) -> list[int]:
    """Return a number for each example, the same for those that are much alike and mean the same."""
    pieces = [_triples(one.plain) for one in examples]
    groups = list(range(len(examples)))
    for later, mine in enumerate(pieces):
        for earlier in range(later):
            other = pieces[earlier]
            if (
                groups[later] == groups[earlier]
                or examples[later].intent != examples[earlier].intent
            ):
                continue
            if len(mine & other) >= _TWINS * len(mine | other):
                old, new = groups[later], groups[earlier]
                groups = [new if one == old else one for one in groups]
    return groups


def _triples(plain: str) -> frozenset[str]:
    padded = f" {plain} "
    return frozenset(padded[index : index + 3] for index in range(len(padded) - 2))


def _share(hits: Sequence[bool]) -> float:
    return sum(hits) / len(hits) if hits else 0.0
