"""A sensor's effect is what it adds where a model adds up, and a fair share where it does not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.effects import Floats, measure_effects

numbers = st.floats(-1e3, 1e3, allow_subnormal=False)
rows = st.lists(numbers, min_size=6, max_size=6).map(np.array)
GROUPS = [[0, 1], [2], [3, 4, 5]]


@given(rows, rows, rows)
def test_the_effects_of_a_sum_are_its_parts(weights: Floats, row: Floats, normal: Floats) -> None:
    found = measure_effects(lambda rows: rows @ weights, row, normal, GROUPS)
    parts = [float((row - normal)[group] @ weights[group]) for group in GROUPS]
    assert found == pytest.approx(parts, rel=1e-6, abs=1e-3)
    assert found.sum() == pytest.approx((row - normal) @ weights, rel=1e-6, abs=1e-3)


@given(rows, rows)
def test_two_that_say_the_same_share_what_they_do(row: Floats, normal: Floats) -> None:
    row[2], normal[2] = row[0], normal[0]
    found = measure_effects(
        lambda rows: np.maximum(rows[:, 0], rows[:, 2]), row, normal, [[0], [2], [1]]
    )
    assert found[0] == pytest.approx(found[1])
    assert found[:2].sum() == pytest.approx(row[0] - normal[0], abs=1e-6)
    assert found[2] == 0


def test_what_is_normal_has_no_effect() -> None:
    row = np.arange(6.0)
    found = measure_effects(lambda rows: rows.prod(axis=1), row, row, GROUPS)
    assert found.tolist() == [0, 0, 0]


def test_the_model_is_asked_once() -> None:
    asked = []

    def predict(rows: Floats) -> Floats:
        asked.append(rows.shape)
        return np.asarray(rows.sum(axis=1))

    measure_effects(predict, np.ones(6), np.zeros(6), GROUPS)
    assert asked == [(8, 6)]
