"""A window is exact for one that reaches back between W and W + W / 30, and its memory is bounded."""

from statistics import fmean, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.windows import PANES, Totals, Track, Window

LENGTH_S = 600.0
PANE_S = LENGTH_S / PANES
START = 1_774_735_203.7

gaps = st.lists(st.sampled_from([0.0, 0.4, 7.3, 19.0, 61.7, 250.0, 900.0]), min_size=1, max_size=80)
numbers = st.floats(-1_000, 1_000).map(lambda x: round(x, 2))


def summed(values: list[tuple[float, float]]) -> list[float]:
    """Return what a window tells of some values, reckoned from all of them."""
    plain = [value for _, value in values]
    return [len(plain), sum(plain), fmean(plain), min(plain), max(plain), pstdev(plain)]


def told(totals: Totals) -> list[float]:
    return [
        totals.count,
        totals.sum,
        totals.mean,
        totals.minimum,
        totals.maximum,
        totals.stddev,
    ]


@given(gaps, st.data())
def test_a_window_is_exact_for_a_length_that_is_a_thirtieth_longer_at_most(
    gaps: list[float], data: st.DataObject
) -> None:
    window, said, now = Window(LENGTH_S), list[tuple[float, float]](), START
    for gap in gaps:
        now += gap
        value = data.draw(numbers)
        window.add(now, value)
        said.append((now, value))
    now += data.draw(st.sampled_from([0.0, 3.0, 300.0, 599.0, 2_000.0]))
    totals = window.total(now)
    within = [one for one in said if one[0] > now - LENGTH_S]
    reaching = [one for one in said if one[0] > now - LENGTH_S - PANE_S]
    assert len(within) <= totals.count <= len(reaching)
    assert len(window.panes) <= PANES + 1
    if totals.count:
        newest = said[-int(totals.count) :]
        assert told(totals) == pytest.approx(summed(newest), abs=1e-6)
        assert (totals.first, totals.last) == (newest[0][1], newest[-1][1])


@given(st.floats(-50, 50), st.floats(-50, 50))
def test_the_error_of_a_steady_rise_is_a_thirtieth_at_most(level: float, slope: float) -> None:
    """Against the exact window: of a mean half a pane's rise, of a difference a whole one's."""
    window = Window(LENGTH_S)
    for second in range(1_500):
        window.add(START + second, level + slope * second)
    totals = window.total(START + 1_499)
    exact = [level + slope * second for second in range(900, 1_500)]
    pane = abs(slope) * PANE_S
    assert totals.mean == pytest.approx(fmean(exact), abs=pane / 2 + 1e-6)
    assert totals.last - totals.first == pytest.approx(exact[-1] - exact[0], abs=pane + 1e-6)
    assert totals.stddev == pytest.approx(pstdev(exact), rel=1.5 / PANES, abs=1e-6)


def test_a_million_readings_take_no_more_memory_than_thirty_one() -> None:
    window = Window(LENGTH_S)
    for number in range(50_000):
        window.add(START + number / 7, 1.0)
    assert len(window.panes) <= PANES + 1


def test_what_a_new_rule_asks_about_the_past_is_unknown_until_it_must_be_known() -> None:
    track = Track()
    for at, mode in ((0.0, "eco"), (10.0, "off"), (20.0, "on")):
        track.take(at, mode, frozenset())
    track.ask(frozenset({"on", "off"}))
    assert (track.became, track.unsure) == ({"on": 20.0}, {"off": 20.0})
