"""The one definition of features, for training and for the stream: what is known of a device, as numbers.

A device's inputs become channels: numbers as they are, one for each word of a text. A channel is read in
units of its spread within the device's operating regime, so that regimes do not hide wear. Of each channel
a device remembers a few exponentially weighted sums; what is made of them is `Definition.features`.
Beside the channels stand `wear` channels: weighted sums of channels along the directions in which devices
moved before they failed (Fisher's discriminant, and its diagonal form), since the sensors together say
more than each alone.

Training rows are made by this very code, a row at a time for each device, so that the stream can make no
other features than those that were learned from.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.inputs import Floats, compute_input, fields_of

Slots = NDArray[np.intp]

WEAR = "wear"
"""How the channels are called that join several inputs."""
MEANS = ("mean_1", "mean_2", "mean_3", "mean_4")
"""Exponentially weighted means, one for each time constant, from the shortest to the longest."""
_DEVIATIONS = {"deviation_2": 1, "deviation_4": 3}
_SLOPES = ("slope_13", "slope_24")
"""Differences of the means that are two time constants apart, over the difference of their ages."""
_K = len(MEANS)
_SUMS = _K + 2
_HIGH, _LOW, _BASE, _ROUGH, _LAST = range(_SUMS, _SUMS + 5)
_ROWS = _LAST + 1
_AT, _FIRST, _COUNT, _WEIGHT = 0, 1, 2, 3
_DECIMALS = 6
_OUT_OF_MEASURE = 10.0
"""So many spreads from the mean a value says that it is far off, and no more than that."""
_TINY = 1e-9
_START = 5.0
"""Steps added to an age that something is divided by: the first steps of a device say little of a rate."""


class Input(msgspec.Struct, frozen=True):
    """Something that a model learns from."""

    text: str
    """A field, or arithmetic over fields."""
    words: tuple[str, ...] = ()
    """Of a field with text: what it was in training; each is a channel of its own, 0 or 1."""


class Channel(msgspec.Struct, frozen=True):
    """One number that is followed over time."""

    name: str
    input: int
    """Which input it comes from."""
    word: str = ""


class Regimes(msgspec.Struct, frozen=True):
    """Ways of working that devices switch between, each with its own normal; by regime, then channel."""

    centres: list[list[float]]
    """In units of the whole data's spread; one row where there is one regime."""
    means: list[list[float]]
    scales: list[list[float]]
    """Spread; beyond all bounds where a channel is constant in a regime."""
    heed: list[float] = []
    """By channel: 1 where it tells regimes apart, 0 where it does not; empty: all do."""


class Feature(msgspec.Struct, frozen=True):
    """One column of the rows that an estimator sees."""

    name: str
    channel: int
    """Index among channels and then wear channels; -1 for the device's age."""
    kind: str
    """`last`, `mean_1`, `deviation_2`, `slope_13`, `range`, `baseline`, `rate`, `change`, `age`, …"""


class Definition(msgspec.Struct, frozen=True, dict=True):
    """What features are made of. Times are in the unit of the data's axis."""

    inputs: tuple[Input, ...]
    channels: tuple[Channel, ...]
    regimes: Regimes
    spread_mean: list[float]
    """By channel, over all regimes: what regimes are told apart by."""
    spread: list[float]
    time_constants: tuple[float, ...] = ()
    """Four, or none where devices have no past: then the only features are the last values."""
    step: float = 1.0
    """The usual time between two readings of a device."""
    least_step: float = 0.0
    """A reading sooner after the one before is passed over."""
    baseline_readings: int = 1
    """So many first readings are a device's own normal."""
    baseline_time_constant: float = 0.0
    """With which its normal follows it from then on; 0: it does not."""
    wear: list[list[float]] = []
    """By wear channel: the weight of each channel."""
    has_age: bool = False
    """Whether a device's first reading is its birth."""
    dropped: dict[str, str] = {}
    """Inputs that were left out, and why."""

    @cached_property
    def channel_names(self) -> tuple[str, ...]:
        """Names of the channels, then of the wear channels."""
        wear = [f"{WEAR}_{number}" for number, _ in enumerate(self.wear, start=1)]
        return (*(channel.name for channel in self.channels), *wear)

    @cached_property
    def features(self) -> tuple[Feature, ...]:
        """The columns of `States.update`, in order."""
        found = []
        kinds = ["last"]
        if self.time_constants:
            kinds += [*MEANS, *_DEVIATIONS, *_SLOPES, "range", "baseline", "change"]
            kinds += ["rate"] if self.has_age else []
        for kind in kinds:
            for number, name in enumerate(self.channel_names):
                found.append(Feature(f"{name}.{kind}", number, kind))
        if self.has_age:
            found.append(Feature("age", -1, "age"))
        return tuple(found)

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """The fields of a reading that are needed, in the order of `read_rows`."""
        names: dict[str, None] = {}
        for one in self.inputs:
            names.update(dict.fromkeys((one.text,) if one.words else fields_of(one.text)))
        return tuple(names)

    @cached_property
    def is_plain(self) -> bool:
        """Whether each channel is a field as it is, in the same order."""
        return all(
            not channel.word and self.inputs[channel.input].text == field
            for channel, field in zip(self.channels, self.fields, strict=False)
        ) and len(self.channels) == len(self.fields)

    def read_rows(self, rows: Sequence[Sequence[Any]]) -> Floats:
        """Return the channels of rows of values, each in the order of `fields`; NaN where missing."""
        if self.is_plain:
            try:
                channels = np.array(rows, float)
            except (TypeError, ValueError):
                channels = np.array([[_number(value) for value in row] for row in rows], float)
            channels[np.isinf(channels)] = np.nan
            return channels
        columns = {
            name: np.array(values, object)
            for name, values in zip(self.fields, zip(*rows, strict=True), strict=True)
        }
        return self.read_columns(columns)

    def read_columns(self, columns: Mapping[str, NDArray[Any]]) -> Floats:
        """Return the channels of columns of values, by field."""
        count = len(next(iter(columns.values()))) if columns else 0
        numbers: dict[str, Floats] = {}
        channels = np.full((count, len(self.channels)), np.nan)
        for index, channel in enumerate(self.channels):
            text = self.inputs[channel.input].text
            if channel.word:
                column = columns[text]
                known = np.array([isinstance(value, str) for value in column], bool)
                channels[known, index] = (column == channel.word)[known]
                continue
            for field in fields_of(text):
                if field not in numbers:
                    numbers[field] = _numbers(columns[field])
            channels[:, index] = compute_input(text, numbers)
        return channels


