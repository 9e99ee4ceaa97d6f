"""How every benchmark reports: a table for people, then one JSON line for each figure."""

import json
import math
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number."""

    name: str
    value: float
    unit: str
    runs: Sequence[float] = ()
    """The single runs that `value` is the median of."""
    conditions: Mapping[str, Any] = field(default_factory=dict)


def median_of(
    name: str, runs: Sequence[float], unit: str, conditions: Mapping[str, Any] | None = None
) -> Figure:
    """Return the median of several runs, which keeps their minimum and maximum."""
    return Figure(name, statistics.median(runs), unit, runs, conditions or {})


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of all values do not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)]


def machine() -> dict[str, Any]:
    """Return what a figure depends on and no code shows."""
    return {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
    }


def report(bench: str, figures: Sequence[Figure]) -> None:
    """Print all figures, as a table and as JSON lines."""
    table = Table(title=f"benchmarks/{bench}.py", title_justify="left")
    for heading in ("figure", "value", "unit", "minimum", "maximum"):
        table.add_column(heading, justify="left" if heading in {"figure", "unit"} else "right")
    for one in figures:
        low, high = (_shown(min(one.runs)), _shown(max(one.runs))) if one.runs else ("", "")
        table.add_row(one.name, _shown(one.value), one.unit, low, high)
    Console().print(table)
    for one in figures:
        line: dict[str, Any] = {
            "bench": bench,
            "figure": one.name,
            "value": round(one.value, 4),
            "unit": one.unit,
            "conditions": {**machine(), **one.conditions},
        }
        if one.runs:
            line |= {"minimum": round(min(one.runs), 4), "maximum": round(max(one.runs), 4)}
        print(json.dumps(line))  # noqa: T201  for machines that read it


def _shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
