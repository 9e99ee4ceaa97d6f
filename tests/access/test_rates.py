"""Limits let through what they say and no more, whoever asks, in a room that does not grow."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prevenant.access.digests import network_of
from prevenant.access.rates import Guard, Rates
from prevenant.limits import Limit

COUNT, WINDOW_S = 5, 10.0


def rates(slots: int = 1_000) -> Rates:
    return Rates(Limit(COUNT, timedelta(seconds=WINDOW_S)), slots)


@given(st.lists(st.floats(0, 3), min_size=1, max_size=60))
def test_no_window_lets_through_more_than_twice_its_count(waits: list[float]) -> None:
    limit, now = rates(), 1_000.0
    taken: list[float] = []
    for wait in waits:
        now += wait
        if limit.take("camille", now) == 0:
            taken.append(now)
    for first in taken:
        inside = [at for at in taken if first <= at < first + WINDOW_S]
        assert len(inside) <= 2 * COUNT


@given(st.integers(1, 40))
def test_whoever_waits_as_told_is_let_through(tries: int) -> None:
    limit, now = rates(), 0.0
    for _ in range(tries):
        wait = limit.take("camille", now)
        assert limit.wait_s("camille", now) >= 0
        if wait:
            now += wait + 1e-6
            assert limit.take("camille", now) == 0


def test_what_was_taken_in_vain_is_given_back_and_no_more() -> None:
    limit = rates()
    for _ in range(COUNT * 3):
        assert limit.take("camille", 0.0) == 0
        limit.give_back("camille", 0.0)
    limit.give_back("camille", 0.0)
    assert [limit.take("camille", 0.0) == 0 for _ in range(COUNT + 1)] == [*[True] * COUNT, False]


def test_ten_thousand_names_take_no_more_room_than_there_is_and_free_nobody() -> None:
    limit = rates(slots=50)
    for _ in range(COUNT):
        limit.take("camille", 0.0)
    for number in range(10_000):
        limit.take(f"name {number}", 0.0)
    assert len(limit._drops) <= 50
    assert limit.take("camille", 0.0) > 0


def test_a_clock_that_steps_back_gives_nothing_away() -> None:
    limit = rates()
    for _ in range(COUNT):
        limit.take("camille", 100.0)
    assert limit.take("camille", 0.0) > 0


def test_a_guard_takes_of_all_or_of_none() -> None:
    narrow = Rates(Limit(1, timedelta(hours=1)))
    wide = rates()
    guard = Guard([wide, narrow])
    assert guard.take(("network", "camille"), 0.0) == 0
    for _ in range(20):
        assert guard.take(("network", "camille"), 0.0) > 0
    assert [wide.take("network", 0.0) == 0 for _ in range(COUNT)] == [*[True] * (COUNT - 1), False]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::9", "2001:db8:1:2::"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_a_network_is_one_subscriber(address: str, network: str) -> None:
    assert network_of(address) == network
