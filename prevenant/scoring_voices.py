"""Versions of models that score in the stream: what was trained, and detectors that learn as they go."""

from collections.abc import Callable, Mapping, Sequence
from math import isfinite, nan
from typing import Any

import numpy as np

from models.anomaly import Anomaly, Detector
from models.base import ANOMALY, FAILURE, Card, Prediction
from models.detecting import DetectorScorer
from models.estimators import Oracle
from models.explanation import explain
from models.inputs import compute_input, fields_of
from models.scoring import Scorer
from models.training import Model
from prevenant.domain import Reading
from prevenant.stream.voices import Because, Scoring, Voice
from rules.models import BookModel

_LANGUAGES = ("en", "fr")
_EXPLAINED = 3
_DETECTING_S = 5e-5
"""What a detector takes for one field of a reading, in seconds."""
_OUTSIDE = {
    "en": "{field} is unusual: {low:.4g} to {high:.4g} was to be expected",
    "fr": "{field} est inhabituel : {low:.4g} à {high:.4g} était attendu",
}
_UNUSUAL = {
    "en": "{field} is unusual: {value:.4g}, where {low:.4g} to {high:.4g} was to be expected",
    "fr": "{field} est inhabituel : {value:.4g}, au lieu de {low:.4g} à {high:.4g}",
}


def make_voice(model: BookModel, trained: Model, version: int, fingerprint: str) -> Voice:
    """Return a version of the registry that scores for `model`."""
    if trained.card.target.kind == ANOMALY:
        inputs = [one.name for one in trained.card.definition.channels]
        return DetectorVoice(model, inputs, version, fingerprint, trained.card)
    return TrainedVoice(model, trained, version, fingerprint)


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
        self,
        model: BookModel,
        inputs: Sequence[str],
        version: int,
        fingerprint: str,
        card: Card | None = None,
    ) -> None:
        """Prepare; `card` is that of a training, which has chosen what to listen to."""
        self.model, self.version, self.fingerprint = model, version, fingerprint
        self.cost_s = _DETECTING_S * len(inputs)
        self._inputs, self._card = inputs, card

    def make_scorer(self) -> Scoring:
        """Return one that has heard of no device yet."""
        return _DetectingScorer(self._inputs) if self._card is None else _Chosen(self._card)


class _DetectingScorer:
    """Scores how rare a reading is for its device."""

    def __init__(self, inputs: Sequence[str]) -> None:
        self.score_every = 0.0
        self._inputs = list(inputs)
        self._fields = list(dict.fromkeys(name for text in inputs for name in fields_of(text)))
        self._detector = Detector(self._inputs)
        self._latest: dict[str, tuple[float, float]] = {}
        """By device: when it was scored last, and with what."""
        self._stands_out: dict[str, tuple[str, float, float, float]] = {}
        """By device: what stood out, its value, and where it was expected."""

    def score(self, readings: Sequence[Reading]) -> Sequence[Prediction | None]:
        columns = self._read(readings)
        return [self._score(one, columns, place) for place, one in enumerate(readings)]

    def _read(self, readings: Sequence[Reading]) -> dict[str, list[float]]:
        found = {
            name: np.array(
                [nan if (v := getattr(one.values, name)) is None else float(v) for one in readings]
            )
            for name in self._fields
        }
        return {
            text: (found[text] if text in found else compute_input(text, found)).tolist()
            for text in self._inputs
        }

    def _score(
        self, reading: Reading, columns: Mapping[str, Sequence[float]], place: int
    ) -> Prediction:
        device, at = reading.device_id, reading.observed_at
        latest = self._latest.get(device)
        if latest is not None and at - latest[0] < self.score_every:
            return Prediction(latest[1], latest[1], latest[1], latest[0])
        values = {text: column[place] for text, column in columns.items()}
        found = self._detector.score(device, at, values)
        if latest is None or at > latest[0]:
            latest = self._latest[device] = (at, found.score)
            self._note(device, found, values)
        return Prediction(latest[1], latest[1], latest[1], latest[0])

    def _note(self, device: str, found: Anomaly, values: Mapping[str, float]) -> None:
        value = values.get(found.field, nan)
        if found.low is None or found.high is None or not isfinite(value):
            self._stands_out.pop(device, None)
        else:
            self._stands_out[device] = (found.field, value, found.low, found.high)

    def explain(self, device_id: str) -> Sequence[Because]:
        found = self._stands_out.get(device_id)
        if found is None:
            return ()
        field, value, low, high = found
        words = {
            language: text.format(field=field, value=value, low=low, high=high)
            for language, text in _UNUSUAL.items()
        }
        return [Because(field, words)]

    def snapshot(self) -> Any:
        return {
            "detector": self._detector.snapshot(),
            "latest": self._latest,
            "stands_out": self._stands_out,
        }

    def restore(self, state: Any) -> None:
        self._detector.restore(state["detector"])
        self._latest = {name: (one[0], one[1]) for name, one in state["latest"].items()}
        self._stands_out = {
            name: (one[0], one[1], one[2], one[3]) for name, one in state["stands_out"].items()
        }


class _Chosen:
    """A detector that listens to what a training has chosen; it says what `predict` says."""

    def __init__(self, card: Card) -> None:
        self.score_every = 0.0
        self._scorer = DetectorScorer(card)

    def score(self, readings: Sequence[Reading]) -> Sequence[Prediction | None]:
        if not self.score_every:
            return self._scorer.score(readings)
        said = []
        for one in readings:
            last = self._scorer.last(one.device_id)
            is_due = last is None or one.observed_at - last.at >= self.score_every
            said.append(self._scorer.score([one])[0] if is_due else last)
        return said

    def explain(self, device_id: str) -> Sequence[Because]:
        found = self._scorer.found(device_id)
        if found is None or found.low is None or found.high is None:
            return ()
        words = {
            language: text.format(field=found.field, low=found.low, high=found.high)
            for language, text in _OUTSIDE.items()
        }
        return [Because(found.field, words)]

    def snapshot(self) -> Any:
        return self._scorer.snapshot()

    def restore(self, state: Any) -> None:
        self._scorer.restore(state)
