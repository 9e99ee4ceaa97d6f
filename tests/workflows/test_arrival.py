"""When somebody on the way is there: a window that can be kept, and no time that is made up."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from workflows.arrival import FRESH, LATE, PLAN, POSITION, Arrival, expect_arrival

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
PROMISED = NOON, NOON + timedelta(hours=2)


def at(hours: int, minutes: int) -> datetime:
    return NOON.replace(hour=hours, minute=minutes)


def test_where_somebody_was_seen_says_when_they_come() -> None:
    now = at(12, 33)
    found = expect_arrival(PROMISED, 20 * 60.0, at(12, 31), now)
    assert found == Arrival(at(12, 50), at(13, 10), POSITION)


def test_without_a_fresh_position_the_promise_stands() -> None:
    for seen_at in (None, at(12, 33) - FRESH - timedelta(seconds=1)):
        assert expect_arrival(PROMISED, 600.0, seen_at, at(12, 33)) == Arrival(*PROMISED, PLAN)
    assert expect_arrival(PROMISED, None, at(12, 33), at(12, 33)).by == PLAN


def test_who_is_late_is_said_to_be_late() -> None:
    assert expect_arrival(PROMISED, None, None, at(14, 1)) == Arrival(*PROMISED, LATE)
    assert expect_arrival(PROMISED, 600.0, at(14, 1), at(14, 1)).by == POSITION


@given(travel_s=st.floats(0.0, 20_000.0), age_s=st.floats(0.0, 600.0), wait_s=st.floats(0, 20_000))
def test_a_window_is_never_over_and_holds_the_way(
    travel_s: float, age_s: float, wait_s: float
) -> None:
    now = NOON + timedelta(seconds=wait_s)
    seen_at = now - timedelta(seconds=age_s)
    found = expect_arrival(PROMISED, travel_s, seen_at, now)
    assert now <= found.end
    assert found.start <= max(now, seen_at + timedelta(seconds=travel_s)) <= found.end
