"""What estimators are asked, and what becomes of their answer: a calibrated value with its interval."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import check_is_fitted

from models.base import Card
from models.inputs import Floats
from models.trees import MOST_LEAVES, Trees
from prevenant.target import ANOMALY, FAILURE, REMAINING_LIFE

INTERVAL = 0.9
_DECIMALS = 6
_LEVELS, _ROWS_OF_A_LEVEL = 10, 20
_MANY_ROWS = 5_000
_MANY_FEATURES = 60
_EXACT_VALUES = 600_000
"""So many values of rows are learned from exactly at most: half a minute's work."""


def make_estimator(kind: str, features: int, rows: int, seed: int) -> Any:
    """Return an untrained estimator of small boosted trees for so many features and rows.

    Where that is quick, thresholds are exact: bins are coarse where values are few, as near failures. Its
    trees are grown from their worst leaf, each from a part of the features, and many learn a little each.
    """
    if features <= _MANY_FEATURES and rows * features <= _EXACT_VALUES:
        exact = {
            "n_estimators": 400,
            "learning_rate": 0.04,
            "max_depth": 5,
            "max_leaf_nodes": MOST_LEAVES,
            "min_samples_leaf": 4,
            "max_features": 0.4,
        }
        if kind == REMAINING_LIFE:
            return GradientBoostingRegressor(**exact, random_state=seed)
        return GradientBoostingClassifier(**exact, random_state=seed)
    options = {
        "max_iter": 200,
        "learning_rate": 0.08,
        "max_leaf_nodes": MOST_LEAVES - 1,
        "min_samples_leaf": 40 if kind == REMAINING_LIFE and rows > _MANY_ROWS else 10,
        "l2_regularization": 1.0,
        "max_features": 0.4 if features > _MANY_FEATURES else 1.0,
        "early_stopping": False,
        "random_state": seed,
    }
    if kind == REMAINING_LIFE:
        return HistGradientBoostingRegressor(**options)
    return HistGradientBoostingClassifier(**options)


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model says of rows, each (n,)."""

    value: Floats
    low: Floats
    high: Floats


class Oracle:
    """A trained estimator that can be asked quickly, with its card's calibration and intervals."""

    def __init__(self, card: Card, estimator: Any) -> None:
        self._card = card
        self._trees = Trees(estimator)

    def ask(self, features: Floats) -> Answers:
        """Return what is said of rows of features."""
        value = settle(self._card, self._trees.ask(features))
        return Answers(value, *bound(self._card, value))


def check_estimator(card: Card, estimator: Any) -> None:
    """Raise ValueError where no scorer can ask `estimator` for what `card` says."""
    kind, name = card.target.kind, type(estimator).__name__
    if kind == ANOMALY:
        if estimator is not None:
            message = (
                f"a detector learns in the stream and has no estimator, and this one has a {name}"
            )
            raise ValueError(message)
        return
    if estimator is None:
        message = "it has no estimator"
        raise ValueError(message)
    check_is_fitted(estimator)
    Trees(estimator)
    if is_classifier(estimator) != (kind == FAILURE):
        message = f"{name} says no {'probability' if kind == FAILURE else 'remaining life'}"
        raise ValueError(message)
    if is_classifier(estimator) and len(estimator.classes_) != 2:  # noqa: PLR2004  fails, or does not
        message = (
            f"{name} tells {len(estimator.classes_)} classes apart, and not failing from healthy"
        )
        raise ValueError(message)
    there = len(card.definition.features)
    if estimator.n_features_in_ != there:
        message = (
            f"{name} wants {estimator.n_features_in_} features, and its definition makes {there}"
        )
        raise ValueError(message)


def settle(card: Card, raw: Floats) -> Floats:
    """Return the value that a raw answer stands for: a life within its bounds, or a probability."""
    if card.target.kind == REMAINING_LIFE:
        bounded: Floats = np.minimum(np.maximum(raw, 0.0), card.cap)
        return bounded.round(_DECIMALS)
    slope, intercept = card.calibration
    with np.errstate(over="ignore"):
        chance: Floats = 1.0 / (1.0 + np.exp(-(slope * raw + intercept)))
    return chance.round(_DECIMALS)


