"""What a model predicts is read as the rule book has it, or deduced from the data, with the reason."""

import numpy as np
import pandas as pd
import pytest

from models.base import History
from models.target import deduce_target, describe_target
from prevenant.errors import ConfigurationError
from prevenant.target import CYCLES, FAILURE, REMAINING_LIFE, SECONDS, Target, parse_target


@pytest.mark.parametrize(
    ("text", "target", "said"),
    [
        ("failure within 72h", Target(FAILURE, SECONDS, 259_200), "failure within 72h"),
        ("Failure  within 3d", Target(FAILURE, SECONDS, 259_200), "failure within 72h"),
        ("failure within 2w", Target(FAILURE, SECONDS, 1_209_600), "failure within 14d"),
        ("failure within 90s", Target(FAILURE, SECONDS, 90), "failure within 1m30s"),
        ("failure within 30 cycles", Target(FAILURE, CYCLES, 30), "failure within 30 cycles"),
        ("failure now", Target(FAILURE), "failure now"),
        ("remaining life in cycles", Target(REMAINING_LIFE, CYCLES), "remaining life in cycles"),
        ("remaining life", Target(REMAINING_LIFE, CYCLES), "remaining life in cycles"),
        ("remaining life in hours", Target(REMAINING_LIFE), "remaining life in time"),
        ("anomaly", Target("anomaly"), "anomaly"),
    ],
)
def test_what_people_write(text: str, target: Target, said: str) -> None:
    assert parse_target(text) == target
    assert describe_target(target) == said
    assert parse_target(said) == target


@pytest.mark.parametrize(
    "text", ["", "failure", "failure within 0h", "failure within soon", "wear"]
)
def test_anything_else_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(ConfigurationError, match="write `failure"):
        parse_target(text)


def history(unit: str, devices: int, rows: int, step: float, failing: int) -> History:
    names = [f"d{n}" for n in range(devices)]
    at = np.arange(rows) * step
    frame = pd.DataFrame({"device": np.repeat(names, rows), "at": np.tile(at, devices), "x": 1.0})
    failures = pd.DataFrame({"device": names[:failing], "failed_at": [at[-1]] * failing})
    return History(frame, failures, unit)


@pytest.mark.parametrize(
    ("unit", "rows", "step", "failing", "ends", "target"),
    [
        (CYCLES, 50, 1.0, 4, True, Target(REMAINING_LIFE, CYCLES)),
        (SECONDS, 50, 3600.0, 4, True, Target(REMAINING_LIFE, SECONDS)),
        (SECONDS, 2401, 3600.0, 2, False, Target(FAILURE, SECONDS, 72 * 3600)),
        (SECONDS, 241, 3600.0, 2, False, Target(FAILURE, SECONDS, 24 * 3600)),
        (SECONDS, 30, 60.0, 2, False, Target(FAILURE, SECONDS, 900)),
        (CYCLES, 1, 1.0, 2, False, Target(FAILURE, CYCLES)),
        (SECONDS, 1, 1.0, 2, False, Target(FAILURE, SECONDS)),
    ],
)
def test_what_the_data_says(
    unit: str, rows: int, step: float, failing: int, ends: bool, target: Target
) -> None:
    found, why = deduce_target(history(unit, 4, rows, step, failing), ends_in_failure=ends)
    assert found == target
    assert why
