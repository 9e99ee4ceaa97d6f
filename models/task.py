"""What a model is to learn, and from which rows; what it is judged by is never among them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, StratifiedKFold

from models.base import History
from models.estimators import make_estimator
from models.features import Definition
from models.inputs import Floats
from models.labels import Labels, label_rows
from models.paces import FACTORS, FEW_LIVES, stretch
from models.rows import make_rows
from prevenant.target import FAILURE, REMAINING_LIFE, Target

FOLDS = 5
_MOST_LEARNED = 40_000


@dataclass(frozen=True)
class Task:
    """Rows of features with what is to be learned of them."""

    target: Target
    labels: Labels
    wanted: Floats
    """What is to be predicted, by row; NaN where nobody knows."""
    groups: NDArray[np.intp]
    """What is never split between learning and judging: devices, or lives where few devices failed."""
    seed: int
    paces: Sequence[tuple[History, Floats]] = ()
    """The same rows at other paces, with what is then to be predicted: learned from, never judged by."""

    @cached_property
    def folds(self) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """The rows to learn from and to judge by, of each fold; no group stands on both sides."""
        known = np.flatnonzero(~np.isnan(self.wanted))
        groups = self.groups[known]
        count = len(np.unique(groups))
        folds = min(FOLDS, count)
        if self.target.kind == REMAINING_LIFE:
            splitter = GroupKFold(folds, shuffle=True, random_state=self.seed)
            splits = splitter.split(known, None, groups)
        else:
            fails = self.wanted[known].astype(int)
            folds = max(2, min(folds, len(np.unique(groups[fails == 1]))))
            # Groups of one row need no balancing, which takes a step in Python for each of them.
            is_alone = count == len(known)
            kind = StratifiedKFold if is_alone else StratifiedGroupKFold
            splitter = kind(folds, shuffle=True, random_state=self.seed)
            splits = splitter.split(known, fails, None if is_alone else groups)
        return [(known[learn], known[judge]) for learn, judge in splits]


def change_pace(
    history: History, labels: Labels, target: Target, cap: float
) -> list[tuple[History, Floats]]:
    """Return the rows at the paces that devices may wear out at, where few lives were seen."""
    lives = len(np.unique(labels.lives[~np.isnan(labels.remaining)]))
    if target.kind != REMAINING_LIFE or lives >= FEW_LIVES:
        return []
    others = [stretch(history, factor) for factor in FACTORS]
    return [(one, label_rows(one, target).wanted(target, cap)) for one in others]


def group_rows(history: History, labels: Labels, target: Target) -> NDArray[np.intp]:
    """Return groups of rows: the devices, or the lives where too few devices failed to be judged by."""
    devices = pd.factorize(history.rows["device"])[0].astype(np.intp)
    near = labels.near if target.kind == FAILURE else ~np.isnan(labels.remaining)
    return devices if len(np.unique(devices[near])) >= FOLDS else labels.lives


def only_chosen(history: History, task: Task, chosen: NDArray[np.intp]) -> tuple[History, Labels]:
    """Return the groups that may be learned from, and their labels."""
    index = np.flatnonzero(np.isin(task.groups, np.unique(task.groups[chosen])))
    rows, failures = history.rows.iloc[index].reset_index(drop=True), history.failures
    own = failures["device"].isin(rows["device"].unique())
    part = History(rows, failures[own].reset_index(drop=True), history.unit)
    return part, label_rows(part, task.target)


def fit_estimator(task: Task, definition: Definition, rows: Floats, mask: NDArray[np.bool_]) -> Any:
    """Return an estimator that has learned from the rows of `mask` whose answer is known."""
    most = _MOST_LEARNED // (1 + len(task.paces))
    chosen = _choose_rows(task, task.wanted, mask, most)
    learned, wanted = [rows[chosen]], [task.wanted[chosen]]
    for history, other in task.paces:
        chosen = _choose_rows(task, other, mask, most)
        learned.append(make_rows(definition, history)[chosen])
        wanted.append(other[chosen])
    known, answers = np.concatenate(learned), np.concatenate(wanted)
    if task.target.kind != REMAINING_LIFE:
        answers = answers.astype(int)
    estimator = make_estimator(task.target.kind, known.shape[1], len(known), task.seed)
    return estimator.fit(known, answers)


def _choose_rows(
    task: Task, wanted: Floats, mask: NDArray[np.bool_], most: int
) -> NDArray[np.intp]:
    """Return at most `most` rows of `mask` whose answer is known, half of them close to failures.

    Calibration afterwards, on all rows, gives probabilities their true size again.
    """
    chosen = np.flatnonzero(mask & ~np.isnan(wanted))
    if len(chosen) <= most:
        return chosen
    random = np.random.default_rng(task.seed)
    is_near = task.labels.near[chosen]
    near, far = chosen[is_near], chosen[~is_near]
    kept = min(len(near), most // 2)
    rest = min(len(far), most - kept)
    parts = [random.choice(near, kept, replace=False), random.choice(far, rest, replace=False)]
    return np.sort(np.concatenate(parts))
