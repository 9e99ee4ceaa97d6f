"""The scoring of the Numenta Anomaly Benchmark: standard profile, threshold chosen over a corpus.

Source: A. Lavin, S. Ahmad, "Evaluating Real-time Anomaly Detection Algorithms: the Numenta Anomaly
Benchmark", ICMLA 2015, and the benchmark's own rules of counting. The first alarm inside a window earns
up to 1, the more the earlier; a window without one costs 1; every row outside that is over the threshold
costs up to 0.11, less just behind a window. The first 15 % of a file, at most 750 rows, count for nothing.
"""

import csv
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

CAUGHT, MISSED, FALSE = 1.0, 1.0, 0.11
"""What a window caught at its very start earns, what one missed costs, and what a false alarm costs."""
NEVER = 1.1
"""A threshold that no score reaches."""


@dataclass(frozen=True, slots=True)
class Series:
    """One file of the benchmark; `windows` are first and last row, both inside."""

    name: str
    at: Sequence[float]
    values: Sequence[float]
    windows: Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a detector is worth on one file, or a corpus, at one threshold."""

    threshold: float
    caught: int
    windows: int
    false_alarms: int
    """Rows outside all windows at or over the threshold."""
    earned: float

    @property
    def score(self) -> float:
        """The normalised score: 100 for every window caught at once, 0 for saying nothing."""
        if not self.windows:
            return math.nan
        return 100 * (self.earned + MISSED * self.windows) / ((CAUGHT + MISSED) * self.windows)


@dataclass(frozen=True, slots=True)
class Row:
    """What an alarm in one row of a file is worth."""

    score: float
    window: tuple[str, int] | None
    worth: float


def probation(rows: int) -> int:
    """Return how many rows at the start of a file count for nothing."""
    return min(math.floor(0.15 * rows), 750)


def sigmoid(position: float) -> float:
    """Return the worth of an alarm: -1 is a window's first row, 0 just behind its last, 3 far away."""
    return -1.0 if position >= 3 else 2 / (1 + math.exp(5 * position)) - 1


def judge_rows(series: Series, scores: Sequence[float]) -> list[Row]:
    """Say of every row that counts what an alarm in it is worth."""
    rows, windows, last, width = [], list(enumerate(series.windows)), None, 0
    current: tuple[int, tuple[int, int]] | None = None
    for i, score in enumerate(scores):
        if current is None and windows and i >= windows[0][1][0]:
            current = windows.pop(0)
        if current is not None:
            number, (first, end) = current
            worth = CAUGHT * sigmoid(-(end - i + 1) / (end - first + 1)) / sigmoid(-1)
            row = Row(score, (series.name, number), worth)
            if i == end:
                last, width, current = end, end - first + 1, None
        else:
            position = 3.0 if last is None else (i - last) / max(width - 1, 1)
            row = Row(score, None, FALSE * sigmoid(position))
        if i >= probation(len(scores)):
            rows.append(row)
    return rows


def outcome_at(threshold: float, rows: Iterable[Row]) -> Outcome:
    """Return what alarms at or over the threshold are worth."""
    best: dict[tuple[str, int], float] = {}
    false_alarms, lost = 0, 0.0
    for row in rows:
        if row.window is not None:
            best.setdefault(row.window, -MISSED)
        if row.score >= threshold:
            if row.window is None:
                false_alarms, lost = false_alarms + 1, lost + row.worth
            else:
                best[row.window] = max(best[row.window], row.worth)
    caught = sum(worth > -MISSED for worth in best.values())
    return Outcome(threshold, caught, len(best), false_alarms, lost + sum(best.values()))


def best_threshold(rows: Sequence[Row]) -> float:
    """Return the threshold, the same for all files, at which the corpus earns most."""
    best = {row.window: -MISSED for row in rows if row.window is not None}
    earned = most = -MISSED * len(best)
    threshold = now = NEVER
    for row in sorted(rows, key=lambda row: -row.score):
        if row.score != now:
            if earned > most:
                most, threshold = earned, now
            now = row.score
        if row.window is None:
            earned += row.worth
        elif row.worth > best[row.window]:
            earned += row.worth - best[row.window]
            best[row.window] = row.worth
    return now if earned > most else threshold


def read_corpus(folder: Path) -> list[Series]:
    """Read the files named in `windows.json`, in its order."""
    labelled = json.loads((folder / "windows.json").read_text())
    return [_read(folder / name, spans) for name, spans in labelled.items()]


def _read(path: Path, spans: Sequence[tuple[str, str]]) -> Series:
    with path.open() as file:
        lines = list(csv.DictReader(file))
    at = [_seconds(line["timestamp"]) for line in lines]
    row = {moment: i for i, moment in reversed(list(enumerate(at)))}
    windows = [(row[_seconds(first)], row[_seconds(last)]) for first, last in spans]
    return Series(path.stem, at, [float(line["value"]) for line in lines], windows)


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
