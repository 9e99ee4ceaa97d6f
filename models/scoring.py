"""Scores readings as they come: each device's state moves with every reading, and predictions are batched.

A device whose last prediction is younger than `score_every` keeps it, so that a slow model is asked less
often; its features lose nothing by that.
"""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import numpy as np
import pandas as pd

from models.base import History, Prediction
from models.detecting import DetectorScorer, place_of
from models.estimators import Oracle
from models.features import States
from models.inputs import Floats
from models.labels import label_rows
from models.training import Model
from prevenant.domain import Reading
from prevenant.errors import ConfigurationError
from prevenant.target import ANOMALY, CYCLES

_NEVER = -np.inf
_AT_ONCE = 4_096


class Scorer:
    """Predicts for many devices, from one reading after the other. Its state is its own."""

    def __init__(self, model: Model, score_every: float = 0.0) -> None:
        if model.card.target.kind == ANOMALY:
            message = "a detector scores by itself"
            raise ValueError(message)
        self.model = model
        self.definition = model.card.definition
        self.score_every = score_every
        """How old a prediction may be until the device is asked about again, in seconds of observation."""
        self._oracle = Oracle(model.card, model.estimator)
        self._states = States(self.definition)
        self._slots: dict[str, int] = {}
        self._at: list[float] = []
        """By slot, where the device's last reading stands on the axis."""
        self._scored: list[float] = []
        """By slot, when the reading was observed that the device was asked about last."""
        self._observed: list[float] = []
        """By slot, when the device's newest reading was observed, where the model counts cycles."""
        self._counted: list[float] = []
        """By slot, how many readings there were, or which cycle the newest one was of."""
        self._said: list[Prediction | None] = []
        self._features: list[Floats | None] = []
        fields = self.definition.fields
        self._read: Callable[[Any], tuple[Any, ...]] = (
            attrgetter(*fields) if len(fields) > 1 else lambda values: (getattr(values, fields[0]),)
        )
        self._counts = model.card.target.unit == CYCLES

    def score(self, readings: Sequence[Reading]) -> list[Prediction | None]:
        """Return what is said after each reading, in their order; None where nothing was ever said.

        Of several readings of a device each is taken in turn. One that is older than the device's last
        changes nothing.
        """
        return self._score(
            [reading.device_id for reading in readings],
            [place_of(reading, counts=self._counts) for reading in readings],
            [self._read(reading.values) for reading in readings],
            [reading.observed_at for reading in readings] if self._counts else None,
        )

    def _score(
        self,
        devices: Sequence[str],
        places: Sequence[float | None],
        rows: Sequence[Sequence[Any]],
        observed: Sequence[float] | None = None,
    ) -> list[Prediction | None]:
        said: list[Prediction | None] = [None] * len(devices)
        ticks: list[dict[int, int]] = []
        turns: dict[int, int] = {}
        for index, device in enumerate(devices):
            slot = self._slot(device)
            turn = turns[slot] = turns.get(slot, -1) + 1
            if turn == len(ticks):
                ticks.append({})
            ticks[turn][slot] = index
        for tick in ticks:
            self._tick(tick, places, rows, observed, said)
        return said

    def _tick(
        self,
        taken: dict[int, int],
        places: Sequence[float | None],
        rows: Sequence[Sequence[Any]],
        observed: Sequence[float] | None,
        said: list[Prediction | None],
    ) -> None:
        """Take one reading of each of several devices."""
        least = self.definition.least_step
        slots, at, seen, chosen = [], [], [], []
        for slot, index in taken.items():
            place = self._count(slot, places[index], None if observed is None else observed[index])
            last = self._at[slot]
            if place is not None and place > last and place >= last + least:
                slots.append(slot)
                at.append(place)
                seen.append(place if observed is None else observed[index])
                chosen.append(rows[index])
                self._at[slot] = place
        if slots:
            channels = self.definition.read_rows(chosen)
            features = self._states.update(np.array(slots, np.intp), np.array(at), channels)
            self._ask(slots, at, seen, features)
        for slot, index in taken.items():
            said[index] = self._said[slot]

    def _count(self, slot: int, place: float | None, observed: float | None) -> float | None:
        """Return where a reading stands on the axis; None where an older one is counted no more.

        `place` is where it says so itself; without it, it is one after the device's last. Where a count of
        cycles begins again, the device was overhauled, and what was known of it is forgotten.
        """
        if observed is not None:
            is_late = observed <= self._observed[slot]
            self._observed[slot] = max(observed, self._observed[slot])
            if place is None and is_late:
                return None
            if place is not None and not is_late and place < self._at[slot] / 2:
                self._clear(slot)
        if place is None:
            place = self._counted[slot] + 1.0
        self._counted[slot] = max(place, self._counted[slot])
        return place

    def _ask(
        self, slots: Sequence[int], at: Sequence[float], seen: Sequence[float], features: Floats
    ) -> None:
        """Predict for the devices whose last prediction is too old; `seen` is when each was observed."""
        due = [
            number
            for number, slot in enumerate(slots)
            if seen[number] - self._scored[slot] >= self.score_every
        ]
        if not due:
            return
        asked = features if len(due) == len(slots) else features[due]
        answers = self._oracle.ask(asked)
        for number, value, low, high, row in zip(
            due,
            answers.value.tolist(),
            answers.low.tolist(),
            answers.high.tolist(),
            asked,
            strict=True,
        ):
            slot = slots[number]
            self._scored[slot] = seen[number]
            self._said[slot] = Prediction(value, low, high, at[number])
            self._features[slot] = row

    def _slot(self, device: str) -> int:
        slot = self._slots.get(device)
        if slot is None:
            slot = self._slots[device] = len(self._at)
            self._at.append(_NEVER)
            self._scored.append(_NEVER)
            self._observed.append(_NEVER)
            self._counted.append(0.0)
            self._said.append(None)
            self._features.append(None)
        return slot

    def last(self, device: str) -> Prediction | None:
        """Return what was said last of a device."""
        slot = self._slots.get(device)
        return None if slot is None else self._said[slot]

    def features(self, device: str) -> Floats | None:
        """Return what the last prediction of a device was made from, by `Definition.features`."""
        slot = self._slots.get(device)
        return None if slot is None else self._features[slot]

    def _clear(self, slot: int) -> None:
        self._at[slot] = self._scored[slot] = _NEVER
        self._said[slot] = self._features[slot] = None
        self._counted[slot] = 0.0
        self._states.forget(slot)

    def snapshot(self) -> dict[str, list[Any]]:
        """Return what is remembered of each device as plain values."""
        kept = {}
        for device, slot in self._slots.items():
            said, row = self._said[slot], self._features[slot]
            kept[device] = [
                self._at[slot],
                self._scored[slot],
                self._observed[slot],
                self._counted[slot],
                None if said is None else [said.value, said.low, said.high, said.at],
                None if row is None else row.tolist(),
                self._states.keep(slot),
            ]
        return kept

    def restore(self, kept: dict[str, list[Any]]) -> None:
        """Take over what a scorer of the same model remembered.

        Raises ValueError where it is of another definition; then nothing has changed.
        """
        fresh = Scorer(self.model, self.score_every)
        for device, (at, scored, observed, counted, said, row, state) in kept.items():
            slot = fresh._slot(device)
            fresh._at[slot], fresh._scored[slot], fresh._observed[slot] = at, scored, observed
            fresh._counted[slot] = counted
            fresh._said[slot] = None if said is None else Prediction(*said)
            fresh._features[slot] = None if row is None else np.array(row, float)
            fresh._states.take(slot, state)
        self.__dict__.update(fresh.__dict__)

    def play(self, history: History) -> pd.DataFrame:
        """Return what is said of each row of a history: `device, at, prediction, low, high`.

        Devices that are alike are asked about at once, since none depends on another.
        """
        rows = history.rows
        devices = rows["device"].tolist()
        columns = [rows[name].to_numpy(object) for name in self.definition.fields]
        values = list(zip(*columns, strict=True)) if columns else [()] * len(rows)
        turn = rows.groupby("device", sort=False).cumcount().to_numpy()
        order = np.argsort(turn, kind="stable")
        said: list[Prediction | None] = [None] * len(rows)
        at = rows["at"].to_numpy(float)
        for begin in range(0, len(order), _AT_ONCE):
            part = order[begin : begin + _AT_ONCE]
            answers = self._score(
                [devices[one] for one in part],
                [float(at[one]) for one in part],
                [values[one] for one in part],
            )
            for one, answer in zip(part, answers, strict=True):
                said[one] = answer
        return pd.DataFrame(
            {
                "device": devices,
                "at": at,
                "prediction": [np.nan if one is None else one.value for one in said],
                "low": [np.nan if one is None else one.low for one in said],
                "high": [np.nan if one is None else one.high for one in said],
            }
        )


