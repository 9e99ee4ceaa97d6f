"""What is chosen on few lives has to hold for the next: far from both ends of the window, at once."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from models.calls import Lives, judge
from models.choosing import choose_calls
from models.inputs import Floats
from prevenant.target import CYCLES, FAILURE, REMAINING_LIFE, Target

LIFE = Target(REMAINING_LIFE, CYCLES)
WINDOW = (15.0, 30.0)


def lives_of(said: list[Floats], ends: list[float]) -> Lives:
    """Return lives of one row a cycle, whose last row is `ends` cycles before its failure."""
    left = [
        np.arange(len(one), dtype=float)[::-1] + end for one, end in zip(said, ends, strict=True)
    ]
    numbers = np.repeat(np.arange(len(said)), [len(one) for one in said]).astype(np.intp)
    at = np.concatenate([np.arange(len(one), dtype=float) for one in said])
    return Lives.cut(at, np.concatenate(said), np.concatenate(left), numbers)


def true_lives(off: list[float], length: int = 90) -> Lives:
    """Return lives whose prediction is off by so much, always."""
    left = np.arange(length, dtype=float)[::-1]
    return lives_of([left + one for one in off], [0.0] * len(off))


@given(st.lists(st.floats(-4, 4), min_size=1, max_size=6))
def test_calls_that_all_come_in_time_come_in_the_middle_of_the_window(off: list[float]) -> None:
    lives = true_lives([*off, *(-one for one in off)])
    calls = choose_calls(LIFE, WINDOW, lives)
    outcome = judge(LIFE, calls, lives)
    assert outcome.caught == 1
    middle = (min(outcome.leads) + max(outcome.leads)) / 2
    assert middle == pytest.approx(22.5, abs=2.5)


@example([4.0, -3.0, -3.0, -3.0, -3.0])
@given(st.lists(st.floats(-4, 4), min_size=1, max_size=12))
def test_calls_for_lives_of_one_kind_more_than_another_come_about_the_middle(
    off: list[float],
) -> None:
    lives = true_lives(off)
    calls = choose_calls(LIFE, WINDOW, lives)
    outcome = judge(LIFE, calls, lives)
    assert outcome.caught == 1
    # Where most lives are off by the same, theirs lie closer to it than the middle of all.
    assert min(outcome.leads) - 2.5 <= 22.5 <= max(outcome.leads) + 2.5


@pytest.mark.parametrize("seed", range(10))
def test_one_reading_is_enough_where_calls_all_come_in_time(seed: int) -> None:
    """Lives off by the same few numbers may differ by a row's width; those of a plant do not."""
    lives = true_lives(list(np.random.default_rng(seed).uniform(-4, 4, 40)))
    assert choose_calls(LIFE, WINDOW, lives).debounce == 1


def test_the_middle_is_held_where_the_ends_of_the_window_cost_the_same() -> None:
    """Ten lives that any threshold between 17 and 28 catches say nothing of the next."""
    seen, others = true_lives([-2.0, -1.0, 0.0, 1.0, 2.0] * 2), true_lives([-6.0, 6.0] * 5)
    calls = choose_calls(LIFE, WINDOW, seen)
    assert judge(LIFE, calls, others).caught == 1


def with_dips(lives: int, dips: int, seed: int = 4) -> Lives:
    """Return lives, some of whose predictions fall to nothing for one row long before the end."""
    random = np.random.default_rng(seed)
    said = [np.arange(150.0)[::-1] + random.normal(0, 1) for _ in range(lives)]
    for one in said[:dips]:
        one[random.integers(20, 80)] = 0.0
    return lives_of(said, [0.0] * lives)


def test_more_readings_in_a_row_are_asked_for_where_one_is_not_enough() -> None:
    lives = with_dips(lives=20, dips=12)
    calls = choose_calls(LIFE, WINDOW, lives)
    assert calls.debounce == 2
    assert judge(LIFE, calls, lives).premature == 0


def test_they_are_not_asked_for_by_chance() -> None:
    """One dip among ten lives, or none, is no reason to wait with all others."""
    assert choose_calls(LIFE, WINDOW, with_dips(lives=10, dips=1)).debounce == 1
    assert choose_calls(LIFE, WINDOW, with_dips(lives=10, dips=0)).debounce == 1


@pytest.mark.parametrize("target", [LIFE, Target(FAILURE, CYCLES, 30.0)], ids=["life", "chance"])
def test_lives_that_nobody_can_be_sent_to_choose_calls_all_the_same(target: Target) -> None:
    flat = lives_of([np.full(40, 100.0)] * 3, [np.nan] * 3)
    calls = choose_calls(target, WINDOW, flat)
    assert judge(target, calls, flat).failures == 0
    assert (calls.latest, calls.earliest) == WINDOW
