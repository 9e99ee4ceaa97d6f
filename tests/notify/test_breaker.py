"""When a provider is not asked any more, when it is tried, and when it is asked again."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from notify.breaker import (
    CLOSED,
    FAILURES,
    FIRST_REST,
    HALF_OPEN,
    LONGEST_REST,
    OPEN,
    TRIAL_ENDS_AFTER,
    Breaker,
)
from tests.moved_clock import MovedClock

NOW = MovedClock().now()
SECOND = timedelta(seconds=1)


def opened() -> Breaker:
    breaker = Breaker()
    for number in range(FAILURES):
        assert breaker.state(NOW) == CLOSED
        breaker = breaker.fail(NOW + number * SECOND, "away")
    return breaker


def test_it_opens_after_so_many_failures_within_a_minute() -> None:
    at = NOW + (FAILURES - 1) * SECOND
    breaker = opened()
    assert breaker.state(at) == OPEN
    assert not breaker.admits(at)
    assert breaker.waits_until(at) == at + FIRST_REST
    assert breaker.reason == "away"


def test_failures_far_apart_do_not_open_it() -> None:
    breaker = Breaker()
    for number in range(4 * FAILURES):
        breaker = breaker.fail(NOW + number * timedelta(seconds=16), "slow")
    assert breaker.state(NOW + timedelta(hours=1)) == CLOSED


def test_after_its_rest_one_trial_is_let_through() -> None:
    later = NOW + FIRST_REST + FAILURES * SECOND
    breaker = opened()
    assert breaker.state(later) == HALF_OPEN
    assert breaker.admits(later)
    trial = breaker.begin(later)
    assert not trial.admits(later)
    assert trial.succeed() == Breaker()
    failed = trial.fail(later, "still away")
    assert failed.waits_until(later) == later + 2 * FIRST_REST
    assert trial.admits(later + TRIAL_ENDS_AFTER), "a trial that was lost is not waited for"


def test_what_was_under_way_as_it_opened_does_not_lengthen_the_rest() -> None:
    at = NOW + FAILURES * SECOND
    breaker = opened()
    assert breaker.fail(at, "away").rests_until == breaker.rests_until


def test_advice_is_kept_to_and_a_success_ends_it() -> None:
    breaker = Breaker().fail(NOW, "too much at once", 10.0)
    assert not breaker.admits(NOW + 9 * SECOND)
    assert breaker.admits(NOW + 10 * SECOND)
    assert Breaker().fail(NOW, "x", 1e15).admits(NOW + LONGEST_REST)
    assert breaker.succeed().admits(NOW)


@given(st.lists(st.tuples(st.sampled_from(["fail", "succeed", "ask"]), st.integers(0, 400))))
def test_it_always_comes_back(events: list[tuple[str, int]]) -> None:
    breaker, now = Breaker(), NOW
    for event, seconds in events:
        now += seconds * SECOND
        if event == "ask" and breaker.admits(now):
            breaker = breaker.begin(now)
        elif event == "fail":
            breaker = breaker.fail(now, "away", float(seconds))
        elif event == "succeed":
            breaker = breaker.succeed()
        assert breaker.rest <= LONGEST_REST
        ready = breaker.waits_until(now)
        assert ready - now <= LONGEST_REST + TRIAL_ENDS_AFTER
        assert breaker.admits(ready)
