"""How good predictions are, as a service business judges them, beside the usual measures of error."""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, brier_score_loss, precision_recall_curve

from models.base import Calls, Card
from models.calls import Lives, Outcome, judge
from models.inputs import Floats
from prevenant.target import CYCLES, REMAINING_LIFE

_PRECISION = 0.95
_BINS = 10
_POINTS = 40
_DAY_S = 86_400.0
Metrics = dict[str, float | None]


class Bin(msgspec.Struct, frozen=True):
    """Predictions of about one size, and how often, or how far off, they came true."""

    predicted: float
    observed: float
    rows: int


class Point(msgspec.Struct, frozen=True):
    """What a threshold would have led to."""

    threshold: float
    caught: float
    premature_per_1000: float
    """In 1,000 cycles, or 1,000 device-days."""
    missed: int
    premature: int
    median_lead: float | None


class Evaluation(msgspec.Struct, frozen=True):
    """What a model's predictions were worth on some data. Times are in the model's unit."""

    metrics: Metrics
    leads: list[float]
    """Of the failures that were caught, ascending."""
    calibration: list[Bin]
    points: list[Point]
    """By threshold, ascending."""
    failures: int
    exposure: float
    """How long devices were watched, in the model's unit."""


def evaluate_predictions(
    card: Card, said: pd.DataFrame, chosen: Mapping[int, Calls] | None = None
) -> Evaluation:
    """Judge what was said, as `Model.out_of_fold` has it; calls as on the card, or as `chosen` by life."""
    metrics = measure(card, said, chosen or {})
    lives = _lives(said)
    outcome = _judge(card, lives, chosen or {})
    return Evaluation(
        metrics,
        sorted(outcome.leads) if outcome else [],
        _calibrate(said),
        _draw(card, lives),
        outcome.failures if outcome else 0,
        outcome.exposure if outcome else 0.0,
    )


def measure(card: Card, said: pd.DataFrame, chosen: Mapping[int, Calls]) -> Metrics:
    """Return every figure by its name; None where the data cannot tell it."""
    truth, value = said["truth"].to_numpy(float), said["prediction"].to_numpy(float)
    metrics: Metrics = {}
    if card.target.kind == REMAINING_LIFE:
        known = ~np.isnan(truth)
        metrics |= _measure_life(truth[known], value[known], said[known])
        if card.target.unit != CYCLES:
            # Its 13 and 10 are cycles: of seconds it is beyond all bounds.
            del metrics["nasa_score"]
    else:
        metrics |= _measure_chance(truth, value)
    outcome = _judge(card, _lives(said), chosen)
    if outcome is not None:
        unit = 1.0 if card.target.unit == CYCLES else _DAY_S
        metrics |= {
            "failures": float(outcome.failures),
            "caught": outcome.caught if outcome.failures else None,
            # Rows on their own are watched for no time at all.
            "premature_per_1000": outcome.premature_per_1000 * unit if outcome.exposure else None,
            "median_lead": outcome.median_lead,
            "late": float(outcome.late),
        }
    return metrics


def _measure_life(truth: Floats, value: Floats, said: pd.DataFrame) -> Metrics:
    """Return errors of remaining life; NASA's score is that of Saxena et al. 2008 (PHM08)."""
    if not len(truth):
        return {"rmse": None, "mae": None, "nasa_score": None, "within_interval": None}
    off = value - truth
    steps = np.where(off < 0, -off / 13.0, off / 10.0)
    last = said.groupby("life", sort=False).tail(1)
    inside = (said["low"] <= said["truth"] + 1e-9) & (said["truth"] <= said["high"] + 1e-9)
    ends = last["prediction"].to_numpy(float) - last["truth"].to_numpy(float)
    return {
        "rmse": float(np.sqrt(np.mean(off**2))),
        "rmse_spread": float(np.std(_by_device(said, off))),
        "mae": float(np.mean(np.abs(off))),
        "nasa_score": float(np.mean(np.expm1(np.minimum(steps, 50.0)))),
        "rmse_at_end": float(np.sqrt(np.mean(ends**2))),
        "within_interval": float(inside.mean()),
    }


def _by_device(said: pd.DataFrame, off: Floats) -> Floats:
    """Return the root mean square error of each device."""
    squares = pd.Series(off**2).groupby(said["device"].to_numpy()).mean()
    return np.sqrt(squares.to_numpy(float))


def _measure_chance(truth: Floats, value: Floats) -> Metrics:
    known = ~np.isnan(truth)
    fails, value = truth[known].astype(int), value[known]
    if not len(fails) or fails.min() == fails.max():
        return dict.fromkeys(("f1", "ap", "recall_at_p95", "brier", "precision", "recall"))
    precision, recall, _ = precision_recall_curve(fails, value)
    both = precision + recall
    f1 = np.divide(2 * precision * recall, both, out=np.zeros_like(both), where=both > 0)
    best = int(np.argmax(f1))
    return {
        "f1": float(f1[best]),
        "precision": float(precision[best]),
        "recall": float(recall[best]),
        "ap": float(average_precision_score(fails, value)),
        "recall_at_p95": float(recall[precision >= _PRECISION].max(initial=0.0)),
        "brier": float(brier_score_loss(fails, value)),
    }


def _lives(said: pd.DataFrame) -> Lives:
    return Lives.cut(
        said["at"].to_numpy(float),
        said["prediction"].to_numpy(float),
        said["remaining"].to_numpy(float),
        said["life"].to_numpy(np.intp),
    )


def _judge(card: Card, lives: Lives, chosen: Mapping[int, Calls]) -> Outcome | None:
    """Return what the calls led to, each life by its own; None for a model that calls nobody."""
    if card.calls is None:
        return None
    by_calls: dict[Calls, list[int]] = {}
    for number in lives.numbers.tolist():
        by_calls.setdefault(chosen.get(number, card.calls), []).append(number)
    parts = [
        judge(card.target, calls, lives.of(np.array(some))) for calls, some in by_calls.items()
    ]
    return Outcome(
        sum(one.failures for one in parts),
        tuple(lead for one in parts for lead in one.leads),
        sum(one.premature for one in parts),
        sum(one.late for one in parts),
        sum(one.exposure for one in parts),
    )


def _calibrate(said: pd.DataFrame) -> list[Bin]:
    known = said[said["truth"].notna()].sort_values("prediction", kind="stable")
    return [
        Bin(float(part["prediction"].mean()), float(part["truth"].mean()), len(part))
        for part in (known.iloc[own] for own in np.array_split(np.arange(len(known)), _BINS))
        if len(part)
    ]


def _draw(card: Card, lives: Lives) -> list[Point]:
    """Return what other thresholds would have led to, with the debounce of the card."""
    calls = card.calls
    if calls is None or not len(lives.starts):
        return []
    if card.target.kind == REMAINING_LIFE:
        thresholds = np.linspace(0.0, calls.earliest * 2, _POINTS)
    else:
        thresholds = np.unique(np.quantile(lives.value, 1.0 - np.geomspace(1e-4, 0.5, _POINTS)))
    unit = 1.0 if card.target.unit == CYCLES else _DAY_S
    found = []
    for threshold in thresholds:
        asked: Any = msgspec.structs.replace(calls, threshold=float(threshold))
        outcome = judge(card.target, asked, lives)
        found.append(
            Point(
                float(threshold),
                outcome.caught,
                outcome.premature_per_1000 * unit,
                outcome.failures - len(outcome.leads),
                outcome.premature,
                outcome.median_lead,
            )
        )
    return found
