"""What a model is: what it predicts, of which devices, learned from what; and what it says of a reading.

A model counts in the unit of its data: cycles, or seconds. `at` is a reading's place on that axis.
"""

from dataclasses import dataclass

import msgspec
import pandas as pd

CYCLES, SECONDS = "cycles", "seconds"
REMAINING_LIFE, FAILURE, ANOMALY = "remaining_life", "failure", "anomaly"

FIELDS = {
    REMAINING_LIFE: ("remaining_life", "low", "high"),
    FAILURE: ("probability", "low", "high"),
    ANOMALY: ("anomaly", "low", "high"),
}
"""By kind of target, what a model adds to a reading: `NAME.remaining_life`, `NAME.low`, `NAME.high`."""


class Target(msgspec.Struct, frozen=True):
    """What a model predicts."""

    kind: str
    """`remaining_life`, `failure` (its probability within the horizon) or `anomaly`."""
    unit: str = SECONDS
    """`cycles` or `seconds`: of the horizon, of remaining life, and of the data's axis."""
    horizon: float = 0.0
    """Of `failure`: how far ahead; 0 is now."""

    @property
    def value_field(self) -> str:
        """The name of the field with the prediction itself."""
        return FIELDS[self.kind][0]


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


class Prediction(msgspec.Struct, frozen=True, gc=False):
    """What a model says of one device at one moment."""

    value: float
    low: float
    high: float
    """With `low`, the interval that holds the truth nine times in ten."""
    at: float
    """When the reading was observed that it was last made from, in the model's unit."""
