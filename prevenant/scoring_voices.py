"""Versions of models that score in the stream: what was trained, and detectors that learn as they go."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from models.base import Prediction
from models.detecting import DetectorScorer, StandsOut
from models.estimators import Oracle
from models.explanation import explain
from models.features import Definition, Input, listen_to
from models.scoring import Scorer
from models.training import Model
from prevenant.domain import Reading
from prevenant.stream.voices import Because, Scoring, Voice
from prevenant.target import ANOMALY, FAILURE, SECONDS
from rules.models import BookModel

_LANGUAGES = ("en", "fr")
_EXPLAINED = 3
_DETECTING_S = 5e-5
"""What a detector takes for one field of a reading, in seconds."""
_UNUSUAL = {
    "en": "{name} is unusual: {value}, where {low} to {high} was to be expected",
    "fr": "{name} est inhabituel : {value}, au lieu de {low} à {high}",
}


def make_voice(model: BookModel, trained: Model, version: int, fingerprint: str) -> Voice:
    """Return a version of the registry that scores for `model`."""
    if trained.card.target.kind == ANOMALY:
        card = trained.card
        return DetectorVoice(model, card.definition, card.target.unit, version, fingerprint)
    return TrainedVoice(model, trained, version, fingerprint)


def make_detector(model: BookModel, version: int, fingerprint: str) -> Voice:
    """Return a detector that listens to what the book names, and was never trained."""
    definition = listen_to([Input(text) for text in model.inputs])
    return DetectorVoice(model, definition, SECONDS, version, fingerprint)


class TrainedVoice:
    """A version that was trained on history."""

    def __init__(self, model: BookModel, trained: Model, version: int, fingerprint: str) -> None:
        card = trained.card
        self.model, self.version, self.fingerprint = model, version, fingerprint
        self.cost_s, self.trained_at = card.cost_s, card.trained_at
        self.reference: Mapping[str, Sequence[float]] = card.reference
        self.missing: Mapping[str, float] = card.missing
        self._trained = trained

    def make_scorer(self) -> Scoring:
        """Return one that has heard of no device yet."""
        return _TrainedScorer(self._trained, self.model)


class _TrainedScorer:
    """The scorer of `models`, which also says why."""

    def __init__(self, trained: Model, model: BookModel) -> None:
        self._trained, self._units = trained, model.units
        self._scorer = Scorer(trained)
        self._ask: Callable[[Any], Any] | None = None

    @property
    def score_every(self) -> float:
        return self._scorer.score_every

    @score_every.setter
    def score_every(self, span: float) -> None:
        self._scorer.score_every = span

    def score(self, readings: Sequence[Reading]) -> Sequence[Prediction | None]:
        return self._scorer.score(readings)

    def explain(self, device_id: str) -> Sequence[Because]:
        row = self._scorer.features(device_id)
        if row is None:
            return ()
        if self._ask is None:
            oracle = Oracle(self._trained.card, self._trained.estimator)
            self._ask = lambda rows: oracle.ask(rows).value
        # What holds a failure off explains no alarm.
        worse = 1.0 if self._trained.card.target.kind == FAILURE else -1.0
        found = explain(self._trained, row, self._ask)
        return [
            Because(one.field, {name: one.words(name, self._units) for name in _LANGUAGES})
            for one in found
            if worse * one.effect > 0
        ][:_EXPLAINED]

    def snapshot(self) -> Any:
        return self._scorer.snapshot()

    def restore(self, state: Any) -> None:
        self._scorer.restore(state)


class DetectorVoice:
    """A detector: it learns what is normal for each device while it listens, and needs no training."""

    reference: Mapping[str, Sequence[float]] = {}
    missing: Mapping[str, float] = {}
    trained_at = float("inf")
    """It never grows stale."""

    def __init__(
        self, model: BookModel, definition: Definition, unit: str, version: int, fingerprint: str
    ) -> None:
        """Prepare to listen to the channels of a definition, on an axis in `unit`."""
        self.model, self.version, self.fingerprint = model, version, fingerprint
        self.cost_s = _DETECTING_S * len(definition.channels)
        self._definition, self._unit = definition, unit

    def make_scorer(self) -> Scoring:
        """Return one that has heard of no device yet."""
        return _DetectingScorer(self._definition, self._unit)


class _DetectingScorer(DetectorScorer):
    """The detector of `models`, which also says why."""

    def explain(self, device_id: str) -> Sequence[Because]:
        found = self.stands_out(device_id)
        if found is None:
            return ()
        return [Because(found.name, say_unusual(found))]


def say_unusual(found: StandsOut) -> dict[str, str]:
    """Return in each language what stands out, with numbers as the language writes them."""
    said = {}
    for language, text in _UNUSUAL.items():
        point = "," if language == "fr" else "."
        numbers = {
            name: f"{getattr(found, name):.4g}".replace(".", point)
            for name in ("value", "low", "high")
        }
        said[language] = text.format(name=found.name, **numbers)
    return said
