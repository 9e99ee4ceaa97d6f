"""Why a model says what it says: which sensors moved this prediction, by how much, and in words.

A sensor is one of the model's inputs. All features that are made of it are put back to what is usual far
from any failure, also its part in those that join several sensors; see models.effects. What is said of it
follows from which of its features moved the prediction most: its level, its trend, or how much it varies.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.effects import Ask, Floats, measure_effects
from models.features import MEANS, Definition
from models.wording import AGE, LEVEL, TREND, VARIABILITY, WORD, Moved, describe
from prevenant.target import CYCLES, REMAINING_LIFE

if TYPE_CHECKING:
    from models.training import Model

_SLOPES = {"slope_24": 3, "slope_13": 2}
"""With the time constant that each is by."""
_TRENDS = {*_SLOPES, "rate"}
_VARIABILITIES = {"deviation_2", "deviation_4", "range", "change"}
_ADDED = {"last", *MEANS, "slope_13", "slope_24", "baseline", "rate"}
"""Kinds of features that are sums over channels where a channel is one."""
_KINDS = (LEVEL, TREND, VARIABILITY)
_LEVEL_AT, _NORMAL_AT = "mean_2", "mean_3"
_NAME = re.compile(r"[A-Za-z_]\w*")
_TELLING = 0.02
"""An effect below this part of all of them is not worth a word."""


class Contribution(msgspec.Struct, frozen=True):
    """What one sensor added to a prediction."""

    field: str
    """The input: a field, or arithmetic over fields; empty for the device's age."""
    effect: float
    """By how much it moved the prediction, in its own unit: negative takes from remaining life."""
    share: float
    """Its part of all effects, 0 to 1."""
    kind: str
    """`level`, `trend`, `variability`, `word` or `age`: what about it moved the prediction most."""
    value: float | str
    """What it is now: the level, its change in a second or a cycle, its spread, the word, the age."""
    normal: float
    """The same where all is well; NaN where it is not known."""
    is_own: bool
    """Whether `normal` is the device's own; else that of healthy devices."""
    in_cycles: bool

    def words(self, language: str, units: Mapping[str, str] | None = None) -> str:
        """Return it as a person reads it; `units` are those of the device type's fields."""
        unit = (units or {}).get(self.field)
        moved = Moved(
            self.field, self.kind, self.value, self.normal, unit, self.is_own, self.in_cycles
        )
        return describe(moved, language)


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where the features of a definition stand, by channel and kind."""

    definition: Definition
    channel: NDArray[np.intp]
    kinds: NDArray[np.str_]

    @classmethod
    def of(cls, definition: Definition) -> "_Columns":
        features = definition.features
        channel = np.array([one.channel for one in features], np.intp)
        return cls(definition, channel, np.array([one.kind for one in features], np.str_))

    def groups(self) -> list[tuple[int, str]]:
        """Return each input with each way in which it can have moved a prediction; -1 is the age."""
        inputs = [
            (number, kind)
            for number in range(len(self.definition.inputs))
            for kind in ("", *_KINDS)
        ]
        return [*inputs, (-1, "")] if self.definition.has_age else inputs

    def find(self, channel: int, kind: str) -> int:
        """Return the column of a channel's feature, -1 where there is none."""
        found = np.flatnonzero((self.channel == channel) & (self.kinds == kind))
        return int(found[0]) if len(found) else -1

    def swap(self, rows: Floats, other: Floats, number: int, kind: str) -> Floats:
        """Return `rows` with what comes of one input, perhaps in one way only, as in `other`."""
        definition = self.definition
        swapped = np.array(rows)
        if number < 0:
            age = self.channel == -1
            swapped[:, age] = other[:, age]
            return swapped
        channels = [index for index, one in enumerate(definition.channels) if one.input == number]
        ways = {one for one in np.unique(self.kinds) if not kind or _way(str(one)) == kind}
        own = np.isin(self.channel, channels) & np.isin(self.kinds, list(ways))
        swapped[:, own] = other[:, own]
        base = len(definition.channels)
        for index, weights in enumerate(definition.wear):
            for way in ways & _ADDED:
                joined = self.find(base + index, way)
                for channel in channels:
                    column = self.find(channel, way)
                    swapped[:, joined] += weights[channel] * (other[:, column] - rows[:, column])
        return swapped


def explain(
    model: "Model", row: Floats, ask: Ask | None = None, most: int = 5
) -> list[Contribution]:
    """Return what moved a prediction, the strongest towards failure first; empty for a detector.

    `row` are a device's features, as `States.update` gives them; `ask` takes rows of features and returns
    predictions, and is made of the model where it is not given.
    """
    card = model.card
    if model.estimator is None or not card.normal:
        return []
    columns = _Columns.of(card.definition)
    groups = columns.groups()
    effects = _measure(model, columns, groups, np.atleast_2d(row), ask)[0]
    by_group = dict(zip(groups, effects.tolist(), strict=True))
    total = sum(abs(by_group[one]) for one in groups if not one[1]) or 1.0
    worse = -1.0 if card.target.kind == REMAINING_LIFE else 1.0
    found = []
    for number, kind in groups:
        effect = by_group[number, kind]
        if kind or abs(effect) < _TELLING * total:
            continue
        way = (
            AGE
            if number < 0
            else max(
                _KINDS,
                key=lambda one: by_group[number, one] * np.sign(effect),
            )
        )
        found.append(_describe(model, columns, number, way, row, effect, abs(effect) / total))
    found.sort(key=lambda one: (-worse * one.effect, one.field))
    return found[:most]


