"""The figures a model is judged by: how each is called, shown and defined. The documents have the same."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from models.base import Card
from models.charts import short_number
from prevenant.durations import format_duration
from prevenant.target import CYCLES, Target


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: what it is called, how it is shown, and what it is."""

    label: str
    form: str
    """`share`, `time` (in the model's unit), `count`, or `number`."""
    definition: str


FIGURES: Mapping[str, Figure] = {
    "caught": Figure(
        "failures caught",
        "share",
        "the part of the failures before which somebody was called in time: not too early, not too late",
    ),
    "premature_per_1000": Figure(
        "premature call-outs",
        "number",
        "calls with no failure soon after them, in 1,000 cycles or device-days",
    ),
    "median_lead": Figure(
        "median lead time", "time", "how long before a failure that was caught its call came"
    ),
    "late": Figure("called too late", "count", "failures whose only call left no time for a visit"),
    "failures": Figure(
        "failures judged",
        "count",
        "failures with rows so close before them that a call could catch them",
    ),
    "rmse": Figure(
        "RMSE",
        "time",
        "root mean square error of remaining life, capped where nothing is told apart any more",
    ),
    "rmse_spread": Figure("RMSE's spread", "time", "standard deviation of the devices' own RMSE"),
    "mae": Figure("mean error", "time", "mean absolute error of remaining life"),
    "rmse_at_end": Figure("RMSE at the end", "time", "the same over each device's last row alone"),
    "nasa_score": Figure(
        "NASA score",
        "number",
        "mean of exp(d/13)-1 for predictions too low by d cycles, exp(d/10)-1 for those too high",
    ),
    "within_interval": Figure(
        "within the interval",
        "share",
        "how often the truth lay between low and high; 90 % is meant",
    ),
    "ap": Figure(
        "average precision", "number", "area under the curve of precision over recall; 1 is all"
    ),
    "f1": Figure("F1", "number", "harmonic mean of precision and recall, at the best threshold"),
    "precision": Figure(
        "precision", "share", "at that threshold: of the rows called, how many failed"
    ),
    "recall": Figure(
        "recall", "share", "at that threshold: of the rows that failed, how many were called"
    ),
    "recall_at_p95": Figure(
        "recall at 95 % precision", "share", "recall where at most one call in twenty is false"
    ),
    "brier": Figure(
        "Brier score", "number", "mean squared error of the probability; 0 is all right"
    ),
}

SHOWN_FIRST = ("caught", "premature_per_1000", "median_lead", "rmse", "ap", "within_interval")
"""What stands at the top of a report, where it is known."""


def show_figure(name: str, value: float | None, target: Target) -> str:
    """Return a figure's value as a person reads it."""
    figure = FIGURES.get(name)
    if value is None:
        return "not known from this data"
    if figure is None or figure.form == "number":
        return short_number(value)
    if figure.form == "share":
        return f"{value:.1%}".replace(".0%", "%").replace("%", " %")
    if figure.form == "count":
        return f"{value:.0f}"
    return show_span(value, target)


def show_span(span: float, target: Target) -> str:
    """Return a length of time in the model's unit."""
    if target.unit == CYCLES:
        return f"{short_number(span)} cycles"
    return format_duration(span) if span >= 0 else f"-{format_duration(-span)}"


def name_figure(name: str, target: Target) -> str:
    """Return what a figure is called."""
    figure = FIGURES.get(name)
    label = figure.label if figure else name.replace("_", " ")
    if name == "premature_per_1000":
        return f"{label} per 1,000 {'cycles' if target.unit == CYCLES else 'device-days'}"
    return label


def list_figures(names: Collection[str]) -> list[str]:
    """Return the names of figures in the order in which they are shown."""
    return [*(n for n in FIGURES if n in names), *sorted(n for n in names if n not in FIGURES)]


def describe_figures(metrics: Mapping[str, float | None], target: Target) -> Sequence[str]:
    """Return a line for each figure, those of a service business first."""
    order = list_figures(metrics)
    labels = [name_figure(name, target) for name in order]
    width = max((len(label) for label in labels), default=0)
    return [
        f"{label.ljust(width)}  {show_figure(name, metrics[name], target)}"
        for name, label in zip(order, labels, strict=True)
    ]


def describe_leaks(card: Card) -> Sequence[str]:
    """Return a warning for each input that tells the answer by itself."""
    return [f"doubtful: {name!r}: {why}" for name, why in card.leaks.items()]
