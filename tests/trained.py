"""A small model that is really trained, on fans whose current rises before they fail."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from models import task, training
from models.base import History
from models.estimators import make_estimator
from prevenant.domain import DeviceType, FieldType, Reading
from prevenant.target import CYCLES, FAILURE, REMAINING_LIFE, Target
from rules.models import BookModel

LIFE = Target(REMAINING_LIFE, CYCLES)
SOON = Target(FAILURE, CYCLES, 15.0)
_NUMBERS = ("at", "amps", "rpm")
FAN = DeviceType("fan", "fans/{site}/{device}", (FieldType("amps", float), FieldType("rpm", float)))
_SENT = ("amps", "rpm")
WEARS = BookModel("wears", "fan", "remaining_life", "cycles", shown_unit="cycle", sent=_SENT)
FAILS = BookModel("fails", "fan", "failure", "cycles", 15.0, shown_unit="ratio", sent=_SENT)


def fans(count: int, seed: int = 1) -> History:
    """Return the whole lives of some fans."""
    noise = np.random.default_rng(seed)
    parts = []
    for number in range(count):
        life = int(noise.integers(60, 90))
        left = life - np.arange(1, life + 1)
        amps = 2.0 + 3.0 * np.exp(-left / 12.0) + noise.normal(0, 0.1, life)
        rpm = 900.0 + noise.normal(0, 5.0, life)
        at = np.arange(1.0, life + 1)
        parts.append(pd.DataFrame({"device": f"f{number}", "at": at, "amps": amps, "rpm": rpm}))
    rows = pd.concat(parts, ignore_index=True)
    last = rows.groupby("device")["at"].max()
    failures = pd.DataFrame({"device": last.index, "failed_at": last.to_numpy()})
    return History(rows, failures, CYCLES)


@contextmanager
def small_training(trees: int) -> Iterator[None]:
    """Let training make so many trees and two folds only, on one core."""

    def make_small(kind: str, features: int, rows: int, seed: int) -> Any:
        estimator = make_estimator(kind, features, rows, seed)
        known = estimator.get_params()
        name = next(one for one in ("max_iter", "n_estimators") if one in known)
        return estimator.set_params(**{name: trees})

    with pytest.MonkeyPatch.context() as patch, threadpool_limits(1):
        patch.setattr(task, "FOLDS", 2)
        patch.setattr(task, "make_estimator", make_small)
        yield


@cache
def train_on_fans(target: Target = LIFE, seed: int = 0) -> training.Model:
    """Return a model of a few trees, which is enough to tell a worn fan from a new one."""
    name = "wears" if target == LIFE else "fails"
    with small_training(trees=20):
        return training.train(fans(8), name=name, target=target, seed=seed)


def readings_of(history: History, begins: float = 0.0) -> list[Reading]:
    """Return the rows of a history as readings, cycle by cycle of all devices together."""
    rows = history.rows.sort_values(["at", "device"], kind="stable")
    columns = (rows["device"].tolist(), *(rows[name].tolist() for name in _NUMBERS))
    return [
        Reading(
            "fan",
            "s",
            f"s/{device}",
            begins + at,
            begins + at,
            FAN.payload_type(amps=amps, rpm=rpm),
        )
        for device, at, amps, rpm in zip(*columns, strict=True)
    ]
