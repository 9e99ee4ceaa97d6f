"""Figures as CSV, for a spreadsheet: a row for each figure, group and period."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from zoneinfo import ZoneInfo

from prevenant.kpis.figures import Figure
from prevenant.kpis.measuring import Measured

COLUMNS = (
    "kpi",
    "title",
    "unit",
    "group",
    "label",
    "from",
    "value",
    "nine_of_ten_within",
    "count",
    "missing",
    "counts",
    "times",
    "left_out",
)
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def as_csv(figures: Sequence[Measured], zone: ZoneInfo, language: str = "en") -> str:
    """Return figures as CSV, with their definitions; `from` is empty in the row of the whole time."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerows(_rows_of(figures, zone, language))
    return text.getvalue()


def _rows_of(
    figures: Iterable[Measured], zone: ZoneInfo, language: str
) -> Iterator[Sequence[object]]:
    for measured in figures:
        words = measured.kpi.said_in(language)
        for part in measured.parts:
            for begin, figure in ((None, part.whole), *part.trend):
                yield (
                    measured.kpi.name,
                    words.title,
                    measured.kpi.unit,
                    harmless(part.group),
                    harmless(part.label),
                    begin.astimezone(zone).isoformat() if begin else "",
                    *_numbers_of(figure),
                    words.counts,
                    words.times,
                    words.left_out,
                )


def _numbers_of(figure: Figure) -> tuple[object, ...]:
    value = "" if figure.value is None else figure.value
    return value, "" if figure.high is None else figure.high, figure.count, figure.missing


def harmless(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: names come from people."""
    return f"'{text}" if text.startswith(_FORMULAS) else text
