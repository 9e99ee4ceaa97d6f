"""Scores readings by a detector, which needs no training; answers what `models.scoring.Scorer` does."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from models.anomaly import Anomaly, Detector
from models.base import SECONDS, Card, History, Prediction
from prevenant.domain import Reading


class DetectorScorer:
    """Says of each reading how rare it is for its device."""

    def __init__(self, card: Card) -> None:
        self.card = card
        self.definition = card.definition
        self._counts = card.target.unit != SECONDS
        self._names = [channel.name for channel in card.definition.channels]
        self._detector = Detector(self._names, calendar=not self._counts)
        self._at: dict[str, float] = {}
        self._said: dict[str, Prediction] = {}
        self._found: dict[str, Anomaly] = {}

    def score(self, readings: Sequence[Reading]) -> list[Prediction | None]:
        """Return what is said after each reading, in their order."""
        fields = self.definition.fields
        return self._score(
            [reading.device_id for reading in readings],
            [None if self._counts else reading.observed_at for reading in readings],
            [[getattr(reading.values, name) for name in fields] for reading in readings],
        )

    def _score(
        self, devices: Sequence[str], places: Sequence[float | None], rows: Sequence[Sequence[Any]]
    ) -> list[Prediction | None]:
        channels = self.definition.read_rows(rows).tolist() if rows else []
        said: list[Prediction | None] = []
        for device, place, values in zip(devices, places, channels, strict=True):
            last = self._at.get(device, 0.0)
            at = last + 1.0 if place is None else place
            if device not in self._at or at > last:
                found = self._detector.score(
                    device, at, dict(zip(self._names, values, strict=True))
                )
                self._at[device] = at
                self._found[device] = found
                self._said[device] = Prediction(found.score, found.score, found.score, at)
            said.append(self._said[device])
        return said

    def last(self, device: str) -> Prediction | None:
        """Return what was said last of a device."""
        return self._said.get(device)

    def found(self, device: str) -> Anomaly | None:
        """Return what was found last of a device: the channel that stands out, and what was expected."""
        return self._found.get(device)

    def snapshot(self) -> dict[str, Any]:
        """Return what is remembered as plain values."""
        return {
            "detector": self._detector.snapshot(),
            "at": dict(self._at),
            "found": {device: list(one) for device, one in self._found.items()},
        }

    def restore(self, kept: dict[str, Any]) -> None:
        """Take over what a scorer of the same model remembered."""
        self._detector.restore(kept["detector"])
        self._at = dict(kept["at"])
        self._found = {
            device: Anomaly._make([*one[:-1], tuple(one[-1])])
            for device, one in kept["found"].items()
        }
        self._said = {
            device: Prediction(one.score, one.score, one.score, self._at[device])
            for device, one in self._found.items()
        }

    def play(self, history: History) -> pd.DataFrame:
        """Return what is said of each row of a history: `device, at, prediction, low, high`."""
        rows = history.rows
        columns = [rows[name].to_numpy(object) for name in self.definition.fields]
        devices, at = rows["device"].tolist(), rows["at"].to_numpy(float)
        said = self._score(devices, at.tolist(), list(zip(*columns, strict=True)))
        score = np.array([np.nan if one is None else one.value for one in said], float)
        return pd.DataFrame(
            {"device": devices, "at": at, "prediction": score, "low": score, "high": score}
        )
