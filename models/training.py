"""Trains a model: finds features, learns, and judges itself on devices that it has not seen."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from models.base import (
    ANOMALY,
    FAILURE,
    REMAINING_LIFE,
    Calls,
    Card,
    Fingerprint,
    History,
    Target,
)
from models.calls import Lives, choose_calls
from models.estimators import (
    bound,
    calibrate,
    find_chance_intervals,
    find_life_intervals,
    make_estimator,
    settle,
)
from models.evaluation import measure
from models.features import Definition
from models.inputs import Floats
from models.labels import Labels, label_rows
from models.learning import learn_definition
from models.rows import Progress, make_rows, thin
from models.trees import Trees
from prevenant.errors import ConfigurationError

FOLDS = 5
_CAP_PARTS = 0.625
"""Remaining life is told apart within this part of a life: earlier, devices show nothing yet."""
_WINDOW_PARTS = (0.075, 0.15)
"""A visit is of use between these parts of a life before its end."""
_MOST_ROWS = 200_000
_MOST_LEARNED = 40_000
_QUANTILES = 101
_FEWEST_FAILURES = 2


@dataclass(frozen=True, slots=True)
class Model:
    """A trained model."""

    card: Card
    estimator: Any
    """One fitted estimator of scikit-learn; None for a detector, which learns in the stream."""
    out_of_fold: pd.DataFrame | None = field(default=None, repr=False)
    """`device, at, truth, prediction, low, high, life, remaining`: said of devices not learned from."""
    chosen: Mapping[int, Calls] = field(default_factory=dict, repr=False)
    """By life of `out_of_fold`: the calls that were chosen without it."""


@dataclass(frozen=True, slots=True)
class _Task:
    """Rows of features with what is to be learned of them."""

    target: Target
    labels: Labels
    wanted: Floats
    """What is to be predicted, by row; NaN where nobody knows."""
    groups: NDArray[np.intp]
    """What is never split between learning and judging: devices, or lives where few devices failed."""
    seed: int


def train(
    history: History,
    *,
    name: str = "model",
    target: Target | None = None,
    inputs: Sequence[str] | None = None,
    cap: float | None = None,
    window: tuple[float, float] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Model:
    """Return a model that was trained on `history` and judged out of fold.

    `inputs` are fields or arithmetic over fields; None finds them out. `cap` is the remaining life beyond
    which nothing is told apart, and `window` how close to a failure, and how long before it, a visit is of
    use, both in the history's unit. Raises ConfigurationError where nothing can be learned from it.
    """
    tell = progress or (lambda _done, _what: None)
    target = target or Target(REMAINING_LIFE, history.unit)
    if target.unit != history.unit and (target.horizon or target.kind == REMAINING_LIFE):
        message = f"the data counts {history.unit}, and the prediction is to be in {target.unit}"
        raise ConfigurationError(message)
    fingerprint = _fingerprint(history)
    history, least_step = thin(history, _MOST_ROWS)
    labels = label_rows(history, target)
    if target.kind == ANOMALY:
        target = msgspec.structs.replace(target, unit=history.unit)
        return _make_detector(history, labels, target, inputs, name, seed, fingerprint)
    _check_failures(labels, target)
    cap = (cap or _round_cap(_CAP_PARTS * labels.life)) if target.kind == REMAINING_LIFE else 0.0
    task = _Task(target, labels, labels.wanted(target, cap), _group(history, labels, target), seed)
    card = Card(
        name, target, _learn(history, labels, target, inputs, least_step), fingerprint, time.time()
    )
    by_life = task.groups is labels.lives
    card = msgspec.structs.replace(
        card, cap=cap, seed=seed, judged_by="life" if by_life else "device"
    )
    raw = _ask_out_of_fold(task, history, inputs, tell)
    card = _settle_card(card, task, raw, history, window)
    tell(0.85, "learning from everything")
    rows = make_rows(card.definition, history)
    estimator = _fit(task, rows, np.ones(len(rows), bool))
    out_of_fold = _tabulate(card, task, raw, history)
    chosen = _cross_chosen_calls(card, task, out_of_fold, window)
    card = msgspec.structs.replace(
        card,
        metrics=measure(card, out_of_fold, chosen),
        reference=_find_reference(history, out_of_fold, card.definition),
        missing=_find_missing(history, card.definition),
        normal=_find_normal(rows, labels),
        cost_s=_time_asking(estimator, rows),
    )
    tell(1.0, "trained")
    return Model(card, estimator, out_of_fold, chosen)


def _learn(
    history: History,
    labels: Labels,
    target: Target,
    inputs: Sequence[str] | None,
    least_step: float = 0.0,
) -> Definition:
    definition = learn_definition(history, labels, target, inputs)
    if not definition.channels:
        reasons = "; ".join(f"{name}: {why}" for name, why in definition.dropped.items())
        message = f"there is nothing to learn from: {reasons or 'the data has no fields'}"
        raise ConfigurationError(message)
    return msgspec.structs.replace(definition, least_step=least_step)


def _check_failures(labels: Labels, target: Target) -> None:
    """Raise ConfigurationError where there is too little to learn from, and to judge by."""
    failed = len(np.unique(labels.lives[~np.isnan(labels.remaining)]))
    if failed < _FEWEST_FAILURES:
        message = (
            f"the data shows {failed} failures with rows before them, and at least {_FEWEST_FAILURES} are "
            "needed, to learn from one and be judged by another: give more history, or train an "
            "`anomaly` model, which needs none"
        )
        raise ConfigurationError(message)
    if target.kind == REMAINING_LIFE and labels.life <= 0:
        message = (
            "each device has one row, so that nothing is known of how long it lasts: give rows from "
            "before the failures, or say which rows failed with --failures and predict `failure now`"
        )
        raise ConfigurationError(message)
    if target.kind != FAILURE:
        return
    fails = labels.fails_within(target.horizon)
    seen = len(np.unique(labels.lives[fails == 1]))
    if seen < _FEWEST_FAILURES:
        message = (
            f"{seen} of {failed} failures have a row within the horizon before them, and at least "
            f"{_FEWEST_FAILURES} are needed: choose a longer horizon, or give rows closer to the failures"
        )
        raise ConfigurationError(message)
    if not np.any(fails == 0):
        message = "every row of the data is close to a failure: give rows of healthy times as well"
        raise ConfigurationError(message)


def _round_cap(cap: float) -> float:
    """Return a cap with two or three digits that mean something: 124.4 is 125."""
    if cap <= 0:
        return 1.0
    step = 10.0 ** np.floor(np.log10(cap)) / 20.0
    return float(np.round(cap / step) * step)


def _group(history: History, labels: Labels, target: Target) -> NDArray[np.intp]:
    """Return groups of rows: the devices, or the lives where too few devices failed to be judged by."""
    devices = pd.factorize(history.rows["device"])[0].astype(np.intp)
    near = labels.near if target.kind == FAILURE else ~np.isnan(labels.remaining)
    return devices if len(np.unique(devices[near])) >= FOLDS else labels.lives


def split_folds(task: _Task) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Return the rows to learn from and to judge by of each fold; no group stands on both sides."""
    known = np.flatnonzero(~np.isnan(task.wanted))
    groups = task.groups[known]
    folds = min(FOLDS, len(np.unique(groups)))
    if task.target.kind == REMAINING_LIFE:
        splits = GroupKFold(folds, shuffle=True, random_state=task.seed).split(known, None, groups)
    else:
        fails = task.wanted[known].astype(int)
        positive = len(np.unique(groups[fails == 1]))
        folds = max(2, min(folds, positive))
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=task.seed)
        splits = splitter.split(known, fails, groups)
    return [(known[learn], known[judge]) for learn, judge in splits]


