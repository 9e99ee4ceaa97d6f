"""The report on a model: how early it calls, how often in vain, and what that costs."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pandas as pd

from models.base import Card
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
from models.evaluation import Evaluation, Point
from models.figures import FIGURES, SHOWN_FIRST, name_figure, show_figure, show_span
from models.judging import Costs, Judged
from models.page import Page, Section, Tile
from models.target import describe_target
from prevenant.target import CYCLES, FAILURE, REMAINING_LIFE

_DAY_S = 86_400.0
_POINTS_SHOWN = 1500
_SENSORS_SHOWN = 15


def write_report(card: Card, judged: Judged) -> str:
    """Return the report as one HTML page that needs nothing else."""
    evaluation, said = judged.evaluation, judged.said
    version = f", version {card.version}" if card.version else ""
    trained_at = datetime.fromtimestamp(card.trained_at, UTC)
    sections: list[Section | None] = []
    if evaluation is not None and said is not None:
        sections = [
            _figures(card, evaluation),
            _leads(card, evaluation),
            _trade(card, evaluation),
            _costs(card, evaluation, judged.costs),
            _truth(card, said) if card.target.kind == REMAINING_LIFE else None,
            _calibration(card, evaluation),
        ]
    sections += [_sensors(card, judged.importance), _data(card), _dropped(card, judged.notes)]
    if card.leaks:
        sections.insert(0, _leaks(card))
    return Page(
        title=f"{card.name}{version}",
        subtitle=f"Predicts {describe_target(card.target)}. Figures are {judged.where}.",
        tiles=_tiles(card, evaluation) if evaluation else [],
        sections=[one for one in sections if one is not None],
        footer=f"Trained {trained_at:%Y-%m-%d %H:%M} UTC by Prevenant, with seed {card.seed}.",
    ).render()


def _tiles(card: Card, evaluation: Evaluation) -> list[Tile]:
    metrics = evaluation.metrics
    return [
        Tile(show_figure(name, metrics[name], card.target), name_figure(name, card.target))
        for name in SHOWN_FIRST
        if metrics.get(name) is not None
    ][:5]


def _figures(card: Card, evaluation: Evaluation) -> Section:
    metrics = evaluation.metrics
    known = [name for name in FIGURES if name in metrics]
    rows = [
        (
            name_figure(name, card.target),
            show_figure(name, metrics[name], card.target),
            FIGURES[name].definition,
        )
        for name in known
    ]
    return Section(
        "Figures",
        columns=("figure", "value", "what it is"),
        rows=rows,
        numbers=frozenset({1}),
        wide=True,
    )


def _leads(card: Card, evaluation: Evaluation) -> Section | None:
    if card.calls is None:
        return None
    leads = [_days(card, lead) for lead in evaluation.leads]
    missed = evaluation.failures - len(leads)
    text = (
        f"How long before each failure somebody was called. Of {evaluation.failures} failures "
        f"{len(leads)} were caught in time and {missed} were not."
    )
    if not leads:
        return Section("Lead time", text)
    bars = count_bins(leads, 16)
    axis = Axis.over(_label(card, "before the failure"), [0.0, bars[-1][1]])
    return Section("Lead time", text, draw_bars(axis, bars, "failures", "Lead times"))


def _trade(card: Card, evaluation: Evaluation) -> Section | None:
    points = evaluation.points
    if not points or not evaluation.failures or evaluation.exposure <= 0:
        return None
    line = [(one.premature_per_1000, one.caught) for one in points]
    x = Axis.over(
        name_figure("premature_per_1000", card.target), [one for one, _ in line], from_zero=True
    )
    y = Axis("failures caught", 0.0, 1.0, is_share=True)
    metrics = evaluation.metrics
    caught, premature = metrics.get("caught"), metrics.get("premature_per_1000")
    mark = None if caught is None or premature is None else (premature, caught)
    text = (
        "What other thresholds would have led to; the mark is the one that was chosen, on training data "
        "alone. Up and to the left is better."
    )
    picture = draw_lines(x, y, [Line(line, dots=True)], "Caught against false call-outs", mark)
    return Section("Caught against false call-outs", text, picture)


def _costs(card: Card, evaluation: Evaluation, costs: Costs) -> Section | None:
    if not evaluation.points or not evaluation.failures or evaluation.exposure <= 0:
        return None
    per = 1000.0 * (1.0 if card.target.unit == CYCLES else _DAY_S) / evaluation.exposure
    line = [
        (one.threshold, per * _cost(one, evaluation.failures, costs)) for one in evaluation.points
    ]
    without = per * costs.failure * evaluation.failures
    best = min(line, key=lambda one: one[1])
    low, high = line[0][0], line[-1][0]
    is_life = card.target.kind == REMAINING_LIFE
    if is_life:
        x = Axis.over(
            _label(card, "of remaining life at which somebody is called"),
            [_days(card, one) for one, _ in line],
        )
        line = [(_days(card, one), cost) for one, cost in line]
        ends = (_days(card, low), _days(card, high))
        best = (_days(card, best[0]), best[1])
    else:
        x = Axis("probability from which somebody is called", 0.0, 1.0, is_share=True)
        ends = (0.0, 1.0)
    per_what = "1,000 cycles" if card.target.unit == CYCLES else "1,000 device-days"
    y = Axis.over(f"cost in {per_what}", [*(cost for _, cost in line), without], from_zero=True)
    lines = [
        Line(line, "with the model"),
        Line([(ends[0], without), (ends[1], without)], "failures as they come", "other"),
    ]
    saved = 1.0 - best[1] / without if without else 0.0
    text = (
        f"A visit at {short_number(costs.visit)}, a failure in service at {short_number(costs.failure)} "
        "(--cost-visit, --cost-failure). "
        + (
            f"At its best point it costs {saved * 100:.0f} % less than waiting for failures."
            if saved > 0
            else "At these costs it is no cheaper than waiting for failures."
        )
    )
    return Section("What it costs", text, draw_lines(x, y, lines, "Cost by threshold", best))


def _cost(point: Point, failures: int, costs: Costs) -> float:
    visits = failures - point.missed + point.premature
    return costs.visit * visits + costs.failure * point.missed


def _truth(card: Card, said: pd.DataFrame) -> Section | None:
    known = said[said["truth"].notna()]
    if known.empty:
        return None
    step = max(1, len(known) // _POINTS_SHOWN)
    shown = known.iloc[::step]
    truth = [_days(card, one) for one in shown["truth"].tolist()]
    value = [_days(card, one) for one in shown["prediction"].tolist()]
    x = Axis.over(_label(card, "left in truth"), truth, from_zero=True)
    y = Axis.over(_label(card, "predicted"), [*value, x.high], from_zero=True)
    lines = [Line([(0.0, 0.0), (x.high, x.high)], "as it was", "ideal")]
    levels = [_days(card, one) for one in card.levels]
    if len(levels) > 1:
        for bound, name in ((card.lows, ""), (card.highs, "90 % interval")):
            # Both bounds are of a prediction: here a prediction lies across, and the truth along.
            lines.append(
                Line(
                    [(_days(card, max(b, 0.0)), at) for b, at in zip(bound, levels, strict=True)],
                    name,
                    "other",
                )
            )
    text = (
        f"Each point is one row; beyond {show_span(card.cap, card.target)} of remaining life "
        "nothing is told apart."
    )
    points = list(zip(truth, value, strict=True))
    return Section(
        "Remaining life against the truth", text, draw_points(x, y, points, "Remaining life", lines)
    )


def _calibration(card: Card, evaluation: Evaluation) -> Section | None:
    bins = evaluation.calibration
    if not bins:
        return None
    if card.target.kind == FAILURE:
        said = [(one.predicted, one.observed) for one in bins]
        high = max([0.02, *(max(one) for one in said)])
        x = Axis.over("probability that was said", [0.0, high], is_share=True)
        y = Axis.over("how often it came true", [0.0, high], is_share=True)
        text = "Where it says 30 %, three in ten should fail: the nearer to the dashed line, the better."
    else:
        said = [(_days(card, one.predicted), _days(card, one.observed)) for one in bins]
        high = max(max(one) for one in said)
        x = Axis.over(_label(card, "predicted"), [0.0, high])
        y = Axis.over(_label(card, "left in truth, mean"), [0.0, high])
        text = "Predictions of about one size, and what was left in truth, in the mean."
    end = min(x.high, y.high)
    lines = [
        Line([(0, 0), (end, end)], "as it should be", "ideal"),
        Line(said, "this model", dots=True),
    ]
    numbers = ", ".join(f"{one.rows}" for one in bins)
    text = f"{text} Rows behind each point: {numbers}."
    return Section("Calibration", text, draw_lines(x, y, lines, "Calibration", legend_left=True))


def _sensors(card: Card, importance: Mapping[str, float]) -> Section | None:
    if not importance:
        return None
    scale = 1.0 if card.target.kind == FAILURE or card.target.unit == CYCLES else 1.0 / _DAY_S
    if card.target.kind == FAILURE:
        scale, unit = 100.0, "percentage points"
    else:
        unit = "cycles" if card.target.unit == CYCLES else "days"
    rows = [(name or "age of the device", value * scale) for name, value in importance.items()]
    text = (
        f"By how many {unit} each input moves a prediction, in the mean over rows before failures "
        "and others: what changes where all that is made of it is put back to what is usual."
    )
    return Section("What moves it", text, draw_lengths(rows[:_SENSORS_SHOWN], "What moves it"))


def _data(card: Card) -> Section:
    data, definition = card.fingerprint, card.definition
    rows = [
        ("rows", f"{data.rows}"),
        ("devices", f"{data.devices}"),
        ("failures", f"{data.failures}"),
        ("from", _place(card, data.first)),
        ("to", _place(card, data.last)),
        ("SHA-256", data.sha256),
        ("listens to", ", ".join(one.text for one in definition.inputs)),
        ("features", f"{len(definition.features)}"),
        ("ways of working told apart", f"{len(definition.regimes.centres)}"),
    ]
    if card.calls is not None:
        calls, target = card.calls, card.target
        threshold = (
            f"{calls.threshold:.3g}"
            if target.kind == FAILURE
            else show_span(calls.threshold, target)
        )
        rows += [
            ("calls somebody at", f"{threshold}, {calls.debounce} readings in a row"),
            (
                "of use",
                f"{show_span(calls.latest, target)} to {show_span(calls.earliest, target)} ahead",
            ),
        ]
    return Section("What it was learned from", rows=rows)


def _leaks(card: Card) -> Section:
    text = "The figures below are likely too good to be true."
    return Section("What looks like the answer itself", text, rows=[*card.leaks.items()])


def _dropped(card: Card, notes: Sequence[str]) -> Section:
    rows = [(name, reason) for name, reason in card.definition.dropped.items()]
    text = "" if rows or notes else "Nothing was dropped."
    return Section("What was left out, and why", text, rows=rows, remarks=notes)


def _place(card: Card, at: float) -> str:
    if card.target.unit == CYCLES:
        return f"cycle {at:g}"
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"


def _days(card: Card, span: float) -> float:
    """Return a length of time as pictures have it: in cycles, or days."""
    return span if card.target.unit == CYCLES else span / _DAY_S


def _label(card: Card, what: str) -> str:
    return f"{'cycles' if card.target.unit == CYCLES else 'days'} {what}"
