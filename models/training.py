"""Trains a model: finds features, learns, and judges itself on devices that it has not seen."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.base import Calls, Card, Fingerprint, History
from models.calls import Lives
from models.choosing import choose_calls, is_clearly_more
from models.estimators import (
    bound,
    calibrate,
    extend_levels,
    find_chance_intervals,
    find_life_intervals,
    settle,
)
from models.evaluation import measure
from models.features import Definition
from models.inputs import Floats, fields_of
from models.labels import Labels, label_rows
from models.leaks import find_leaks
from models.learning import learn_definition
from models.paces import FACTORS
from models.rows import Progress, make_rows, thin
from models.task import Task, change_pace, fit_estimator, group_rows, only_chosen
from models.trees import Trees
from prevenant.document import suggest
from prevenant.errors import ConfigurationError
from prevenant.target import ANOMALY, FAILURE, REMAINING_LIFE, Target

_CAP_PARTS = 0.625
"""Remaining life is told apart within this part of a life: earlier, devices show nothing yet."""
_WINDOW_PARTS = (0.075, 0.15)
"""A visit is of use between these parts of a life before its end."""
MOST_ROWS = 200_000
_QUANTILES = 101
_SEEDS = 2**32
"""So many there are for scikit-learn."""
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
    if target.is_now:
        target = msgspec.structs.replace(target, unit=history.unit)
    if target.unit != history.unit and target.kind != ANOMALY:
        message = f"the data counts {history.unit}, and the prediction is to be in {target.unit}"
        raise ConfigurationError(message)
    if not 0 <= seed < _SEEDS:
        message = f"the seed {seed} cannot be used: write a whole number from 0 to {_SEEDS - 1}"
        raise ConfigurationError(message)
    _check_inputs(history, inputs)
    fingerprint = _fingerprint(history)
    history, least_step = thin(history, MOST_ROWS)
    labels = label_rows(history, target)
    if target.kind == ANOMALY:
        target = msgspec.structs.replace(target, unit=history.unit)
        return _make_detector(history, labels, target, inputs, name, seed, fingerprint)
    _check_failures(labels, target)
    cap = (cap or _round_cap(_CAP_PARTS * labels.life)) if target.kind == REMAINING_LIFE else 0.0
    wanted, groups = labels.wanted(target, cap), group_rows(history, labels, target)
    task = Task(target, labels, wanted, groups, seed)
    card = Card(
        name, target, _learn(history, labels, target, inputs, least_step), fingerprint, time.time()
    )
    card = msgspec.structs.replace(
        card,
        cap=cap,
        seed=seed,
        judged_by="life" if task.groups is labels.lives else "device",
        leaks=find_leaks(history, labels, target, cap, card.definition),
    )
    paces = change_pace(history, labels, target, cap)
    task, raw = _ask_at_paces(task, paces, history, inputs, tell)
    card = msgspec.structs.replace(card, paces=list(FACTORS) if task.paces else [])
    card = _settle_card(card, task, raw, history, window)
    tell(0.85, "learning from everything")
    rows = make_rows(card.definition, history)
    estimator = fit_estimator(task, card.definition, rows, np.ones(len(rows), bool))
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


def _check_inputs(history: History, inputs: Sequence[str] | None) -> None:
    """Raise ConfigurationError where what is to be listened to names a field that the data has not."""
    for text in inputs or ():
        # A column with words need not be a name that arithmetic can have.
        for name in () if text in history.rows else fields_of(text):
            if name not in history.fields:
                remedy = suggest(name, history.fields)
                message = f"feature {text!r} names {name!r}, which the data has not: {remedy}"
                raise ConfigurationError(message)


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


def _ask_at_paces(
    task: Task,
    paces: Sequence[tuple[History, Floats]],
    history: History,
    inputs: Sequence[str] | None,
    tell: Progress,
) -> tuple[Task, Floats]:
    """Return the task, with other paces unless it clearly errs more with them, and its raw answers.

    Lives that are all about as long cannot tell what other paces are worth for those that are not. Each
    fold is left out where it is asked for it.
    """
    if not paces:
        (raw,) = _ask_out_of_fold([task], history, inputs, tell)
        return task, raw
    paced_task = replace(task, paces=paces)
    plain, paced = _ask_out_of_fold([task, paced_task], history, inputs, tell)
    known = np.flatnonzero(~np.isnan(plain))
    worse = (paced - task.wanted)[known] ** 2 - (plain - task.wanted)[known] ** 2
    by_life = pd.Series(worse).groupby(task.labels.lives[known]).mean()
    raw = plain.copy()
    for _, judged in task.folds:
        own = np.unique(task.labels.lives[judged])
        if not is_clearly_more(np.asarray(by_life.drop(own), np.float64)):
            raw[judged] = paced[judged]
    return (task if is_clearly_more(np.asarray(by_life, np.float64)) else paced_task), raw


def _ask_out_of_fold(
    tasks: Sequence[Task], history: History, inputs: Sequence[str] | None, tell: Progress
) -> list[Floats]:
    """Return for each task and row the raw answer of an estimator that has seen nothing of its group.

    The tasks are alike but for what else is learned from.
    """
    raws = [np.full(len(history.rows), np.nan) for _ in tasks]
    folds = tasks[0].folds
    for number, (learn, judge) in enumerate(folds):
        what = f"fold {number + 1} of {len(folds)}"
        begins, length = 0.8 * number / len(folds), 0.8 / len(folds)
        tell(begins, what)
        definition = _learn(*only_chosen(history, tasks[0], learn), tasks[0].target, inputs)
        told = partial(_tell_part, tell, what, begins, length / 2)
        rows = make_rows(definition, history, told)
        mask = np.zeros(len(rows), bool)
        mask[learn] = True
        for task, raw in zip(tasks, raws, strict=True):
            raw[judge] = Trees(fit_estimator(task, definition, rows, mask)).ask(rows[judge])
    return raws


def _tell_part(tell: Progress, what: str, begins: float, length: float, done: float) -> None:
    tell(begins + done * length, what)


def _settle_card(
    card: Card, task: Task, raw: Floats, history: History, window: tuple[float, float] | None
) -> Card:
    """Return the card with calibration, intervals and calls, all from answers out of fold."""
    asked = ~np.isnan(raw)
    wanted, lives = task.wanted[asked], task.labels.lives[asked]
    if task.target.kind == FAILURE:
        card = msgspec.structs.replace(card, calibration=calibrate(raw[asked], wanted))
    value = settle(card, raw[asked])
    at = history.rows["at"].to_numpy(float)[asked]
    said = Lives.cut(at, value, task.labels.remaining[asked], lives)
    calls = choose_calls(task.target, window or _usual_window(task), said)
    return msgspec.structs.replace(_with_intervals(card, value, wanted, lives), calls=calls)


def _with_intervals(card: Card, value: Floats, wanted: Floats, lives: NDArray[np.intp]) -> Card:
    find = find_life_intervals if card.target.kind == REMAINING_LIFE else find_chance_intervals
    most = card.cap if card.target.kind == REMAINING_LIFE else 1.0
    levels, lows, highs = extend_levels(*find(value, wanted, lives), most)
    return msgspec.structs.replace(card, levels=levels, lows=lows, highs=highs)


def _usual_window(task: Task) -> tuple[float, float]:
    """Return how close to a failure and how long before it a visit is of use, where nobody says."""
    if task.target.kind == REMAINING_LIFE:
        return _WINDOW_PARTS[0] * task.labels.life, _WINDOW_PARTS[1] * task.labels.life
    return 0.0, task.target.horizon


def _cross_chosen_calls(
    card: Card, task: Task, out_of_fold: pd.DataFrame, window: tuple[float, float] | None
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
    for _, judged in task.folds:
        own = np.unique(task.labels.lives[judged])
        others = said.of(np.setdiff1d(said.numbers, own))
        calls = choose_calls(task.target, window or _usual_window(task), others)
        chosen.update(dict.fromkeys(own.tolist(), calls))
    return chosen


def _tabulate(card: Card, task: Task, raw: Floats, history: History) -> pd.DataFrame:
    """Return what was said of each row out of fold, and what came true; the index is the row's place."""
    asked = np.flatnonzero(~np.isnan(raw))
    value, lives = settle(card, raw[asked]), task.labels.lives[asked]
    low, high = value.copy(), value.copy()
    for _, judged in task.folds:
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
