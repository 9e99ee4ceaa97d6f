"""Literals that Python's grammar lacks, in conditions: `30m` and `5 percent`."""

import re
from dataclasses import dataclass

from prevenant.durations import parse_duration
from prevenant.units import UNITS

_MEASURE = re.compile(
    r"'[^']*'|\"[^\"]*\""
    r"|(?<![\w.])(?P<time>(?:\d+(?:\.\d+)?(?:ms|s|m|h|d|w))+)(?![\w.])"
    rf"|(?<![\w.])(?P<number>\d+(?:\.\d+)?)\s+(?P<unit>{'|'.join(sorted(UNITS, key=len, reverse=True))})\b"
)


@dataclass(frozen=True, slots=True)
class Measure:
    """A literal that Python's grammar lacks: a length of time, or a number with a unit."""

    value: float
    unit: str | None
    is_time: bool


def read_measures(text: str) -> tuple[str, dict[int, Measure]]:
    """Replace `30m` and `5 percent` by names of the same length; return them by their offset."""
    measures: dict[int, Measure] = {}

    def replace(match: re.Match[str]) -> str:
        if match["time"]:
            measures[match.start()] = Measure(parse_duration(match["time"]), None, is_time=True)
        elif match["number"]:
            value = float(match["number"])
            measures[match.start()] = Measure(value, match["unit"], is_time=False)
        else:
            return match[0]
        return "_" * len(match[0])

    return _MEASURE.sub(replace, text), measures