def make_scorer(model: Model, score_every: float = 0.0) -> Scorer | DetectorScorer:
    """Return what scores readings by `model`, with nothing remembered yet."""
    if model.estimator is None:
        return DetectorScorer(model.card.definition, model.card.target.unit, score_every)
    return Scorer(model, score_every)


def predict(model: Model, history: History, at: str = "all") -> pd.DataFrame:
    """Return what `model` says of `history`: of all rows, or of each device's last.

    Columns `device, at, prediction, low, high`. Raises ConfigurationError where a field is missing.
    """
    check_fields(model, history)
    said = make_scorer(model).play(history)
    return (
        said.groupby("device", sort=False).tail(1).reset_index(drop=True) if at == "last" else said
    )


def check_fields(model: Model, history: History) -> None:
    """Raise ConfigurationError where the data lacks a field that the model has learned from."""
    missing = [name for name in model.card.definition.fields if name not in history.rows]
    if missing:
        message = (
            f"the data has no {', '.join(missing)}, which model {model.card.name!r} has learned from: "
            f"it has {', '.join(history.fields) or 'no fields'}"
        )
        raise ConfigurationError(message)


def judge_on(model: Model, history: History) -> pd.DataFrame:
    """Return what `model` says of the rows whose future is known, beside the truth.

    Columns as `Model.out_of_fold` has them. Rows too close to the end of a record are left out: a call
    there is neither right nor wrong.
    """
    said = predict(model, history)
    labels = label_rows(history, model.card.target)
    said["truth"] = labels.wanted(model.card.target, model.card.cap)
    said["life"], said["remaining"] = labels.lives, labels.remaining
    return said[said["prediction"].notna() & said["truth"].notna()].reset_index(drop=True)


__all__ = ["DetectorScorer", "Scorer", "judge_on", "make_scorer", "predict"]
