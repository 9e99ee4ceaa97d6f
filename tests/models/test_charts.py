"""Pictures are whole, whatever the figures are, and their axes have round numbers."""

import math
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.charts import (
    Axis,
    Line,
    count_bins,
    draw_bars,
    draw_lengths,
    draw_lines,
    draw_points,
    short_number,
)

anything = st.floats(allow_nan=True, allow_infinity=True)
figures = st.lists(st.floats(-1e12, 1e12), max_size=20)
points = st.lists(st.tuples(anything, anything), max_size=10)


def texts(picture: str) -> list[str]:
    return [one.text or "" for one in ET.fromstring(picture).iter("text")]


@pytest.mark.parametrize(
    ("values", "low", "high", "ticks"),
    [
        ([0, 9000], 0, 10_000, [0, 2000, 4000, 6000, 8000, 10_000]),
        ([0.1, 0.47], 0.1, 0.5, [0.1, 0.2, 0.3, 0.4, 0.5]),
        ([], 0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        ([7, 7], 2, 12, [2, 4, 6, 8, 10, 12]),
        ([0.25, 0.25], 0, 1.25, [0, 0.25, 0.5, 0.75, 1, 1.25]),
    ],
)
def test_an_axis_ends_at_round_numbers(
    values: list[float], low: float, high: float, ticks: list[float]
) -> None:
    axis = Axis.over("", values)
    assert (axis.low, axis.high) == pytest.approx((low, high))
    assert axis.ticks == pytest.approx(ticks)


@given(figures)
def test_all_is_seen_on_an_axis(values: list[float]) -> None:
    axis = Axis.over("", values)
    assert all(axis.low <= one * (1 + 1e-12) + 1e-300 for one in values if one >= 0)
    assert axis.low < axis.high
    assert 2 <= len(axis.ticks) <= 9


@given(points, st.text())
def test_a_picture_is_well_formed(some: list[tuple[float, float]], words: str) -> None:
    words = "".join(one for one in words if one.isprintable())
    x = Axis.over(words, [one for one, _ in some])
    y = Axis.over(words, [one for _, one in some], from_zero=True)
    for picture in (
        draw_lines(x, y, [Line(some, words, "main", dots=True)], words, (0.5, math.nan)),
        draw_points(x, y, some, words, [Line([(0, 0), (1, 1)])]),
        draw_bars(x, count_bins([one for one, _ in some], 10), words, words),
        draw_lengths([(words, abs(one)) for one, _ in some if math.isfinite(one)], words),
    ):
        root = ET.fromstring(picture)
        assert root.attrib["aria-label"] == words
        assert "nan" not in picture.replace(words, "")
        assert "inf" not in picture.replace(words, "")


@given(st.lists(st.floats(-1e6, 1e6), max_size=40), st.integers(5, 20))
def test_every_value_is_in_one_bin(values: list[float], count: int) -> None:
    bins = count_bins(values, count)
    assert sum(height for _, _, height in bins) == len(values)
    assert all(begin < end for begin, end, _ in bins)


def test_what_a_picture_says() -> None:
    picture = draw_lines(
        Axis("said", 0, 1, is_share=True), Axis("came <true>", 0, 5), [Line([], "model")], "t"
    )
    said = texts(picture)
    assert "100 %" in said
    assert "came <true>" in said
    assert "model" in said


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (12345.6, "12\u202f346"), (3.14159, "3.14"), (0.00012345, "0.000123"), (250, "250")],
)
def test_a_number_is_short(value: float, shown: str) -> None:
    assert short_number(value) == shown
