"""What single facts come to, by hand: medians, nine of ten, shares, and days by the wall."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prevenant.kpis import KPIS, Every, Figure
from prevenant.kpis.facts import (
    AlarmFacts,
    CaseFacts,
    Origin,
    SurveyFacts,
    Visit,
    handling_time,
    is_fixed_at_once,
    reckon,
)
from prevenant.kpis.figures import of_share, of_times
from prevenant.kpis.periods import begin_of, begins_between, place_of

PARIS = ZoneInfo("Europe/Paris")
T = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
HERE = Origin("s", "hot", 3)


def after(minutes: float) -> datetime:
    return T + timedelta(minutes=minutes)


def case(**facts: object) -> CaseFacts:
    return CaseFacts(HERE, T, T).with_facts(**facts)


@pytest.mark.parametrize(
    ("times", "middle", "high"),
    [
        ([7.0], 7.0, 7.0),
        ([1.0, 3.0], 2.0, 3.0),
        ([9.0, 1.0, 5.0], 5.0, 9.0),
        # Of ten, the ninth; of eleven, nine tenths are 9.9, and so the tenth.
        ([float(n) for n in range(1, 11)], 5.5, 9.0),
        ([float(n) for n in range(1, 12)], 6.0, 10.0),
    ],
)
def test_of_times_the_median_and_the_ninth_of_ten(
    times: list[float], middle: float, high: float
) -> None:
    assert of_times(times) == Figure(middle, len(times), high)


def test_nothing_comes_to_nothing() -> None:
    assert of_times([], 2) == Figure(None, 0, None, 2)
    assert of_share([]) == Figure(None)
    assert all(reckon(kpi.name, []).value is None for kpi in KPIS)


def test_detecting_begins_with_the_condition() -> None:
    alarms = [AlarmFacts(HERE, T, after(1)), AlarmFacts(HERE, T, after(10))]
    assert reckon("time_to_detect", alarms) == Figure(330.0, 2, 600.0)


def test_a_clock_of_a_device_that_is_ahead_detects_at_once() -> None:
    assert reckon("time_to_detect", [AlarmFacts(HERE, after(1), T)]).value == 0.0


def test_who_was_not_told_is_counted_beside() -> None:
    cases = [
        case(told_at=after(1), concerns_customer=True, customer_told_at=after(3)),
        case(told_at=after(2)),
        case(),
        case(concerns_customer=True),
        # It was over before anybody had to be told: nothing was missed.
        case(closed_at=after(1)),
    ]
    assert reckon("time_to_tell", cases) == Figure(90.0, 2, 120.0, missing=2)
    assert reckon("time_to_tell_customer", cases) == Figure(180.0, 1, 180.0, missing=1)
    assert reckon("time_to_acknowledge", cases) == Figure(None, 0, None, missing=4)


def test_arriving_concerns_those_who_were_sent() -> None:
    cases = [case(), case(was_sent=True), case(was_sent=True, arrived_at=after(40))]
    assert reckon("time_to_arrive", cases) == Figure(2400.0, 1, 2400.0, missing=1)


def test_resolving_ends_with_the_case() -> None:
    cases = [
        case(told_at=after(1), closed_at=after(60)),
        case(acknowledged_at=after(1), closed_at=after(30)),
        case(closed_at=after(2)),
    ]
    assert reckon("time_to_resolve", cases) == Figure(2700.0, 2, 3600.0)


def test_handling_is_the_work_and_not_the_waiting() -> None:
    first = Visit(True, "", after(600), after(630), after(690))
    second = Visit(True, "", None, after(2000), after(2030))
    left_off = Visit(False, "", after(100), after(110))
    visited = case(was_sent=True, visits=(left_off, first, second), closed_at=after(3000))
    assert handling_time(visited) == (90 + 30) * 60
    desk = case(acknowledged_at=after(5), closed_at=after(25))
    assert handling_time(desk) == 20 * 60
    assert handling_time(case(closed_at=after(25))) is None
    assert handling_time(case(was_sent=True, visits=(Visit(True, done_at=after(9)),))) is None
    assert reckon("handling_time", [visited, desk]) == Figure(4200.0, 2, 7200.0)


@pytest.mark.parametrize(
    ("visits", "back_after", "fixed"),
    [
        ([Visit(True, "confirmed")], None, True),
        ([Visit(True)], timedelta(days=7), False),
        ([Visit(True)], timedelta(days=7, seconds=1), True),
        ([Visit(True), Visit(True)], None, False),
        ([Visit(True, "no_fault_found")], None, None),
        ([Visit(True, "no_fault_found"), Visit(True)], None, False),
        ([Visit(False)], None, None),
        ([Visit(False), Visit(True, "other_cause")], None, True),
        ([], None, None),
    ],
)
def test_what_one_visit_has_mended(
    visits: list[Visit], back_after: timedelta | None, fixed: bool | None
) -> None:
    closed_at = after(60)
    returned_at = closed_at + back_after if back_after else None
    one = case(visits=tuple(visits), closed_at=closed_at, returned_at=returned_at)
    assert is_fixed_at_once(one) is fixed


def test_told_and_solved_before_the_customer_called() -> None:
    told = case(customer_told_at=after(1), closed_at=after(60))
    called_later = case(customer_told_at=after(1), called_at=after(30), closed_at=after(60))
    called_first = case(customer_told_at=after(9), called_at=after(2), closed_at=after(60))
    never_told = case(called_at=after(2), closed_at=after(60))
    nobody = case(closed_at=after(60))
    cases = [told, called_later, called_first, never_told, nobody]
    assert reckon("told_before_call", cases) == Figure(50.0, 4)
    assert reckon("solved_before_call", cases) == Figure(25.0, 4)


def test_surveys_by_their_kind() -> None:
    surveys = [SurveyFacts(HERE, "csat", T, one) for one in (5, 4, 2, None)]
    surveys += [SurveyFacts(HERE, "nps", T, one) for one in (10, 9, 7, 3)]
    assert reckon("csat", surveys) == Figure(66.7, 3, missing=1)
    assert reckon("nps", surveys) == Figure(25.0, 4)
    assert reckon("ces", surveys) == Figure(None)


def test_a_day_of_23_hours_is_a_day() -> None:
    since = datetime(2026, 3, 28, 12, 0, tzinfo=PARIS)
    begins = begins_between(since, since + timedelta(days=3), "day", PARIS)
    assert [str(one.astimezone(PARIS)) for one in begins] == [
        "2026-03-28 00:00:00+01:00",
        "2026-03-29 00:00:00+01:00",
        "2026-03-30 00:00:00+02:00",
        "2026-03-31 00:00:00+02:00",
    ]
    assert begins[2] - begins[1] == timedelta(hours=23)


def test_weeks_begin_on_monday_and_months_on_the_first() -> None:
    at = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)
    assert begin_of(at, "week", PARIS) == datetime(2026, 12, 28, tzinfo=PARIS)
    assert begin_of(at, "month", PARIS) == datetime(2027, 1, 1, tzinfo=PARIS)
    assert begin_of(at, "month", ZoneInfo("UTC")) == datetime(2026, 12, 1, tzinfo=UTC)


@given(
    st.timedeltas(timedelta(days=-500), timedelta(days=500)).map(lambda span: T + span),
    st.timedeltas(timedelta(hours=1), timedelta(days=90)),
    st.floats(0, 1, exclude_max=True),
    st.sampled_from(["day", "week", "month"]),
    st.sampled_from(["UTC", "Europe/Paris", "America/Santiago", "Pacific/Chatham"]),
)
def test_every_moment_is_in_the_period_that_holds_it(
    since: datetime, span: timedelta, part: float, every: Every, zone_name: str
) -> None:
    zone = ZoneInfo(zone_name)
    begins = begins_between(since, since + span, every, zone)
    at = since + span * part
    assert begins[0] <= since
    assert begins == sorted(set(begins))
    assert begins[place_of(begins, at)] == begin_of(at, every, zone)
