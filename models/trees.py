"""Small boosted trees asked of many rows at once, or of one, much sooner than scikit-learn does it.

Every comparison of every tree is made, whichever branch a row takes, and a tree's outcomes are the bits
of a number that leads to its leaf: as QuickScorer does (Lucchese et al., "QuickScorer: a fast algorithm
to rank documents with additive ensembles of regression trees", SIGIR 2015), with tables in the place of
masks, since trees are small here.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)

from models.inputs import Floats

MOST_LEAVES = 8
"""Leaves of a tree; its comparisons, one fewer, are the bits of a place in its table."""


_AT_ONCE = 2_048

_EXACT = (GradientBoostingClassifier, GradientBoostingRegressor)
_BINNED = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)


class Trees:
    """The trees of a fitted estimator of boosted trees, whose rows have no missing values."""

    def __init__(self, estimator: Any) -> None:
        self._begins, trees = _take_apart(estimator)
        bits = MOST_LEAVES - 1
        self._columns = np.zeros((len(trees), bits), np.intp)
        self._thresholds = np.full((len(trees), bits), np.inf)
        self._leaves = np.zeros((len(trees), 1 << bits))
        self._places = (np.arange(len(trees)) << bits).astype(np.intp)
        self._weights = (1 << np.arange(bits)).astype(np.uint8)
        self._is_single = isinstance(estimator, _EXACT)
        """Whether the estimator compares single precision."""
        for number, tree in enumerate(trees):
            self._lay_out(number, tree)
        self._flat = self._leaves.ravel()

    def _lay_out(self, number: int, tree: "_Tree") -> None:
        inner = np.flatnonzero(tree.left >= 0).tolist()
        if len(inner) >= MOST_LEAVES:
            message = f"a tree has {len(inner) + 1} leaves, more than {MOST_LEAVES}"
            raise ValueError(message)
        self._columns[number, : len(inner)] = tree.column[inner]
        self._thresholds[number, : len(inner)] = tree.threshold[inner]
        outcomes = np.arange(1 << (MOST_LEAVES - 1))
        at = np.zeros(len(outcomes), np.intp)
        # Children stand after their parents, so that one look at each node in order leads to a leaf.
        for place, index in enumerate(inner):
            here = at == index
            goes_left = (outcomes >> place) & 1 == 1
            at[here & goes_left] = tree.left[index]
            at[here & ~goes_left] = tree.right[index]
        self._leaves[number] = tree.value[at]

    def ask(self, rows: Floats) -> Floats:
        """Return the sum of the trees for rows (n, features) -> (n,)."""
        if len(rows) <= _AT_ONCE:
            return self._ask(rows)
        # What is compared is a thousand times as much as what is said.
        parts = [
            self._ask(rows[begin : begin + _AT_ONCE]) for begin in range(0, len(rows), _AT_ONCE)
        ]
        return np.concatenate(parts)

    def _ask(self, rows: Floats) -> Floats:
        compared: NDArray[Any] = rows.astype(np.float32) if self._is_single else rows
        outcomes = compared.take(self._columns, axis=1) <= self._thresholds
        places = outcomes @ self._weights
        found = self._flat.take(places + self._places)
        return np.asarray(self._begins + found.sum(axis=1))


@dataclass(frozen=True, slots=True)
class _Tree:
    """One tree, by node; `left` is negative at a leaf."""

    column: NDArray[np.intp]
    threshold: Floats
    left: NDArray[np.intp]
    right: NDArray[np.intp]
    value: Floats


def _take_apart(estimator: Any) -> tuple[float, list[_Tree]]:
    """Return what a sum begins with, and the trees. Raises ValueError where it is another estimator."""
    if isinstance(estimator, _EXACT):
        begins = estimator._raw_predict_init(np.zeros((1, estimator.n_features_in_), np.float32))
        trees = [one.tree_ for one in estimator.estimators_.ravel()]
        return float(begins[0, 0]), [
            _Tree(
                one.feature.astype(np.intp),
                one.threshold,
                one.children_left.astype(np.intp),
                one.children_right.astype(np.intp),
                estimator.learning_rate * one.value[:, 0, 0],
            )
            for one in trees
        ]
    if not isinstance(estimator, _BINNED):
        message = f"{type(estimator).__name__} is no estimator of boosted trees"
        raise ValueError(message)  # noqa: TRY004  the value of a file is wrong, not a caller's type
    found = []
    for (tree,) in estimator._predictors:
        nodes = tree.nodes
        is_leaf = nodes["is_leaf"].astype(bool)
        found.append(
            _Tree(
                nodes["feature_idx"].astype(np.intp),
                nodes["num_threshold"],
                np.where(is_leaf, -1, nodes["left"].astype(np.intp)),
                np.where(is_leaf, -1, nodes["right"].astype(np.intp)),
                nodes["value"],
            )
        )
    return float(np.ravel(estimator._baseline_prediction)[0]), found