def _ask_out_of_fold(
    task: _Task, history: History, inputs: Sequence[str] | None, tell: Progress
) -> Floats:
    """Return for each row the raw answer of an estimator that has seen nothing of its group."""
    raw = np.full(len(history.rows), np.nan)
    folds = split_folds(task)
    for number, (learn, judge) in enumerate(folds):
        what = f"fold {number + 1} of {len(folds)}"
        begins, length = 0.8 * number / len(folds), 0.8 / len(folds)
        tell(begins, what)
        rows = make_rows(
            _learn(*_only(history, task, learn), task.target, inputs),
            history,
            partial(_tell_part, tell, what, begins, length / 2),
        )
        mask = np.zeros(len(rows), bool)
        mask[learn] = True
        raw[judge] = Trees(_fit(task, rows, mask)).ask(rows[judge])
    return raw


def _tell_part(tell: Progress, what: str, begins: float, length: float, done: float) -> None:
    tell(begins + done * length, what)


def _only(history: History, task: _Task, chosen: NDArray[np.intp]) -> tuple[History, Labels]:
    """Return the groups that may be learned from, and their labels."""
    index = np.flatnonzero(np.isin(task.groups, np.unique(task.groups[chosen])))
    rows, failures = history.rows.iloc[index].reset_index(drop=True), history.failures
    own = failures["device"].isin(rows["device"].unique())
    part = History(rows, failures[own].reset_index(drop=True), history.unit)
    return part, label_rows(part, task.target)


