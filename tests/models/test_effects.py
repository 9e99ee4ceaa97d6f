"""A sensor's effect is what it adds where a model adds up, and a fair share where it does not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.effects import Ask, Floats, measure_effects

numbers = st.floats(-1e3, 1e3, allow_subnormal=False)
rows = st.lists(numbers, min_size=6, max_size=6).map(np.array)
GROUPS = [[0, 1], [2], [3, 4, 5]]


def swap(some: Floats, other: Floats, group: int) -> Floats:
    swapped = np.array(some)
    swapped[:, GROUPS[group]] = other[:, GROUPS[group]]
    return swapped


def effects(ask: Ask, row: Floats, normal: Floats) -> Floats:
    return measure_effects(ask, np.array([row, normal]), normal, swap, len(GROUPS))


@given(rows, rows, rows)
def test_the_effects_of_a_sum_are_its_parts(weights: Floats, row: Floats, normal: Floats) -> None:
    found, nothing = effects(lambda rows: rows @ weights, row, normal)
    parts = [float((row - normal)[group] @ weights[group]) for group in GROUPS]
    assert found == pytest.approx(parts, rel=1e-6, abs=1e-3)
    assert found.sum() == pytest.approx((row - normal) @ weights, rel=1e-6, abs=1e-3)
    assert nothing == pytest.approx([0, 0, 0], abs=1e-9)


@given(rows, rows)
def test_two_that_say_the_same_share_what_they_do(row: Floats, normal: Floats) -> None:
    row[2], normal[2] = row[3], normal[3]
    found = effects(lambda rows: np.maximum(rows[:, 2], rows[:, 3]), row, normal)[0]
    assert found[1] == pytest.approx(found[2])
    assert found.sum() == pytest.approx(row[2] - normal[2], abs=1e-6)
    assert found[0] == 0


def test_the_model_is_asked_once() -> None:
    asked = []

    def ask(rows: Floats) -> Floats:
        asked.append(rows.shape)
        return np.asarray(rows.sum(axis=1))

    effects(ask, np.ones(6), np.zeros(6))
    assert asked == [(16, 6)]
