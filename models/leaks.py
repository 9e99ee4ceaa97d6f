"""Finds inputs that tell the answer by themselves: copies of the label, or what only a failure made known.

Each input is asked alone, and about lives that it was not learned from. A sensor that follows wear
hardly differs between just before the horizon and just after it; a copy of the label does. Where a
device's age tells as much, since all lives are alike, nothing is said.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.base import History
from models.features import Definition
from models.inputs import Floats
from models.labels import Labels
from prevenant.target import FAILURE, Target

_NEARLY = 0.98
"""From here on, of 1, an input tells the answer nearly perfectly."""
_MOST_WORDS = 24
_BINS = 256
_FEWEST_LIVES, _FEWEST_FLAGGED = 5, 10
_BESIDE = 0.25
"""So far beside the horizon, in parts of it, a sensor is still about the same."""
_STEPS_BESIDE = 3.0

COPY = (
    "by itself it tells nearly perfectly what is to be predicted, as a copy of the label does, or what "
    "is known once a device has failed: unless it is known before, leave it out of `features`, and train "
    "again"
)
FLAG = (
    "it is set in rows of failures alone, as a cause is that is noted afterwards: unless it is known "
    "before, leave it out of `features`, and train again"
)

_Mask = NDArray[np.bool_]


def find_leaks(
    history: History, labels: Labels, target: Target, cap: float, definition: Definition
) -> dict[str, str]:
    """Return the fields that tell the answer by themselves, and why that is doubtful."""
    rows = history.rows
    first = rows.groupby(labels.lives)["at"].transform("first")
    age = (rows["at"] - first).to_numpy(float)
    answers = _Answers(labels, target, cap, definition.step)
    if answers.are_told_by(age):
        return {}
    found = {}
    for name in definition.fields:
        values = _as_numbers(rows[name])
        if answers.are_told_by(values):
            found[name] = COPY
            continue
        flagged = _find_flag(values)
        if flagged is None:
            continue
        if any(answers.are_flagged_by(one, age) for one in (flagged, ~flagged)):
            found[name] = COPY
        elif target.kind == FAILURE and target.horizon == 0 and answers.are_implied_by(flagged):
            found[name] = FLAG
    return found


class _Answers:
    """What is to be predicted, by row, and how well something else tells it."""

    def __init__(self, labels: Labels, target: Target, cap: float, step: float) -> None:
        self._labels, self._target, self._step = labels, target, step
        self._wanted = labels.wanted(target, cap)
        self._known = ~np.isnan(self._wanted)

    def are_told_by(self, values: Floats) -> bool:
        """Return whether values tell the answers nearly perfectly."""
        if self._target.kind != FAILURE:
            return self._explain(values) >= _NEARLY
        fails, known = self._wanted == 1, self._known
        if not self._are_split(values, fails, known):
            return False
        beside = known & self._is_beside(self._target.horizon)
        sides = fails[beside]
        if not sides.any() or sides.all():
            return True
        return self._are_split(values, fails, beside)

    def are_flagged_by(self, flagged: _Mask, age: Floats) -> bool:
        """Return whether a flag is the label of another horizon, or says that the failure is there."""
        remaining = self._labels.remaining[flagged]
        ends = remaining[~np.isnan(remaining)]
        if not len(ends):
            return False
        horizon = float(np.quantile(ends, _NEARLY))
        fails = self._labels.fails_within(horizon)
        known = ~np.isnan(fails)
        if len(np.unique(self._labels.lives[known & (fails == 1)])) < _FEWEST_LIVES:
            return False
        is_old = self._cut(age, fails == 1, known)
        return is_old < _NEARLY <= _tell_apart(flagged[known], fails[known] == 1)

    def are_implied_by(self, flagged: _Mask) -> bool:
        """Return whether every row with a flag, of a number that is no chance, failed."""
        fails = self._wanted[flagged & self._known] == 1
        is_rare = float((self._wanted[self._known] == 1).mean()) < 0.5  # noqa: PLR2004  half
        return is_rare and len(fails) >= _FEWEST_FLAGGED and float(fails.mean()) >= _NEARLY

    def _are_split(self, values: Floats, fails: _Mask, among: _Mask) -> bool:
        lives = self._labels.lives
        said = _judge_by_value(values[among], fails[among], lives[among])
        if _tell_apart(said, fails[among]) >= _NEARLY:
            return True
        has_enough = len(np.unique(lives[among & fails])) >= _FEWEST_LIVES
        return has_enough and self._cut(values, fails, among) >= _NEARLY

    def _is_beside(self, horizon: float) -> _Mask:
        """Return which rows lie close to the horizon, on either side."""
        width = max(_BESIDE * horizon, _STEPS_BESIDE * self._step)
        return np.asarray(np.abs(self._labels.remaining - horizon) <= width)

    @staticmethod
    def _cut(values: Floats, fails: _Mask, among: _Mask) -> float:
        """Return how well the best bound tells who fails: hits less false calls, 0 to 1."""
        known = among & ~np.isnan(values)
        some, others = np.sort(values[known & fails]), np.sort(values[known & ~fails])
        if not len(some) or not len(others):
            return 0.0
        places = np.concatenate([some, others])
        one, other = (np.searchsorted(side, places, "right") for side in (some, others))
        # What is missing is told by no bound.
        share = min(1.0, len(some) / max(1, int((among & fails).sum())))
        return share * float(np.abs(one / len(some) - other / len(others)).max())

    def _explain(self, values: Floats) -> float:
        """Return how much of the answers' variance values explain in lives not learned from, up to 1."""
        known = self._known
        wanted, lives = self._wanted[known], self._labels.lives[known]
        bins = _bin(values[known])
        frame = pd.DataFrame({"bin": bins, "life": lives, "wanted": wanted})
        whole = frame.groupby("bin")["wanted"].agg(["sum", "count"]).loc[bins].to_numpy()
        own = frame.groupby(["bin", "life"])["wanted"].transform("sum").to_numpy()
        seen = frame.groupby(["bin", "life"])["wanted"].transform("count").to_numpy()
        others = whole[:, 1] - seen
        said = np.where(others > 0, (whole[:, 0] - own) / np.maximum(others, 1), wanted.mean())
        variance = float(wanted.var())
        return 1.0 - float(((said - wanted) ** 2).mean()) / variance if variance > 0 else 0.0


