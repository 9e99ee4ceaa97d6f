"""What the stream needs of a trained model, whoever keeps it: a version that scores, and says why."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from prevenant.domain import Reading
from rules.models import BookModel

_UNTRAINED = "detector: "


def untrained(inputs: Sequence[str]) -> str:
    """Return the fingerprint of a detector that listens to `inputs` and was never trained."""
    return f"{_UNTRAINED}{', '.join(inputs)}"


def is_untrained(fingerprint: str) -> bool:
    """Return whether a version has no files: it is the same whatever the book has it listen to."""
    return fingerprint.startswith(_UNTRAINED)


class Scored(Protocol):
    """A prediction, in the model's own unit."""

    @property
    def value(self) -> float:
        """What is predicted."""

    @property
    def low(self) -> float:
        """With `high`, the interval."""

    @property
    def high(self) -> float:
        """With `low`, the interval."""

    @property
    def at(self) -> float:
        """When the reading was observed that it was made from; another value is another prediction."""


class Because(NamedTuple):
    """One input that moved a prediction, the one that moved it most first."""

    sensor: str
    words: Mapping[str, str]
    """By language."""


class Scoring(Protocol):
    """The state of many devices under one version of a model."""

    score_every: float
    """How far apart two scorings of a device lie at least, in seconds of observation."""

    def score(self, readings: Sequence[Reading]) -> Sequence[Scored | None]:
        """Take readings in their order; return what is said of each."""

    def explain(self, device_id: str) -> Sequence[Because]:
        """Return what moved the latest prediction of a device."""

    def snapshot(self) -> Any:
        """Return the whole state as plain values."""

    def restore(self, state: Any) -> None:
        """Take over the state of an earlier one of the same version."""


class Voice(Protocol):
    """One version of a model, read and found good."""

    model: BookModel
    """As the book that it was read for asks for it."""
    version: int
    fingerprint: str
    cost_s: float
    """What scoring one row takes, in seconds, as it was measured when it was trained."""
    trained_at: float
    """In seconds since 1970."""
    reference: Mapping[str, Sequence[float]]
    """Quantiles of what it was trained on, by input; under `models.drift.SCORE` of what it says."""
    missing: Mapping[str, float]
    """The share of the rows that had none of an input."""

    def make_scorer(self) -> Scoring:
        """Return one that has heard of no device yet."""


class Voices(Protocol):
    """Where versions of models are kept."""

    def wanted(self, model: BookModel) -> tuple[int, int]:
        """Return which version is to speak, and which is to be tried in its shadow; 0 is none.

        Raises PrevenantError where that cannot be found out.
        """

    def fingerprint(self, model: BookModel, version: int) -> str:
        """Return what tells a version from another of its number.

        Raises PrevenantError where its files are not what was written.
        """

    def load(self, model: BookModel, version: int) -> Voice:
        """Return a version. Raises PrevenantError where it cannot be used for `model`."""

    def has_changed(self) -> bool:
        """Return whether anything may be otherwise than when this was asked last."""


class NoVoices:
    """Nothing was ever trained."""

    def wanted(self, model: BookModel) -> tuple[int, int]:
        """Return that nothing is to speak."""
        del model
        return 0, 0

    def fingerprint(self, model: BookModel, version: int) -> str:
        """Return nothing: there is no version."""
        del model, version
        return ""

    def load(self, model: BookModel, version: int) -> Voice:
        """Return no version."""
        raise KeyError(model.name, version)

    def has_changed(self) -> bool:
        """Return that nothing changes."""
        return False
