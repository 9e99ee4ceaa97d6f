"""Scores readings by a detector, which needs no training; answers what `models.scoring.Scorer` does."""

from collections.abc import Sequence
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from models.anomaly import Anomaly, Detector
from models.base import History, Prediction
from models.features import Definition
from prevenant.domain import Reading
from prevenant.target import SECONDS

_CYCLE = "cycle"
"""A field of this name says which cycle a reading is of, where a model counts cycles."""


class StandsOut(NamedTuple):
    """The channel that is least usual, its value, and where it was to be expected."""

    name: str
    value: float
    low: float
    high: float


class DetectorScorer:
    """Says of each reading how rare it is for its device."""

    def __init__(
        self, definition: Definition, unit: str = SECONDS, score_every: float = 0.0
    ) -> None:
        """Prepare to listen to the channels of a definition; `unit` is that of its axis."""
        self.definition = definition
        self.score_every = score_every
        """How old a prediction may be before the device is looked at again, in seconds of observation."""
        self._counts = unit != SECONDS
        self._names = [channel.name for channel in definition.channels]
        self._detector = Detector(self._names, calendar=not self._counts)
        self._at: dict[str, float] = {}
        self._looked: dict[str, float] = {}
        self._said: dict[str, Prediction] = {}
        self._stands_out: dict[str, StandsOut] = {}

    def score(self, readings: Sequence[Reading]) -> list[Prediction | None]:
        """Return what is said after each reading, in their order."""
        fields = self.definition.fields
        return self._score(
            [reading.device_id for reading in readings],
            [place_of(reading, counts=self._counts) for reading in readings],
            [reading.observed_at for reading in readings],
            [[getattr(reading.values, name) for name in fields] for reading in readings],
        )

    def _score(
        self,
        devices: Sequence[str],
        places: Sequence[float | None],
        seen: Sequence[float],
        rows: Sequence[Sequence[Any]],
    ) -> list[Prediction | None]:
        channels = self.definition.read_rows(rows).tolist() if rows else []
        said: list[Prediction | None] = []
        for device, place, observed, values in zip(devices, places, seen, channels, strict=True):
            last = self._at.get(device)
            at = (last or 0.0) + 1.0 if place is None else place
            if last is None or (at > last and observed - self._looked[device] >= self.score_every):
                found = self._detector.score(
                    device, at, dict(zip(self._names, values, strict=True))
                )
                self._at[device], self._looked[device] = at, observed
                self._said[device] = Prediction(found.score, found.score, found.score, at)
                self._note(device, found, values)
            said.append(self._said[device])
        return said

    def _note(self, device: str, found: Anomaly, values: Sequence[float]) -> None:
        """Remember what stands out, where it is known what was to be expected."""
        self._stands_out.pop(device, None)
        if found.field in self._names and found.low is not None and found.high is not None:
            value = values[self._names.index(found.field)]
            if isfinite(value):
                self._stands_out[device] = StandsOut(found.field, value, found.low, found.high)

    def last(self, device: str) -> Prediction | None:
        """Return what was said last of a device."""
        return self._said.get(device)

    def stands_out(self, device: str) -> StandsOut | None:
        """Return what stood out of a device's last reading."""
        return self._stands_out.get(device)

    def snapshot(self) -> dict[str, Any]:
        """Return what is remembered as plain values."""
        return {
            "channels": self._names,
            "detector": self._detector.snapshot(),
            "devices": {
                device: [at, self._looked[device], self._said[device].value]
                for device, at in self._at.items()
            },
            "stands_out": {device: list(one) for device, one in self._stands_out.items()},
        }

    def restore(self, kept: dict[str, Any]) -> None:
        """Take over what a scorer of the same channels remembered.

        Raises ValueError where it is of others; then nothing has changed.
        """
        if list(kept["channels"]) != self._names:
            message = f"what is kept is of {kept['channels']}, and not of {self._names}"
            raise ValueError(message)
        self._detector.restore(kept["detector"])
        devices = kept["devices"].items()
        self._at = {device: at for device, (at, _, _) in devices}
        self._looked = {device: looked for device, (_, looked, _) in devices}
        self._said = {
            device: Prediction(value, value, value, at) for device, (at, _, value) in devices
        }
        self._stands_out = {device: StandsOut(*one) for device, one in kept["stands_out"].items()}

    def play(self, history: History) -> pd.DataFrame:
        """Return what is said of each row of a history: `device, at, prediction, low, high`."""
        rows = history.rows
        columns = [rows[name].to_numpy(object) for name in self.definition.fields]
        devices, at = rows["device"].tolist(), rows["at"].to_numpy(float)
        said = self._score(devices, at.tolist(), at.tolist(), list(zip(*columns, strict=True)))
        score = np.array([np.nan if one is None else one.value for one in said], float)
        return pd.DataFrame(
            {"device": devices, "at": at, "prediction": score, "low": score, "high": score}
        )


def place_of(reading: Reading, *, counts: bool) -> float | None:
    """Return where a reading stands on a model's axis; None: one cycle after the device's last."""
    if not counts:
        return reading.observed_at
    cycle = getattr(reading.values, _CYCLE, None)
    return float(cycle) if isinstance(cycle, int | float) else None