def listen_to(inputs: Sequence[Input], dropped: Mapping[str, str] | None = None) -> Definition:
    """Return a definition of inputs as they are: one channel each, or one for each word, and no past."""
    channels = tuple(
        Channel(f"{one.text}={word}" if word else one.text, number, word)
        for number, one in enumerate(inputs)
        for word in (one.words or ("",))
    )
    regimes = one_regime([0.0] * len(channels), [1.0] * len(channels))
    return Definition(tuple(inputs), channels, regimes, [], [], dropped=dict(dropped or {}))


def one_regime(mean: list[float], spread: list[float]) -> Regimes:
    """Return what there is where devices work in one way."""
    return Regimes([[0.0] * len(mean)], [mean], [spread])


class States:
    """What is remembered of many devices, each in a slot of its own; grows by itself."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        channels = len(definition.channels)
        self._width = channels + len(definition.wear)
        self._spread_mean = np.array(definition.spread_mean, float)
        self._spread = np.array(definition.spread, float)
        self._centres = np.array(definition.regimes.centres, float)
        self._heed = np.array(definition.regimes.heed or [1.0] * channels, float)
        self._means = np.array(definition.regimes.means, float)
        self._scales = np.array(definition.regimes.scales, float)
        self._wear = np.array(definition.wear, float).reshape(-1, channels).T
        self._time_constants = np.array(definition.time_constants, float)
        self._has_past = bool(definition.time_constants)
        self._channels = np.zeros((0, _ROWS, self._width))
        self._device = np.zeros((0, _WEIGHT + 2 * _K))
        self._grow(64)

    def _grow(self, slots: int) -> None:
        more = slots - len(self._device)
        self._channels = np.concatenate(
            [self._channels, np.zeros((more, *self._channels.shape[1:]))]
        )
        self._device = np.concatenate([self._device, np.zeros((more, self._device.shape[1]))])

    def update(self, slots: Slots, at: Floats, channels: Floats) -> Floats:
        """Take one reading of each of several devices; return their features.

        `slots` (n, all different), `at` (n, not before the device's last), `channels` (n, as
        `Definition.read_rows` gives them) -> (n, as `Definition.features`).
        """
        values = self._normalise(channels)
        if not self._has_past:
            known = np.where(np.isnan(values), 0.0, values)
            return self._with_wear(known).round(_DECIMALS)
        top = int(slots.max())
        if top >= len(self._device):
            self._grow(max(top + 1, 2 * len(self._device)))
        if len(slots) == 1:
            device, rows = self._device[top : top + 1], self._channels[top : top + 1]
        else:
            device, rows = self._device[slots], self._channels[slots]
        features = self._move(device, rows, at, values)
        if len(slots) > 1:
            self._device[slots], self._channels[slots] = device, rows
        return features

    def _move(self, device: Floats, rows: Floats, at: Floats, values: Floats) -> Floats:
        """Move `device` and `rows` in place by a reading of each; return the features."""
        is_new = device[:, _COUNT] == 0
        any_new = bool(is_new.any())
        if any_new:
            device[is_new, _AT] = device[is_new, _FIRST] = at[is_new]
        missing = np.isnan(values)
        if missing.any():
            # What is not said is taken to be as it was lately.
            values = np.where(missing, rows[:, 1, : values.shape[1]], values)
        z = self._with_wear(values)
        elapsed = at - device[:, _AT]
        device[:, _AT] = at
        device[:, _COUNT] += 1
        count = device[:, _COUNT]
        decay = np.exp(-elapsed[:, None] / self._time_constants)
        weight = device[:, _WEIGHT : _WEIGHT + _K]
        weight *= decay
        weight += 1.0
        centre = device[:, _WEIGHT + _K :]
        centre += (at[:, None] - centre) / weight
        share = 1.0 / weight
        means = rows[:, :_K]
        apart = z[:, None, :] - means
        means += apart * share[:, :, None]
        squares = rows[:, _K:_SUMS]
        squares *= decay[:, 1::2, None]
        squares += apart[:, 1::2] * (z[:, None, :] - means[:, 1::2])
        if any_new:
            for row in (_HIGH, _LOW, _LAST):
                rows[is_new, row] = z[is_new]
        slowest, fade = means[:, _K - 1], decay[:, -1:]
        high = rows[:, _HIGH] = np.maximum(z, slowest + (rows[:, _HIGH] - slowest) * fade)
        low = rows[:, _LOW] = np.minimum(z, slowest + (rows[:, _LOW] - slowest) * fade)
        base = rows[:, _BASE]
        base += (z - base) * self._baseline_share(count, elapsed)[:, None]
        change = rows[:, _ROUGH]
        change += (np.abs(z - rows[:, _LAST]) - change) * share[:, 2:3]
        rows[:, _LAST] = z
        moved = means[:, 2] - base
        parts = [
            z,
            means.reshape(len(z), -1),
            np.sqrt(squares * share[:, 1::2, None]).reshape(len(z), -1),
        ]
        gap = (centre[:, :2] - centre[:, 2:]) / self._time_constants[2:]
        steep = np.divide(1.0, gap, out=np.zeros_like(gap), where=gap > _TINY)
        slopes = (means[:, :2] - means[:, 2:]) * steep[:, :, None]
        parts.append(slopes.reshape(len(z), -1))
        parts += [high - low, moved, change]
        if self.definition.has_age:
            age = (at - device[:, _FIRST])[:, None] / self.definition.step
            parts += [moved / (age + _START), age]
        return np.concatenate(parts, axis=1).round(_DECIMALS)

    def _baseline_share(self, count: Floats, elapsed: Floats) -> Floats:
        """Return by how much a device's normal follows this reading."""
        definition = self.definition
        first = count <= definition.baseline_readings
        later = np.zeros(len(count))
        if definition.baseline_time_constant:
            later = -np.expm1(-elapsed / definition.baseline_time_constant)
        return np.where(first, 1.0 / count, later)

    def _normalise(self, channels: Floats) -> Floats:
        """Return channels in units of their spread; what is out of all measure is held at its edge.

        A sensor that says 1e30 once would otherwise stay in every mean for good.
        """
        regime = self.regimes(channels) if len(self._centres) > 1 else 0
        values = (channels - self._means[regime]) / self._scales[regime]
        held: Floats = np.minimum(np.maximum(values, -_OUT_OF_MEASURE), _OUT_OF_MEASURE)
        return held

    def regimes(self, channels: Floats) -> NDArray[np.intp]:
        """Return in which regime each row is: the nearest, by what is known of it."""
        known = (channels - self._spread_mean) / self._spread
        apart = known[:, None, :] - self._centres
        distance = np.where(np.isnan(apart), 0.0, apart * apart * self._heed).sum(axis=2)
        return np.asarray(distance.argmin(axis=1), np.intp)

    def _with_wear(self, values: Floats) -> Floats:
        if not self._wear.shape[1]:
            return values
        # Summed in one order whatever the number of rows: a row must not depend on its neighbours.
        wear = (values[:, :, None] * self._wear).sum(axis=1)
        return np.concatenate([values, wear], axis=1)

    def keep(self, slot: int) -> list[float]:
        """Return what is remembered of a device as plain numbers."""
        return [*self._device[slot].tolist(), *self._channels[slot].ravel().tolist()]

    def take(self, slot: int, kept: Sequence[float]) -> None:
        """Take over what was remembered of a device. Raises ValueError where another definition did."""
        if slot >= len(self._device):
            self._grow(max(slot + 1, 2 * len(self._device)))
        numbers = np.array(kept, float)
        width = self._device.shape[1]
        self._device[slot] = numbers[:width]
        self._channels[slot] = numbers[width:].reshape(self._channels.shape[1:])

    def forget(self, slot: int) -> None:
        """Free a slot."""
        self._device[slot] = 0.0
        self._channels[slot] = 0.0


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else np.nan


def _numbers(column: NDArray[Any]) -> Floats:
    if column.dtype != object:
        return column.astype(float)
    return np.array([_number(value) for value in column], float)
