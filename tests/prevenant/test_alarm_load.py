"""What alarms ask of people: floods, chatter and averages, by hand and against a slow count."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prevenant.alarm_load import (
    FLOOD_BEGINS,
    FLOOD_ENDS,
    PERIOD,
    WINDOW,
    Burden,
    Told,
    find_floods,
    is_stale,
    measure_load,
)

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
MINUTES = st.lists(st.integers(0, 24 * 60 * 60 - 1), max_size=200)


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def told(*times: datetime, rule: str = "door-held-open", device: str = "t2/D14") -> list[Told]:
    return [Told(rule, device, at) for at in times]


def each(*times: datetime) -> list[Told]:
    """Return alarms of as many devices."""
    return [Told("door-held-open", f"t2/D{n}", at) for n, at in enumerate(times)]


def test_nothing_told_is_calm() -> None:
    load = measure_load([], NOW, operators=1)
    assert load.burden is Burden.CALM
    assert (load.total, load.latest, load.peak, load.in_flood) == (0, 0, 0, 0.0)
    assert load.slots == (0,) * 144


@pytest.mark.parametrize(
    ("alarms", "operators", "burden"),
    [
        (1, 1, Burden.CALM),
        (2, 1, Burden.BUSY),
        (3, 1, Burden.TOO_MUCH),
        (10, 1, Burden.TOO_MUCH),
        (11, 1, Burden.FLOOD),
        (11, 2, Burden.TOO_MUCH),
        (4, 2, Burden.BUSY),
        (21, 2, Burden.FLOOD),
    ],
)
def test_the_burden_goes_by_alarms_an_operator(alarms: int, operators: int, burden: Burden) -> None:
    load = measure_load(each(*[ago(minutes=5)] * alarms), NOW, operators)
    assert load.burden is burden


def test_a_flood_ends_when_few_are_left_in_ten_minutes() -> None:
    """Eleven at 10:00, and one at 10:05: at 10:10 the eleven have left, and one is below five."""
    began = NOW - timedelta(hours=2)
    load = measure_load(each(*[began] * 11, began + timedelta(minutes=5)), NOW, operators=1)
    (flood,) = load.floods
    assert (flood.began_at, flood.ended_at) == (began, began + WINDOW)
    assert flood.alarms == 12
    assert load.in_flood == pytest.approx(10 / 1440)
    assert load.peak == 12
    assert load.burden is Burden.CALM


def test_what_comes_three_times_in_a_minute_chatters() -> None:
    fast = told(ago(hours=1), ago(hours=1, seconds=-20), ago(hours=1, seconds=-59))
    slow = told(ago(hours=3), ago(hours=2), ago(hours=1), device="t2/D15")
    load = measure_load([*fast, *slow], NOW, operators=1)
    assert [(one.device_id, one.in_a_minute) for one in load.chattering] == [("t2/D14", 3)]
    assert [(one.device_id, one.share) for one in load.frequent] == [
        ("t2/D14", 0.5),
        ("t2/D15", 0.5),
    ]


def test_the_newest_slot_ends_now_and_the_oldest_begins_a_day_ago() -> None:
    load = measure_load(each(NOW, ago(minutes=9), ago(minutes=10), ago(hours=23.9)), NOW, 1)
    assert (load.slots[-1], load.slots[-2], load.slots[0]) == (2, 1, 1)
    assert load.latest == 2


def test_after_a_day_an_alarm_is_stale() -> None:
    assert is_stale(ago(hours=24), NOW)
    assert not is_stale(ago(hours=23), NOW)


@given(MINUTES, st.integers(1, 3))
def test_no_alarm_is_lost_or_counted_twice(seconds: list[int], operators: int) -> None:
    times = [ago(seconds=one) for one in seconds]
    load = measure_load(told(*times), NOW, operators)
    assert sum(load.slots) == load.total == len(times)
    assert sum(one.count for one in load.frequent) == load.total
    windows = [sum(at - WINDOW < one <= at for one in times) for at in times]
    assert load.peak == max(windows, default=0)


@given(MINUTES, st.integers(1, 3))
def test_a_flood_is_where_a_slow_count_finds_it(seconds: list[int], operators: int) -> None:
    times = sorted(ago(seconds=one) for one in seconds)
    # The count changes only where one comes or leaves: each such moment is looked at, one after another.
    moments = sorted({*times, *(at + WINDOW for at in times), NOW})
    expected: list[tuple[datetime, datetime | None]] = []
    began: datetime | None = None
    for moment in (one for one in moments if one <= NOW):
        count = sum(moment - WINDOW < at <= moment for at in times)
        before = sum(moment - WINDOW < at < moment for at in times)
        # Who leaves does so before who comes.
        if began is not None and before < FLOOD_ENDS * operators:
            expected.append((began, moment))
            began = None
        if began is None and count > FLOOD_BEGINS * operators:
            began = moment
    if began is not None:
        expected.append((began, None))
    found = [(one.began_at, one.ended_at) for one in find_floods(times, NOW, operators)]
    assert found == expected


@given(MINUTES, st.integers(1, 3))
def test_what_lies_outside_the_day_counts_for_nothing(seconds: list[int], operators: int) -> None:
    inside = told(*(ago(seconds=one) for one in seconds))
    outside = told(NOW - PERIOD, NOW + timedelta(seconds=1))
    assert measure_load([*inside, *outside], NOW, operators) == measure_load(inside, NOW, operators)
