"""The benchmark's counting agrees with cases worked out by hand, and with trying every threshold."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.nab import (
    NEVER,
    Series,
    best_threshold,
    judge_rows,
    outcome_at,
    probation,
    read_corpus,
)

_ROWS = 1000
_SERIES = Series("one", list(range(_ROWS)), [0.0] * _ROWS, [(500, 599)])


def scored(*alarms: int, series: Series = _SERIES, threshold: float = 1.0) -> tuple[float, float]:
    """Return what alarms in these rows earn, and the normalised score."""
    scores = [float(i in alarms) for i in range(len(series.at))]
    outcome = outcome_at(threshold, judge_rows(series, scores))
    return outcome.earned, outcome.score


@pytest.mark.parametrize(
    ("alarms", "earned"),
    [
        ((), -1.0),
        ((500,), 1.0),
        ((500, 501, 599), 1.0),
        # In the middle: (2 / (1 + e**-2.5) - 1) / (2 / (1 + e**-5) - 1)
        ((550,), 0.848284 / 0.986614),
        # The last row is one row from the edge: -1/100 of the window.
        ((599,), 0.0249948 / 0.986614),
        # Before any window, and three widths behind it: a whole false alarm.
        ((200,), -1.0 - 0.11),
        ((200, 201), -1.0 - 0.22),
        ((999,), -1.0 - 0.11),
        # A width behind the window: 0.11 * (2 / (1 + e**5) - 1)
        ((698,), -1.0 - 0.11 * 0.986614),
        # The first row behind it: 1/99 of a width.
        ((600,), -1.0 - 0.11 * 0.0252472),
        # In the probation nothing counts.
        ((0, 10, 149), -1.0),
        ((150,), -1.0 - 0.11),
    ],
)
def test_what_alarms_earn(alarms: tuple[int, ...], earned: float) -> None:
    assert scored(*alarms)[0] == pytest.approx(earned, abs=1e-5)


def test_normalised_from_silence_to_perfection() -> None:
    assert scored()[1] == 0
    assert scored(500)[1] == 100
    assert scored(550, 200)[1] == pytest.approx(
        100 * (0.848284 / 0.986614 - 0.11 + 1) / 2, abs=1e-3
    )


def test_two_windows_are_apart() -> None:
    series = Series("two", _SERIES.at, _SERIES.values, [(300, 399), (600, 699)])
    assert scored(300, series=series)[0] == pytest.approx(0.0)
    assert scored(300, series=series)[1] == pytest.approx(50.0)
    assert scored(300, 600, series=series)[1] == pytest.approx(100.0)
    # 99 rows behind the first window is a width; the second begins anew.
    assert scored(498, series=series)[0] == pytest.approx(-2 - 0.11 * 0.986614, abs=1e-5)


def test_probation_is_15_percent_and_at_most_750_rows() -> None:
    assert [probation(rows) for rows in (100, 1001, 4032, 22_695)] == [15, 150, 604, 750]


def test_a_window_within_the_probation_is_no_window() -> None:
    series = Series("early", _SERIES.at, _SERIES.values, [(10, 100)])
    assert outcome_at(1.0, judge_rows(series, [0.0] * _ROWS)).windows == 0


def test_no_windows_has_no_score_and_counts_false_alarms() -> None:
    series = Series("well", _SERIES.at, _SERIES.values, [])
    earned, score = scored(400, 401, series=series)
    assert earned == pytest.approx(-0.22)
    assert math.isnan(score)


@given(
    st.lists(st.integers(0, 4), min_size=60, max_size=60),
    st.lists(st.integers(0, 4), min_size=60, max_size=60),
)
def test_the_best_threshold_is_the_best_of_all(first: list[int], second: list[int]) -> None:
    rows = []
    for name, scores in (("a", first), ("b", second)):
        series = Series(name, list(range(60)), [0.0] * 60, [(20, 29), (45, 52)])
        rows += judge_rows(series, [score / 4 for score in scores])
    best = outcome_at(best_threshold(rows), rows).earned
    tried = [outcome_at(level, rows).earned for level in (NEVER, 0, 0.25, 0.5, 0.75, 1)]
    assert best == pytest.approx(max(tried))


def test_reads_files_and_windows(tmp_path: Path) -> None:
    (tmp_path / "windows.json").write_text(
        '{"a.csv": [["2014-02-14 14:35:00.000000", "2014-02-14 14:40:00.000000"]]}'
    )
    (tmp_path / "a.csv").write_text(
        "timestamp,value\n2014-02-14 14:30:00,1\n2014-02-14 14:35:00,2.5\n2014-02-14 14:40:00,3\n"
    )
    (series,) = read_corpus(tmp_path)
    assert series.name == "a"
    assert series.windows == [(1, 2)]
    assert series.values == [1.0, 2.5, 3.0]
    assert series.at[1] - series.at[0] == 300