def calibrate(raw: Floats, fails: Floats) -> tuple[float, float]:
    """Return slope and intercept that turn raw log-odds into probabilities (Platt 1999)."""
    if len(np.unique(fails)) < 2:  # noqa: PLR2004  nothing to tell apart
        return 1.0, 0.0
    spread = float(raw.std()) or 1.0
    fitted = LogisticRegression(C=1e3, max_iter=1_000).fit(raw[:, None] / spread, fails)
    slope = float(fitted.coef_[0, 0]) / spread
    return (slope, float(fitted.intercept_[0])) if slope > 0 else (1.0, 0.0)


def find_life_intervals(
    value: Floats, truth: Floats, lives: NDArray[np.intp]
) -> tuple[list[float], list[float], list[float]]:
    """Return levels of predictions, and at each the ends of where the truth lay nine times in ten.

    Residuals out of fold, by level of prediction: Mondrian split conformal prediction (Vovk et al. 2005).
    Rows of one life say nearly the same, so that lives are counted where few were seen.
    """
    levels, lows, highs = [], [], []
    order = np.argsort(value, kind="stable")
    for own in np.array_split(order, max(1, min(_LEVELS, len(value) // _ROWS_OF_A_LEVEL))):
        rest, count = truth[own] - value[own], len(np.unique(lives[own]))
        outer = min(1.0, (1 + INTERVAL) / 2 * (count + 1) / count)
        level = float(value[own].mean())
        levels.append(level)
        lows.append(max(0.0, level + float(np.quantile(rest, 1 - outer))))
        highs.append(level + float(np.quantile(rest, outer)))
    return levels, np.maximum.accumulate(lows).tolist(), np.maximum.accumulate(highs).tolist()


def bound(card: Card, value: Floats) -> tuple[Floats, Floats]:
    """Return the ends of the intervals of predictions, as the card's levels have them.

    No life is said to be longer than the cap, so that an interval which ends there means the cap or more.
    """
    if not card.levels:
        return value, value
    most = card.cap if card.target.kind == REMAINING_LIFE else 1.0
    low = np.minimum(value, np.interp(value, card.levels, card.lows))
    high = np.maximum(value, np.interp(value, card.levels, card.highs))
    return np.maximum(low, 0.0), np.minimum(high, most)


def extend_levels(
    levels: list[float], lows: list[float], highs: list[float], most: float
) -> tuple[list[float], list[float], list[float]]:
    """Return the levels of intervals from nothing to `most`: beyond the outer ones, ends are as far off.

    A level stands for many predictions. Half of those of the outermost lie beyond it: the failures that
    are closest. What lies below nothing or above `most` is cut off where the interval is asked for.
    """
    down, up = levels[0], most - levels[-1]
    if down > 0:
        levels, lows, highs = [0.0, *levels], [lows[0] - down, *lows], [highs[0] - down, *highs]
    if up > 0:
        levels, lows, highs = [*levels, most], [*lows, lows[-1] + up], [*highs, highs[-1] + up]
    return levels, lows, highs


def find_chance_intervals(
    value: Floats, fails: Floats, lives: NDArray[np.intp]
) -> tuple[list[float], list[float], list[float]]:
    """Return levels of probability, and at each Wilson's interval of how often it came true.

    Rows of one life say nearly the same, so that lives are counted, not rows. Levels hold as many rows,
    and as many failures, half by half: of equal rows, all but one level would say that nothing fails.
    """
    order = np.argsort(value, kind="stable")
    levels, lows, highs = [], [], []
    said = value[order] + value.mean() + 1e-9
    part = np.cumsum(said) / said.sum()
    count = max(1, min(_LEVELS, len(order) // _ROWS_OF_A_LEVEL))
    bounds = np.searchsorted(part, np.arange(1, count) / count)
    for own in (one for one in np.split(order, np.unique(bounds)) if len(one)):
        count = len(np.unique(lives[own]))
        level, share = float(value[own].mean()), float(fails[own].mean())
        low, high = _wilson(share, count)
        levels.append(level)
        lows.append(low)
        highs.append(high)
    grid, lows_at, highs_at = (np.array(one, float) for one in (levels, lows, highs))
    steady = IsotonicRegression()
    return (
        grid.tolist(),
        steady.fit_transform(np.arange(len(grid)), lows_at).tolist(),
        steady.fit_transform(np.arange(len(grid)), highs_at).tolist(),
    )


def _wilson(share: float, count: int) -> tuple[float, float]:
    """Return Wilson's interval (1927) of a share among `count`."""
    z = 1.6448536269514722
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * np.sqrt(share * (1 - share) / count + z * z / (4 * count**2))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))