def _as_numbers(column: "pd.Series[float] | pd.Series[str]") -> Floats:
    """Return a column as numbers; words are counted through."""
    if pd.api.types.is_numeric_dtype(column):
        return np.asarray(column, float)
    codes = pd.factorize(column, sort=True)[0].astype(float)
    return np.where(codes < 0, np.nan, codes)


def _find_flag(values: Floats) -> _Mask | None:
    """Return where values differ from what they are nearly always, missing being one; else None."""
    codes = pd.factorize(values, use_na_sentinel=False)[0]
    counts = np.bincount(codes)
    usual = int(counts.argmax())
    if 2 * counts[usual] < len(values) or len(counts) < 2:  # noqa: PLR2004  one is usual, or there is no other
        return None
    return np.asarray(codes != usual)


def _judge_by_value(values: Floats, fails: _Mask, lives: NDArray[np.intp]) -> _Mask:
    """Return who would be said to fail by what most rows of other lives with the same value did."""
    codes, known = pd.factorize(values, use_na_sentinel=False)
    if len(known) > _MOST_WORDS:
        return np.zeros(len(values), bool)
    frame = pd.DataFrame({"value": codes, "life": lives, "fails": fails.astype(float)})
    by_value, own = frame.groupby("value")["fails"], frame.groupby(["value", "life"])["fails"]
    failed = by_value.transform("sum") - own.transform("sum")
    count = by_value.transform("count") - own.transform("count")
    return np.asarray(2 * failed > count)


def _bin(values: Floats) -> NDArray[np.intp]:
    """Return the bin of each value, all about as full; those that are missing have one of their own."""
    edges = np.unique(np.nanquantile(values, np.linspace(0, 1, _BINS + 1)[1:-1]))
    bins = np.searchsorted(edges, values, "left").astype(np.intp)
    return np.where(np.isnan(values), len(edges) + 1, bins)


def _tell_apart(said: _Mask, fails: _Mask) -> float:
    """Return how well it was said who fails: hits less false calls, up to 1; 0 where all are alike."""
    if fails.all() or not fails.any():
        return 0.0
    return float(said[fails].mean() - said[~fails].mean())
