"""What calls would have led to, counted by hand and against a slow account of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.base import Calls
from models.calls import Lives, judge
from models.choosing import expect_costs
from prevenant.target import CYCLES, FAILURE, REMAINING_LIFE, Target

LIFE = Target(REMAINING_LIFE, CYCLES)
CHANCE = Target(FAILURE, CYCLES, 10.0)


def one_life(values: list[float], ends_at: float = np.nan) -> Lives:
    at = np.arange(len(values), dtype=float)
    return Lives.cut(at, np.array(values), ends_at - at, np.zeros(len(values), np.intp))


def test_a_call_in_the_window_catches_the_failure() -> None:
    lives = one_life([50, 40, 30, 20, 10, 5], ends_at=12)
    outcome = judge(LIFE, Calls(20, 1, 10, 5), lives)
    assert (outcome.failures, outcome.leads, outcome.premature, outcome.late) == (1, (9.0,), 0, 0)


@pytest.mark.parametrize(("threshold", "premature", "late"), [(45, 1, 0), (7, 0, 1), (1, 0, 0)])
def test_too_early_too_late_or_never(threshold: float, premature: int, late: int) -> None:
    lives = one_life([50, 40, 30, 20, 10, 5], ends_at=9)
    outcome = judge(LIFE, Calls(threshold, 1, 7, 5), lives)
    assert (outcome.leads, outcome.premature, outcome.late) == ((), premature, late)


def test_a_failure_long_after_the_record_ends_is_not_judged() -> None:
    lives = one_life([0.1, 0.1, 0.9], ends_at=13)
    outcome = judge(CHANCE, Calls(0.5, 1, 10, 0), lives)
    assert (outcome.failures, outcome.premature) == (0, 1)
    assert judge(CHANCE, Calls(0.5, 1, 11, 0), lives).failures == 1


def test_debounce_waits_for_so_many_in_a_row() -> None:
    lives = one_life([30, 5, 30, 5, 5, 5], ends_at=8)
    assert judge(LIFE, Calls(10, 1, 9, 1), lives).leads == (7.0,)
    assert judge(LIFE, Calls(10, 2, 9, 1), lives).leads == (4.0,)
    assert judge(LIFE, Calls(10, 3, 9, 1), lives).leads == (3.0,)


def test_a_false_alarm_that_goes_on_is_one_call_in_a_horizon() -> None:
    lives = one_life([0.9] * 25)
    outcome = judge(CHANCE, Calls(0.5, 1, 10, 0), lives)
    assert (outcome.failures, outcome.premature, outcome.exposure) == (0, 3, 24.0)


@st.composite
def some_lives(draw: st.DrawFn) -> tuple[Lives, list[tuple[list[float], list[float], float]]]:
    said = []
    for _ in range(draw(st.integers(1, 4))):
        values = draw(st.lists(st.integers(0, 9).map(float), min_size=1, max_size=12))
        at = np.cumsum(
            draw(st.lists(st.integers(1, 4), min_size=len(values), max_size=len(values)))
        )
        ends = float(at[-1]) + draw(st.sampled_from([np.nan, 0.0, 3.0]))
        said.append((at.astype(float).tolist(), values, ends))
    times = np.concatenate([one[0] for one in said])
    told = np.concatenate([one[1] for one in said])
    over = np.concatenate([[one[2]] * len(one[0]) for one in said])
    numbers = np.concatenate([[n] * len(one[0]) for n, one in enumerate(said)]).astype(np.intp)
    return Lives.cut(times, told, over - times, numbers), said


@given(some_lives(), st.integers(0, 9), st.integers(1, 3), st.sampled_from([LIFE, CHANCE]))
def test_all_lives_at_once_come_to_the_same_as_one_by_one(
    lives: tuple[Lives, list[tuple[list[float], list[float], float]]],
    threshold: int,
    debounce: int,
    target: Target,
) -> None:
    calls = Calls(float(threshold), debounce, 6.0, 2.0)
    caught = premature = late = 0
    for at, values, ends in lives[1]:
        row, called, quiet_until = 0, False, -1.0
        is_caught = is_late = False
        for moment, value in zip(at, values, strict=True):
            holds = value <= threshold if target is LIFE else value >= threshold
            row = row + 1 if holds else 0
            if row < debounce or (called if target is LIFE else moment <= quiet_until):
                continue
            called, quiet_until = True, moment + calls.earliest
            lead = ends - moment
            if not lead <= calls.earliest:
                premature += 1
            elif lead >= calls.latest:
                is_caught = True
            else:
                is_late = True
        caught += is_caught
        late += is_late and not is_caught
    outcome = judge(target, calls, lives[0])
    assert (len(outcome.leads), outcome.premature, outcome.late) == (caught, premature, late)


@given(some_lives(), st.integers(0, 9), st.integers(1, 3))
def test_what_calls_cost_life_by_life_is_what_they_cost_together(
    lives: tuple[Lives, list[tuple[list[float], list[float], float]]], threshold: int, debounce: int
) -> None:
    calls = Calls(float(threshold), debounce, 6.5, 1.5)
    costs = expect_costs(LIFE, calls, lives[0], spread=1e-6)
    assert costs.sum() == pytest.approx(judge(LIFE, calls, lives[0]).cost())
