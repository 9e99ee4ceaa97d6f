"""A column that knows the answer is named; a sensor that is merely good is not."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.predict import read_machining, read_turbofan
from models.base import History
from models.history import read_history
from models.labels import label_rows
from models.leaks import find_leaks
from models.learning import learn_definition
from prevenant.target import CYCLES, FAILURE, REMAINING_LIFE, SECONDS, Target
from simulators.refrigerator import Refrigerator
from tests.models.made_data import made_engines, made_fridges, made_parts
from tests.models.wearing import repaired_machine, wearing_machines

LIFE, NOW = Target(REMAINING_LIFE, CYCLES), Target(FAILURE, CYCLES)
SHARED = Path(__file__).parents[2] / "../shared/data"


def leaks_of(history: History, target: Target, cap: float = 60.0) -> dict[str, str]:
    labels = label_rows(history, target)
    definition = learn_definition(history, labels, target, None)
    return find_leaks(history, labels, target, cap, definition)


def with_columns(history: History, **columns: Any) -> History:
    return History(history.rows.assign(**columns), history.failures, history.unit)


def left(history: History) -> np.ndarray:
    return label_rows(history, LIFE).remaining


def parts() -> tuple[History, np.ndarray]:
    history = read_history(*made_parts()).history
    return history, history.rows["device"].isin(history.failures["device"]).to_numpy()


@pytest.mark.parametrize(
    "leak",
    [
        lambda left: left,
        lambda left: 3.0 - 2.0 * np.minimum(left, 60.0),
        lambda left: (left <= 20) * 1.0,
        lambda left: np.where(left <= 20, "bad", "good"),
        lambda left: (left == 0) * 1.0,
        lambda left: np.maximum(0.0, 8.0 - left),
    ],
    ids=["copy", "scaled", "another horizon", "words", "last row", "counter"],
)
@pytest.mark.parametrize("target", [LIFE, Target(FAILURE, CYCLES, 20.0)])
def test_what_knows_when_devices_fail(leak: Any, target: Target) -> None:
    history = wearing_machines(12)
    found = leaks_of(with_columns(history, known=leak(left(history))), target)
    assert list(found) == ["known"]
    assert "leave it out of `features`" in found["known"]


def test_a_copy_with_noise() -> None:
    history = wearing_machines(12)
    noisy = left(history) + np.random.default_rng(0).normal(0, 1, len(history.rows))
    assert list(leaks_of(with_columns(history, known=noisy), LIFE)) == ["known"]


@pytest.mark.parametrize(
    "leak",
    [
        lambda failed: failed * 1.0,
        lambda failed: np.where(failed, "x7", "q1"),
        lambda failed: np.where(failed, 0.0, 1.0),
        lambda failed: failed * np.arange(1.0, len(failed) + 1),
        lambda failed: np.where(failed, np.arange(len(failed)), np.nan),
        lambda failed: np.where(np.arange(len(failed)) % 200 == 0, ~failed, failed) * 1.0,
    ],
    ids=["copy", "encoded", "inverted", "counter", "filled in later", "a few mistakes"],
)
def test_what_knows_which_rows_failed(leak: Any) -> None:
    history, failed = parts()
    found = leaks_of(with_columns(history, known=leak(failed)), NOW)
    assert list(found) == ["known"]
    assert "leave it out of `features`" in found["known"]


def test_a_cause_that_is_noted_afterwards() -> None:
    history, failed = parts()
    cause = failed & (np.arange(len(failed)) % 3 == 0)
    found = leaks_of(with_columns(history, cause=cause * 1.0), NOW)
    assert "in rows of failures alone" in found["cause"]


def test_two_failures_are_enough_for_a_copy_and_not_for_a_sensor() -> None:
    history, failed = parts()
    two = history.failures.iloc[:2]
    history = History(history.rows, two, history.unit)
    failed = history.rows["device"].isin(two["device"]).to_numpy()
    by_chance = np.where(failed, 9.0, np.random.default_rng(0).normal(0, 1, len(failed)))
    found = leaks_of(with_columns(history, copy=failed * 1.0, sensor=by_chance), NOW)
    assert list(found) == ["copy"]


def fridges_that_lose_their_compressor(hours: float) -> History:
    """Return the simulator's refrigerators, and their failures as noticed so much later."""
    rows, failures = [], []
    for number in range(16):
        fridge = Refrigerator("s", f"f{number:02}", number)
        lost = 400 + 61 * number if number % 2 else 10**6
        for minute in range(1600):
            faults = frozenset({"compressor_lost"} if minute >= lost else ())
            for _, values in fridge.step(minute * 60.0, faults):
                rows.append({"device": f"f{number:02}", "at": minute * 60.0, **values})
        if number % 2:
            failures.append((f"f{number:02}", lost * 60.0 + hours * 3600.0))
    frame = pd.DataFrame(rows).astype({"door_open": float})
    return History(frame, pd.DataFrame(failures, columns=["device", "failed_at"]), SECONDS)


def test_good_sensors_are_no_leaks() -> None:
    assert leaks_of(wearing_machines(12), LIFE) == {}
    assert leaks_of(read_history(made_engines()).history, LIFE) == {}
    assert leaks_of(parts()[0], NOW) == {}
    assert leaks_of(repaired_machine(), Target(FAILURE, SECONDS, 6 * 3600.0)) == {}
    fridges = read_history(*made_fridges()).history
    for hours in (24, 72):
        assert leaks_of(fridges, Target(FAILURE, SECONDS, hours * 3600.0)) == {}
    for noticed in (1.0, 3.0):
        fridges = fridges_that_lose_their_compressor(noticed)
        for hours in (0, 3):
            assert leaks_of(fridges, Target(FAILURE, SECONDS, hours * 3600.0)) == {}


def test_age_is_no_leak_where_all_lives_are_alike() -> None:
    rows = pd.DataFrame(
        {
            "device": np.repeat([f"d{number}" for number in range(8)], 50),
            "at": np.tile(np.arange(50.0), 8),
            "hours": np.tile(np.arange(50.0) * 3, 8),
            "noise": np.random.default_rng(0).normal(0, 1, 400),
        }
    )
    ends = pd.DataFrame({"device": [f"d{number}" for number in range(8)], "failed_at": 49.0})
    assert leaks_of(History(rows, ends, CYCLES), LIFE) == {}
    assert leaks_of(History(rows, ends, CYCLES), Target(FAILURE, CYCLES, 10.0)) == {}


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the public data beside the repository")
def test_nothing_is_said_of_public_data() -> None:
    turbofan = read_turbofan(SHARED / "cmapss/train_FD001.txt")
    for target in (LIFE, *(Target(FAILURE, CYCLES, ahead) for ahead in (0.0, 30.0))):
        assert leaks_of(turbofan, target, 125.0) == {}
    path = SHARED / "ai4i/ai4i2020.csv"
    machining = read_machining(path)
    assert leaks_of(machining, NOW) == {}
    noted = (
        pd.read_csv(path).iloc[:, 8:].astype(float).rename(columns={"Machine failure": "failed"})
    )
    assert list(noted.columns) == ["failed", "TWF", "HDF", "PWF", "OSF", "RNF"]
    found = leaks_of(with_columns(machining, **{str(name): noted[name] for name in noted}), NOW)
    assert list(found) == ["failed", "TWF", "HDF", "PWF", "OSF"]
