"""Small boosted trees asked of many rows at once, or of one, much sooner than scikit-learn does it.

Every comparison of every tree is made, whichever branch a row takes, and a tree's outcomes are the bits
of a number that leads to its leaf: as QuickScorer does (Lucchese et al., "QuickScorer: a fast algorithm
to rank documents with additive ensembles of regression trees", SIGIR 2015), with tables in the place of
masks, since trees are small here.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.inputs import Floats

MOST_LEAVES = 8
"""Leaves of a tree; its comparisons, one fewer, are the bits of a place in its table."""


class Trees:
    """The trees of a fitted HistGradientBoosting estimator, whose rows have no missing values."""

    def __init__(self, estimator: Any) -> None:
        trees = [one for (one,) in estimator._predictors]
        bits = MOST_LEAVES - 1
        self._columns = np.zeros((len(trees), bits), np.intp)
        self._thresholds = np.full((len(trees), bits), np.inf)
        self._leaves = np.zeros((len(trees), 1 << bits))
        self._begins = float(np.ravel(estimator._baseline_prediction)[0])
        self._places = (np.arange(len(trees)) << bits).astype(np.intp)
        self._weights = (1 << np.arange(bits)).astype(np.uint8)
        for number, tree in enumerate(trees):
            self._lay_out(number, tree.nodes)
        self._flat = self._leaves.ravel()

    def _lay_out(self, number: int, nodes: NDArray[Any]) -> None:
        inner = [index for index, node in enumerate(nodes) if not node["is_leaf"]]
        if len(inner) >= MOST_LEAVES:
            message = f"a tree has {len(inner) + 1} leaves, more than {MOST_LEAVES}"
            raise ValueError(message)
        bit = {index: place for place, index in enumerate(inner)}
        for index, place in bit.items():
            self._columns[number, place] = nodes[index]["feature_idx"]
            self._thresholds[number, place] = nodes[index]["num_threshold"]
        outcomes = np.arange(1 << (MOST_LEAVES - 1))
        at = np.zeros(len(outcomes), np.intp)
        for _ in range(len(nodes)):
            for index, place in bit.items():
                here = at == index
                goes_left = (outcomes >> place) & 1 == 1
                at[here & goes_left] = nodes[index]["left"]
                at[here & ~goes_left] = nodes[index]["right"]
        self._leaves[number] = nodes["value"][at]

    def ask(self, rows: Floats) -> Floats:
        """Return the sum of the trees for rows (n, features) -> (n,)."""
        outcomes = rows.take(self._columns, axis=1) <= self._thresholds
        places = outcomes @ self._weights
        found = self._flat.take(places + self._places)
        return np.asarray(self._begins + found.sum(axis=1))
