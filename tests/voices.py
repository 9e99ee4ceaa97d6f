"""Models that say what a test has them say, and remember their devices as trained ones do."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from models.base import Prediction
from prevenant.domain import Reading
from prevenant.errors import ConfigurationError
from prevenant.stream.voices import Because, Voice
from rules.models import BookModel

Formula = Callable[[Reading, float], float]
"""From a reading and the sum of what its device has sent to a prediction."""


def mean_of(field: str) -> Formula:
    """Return the mean of a field so far as a prediction."""
    return lambda reading, total: total / max(1.0, getattr(reading.values, field) or 1.0)


class FakeVoice:
    """One version: its prediction is a formula over a reading and the sum of `field` so far."""

    def __init__(
        self,
        model: BookModel,
        version: int = 1,
        field: str = "amps",
        formula: Formula = lambda _reading, total: total,
        cost_s: float = 1e-6,
        trained_at: float = 0.0,
        reference: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        self.model, self.version, self.fingerprint = model, version, f"v{version}"
        self.field, self.formula = field, formula
        self.cost_s, self.trained_at, self.reference = cost_s, trained_at, reference or {}
        self.missing: Mapping[str, float] = {}
        self.scored = 0
        """How many predictions were made, by all scorers together."""

    def make_scorer(self) -> "FakeScorer":
        return FakeScorer(self)


class FakeScorer:
    """Scores a device once in `score_every` seconds of its own time, and takes every reading in."""

    def __init__(self, voice: FakeVoice) -> None:
        self._voice = voice
        self.score_every = 0.0
        self.batches: list[int] = []
        self._totals: dict[str, float] = {}
        self._latest: dict[str, Prediction] = {}

    def score(self, readings: Sequence[Reading]) -> list[Prediction | None]:
        self.batches.append(len(readings))
        return [self._score(reading) for reading in readings]

    def _score(self, reading: Reading) -> Prediction | None:
        device, at = reading.device_id, reading.observed_at
        number = getattr(reading.values, self._voice.field)
        if number is None:
            return self._latest.get(device)
        self._totals[device] = self._totals.get(device, 0.0) + number
        latest = self._latest.get(device)
        if latest is not None and at - latest.at < self.score_every:
            return latest
        self._voice.scored += 1
        value = self._voice.formula(reading, self._totals[device])
        self._latest[device] = Prediction(value, value - 1.0, value + 1.0, at)
        return self._latest[device]

    def explain(self, device_id: str) -> Sequence[Because]:
        total = self._totals[device_id]
        words = {"en": f"its current adds up to {total:g}", "fr": f"son courant fait {total:g}"}
        return [Because(self._voice.field, words)]

    def snapshot(self) -> Any:
        latest = {name: [p.value, p.low, p.high, p.at] for name, p in self._latest.items()}
        return {"totals": self._totals, "latest": latest}

    def restore(self, state: Any) -> None:
        self._totals = dict(state["totals"])
        self._latest = {name: Prediction(*one) for name, one in state["latest"].items()}


class FakeVoices:
    """Versions by model; a version that is not there cannot be loaded."""

    def __init__(self, *voices: FakeVoice) -> None:
        self.of: dict[tuple[str, int], FakeVoice | str] = {
            (one.model.name, one.version): one for one in voices
        }
        self.active: dict[str, int] = {one.model.name: one.version for one in voices}
        self.shadow: dict[str, int] = {}
        self.is_changed = True

    def wanted(self, model: BookModel) -> tuple[int, int]:
        return model.version or self.active.get(model.name, 0), self.shadow.get(model.name, 0)

    def fingerprint(self, model: BookModel, version: int) -> str:
        return self.load(model, version).fingerprint

    def load(self, model: BookModel, version: int) -> Voice:
        found = self.of.get((model.name, version), "there is no such version")
        if isinstance(found, str):
            raise ConfigurationError(found)
        return found

    def has_changed(self) -> bool:
        return self.is_changed
