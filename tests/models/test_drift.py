"""Drift is found where a model hears what it never heard in training, and not where a fleet is young."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.drift import SCORE, Drift, Finding

STEPS = np.linspace(0.0, 1.0, 101)
CMAPSS = Path(__file__).parents[3] / "shared" / "data" / "cmapss"


def quantiles(values: NDArray[np.float64]) -> list[float]:
    found: list[float] = np.quantile(values, STEPS).tolist()
    return found


def feed(drift: Drift, name: str, values: NDArray[np.float64], at_once: int = 64) -> None:
    for begin in range(0, len(values), at_once):
        drift.take({name: values[begin : begin + at_once]})


@pytest.mark.parametrize("seed", range(20))
def test_more_of_the_same_is_no_drift(seed: int) -> None:
    noise = np.random.default_rng(seed)
    drift = Drift({"amps": quantiles(noise.gamma(2.0, 1.0, 4_000))})
    feed(drift, "amps", noise.gamma(2.0, 1.0, 20_000))
    assert drift.findings() == []


@pytest.mark.parametrize("offset", [2.5, -2.5])
def test_a_sensor_that_reads_otherwise_is_found_and_forgotten_once_mended(offset: float) -> None:
    noise = np.random.default_rng(7)
    drift = Drift({"amps": quantiles(noise.normal(0.0, 1.0, 4_000))})
    feed(drift, "amps", noise.normal(offset, 1.0, 499))
    assert drift.findings() == [], "so few rows say nothing"
    feed(drift, "amps", noise.normal(offset, 1.0, 2_000))
    (found,) = drift.findings()
    assert (found.name, found.what) == ("amps", "at_end")
    assert "amps lies at the very ends of what was seen in training in" in found.reason
    feed(drift, "amps", noise.normal(0.0, 1.0, 12_000))
    assert drift.findings() == []


def test_what_lies_beyond_everything_seen_is_found_sooner() -> None:
    drift = Drift({"amps": quantiles(np.linspace(0.0, 1.0, 500))})
    values = np.where(np.arange(2_000) % 2 == 0, 7.0, 0.5)
    feed(drift, "amps", values)
    assert [one.what for one in drift.findings()] == ["beyond"]


def test_a_sensor_that_falls_silent_is_found() -> None:
    noise = np.random.default_rng(3)
    reference = {
        "amps": quantiles(noise.normal(size=2_000)),
        "volts": quantiles(noise.normal(size=9)),
    }
    drift = Drift(reference, {"volts": 0.9})
    silent = np.full(1_000, np.nan)
    drift.take({"amps": silent, "volts": silent})
    assert [(one.name, one.what, one.share) for one in drift.findings()] == [
        ("amps", "missing", 1.0)
    ]


def test_the_score_is_watched_like_an_input() -> None:
    healthy = np.concatenate([np.zeros(950), np.linspace(0.0, 1.0, 50)])
    drift = Drift({SCORE: quantiles(healthy)})
    feed(drift, SCORE, np.zeros(5_000))
    assert drift.findings() == [], "a value that training shares is no end"
    feed(drift, SCORE, np.full(9_000, 0.99))
    (found,) = drift.findings()
    assert found.reason.startswith("what it says lies at the very ends")


def test_a_constant_input_says_nothing() -> None:
    drift = Drift({"mode": [1.0] * 101, "empty": [], "nan": [float("nan")] * 101})
    feed(drift, "mode", np.full(5_000, 9.0))
    assert drift.findings() == []


def test_what_was_counted_outlives_a_restart_and_its_size_does_not_grow() -> None:
    noise = np.random.default_rng(1)
    reference = {"amps": quantiles(noise.normal(size=2_000))}
    whole, first = Drift(reference), Drift(reference)
    values = noise.normal(3.0, 1.0, 3_000)
    feed(whole, "amps", values)
    feed(first, "amps", values[:1_024])
    size = len(str(first.snapshot()))
    second = Drift(reference)
    second.restore(first.snapshot())
    feed(second, "amps", values[1_024:])
    assert second.snapshot() == whole.snapshot()
    assert second.findings() == whole.findings() != []
    assert len(str(second.snapshot())) < size + 20


def test_a_finding_has_its_words() -> None:
    assert Finding("s4", "missing", 0.875).reason == "s4 is missing in 88% of the latest readings"


def engines(file: str) -> NDArray[np.float64]:
    path = CMAPSS / file
    if not path.is_file():
        pytest.skip(
            "needs train_FD001.txt and test_FD001.txt of NASA's C-MAPSS in ../shared/data/cmapss"
        )
    found: NDArray[np.float64] = np.loadtxt(path)
    return found


def watch(train: NDArray[np.float64]) -> Drift:
    return Drift({f"s{n - 4}": quantiles(train[:, n]) for n in range(5, 26)})


def replay(drift: Drift, rows: NDArray[np.float64]) -> set[str]:
    """Return what was found at any time while `rows` came, cycle by cycle of all engines together."""
    found: set[str] = set()
    for cycle in np.unique(rows[:, 1]):
        of_cycle = rows[rows[:, 1] == cycle]
        drift.take({f"s{n - 4}": of_cycle[:, n] for n in range(5, 26)})
        found |= {one.name for one in drift.findings()}
    return found


def test_real_engines_are_no_drift_whether_young_or_worn_alone_or_together() -> None:
    train, test = engines("train_FD001.txt"), engines("test_FD001.txt")
    assert replay(watch(train), test) == set(), "a fleet that begins its life together"
    assert replay(watch(train), train) == set(), "a fleet that ends it together"
    few = train[train[:, 0] <= 10]
    for unit in range(11, 31):
        assert replay(watch(few), train[train[:, 0] == unit]) == set(), f"engine {unit} alone"
    last = np.concatenate([train[train[:, 0] == n][-40:] for n in range(11, 61)])
    last[:, 1] = np.tile(np.arange(40), 50)
    assert replay(watch(few), last) == set(), "a fleet of which every engine is at its end"


@pytest.mark.parametrize("sensor", [2, 3, 4, 7, 11, 12, 15, 17, 20, 21])
def test_a_real_sensor_that_is_off_by_its_own_range_is_found(sensor: int) -> None:
    train, test = engines("train_FD001.txt"), engines("test_FD001.txt")
    column = 4 + sensor
    off = test.copy()
    off[:, column] += np.ptp(train[:, column])
    assert replay(watch(train), off) == {f"s{sensor}"}