def measure_importance(model: "Model", rows: Floats) -> dict[str, float]:
    """Return by input how far it moves predictions for `rows` of features, in the mean, the most first."""
    if model.estimator is None or not model.card.normal or not len(rows):
        return {}
    columns = _Columns.of(model.card.definition)
    groups = [one for one in columns.groups() if not one[1]]
    effects = np.abs(_measure(model, columns, groups, rows, None)).mean(axis=0)
    inputs = model.card.definition.inputs
    named = {
        inputs[number].text if number >= 0 else "": float(effect)
        for (number, _), effect in zip(groups, effects, strict=True)
    }
    return dict(sorted(named.items(), key=lambda one: (-one[1], one[0])))


def _measure(
    model: "Model",
    columns: _Columns,
    groups: Sequence[tuple[int, str]],
    rows: Floats,
    ask: Ask | None,
) -> Floats:
    normal = np.array(model.card.normal, float)

    def swap(some: Floats, other: Floats, group: int) -> Floats:
        return columns.swap(some, other, *groups[group])

    return measure_effects(ask or _asker(model), rows, normal, swap, len(groups))


def _asker(model: "Model") -> Ask:
    from models.estimators import Oracle  # noqa: PLC0415  only where nobody has one already

    oracle = Oracle(model.card, model.estimator)
    return lambda rows: oracle.ask(rows).value


def _way(kind: str) -> str:
    return TREND if kind in _TRENDS else VARIABILITY if kind in _VARIABILITIES else LEVEL


def _describe(
    model: "Model",
    columns: _Columns,
    number: int,
    way: str,
    row: Floats,
    effect: float,
    share: float,
) -> Contribution:
    """Return what is unusual about an input, in its own unit."""
    card, definition = model.card, model.card.definition
    in_cycles = card.target.unit == CYCLES
    make = partial(Contribution, effect=effect, share=share, in_cycles=in_cycles)
    normals = np.array(card.normal, float)
    if number < 0:
        (column,) = np.flatnonzero(columns.channel == -1)
        age, usual = float(row[column]), float(normals[column])
        step = definition.step
        return make(field="", kind=AGE, value=age * step, normal=usual * step, is_own=False)
    one = definition.inputs[number]
    channels = [index for index, part in enumerate(definition.channels) if part.input == number]
    if one.words:
        last = [row[columns.find(channel, "last")] for channel in channels]
        lasts = [
            _unscale(definition, channel, z)[0] for channel, z in zip(channels, last, strict=True)
        ]
        word = definition.channels[channels[int(np.argmax(lasts))]].word
        return make(field=one.text, kind=WORD, value=word, normal=float("nan"), is_own=False)
    value, normal, is_own = _compare(definition, columns, channels[0], way, row, normals)
    return make(field=one.text, kind=way, value=value, normal=normal, is_own=is_own)


def _compare(
    definition: Definition,
    columns: _Columns,
    channel: int,
    way: str,
    row: Floats,
    normals: Floats,
) -> tuple[float, float, bool]:
    """Return a channel's value and what is normal for it, in its own unit, and whose normal that is."""
    has_past = bool(definition.time_constants)
    if way == LEVEL:
        now = columns.find(channel, _LEVEL_AT if has_past else "last")
        value, scale = _unscale(definition, channel, float(row[now]))
        usual, _ = _unscale(definition, channel, float(normals[now]))
        if not has_past:
            return value, usual, False
        slow, apart = columns.find(channel, _NORMAL_AT), columns.find(channel, "baseline")
        own, _ = _unscale(definition, channel, float(row[slow] - row[apart]))
        # A device that was never like the others is told apart from them, not from itself.
        is_own = abs(value - own) >= abs(value - usual) / 2 and abs(value - own) > 1e-9 * scale
        return value, own if is_own else usual, is_own
    scale = _unscale(definition, channel, 0.0)[1]
    # A slope is by time constant.
    kinds = (
        {kind: scale / definition.time_constants[at] for kind, at in _SLOPES.items()}
        if way == TREND
        else dict.fromkeys(("deviation_2", "deviation_4"), scale)
    )
    places = {kind: columns.find(channel, kind) for kind in kinds}
    most = max(places, key=lambda kind: abs(row[places[kind]] - normals[places[kind]]))
    place = places[most]
    return float(row[place]) * kinds[most], float(normals[place]) * kinds[most], False


def _unscale(definition: Definition, channel: int, z: float) -> tuple[float, float]:
    """Return what stands for `z` in the channel's own unit, and its scale."""
    regimes = definition.regimes
    if len(regimes.means) == 1:
        mean, scale = regimes.means[0][channel], regimes.scales[0][channel]
    else:
        mean, scale = definition.spread_mean[channel], definition.spread[channel]
    return mean + z * scale, scale
