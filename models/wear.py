"""Finds the directions in which devices moved before they failed: one number that joins all sensors."""

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from models.inputs import Floats
from models.task import Task

_SHRINK = 0.1
_FEWEST_ROWS = 5
"""So many rows near failures, and far from them, tell a direction."""
_MOST_ROWS = 20_000
_QUICK = {"max_iter": 60, "max_leaf_nodes": 7, "min_samples_leaf": 10, "early_stopping": False}


def find_wear(z: Floats, near: NDArray[np.bool_], far: NDArray[np.bool_]) -> list[list[float]]:
    """Return the directions from `far` to `near` rows of z (n, channels): weights by channel.

    The first joins the means, the second is Fisher's discriminant (1936), with a shrunk covariance.
    """
    if near.sum() < _FEWEST_ROWS or far.sum() < _FEWEST_ROWS:
        return []
    moved = z[near].mean(axis=0) - z[far].mean(axis=0)
    if not np.abs(moved).sum():
        return []
    within = np.atleast_2d(np.cov(z[far].T)) + _SHRINK * np.eye(z.shape[1])
    return [(one / np.abs(one).sum()).tolist() for one in (moved, np.linalg.solve(within, moved))]


def tells_more_with_wear(z: Floats, task: Task) -> bool:
    """Return whether small trees err less where they are given the directions as well.

    Where many sensors each say a little, they do. Where failures have sharp bounds, the directions stand
    in the way. Judged on groups that neither the trees nor the directions have seen, by more than one
    standard error: what is simpler goes otherwise (Breiman et al. 1984).
    """
    less = np.full(len(z), np.nan)
    for learn, judge in task.folds:
        learned, judged = _thin(learn, task), _thin(judge, task)
        mask = np.zeros(len(z), bool)
        mask[learned] = True
        wear = find_wear(z, task.labels.near & mask, task.labels.far & mask)
        if not wear:
            return False
        joined = np.concatenate([z, z @ np.transpose(wear)], axis=1)
        plain, with_wear = (_find_losses(rows, learned, judged, task) for rows in (z, joined))
        less[judged] = plain - with_wear
    known = less[~np.isnan(less)]
    return bool(known.mean() > known.std() / np.sqrt(len(known)))


def _thin(rows: NDArray[np.intp], task: Task) -> NDArray[np.intp]:
    """Return at most so many of some rows, those near failures before all others."""
    if len(rows) <= _MOST_ROWS:
        return rows
    mixed = np.random.default_rng(task.seed).permutation(rows)
    return np.sort(mixed[np.argsort(~task.labels.near[mixed], kind="stable")][:_MOST_ROWS])


def _find_losses(
    rows: Floats, learned: NDArray[np.intp], judged: NDArray[np.intp], task: Task
) -> Floats:
    """Return by judged row the logarithmic loss of small trees that learned from others."""
    trees = HistGradientBoostingClassifier(**_QUICK, random_state=task.seed)
    raw = trees.fit(rows[learned], task.wanted[learned].astype(int)).decision_function(rows[judged])
    losses: Floats = np.logaddexp(0.0, np.where(task.wanted[judged] == 1, -raw, raw))
    return losses
