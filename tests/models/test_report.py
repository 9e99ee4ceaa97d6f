"""A report shows what is known, whatever is not, and lets nothing that a file says out of its place."""

import math
from html.parser import HTMLParser

import msgspec
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.base import Calls, Card
from models.evaluation import Bin, Evaluation, Point
from models.figures import FIGURES, describe_figures, show_figure
from models.judging import Costs, Judged
from models.report import write_report
from prevenant.target import CYCLES, FAILURE, REMAINING_LIFE, SECONDS, Target
from tests.models.made import made_model

NASTY = "<script>alert('x')</script>"
DAY = 86_400.0
USUAL = Costs()


class Tags(HTMLParser):
    """Collects a page's elements and the words between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())


def card(target: Target, **changes: object) -> Card:
    changed = {"target": target, "calls": Calls(30.0, 2, 40.0, 5.0), "cap": 125.0, **changes}
    return msgspec.structs.replace(made_model("engine", None).card, version=3, **changed)


def evaluation(unit: float = 1.0) -> Evaluation:
    return Evaluation(
        metrics={"caught": 0.9, "premature_per_1000": 0.05, "median_lead": 20 * unit, "f1": None},
        leads=[10 * unit, 20 * unit, 30 * unit],
        calibration=[Bin(0.1, 0.12, 50), Bin(0.8, 0.7, 20)],
        points=[
            Point(0.2 * unit, 1.0, 0.3, 0, 3, 25 * unit),
            Point(0.5 * unit, 0.9, 0.1, 1, 1, 20 * unit),
            Point(0.9 * unit, 0.2, 0.0, 8, 0, None),
        ],
        failures=10,
        exposure=10_000 * unit,
    )


SAID = pd.DataFrame({"truth": [100.0, 50.0, math.nan], "prediction": [90.0, 52.0, 1.0]})


def page(
    card: Card, judged: Evaluation | None, costs: Costs = USUAL, notes: tuple[str, ...] = ()
) -> str:
    said = None if judged is None else SAID
    return write_report(card, Judged(judged, said, {"x": 12.0, "": 3.0}, costs, notes))


def test_a_report_on_remaining_life() -> None:
    written = Tags(page(card(Target(REMAINING_LIFE, CYCLES)), evaluation()))
    words = " ".join(written.words)
    for one in (
        "engine, version 3",
        "Predicts remaining life in cycles",
        "90 %",
        "premature call-outs per 1,000 cycles",
        "20 cycles",
        "Of 10 failures 3 were caught in time and 7 were not",
        "Remaining life against the truth",
        "age of the device",
        "5 cycles to 40 cycles ahead",
    ):
        assert one in words
    assert written.tags.count("svg") == 6


def test_a_report_on_failures_counts_days() -> None:
    target = Target(FAILURE, SECONDS, 3 * DAY)
    calls = Calls(0.8, 1, 3 * DAY, 0.0)
    words = " ".join(Tags(page(card(target, calls=calls), evaluation(DAY))).words)
    for one in (
        "failure within 72h",
        "device-days",
        "20d",
        "probability that was said",
        "0.8, 1 readings",
    ):
        assert one in words


@pytest.mark.parametrize(
    ("costs", "said"),
    [
        (Costs(1, 10), "At its best point it costs 87 % less"),
        (Costs(100, 1), "At these costs it is no cheaper than waiting for failures"),
        (Costs(0, 0), "At these costs it is no cheaper"),
    ],
)
def test_the_users_own_costs_decide(costs: Costs, said: str) -> None:
    # 10 failures at 10 are 100; the best threshold catches all of them for 13 visits.
    assert said in page(card(Target(REMAINING_LIFE, CYCLES)), evaluation(), costs)


def test_what_is_not_known_is_left_out() -> None:
    empty = Evaluation({"rmse": None}, [], [], [], 0, 0.0)
    written = Tags(page(card(Target(REMAINING_LIFE, CYCLES), calls=None), empty))
    assert "not known from this data" in written.words
    assert "What it costs" not in written.words
    detector = Tags(page(card(Target("anomaly"), calls=None), None))
    assert "What it was learned from" in detector.words


def test_whatever_a_file_says_stays_text() -> None:
    definition = msgspec.structs.replace(
        card(Target(REMAINING_LIFE)).definition, dropped={NASTY: NASTY}
    )
    changed = card(Target(REMAINING_LIFE, CYCLES), definition=definition)
    written = write_report(changed, Judged(evaluation(), SAID, {NASTY: 1.0}, Costs(), [NASTY]))
    assert "script" not in Tags(written).tags
    assert written.count("&lt;script&gt;") >= 4
    assert "src=" not in written
    assert "href=" not in written


numbers = st.floats(allow_nan=True, allow_infinity=True)


@given(numbers, st.sampled_from([*FIGURES, "another"]), st.sampled_from([CYCLES, SECONDS]))
def test_any_figure_can_be_shown(value: float, name: str, unit: str) -> None:
    if not math.isfinite(value) or abs(value) > 1e12:
        value = 0.0
    target = Target(REMAINING_LIFE, unit)
    assert show_figure(name, value, target)
    (line,) = describe_figures({name: value}, target)
    assert line


def test_figures_stand_in_one_order() -> None:
    lines = describe_figures(
        {"rmse": 12.3, "caught": 0.94, "extra": 1.0}, Target(REMAINING_LIFE, CYCLES)
    )
    assert lines == ["failures caught  94 %", "RMSE             12.3 cycles", "extra            1"]
