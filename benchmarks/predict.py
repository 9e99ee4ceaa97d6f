"""How good predictions are on public data, and how quickly the stream gets them.

    fd001_*   NASA C-MAPSS FD001, five folds by engine: everything, the threshold of calls and its debounce
              included, is chosen on the other engines; errors of remaining life capped at 125 cycles
    *_10_engines  the same trained on ten engines, judged on the other ninety, visits 10 to 30 cycles ahead
    ai4i_*    AI4I 2020, stratified five-fold, with features as a book names them; F1 at the threshold that
              was best on the training rows
    single_ms, tick256_readings_per_s  reading -> features -> prediction, processor time on one core
    parity_mismatches  rows for which the stream says other than `predict`

Medians over seeds. The true lives of the test set are not known here and not used.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve
from sklearn.model_selection import KFold, StratifiedKFold

from benchmarks.figures import Figure, median_of, report
from models.base import Calls, History
from models.calls import Lives, Outcome, judge
from models.scoring import Scorer, judge_on, predict
from models.training import Model, train
from prevenant.domain import DeviceType, FieldType, Reading
from prevenant.target import CYCLES, FAILURE, Target

_DATA = Path(__file__).parents[1] / "../shared/data"
_CAP = 125.0
_FEATURES = [
    "kind",
    "air",
    "process",
    "speed",
    "torque",
    "wear",
    "process - air",
    "torque * speed",
    "wear * torque",
]
_DRAWS = 3
_DEVICES, _TICKS, _SINGLES = 256, 60, 3_000


def read_turbofan(path: Path) -> History:
    """Return a C-MAPSS file of engines that ran to failure."""
    rows = pd.read_csv(path, sep=r"\s+", header=None, dtype=float)
    sensors = [f"s{number}" for number in range(1, rows.shape[1] - 4)]
    rows.columns = pd.Index(["device", "at", "setting_1", "setting_2", "setting_3", *sensors])
    rows["device"] = rows["device"].astype(int).map("{:03d}".format)
    rows = rows.sort_values(["device", "at"], ignore_index=True)
    ends = rows.groupby("device")["at"].max()
    failures = pd.DataFrame({"device": ends.index.astype(str), "failed_at": ends.to_numpy(float)})
    return History(rows, failures, CYCLES)


def read_machining(path: Path) -> History:
    """Return AI4I 2020: each row a device of its own; the causes are no fields."""
    table = pd.read_csv(path)
    names = ["kind", "air", "process", "speed", "torque", "wear"]
    rows = table.iloc[:, 2:8].set_axis(names, axis=1)
    rows[names[1:]] = rows[names[1:]].astype(float)
    rows.insert(0, "device", table.iloc[:, 0].map("{:05d}".format))
    rows.insert(1, "at", 0.0)
    failed = rows.loc[table["Machine failure"] == 1, ["device"]].reset_index(drop=True)
    return History(rows, failed.assign(failed_at=0.0), CYCLES)


def part(history: History, devices: np.ndarray) -> History:
    """Return some devices of a history."""
    rows, failures = history.rows, history.failures
    return History(
        rows[rows["device"].isin(devices)].reset_index(drop=True),
        failures[failures["device"].isin(devices)].reset_index(drop=True),
        history.unit,
    )


def measure_engines(history: History, seeds: range) -> Iterator[Figure]:
    """Judge remaining life and visits by engines that were not learned from."""
    engines = history.rows["device"].unique()
    rmse, caught, premature, per_fold, lead = [], [], [], [], []
    for seed in seeds:
        said, outcomes = [], []
        for learn, other in KFold(5, shuffle=True, random_state=seed).split(engines):
            model = train(part(history, engines[learn]), cap=_CAP, window=(15.0, 30.0), seed=seed)
            table = judge_on(model, part(history, engines[other]))
            said.append(table)
            per_fold.append(_rmse(table))
            outcomes.append(_call(model, table))
        rmse.append(_rmse(pd.concat(said)))
        caught.append(_share(outcomes))
        premature.append(_premature(outcomes))
        lead.append(float(np.median([one for outcome in outcomes for one in outcome.leads])))
    where = {"seeds": len(seeds), "folds": "5 by engine", "window": "15..30 cycles"}
    spread = {**where, "fold_least": min(per_fold), "fold_most": max(per_fold)}
    yield median_of("fd001_cv_rmse", rmse, "cycles", spread)
    yield median_of("fd001_caught_15_30", caught, "share", where)
    yield median_of("fd001_premature_per_1000_15_30", premature, "per 1,000 cycles", where)
    yield median_of("fd001_median_lead_15_30", lead, "cycles", where)
    caught, premature = [], []
    for seed in seeds:
        outcomes = []
        random = np.random.default_rng(seed)
        for _ in range(_DRAWS):
            few = random.choice(engines, 10, replace=False)
            model = train(part(history, few), cap=_CAP, window=(10.0, 30.0), seed=seed)
            table = judge_on(model, part(history, np.setdiff1d(engines, few)))
            outcomes.append(_call(model, table))
        caught.append(_share(outcomes))
        premature.append(_premature(outcomes))
    where = {"seeds": len(seeds), "draws": _DRAWS, "window": "10..30 cycles"}
    yield median_of("fd001_caught_10_engines", caught, "share", where)
    yield median_of("fd001_premature_10_engines", premature, "per 1,000 cycles", where)


def _rmse(table: pd.DataFrame) -> float:
    return float(np.sqrt(((table["prediction"] - table["truth"]) ** 2).mean()))


def _call(model: Model, table: pd.DataFrame) -> Outcome:
    calls: Calls | None = model.card.calls
    assert calls is not None
    lives = Lives.cut(
        table["at"].to_numpy(float),
        table["prediction"].to_numpy(float),
        table["remaining"].to_numpy(float),
        table["life"].to_numpy(np.intp),
    )
    return judge(model.card.target, calls, lives)


def _share(outcomes: list[Outcome]) -> float:
    return sum(len(one.leads) for one in outcomes) / sum(one.failures for one in outcomes)


def _premature(outcomes: list[Outcome]) -> float:
    return 1000 * sum(one.premature for one in outcomes) / sum(one.exposure for one in outcomes)


def measure_machining(history: History, seeds: range) -> Iterator[Figure]:
    """Judge detection on rows that were not learned from."""
    devices = history.rows["device"].to_numpy(object)
    fails = np.isin(devices, history.failures["device"])
    found: dict[str, list[float]] = {"f1": [], "ap": [], "recall_at_p95": []}
    target = Target(FAILURE, CYCLES, 0.0)
    for seed in seeds:
        chance, is_called = np.zeros(len(devices)), np.zeros(len(devices), bool)
        splits = StratifiedKFold(5, shuffle=True, random_state=seed).split(devices, fails)
        for learn, other in splits:
            own = part(history, devices[learn])
            model = train(own, target=target, inputs=_FEATURES, seed=seed)
            chance[other] = predict(model, part(history, devices[other]))["prediction"]
            is_called[other] = chance[other] >= _best_threshold(model)
        precision, recall, _ = precision_recall_curve(fails, chance)
        found["f1"].append(float(f1_score(fails, is_called)))
        found["ap"].append(float(average_precision_score(fails, chance)))
        found["recall_at_p95"].append(float(recall[precision >= 0.95].max()))
    where = {"seeds": len(seeds), "folds": "5 stratified", "features": len(_FEATURES)}
    for name, runs in found.items():
        yield median_of(f"ai4i_{name}", runs, "share", where)


def _best_threshold(model: Model) -> float:
    """Return the threshold with the best F1 on the training rows, out of fold."""
    said = model.out_of_fold
    assert said is not None
    precision, recall, thresholds = precision_recall_curve(said["truth"], said["prediction"])
    both = np.maximum(precision + recall, 1e-12)
    return float(thresholds[int(np.argmax((2 * precision * recall / both)[:-1]))])


def measure_speed(history: History) -> Iterator[Figure]:
    """Take the processor's time for readings as the stream has them, and compare what is said."""
    model = train(part(history, history.rows["device"].unique()[:20]), cap=_CAP)
    fields = tuple(FieldType(name, float) for name in history.fields)
    make = DeviceType("turbofan", "a/{site}/{device}", fields).values_type
    own = part(history, history.rows["device"].unique()[20:40])
    readings = [
        Reading("turbofan", "", str(row[0]), float(row[1]), float(row[1]), make(*row[2:]))
        for row in own.rows.itertuples(index=False)
    ]
    scorer = Scorer(model)
    said = [scorer.score([one])[0] for one in readings]
    table = predict(model, own)
    told = np.array([np.nan if one is None else one.value for one in said])
    features = {"features": len(model.card.definition.features)}
    yield Figure(
        "parity_mismatches",
        float((told != table["prediction"]).sum()),
        "rows",
        conditions={"rows": len(own.rows)},
    )
    singles, ticks = [], []
    for _ in range(5):
        scorer, began = Scorer(model), time.process_time()
        for one in readings[:_SINGLES]:
            scorer.score([one])
        singles.append((time.process_time() - began) / _SINGLES * 1000)
        batches = [
            [
                Reading(
                    "turbofan", "", f"d{device}", float(tick), float(tick), readings[device].values
                )
                for device in range(_DEVICES)
            ]
            for tick in range(_TICKS)
        ]
        scorer, began = Scorer(model), time.process_time()
        for batch in batches:
            scorer.score(batch)
        ticks.append(_DEVICES * _TICKS / (time.process_time() - began))
    yield median_of("single_ms", singles, "ms", features)
    yield median_of("tick256_readings_per_s", ticks, "readings/s", features)


def main() -> None:
    """Measure, and report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=_DATA, help="folder with cmapss/ and ai4i/")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    engines = options.data / "cmapss/train_FD001.txt"
    machining = options.data / "ai4i/ai4i2020.csv"
    figures: list[Figure] = []
    if engines.exists():
        history = read_turbofan(engines)
        figures += measure_speed(history)
        figures += measure_engines(history, range(options.seeds))
    else:
        Console().print(f"no {engines}: NASA's Prognostics Data Repository publishes it as C-MAPSS")
    if machining.exists():
        figures += measure_machining(read_machining(machining), range(options.seeds))
    else:
        Console().print(f"no {machining}: the UCI repository publishes it as AI4I 2020")
    report("predict", figures)


if __name__ == "__main__":
    main()
