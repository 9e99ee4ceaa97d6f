"""The directions of wear: kept for devices without a past only where they help."""

import numpy as np
import pandas as pd
import pytest

from models.base import History
from models.features import Definition
from models.inputs import Floats
from models.labels import label_rows
from models.learning import learn_definition
from models.wear import find_wear
from prevenant.target import CYCLES, FAILURE, Target

_ROWS, _SENSORS = 3_000, 12


def learn(seed: int, log_odds: str) -> Definition:
    """Learn what features are made of where each device has one row, and fails by such odds."""
    random = np.random.default_rng(seed)
    known: Floats = random.normal(size=(_ROWS, _SENSORS))
    if log_odds == "a little of each sensor":
        weights = random.normal(size=_SENSORS)
        odds = 3.0 * known @ weights / np.linalg.norm(weights) - 6.0
    else:
        odds = np.where((np.abs(known[:, 0]) < 0.5) & (np.abs(known[:, 1]) < 0.5), 2.0, -5.0)
    fails = random.random(_ROWS) < 1.0 / (1.0 + np.exp(-odds))
    rows = pd.DataFrame(known, columns=[f"s{number}" for number in range(_SENSORS)])
    rows.insert(0, "device", [f"{number:05d}" for number in range(_ROWS)])
    rows.insert(1, "at", 0.0)
    failures = rows.loc[fails, ["device"]].assign(failed_at=0.0).reset_index(drop=True)
    history, target = History(rows, failures, CYCLES), Target(FAILURE, CYCLES, 0.0)
    return learn_definition(history, label_rows(history, target), target, list(rows.columns[2:]))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_sensors_that_each_say_a_little_are_joined(seed: int) -> None:
    assert len(learn(seed, "a little of each sensor").wear) == 2


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_direction_stands_in_the_way_of_sharp_bounds(seed: int) -> None:
    assert learn(seed, "bounds of two sensors").wear == []


def test_a_few_rows_tell_no_direction() -> None:
    z = np.arange(20.0).reshape(10, 2)
    near = np.arange(10) >= 6
    assert find_wear(z, near, ~near) == []
