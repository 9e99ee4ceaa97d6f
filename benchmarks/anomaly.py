"""What the anomaly detector finds without labels, beside two simple ones, as Numenta's benchmark scores.

    detector   models.anomaly, one setting, at its own level
    deviation  how far a value lies from an exponentially weighted mean, in deviations
    gaussian   the chance of the means of ten values under a normal law of the last 6,400 or fewer

Each simple one gets the threshold that is best for it over the whole corpus, as the benchmark has it; the
detector is printed at its own level and at its best. Two corpora: labelled files (a folder with CSVs of
`timestamp,value` and `windows.json`), and made-up series of many kinds, seeded from `--seed` on.
Speed is of the process's own processor time, on one core.
"""

import argparse
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.anomaly_series import make_corpus
from benchmarks.figures import Figure, median_of, report
from benchmarks.nab import Outcome, Row, Series, best_threshold, judge_rows, outcome_at, read_corpus
from models.anomaly import ALARMING, Detector

_FILES = Path(__file__).parents[1] / "../shared/data/nab"
_PUBLISHED = "https://github.com/numenta/NAB"
_FIELDS = 8
_DEVICES, _READINGS = 16, 1_000
_ROUNDS = 3


def detect(series: Series) -> list[float]:
    """Score a series with the detector."""
    detector = Detector(["value"])
    pairs = zip(series.at, series.values, strict=True)
    return [detector.score(series.name, at, {"value": value}).score for at, value in pairs]


def deviate(series: Series) -> list[float]:
    """Score by the distance from an exponentially weighted mean, in deviations."""
    mean, variance, scores = series.values[0], 0.0, []
    for count, value in enumerate(series.values, 1):
        off = value - mean
        scores.append(abs(off) / math.sqrt(variance) if variance else 0.0)
        share = max(1 / count, 1 / 500)
        mean += share * off
        variance = (1 - share) * (variance + share * off * off)
    return scores


def windowed_gaussian(series: Series) -> list[float]:
    """Score by how unlikely the mean of the last ten values is under a normal law of those before."""
    total = square = 0.0
    scores, values = [], series.values
    for i, value in enumerate(values):
        total, square = total + value, square + value * value
        if i >= 6400:
            total, square = total - values[i - 6400], square - values[i - 6400] ** 2
        count = min(i + 1, 6400)
        mean = total / count
        deviation = math.sqrt(max(square / count - mean * mean, 0.0))
        recent = values[max(0, i - 9) : i + 1]
        off = abs(sum(recent) / len(recent) - mean)
        scores.append(math.erf(off / deviation / math.sqrt(2)) if deviation else 0.0)
    return scores


CONTENDERS: dict[str, Callable[[Series], list[float]]] = {
    "detector": detect,
    "deviation": deviate,
    "gaussian": windowed_gaussian,
}


@dataclass(frozen=True, slots=True)
class Judged:
    """A contender's rows on a corpus, file by file."""

    files: dict[str, list[Row]]

    @property
    def rows(self) -> list[Row]:
        """Return the rows of all files."""
        return [row for rows in self.files.values() for row in rows]


def judge(corpus: Sequence[Series], score: Callable[[Series], list[float]]) -> Judged:
    """Score a corpus."""
    return Judged({series.name: judge_rows(series, score(series)) for series in corpus})


def measure_corpus(name: str, corpus: Sequence[Series], *, by_file: bool) -> list[Figure]:
    """Judge all contenders on a corpus, and print it file by file."""
    figures = []
    for contender, score in CONTENDERS.items():
        judged = judge(corpus, score)
        best = best_threshold(judged.rows)
        if contender == "detector":
            fixed = outcome_at(ALARMING, judged.rows)
            figures += _figures(f"{name}_{contender}_fixed", fixed, len(corpus))
            if by_file:
                _print_files(name, judged, best)
        figures += _figures(f"{name}_{contender}_best", outcome_at(best, judged.rows), len(corpus))
    return figures


def _figures(name: str, outcome: Outcome, files: int) -> list[Figure]:
    of = {
        "files": files,
        "windows": outcome.windows,
        "threshold": outcome.threshold,
        "profile": "standard",
    }
    return [
        Figure(f"{name}_score", outcome.score, "of 100", conditions=of),
        Figure(f"{name}_caught", outcome.caught, f"of {outcome.windows} windows", conditions=of),
        Figure(f"{name}_false_alarms", outcome.false_alarms, "rows", conditions=of),
    ]


def _print_files(name: str, judged: Judged, best: float) -> None:
    table = Table(title=f"detector on {name}, level {ALARMING}", title_justify="left")
    table.add_column("series", no_wrap=True)
    for heading in ("caught", "false alarms", "score", "at the best for all", "at its own best"):
        table.add_column(heading, justify="right")
    for series, rows in judged.files.items():
        fixed, chosen = outcome_at(ALARMING, rows), outcome_at(best, rows)
        own = outcome_at(best_threshold(rows), rows)
        table.add_row(
            series,
            f"{fixed.caught} of {fixed.windows}",
            str(fixed.false_alarms),
            *("" if math.isnan(one.score) else f"{one.score:.1f}" for one in (fixed, chosen, own)),
        )
    Console().print(table)


def measure_speed() -> list[Figure]:
    """Measure values a second, of single fields and of devices with eight."""
    single, many = [], []
    for turn in range(_ROUNDS):
        chance = random.Random(turn)
        single.append(_speed(chance, ["value"], _DEVICES))
        many.append(_speed(chance, [f"f{i}" for i in range(_FIELDS)], _DEVICES // _FIELDS))
    return [
        median_of("detector_single_values_per_s", single, "values/s a core"),
        median_of("detector_8_fields_values_per_s", many, "values/s a core"),
    ]


def _speed(chance: random.Random, fields: list[str], devices: int) -> float:
    detector = Detector(fields)
    load = [
        (f"d{i % devices}", 60.0 * i, {field: chance.gauss(20, 1) for field in fields})
        for i in range(devices * _READINGS)
    ]
    began = time.process_time()
    for device, at, values in load:
        detector.score(device, at, values)
    return len(load) * len(fields) / (time.process_time() - began)


def main() -> None:
    """Measure, and report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=Path, default=_FILES, help="folder of labelled files")
    parser.add_argument("--seed", type=int, default=100, help="of the made-up series")
    parser.add_argument("--each", type=int, default=2, help="made-up series of each kind")
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help="corpora of made-up series")
    options = parser.parse_args()
    figures = []
    if (options.files / "windows.json").exists():
        figures += measure_corpus("nab", read_corpus(options.files), by_file=True)
    else:
        Console().print(f"no labelled files in {options.files}: put them there from {_PUBLISHED}")
    runs: dict[str, list[Figure]] = {}
    for turn in range(options.rounds):
        corpus = list(make_corpus(options.seed + turn, options.each))
        for figure in measure_corpus("made_up", corpus, by_file=turn == 0):
            runs.setdefault(figure.name, []).append(figure)
    figures += [
        median_of(name, [one.value for one in all_], all_[0].unit.partition(" windows")[0])
        for name, all_ in runs.items()
        if name.endswith("_score")
    ]
    report("anomaly", [*figures, *measure_speed()])


if __name__ == "__main__":
    main()