def _fit(task: _Task, rows: Floats, mask: NDArray[np.bool_]) -> Any:
    """Return an estimator that has learned from the rows of `mask` whose answer is known."""
    chosen = choose_rows(task, mask)
    estimator = make_estimator(task.target.kind, rows.shape[1], len(chosen), task.seed)
    wanted = task.wanted[chosen]
    if task.target.kind != REMAINING_LIFE:
        wanted = wanted.astype(int)
    return estimator.fit(rows[chosen], wanted)


def choose_rows(task: _Task, mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return at most `_MOST_LEARNED` rows, half of them close to failures where there are so many.

    Calibration afterwards, on all rows, gives probabilities their true size again.
    """
    chosen = np.flatnonzero(mask & ~np.isnan(task.wanted))
    if len(chosen) <= _MOST_LEARNED:
        return chosen
    random = np.random.default_rng(task.seed)
    is_near = task.labels.near[chosen]
    near, far = chosen[is_near], chosen[~is_near]
    kept = min(len(near), _MOST_LEARNED // 2)
    rest = min(len(far), _MOST_LEARNED - kept)
    parts = [random.choice(near, kept, replace=False), random.choice(far, rest, replace=False)]
    return np.sort(np.concatenate(parts))


def _settle_card(
    card: Card, task: _Task, raw: Floats, history: History, window: tuple[float, float] | None
) -> Card:
    """Return the card with calibration, intervals and calls, all from answers out of fold."""
    asked = ~np.isnan(raw)
    wanted, lives = task.wanted[asked], task.labels.lives[asked]
    if task.target.kind == FAILURE:
        card = msgspec.structs.replace(card, calibration=calibrate(raw[asked], wanted))
    value = settle(card, raw[asked])
    at = history.rows["at"].to_numpy(float)[asked]
    said = Lives.cut(at, value, task.labels.remaining[asked], lives)
    calls = choose_calls(task.target, window or usual_window(task), said)
    return msgspec.structs.replace(_with_intervals(card, value, wanted, lives), calls=calls)


def _with_intervals(card: Card, value: Floats, wanted: Floats, lives: NDArray[np.intp]) -> Card:
    find = find_life_intervals if card.target.kind == REMAINING_LIFE else find_chance_intervals
    levels, lows, highs = find(value, wanted, lives)
    return msgspec.structs.replace(card, levels=levels, lows=lows, highs=highs)


def usual_window(task: _Task) -> tuple[float, float]:
    """Return how close to a failure and how long before it a visit is of use, where nobody says."""
    if task.target.kind == REMAINING_LIFE:
        return _WINDOW_PARTS[0] * task.labels.life, _WINDOW_PARTS[1] * task.labels.life
    return 0.0, task.target.horizon


def _cross_chosen_calls(
    card: Card, task: _Task, out_of_fold: pd.DataFrame, window: tuple[float, float] | None
) -> dict[int, Calls]:
    """Return for each life the calls that were chosen without its group."""
    if card.calls is None:
        return {}
    chosen: dict[int, Calls] = {}
    position = out_of_fold.index.to_numpy()
    said = Lives.cut(
        out_of_fold["at"].to_numpy(float),
        out_of_fold["prediction"].to_numpy(float),
        task.labels.remaining[position],
        task.labels.lives[position],
    )
    for _, judged in split_folds(task):
        own = np.unique(task.labels.lives[judged])
        others = said.of(np.setdiff1d(said.numbers, own))
        calls = choose_calls(task.target, window or usual_window(task), others)
        chosen.update(dict.fromkeys(own.tolist(), calls))
    return chosen


def _tabulate(card: Card, task: _Task, raw: Floats, history: History) -> pd.DataFrame:
    """Return what was said of each row out of fold, and what came true; the index is the row's place."""
    asked = np.flatnonzero(~np.isnan(raw))
    value, lives = settle(card, raw[asked]), task.labels.lives[asked]
    low, high = value.copy(), value.copy()
    for _, judged in split_folds(task):
        own = np.isin(asked, judged)
        # A device's own residuals are not to say how far off it may be.
        others = _with_intervals(card, value[~own], task.wanted[asked[~own]], lives[~own])
        low[own], high[own] = bound(others, value[own])
    rows = history.rows.iloc[asked]
    return pd.DataFrame(
        {
            "device": rows["device"].to_numpy(),
            "at": rows["at"].to_numpy(float),
            "truth": task.wanted[asked],
            "prediction": value,
            "low": low,
            "high": high,
            "life": lives,
            "remaining": task.labels.remaining[asked],
        },
        index=asked,
    )


def _find_reference(
    history: History, out_of_fold: pd.DataFrame, definition: Definition
) -> dict[str, list[float]]:
    steps = np.linspace(0, 1, _QUANTILES)
    reference = {"": np.quantile(out_of_fold["prediction"], steps).tolist()}
    for name in definition.fields:
        column = history.rows[name]
        if pd.api.types.is_numeric_dtype(column) and column.notna().any():
            reference[name] = np.quantile(column.dropna().to_numpy(float), steps).tolist()
    return reference


def _find_missing(history: History, definition: Definition) -> dict[str, float]:
    return {name: float(history.rows[name].isna().mean()) for name in definition.fields}


def _find_normal(rows: Floats, labels: Labels) -> list[float]:
    """Return by feature what is usual far from any failure."""
    far = labels.far if labels.far.any() else np.ones(len(rows), bool)
    return [float(one) for one in np.median(rows[far], axis=0)]


def _time_asking(estimator: Any, rows: Floats) -> float:
    """Return how long a row takes in a batch, in seconds of the processor."""
    trees, batch = Trees(estimator), rows[:256]
    trees.ask(batch)
    began = time.process_time()
    for _ in range(5):
        trees.ask(batch)
    return max(1e-7, (time.process_time() - began) / 5 / len(batch))


def _fingerprint(history: History) -> Fingerprint:
    rows, failures = history.rows, history.failures
    digest = hashlib.sha256()
    for frame in (rows, failures):
        digest.update(",".join(map(str, frame.columns)).encode())
        digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    return Fingerprint(
        len(rows),
        int(rows["device"].nunique()),
        len(failures),
        float(rows["at"].min()) if len(rows) else 0.0,
        float(rows["at"].max()) if len(rows) else 0.0,
        digest.hexdigest(),
    )


def _make_detector(
    history: History,
    labels: Labels,
    target: Target,
    inputs: Sequence[str] | None,
    name: str,
    seed: int,
    fingerprint: Fingerprint,
) -> Model:
    """Return a model that learns each device's normal in the stream; training only finds its inputs."""
    definition = _learn(history, labels, target, inputs)
    return Model(Card(name, target, definition, fingerprint, time.time(), seed=seed), None)
