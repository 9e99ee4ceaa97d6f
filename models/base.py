"""What a model is: what it predicts, of which devices, learned from what; and what it says of a reading.

A model counts in the unit of its data: cycles, or seconds. `at` is a reading's place on that axis.
"""

from dataclasses import dataclass

import msgspec
import pandas as pd

from models.features import Definition
from prevenant.target import SECONDS, Target


@dataclass(frozen=True, slots=True)
class History:
    """What devices said, and when they failed.

    `rows` has the columns `device` (str) and `at` (float, in `unit`), then one for each field: float64
    (NaN where missing, 0 and 1 for bool) or str; ordered by device and `at`, one row for each pair.
    `failures` has `device` (str) and `failed_at` (float, in `unit`), in the same order.
    """

    rows: pd.DataFrame
    failures: pd.DataFrame
    unit: str = SECONDS

    @property
    def fields(self) -> list[str]:
        """What devices measure, in the order of the columns."""
        return [str(name) for name in self.rows.columns if name not in {"device", "at"}]


class Calls(msgspec.Struct, frozen=True):
    """When a prediction sends somebody: beyond a threshold, so often in a row; chosen in training."""

    threshold: float
    debounce: int
    """So many readings in a row have to agree."""
    earliest: float
    """A visit longer before the failure than this was premature, in the model's unit."""
    latest: float
    """A visit closer to the failure than this came too late."""


class Fingerprint(msgspec.Struct, frozen=True):
    """Which data a model was trained on."""

    rows: int
    devices: int
    failures: int
    first: float
    last: float
    sha256: str


class Card(msgspec.Struct, frozen=True):
    """All that is known of a model beside its estimator."""

    name: str
    target: Target
    definition: Definition
    fingerprint: Fingerprint
    trained_at: float
    """Seconds since 1970."""
    version: int = 0
    """0 until it is registered."""
    cap: float = 0.0
    """Remaining life beyond this is not told apart."""
    levels: list[float] = []
    """Predictions at which `lows` and `highs` stand, ascending; between them lies a line."""
    lows: list[float] = []
    """At each level the low end of the interval that holds the truth nine times in ten."""
    highs: list[float] = []
    calibration: tuple[float, float] = (1.0, 0.0)
    """Of `failure`: slope and intercept of the log-odds (Platt 1999)."""
    calls: Calls | None = None
    metrics: dict[str, float | None] = {}
    """Out of fold."""
    paces: list[float] = []
    """So many times as long were lives that were learned from beside those seen: see `models.paces`."""
    judged_by: str = "device"
    """What stood on one side of each fold alone: a `device`, or a `life` where few devices failed."""
    reference: dict[str, list[float]] = {}
    """By field, and under the empty name for the prediction: quantiles in training, at equal steps."""
    missing: dict[str, float] = {}
    """By input: the share of the rows that had none."""
    normal: list[float] = []
    """By feature: what is usual far from any failure."""
    cost_s: float = 0.0
    """How long one prediction takes in a batch, in seconds of the processor that trained."""
    seed: int = 0
    leaks: dict[str, str] = {}
    """Inputs that tell the answer by themselves, and why that is doubtful."""


class Prediction(msgspec.Struct, frozen=True, gc=False):
    """What a model says of one device at one moment."""

    value: float
    low: float
    high: float
    """With `low`, the interval that holds the truth nine times in ten."""
    at: float
    """When the reading was observed that it was last made from, in the model's unit."""
