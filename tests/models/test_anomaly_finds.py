"""The detector sees what a technician would, and keeps its mouth shut of what is ordinary."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.anomaly import detect, deviate, judge, windowed_gaussian
from benchmarks.anomaly_series import KINDS, make_corpus
from benchmarks.nab import best_threshold, outcome_at, read_corpus
from models.anomaly import ALARMING, Detector
from models.anomaly_tail import MEMORY, PEAKS, Tail
from tests.models.anomaly_checks import NAB_FILES

Values = npt.NDArray[np.float64]
_ROWS, _FAULT = 2400, 2000
_START, _STEP = 1_700_000_000.0, 600.0


def alarms(values: Values, step: float = _STEP, *, calendar: bool = True) -> list[int]:
    """Return the rows at which the detector says anomaly."""
    detector = Detector(["v"], calendar=calendar)
    said = [
        detector.score("d", _START + step * i, {"v": float(value)}).score
        for i, value in enumerate(values)
    ]
    return [i for i, score in enumerate(said) if score >= ALARMING]


def quiet_sensor(seed: int) -> Values:
    return 20 + np.random.default_rng(seed).normal(0, 0.5, _ROWS)


def daily_sensor(seed: int) -> Values:
    chance = np.random.default_rng(seed)
    return 20 + 5 * np.sin(2 * np.pi * np.arange(_ROWS) / 144) + chance.normal(0, 0.4, _ROWS)


def spike(values: Values) -> None:
    values[_FAULT] += 12


def step(values: Values) -> None:
    values[_FAULT:] += 12


def stuck(values: Values) -> None:
    values[_FAULT : _FAULT + 60] = values[_FAULT]


def restless(values: Values) -> None:
    values[_FAULT : _FAULT + 60] += np.random.default_rng(5).normal(0, 6, 60)


def no_day(values: Values) -> None:
    values[_FAULT : _FAULT + 144] = 20 + 0.05 * (values[_FAULT : _FAULT + 144] - 20)


@pytest.mark.parametrize("sensor", [quiet_sensor, daily_sensor])
@pytest.mark.parametrize("fault", [spike, step, stuck, restless])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_finds_a_fault_soon(
    sensor: Callable[[int], Values], fault: Callable[[Values], None], seed: int
) -> None:
    values = sensor(seed)
    fault(values)
    assert any(_FAULT <= row < _FAULT + 60 for row in alarms(values))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_finds_a_day_without_a_day(seed: int) -> None:
    values = daily_sensor(seed)
    no_day(values)
    assert any(_FAULT <= row < _FAULT + 144 for row in alarms(values))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_finds_an_ordinary_value_at_the_wrong_time_of_day(seed: int) -> None:
    values = daily_sensor(seed)
    night = np.arange(_FAULT, _FAULT + 30)
    values[night] = 40 - values[night]
    assert any(_FAULT <= row < _FAULT + 40 for row in alarms(values))


def test_first_change_of_what_never_changed() -> None:
    values = np.full(1000, 3.0)
    values[800] = 3.1
    assert alarms(values) == [800]


def test_a_lasting_change_is_said_seldom() -> None:
    values = quiet_sensor(4)
    step(values)
    assert len([row for row in alarms(values) if row >= _FAULT]) <= 4


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_second_fault_behind_one_that_goes_on_is_heard(seed: int) -> None:
    values = np.random.default_rng(seed).normal(20, 0.5, 3200)
    values[2000:] += 12
    values[3000] += 40
    assert 3000 in alarms(values)


def test_the_same_fault_long_after_is_found_again() -> None:
    values = np.random.default_rng(8).normal(20, 0.5, 6000)
    values[2000] += 15
    values[5000:5010] += 15
    found = alarms(values)
    assert any(2000 <= row < 2005 for row in found)
    assert any(5000 <= row < 5030 for row in found)


def test_what_comes_every_day_becomes_ordinary() -> None:
    values = np.random.default_rng(2).normal(5, 0.3, 144 * 30)
    values[100::144] += 20
    assert len([row for row in alarms(values) if row > 144 * 20]) <= 3


def test_a_pause_in_the_readings_is_no_jump() -> None:
    detector = Detector(["v"])
    chance = np.random.default_rng(3)
    slow = 20 + np.cumsum(chance.normal(0, 0.02, 3000))
    said = []
    for i, value in enumerate(slow):
        if 1500 <= i < 1560:
            continue
        said.append((i, detector.score("d", _START + 60.0 * i, {"v": float(value)})))
    after = dict(said)[1560]
    assert after.cause != "jump"


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(["normal", "uniform", "exponential", "poisson", "rounded", "walk"]),
    st.integers(0, 2**32 - 1),
)
def test_false_alarms_on_the_ordinary_are_few(kind: str, seed: int) -> None:
    chance = np.random.default_rng(seed)
    rows = 3000
    made: dict[str, Callable[[], Values]] = {
        "normal": lambda: chance.normal(0, 1, rows),
        "uniform": lambda: chance.uniform(-1, 1, rows),
        "exponential": lambda: chance.exponential(1, rows),
        "poisson": lambda: chance.poisson(3, rows).astype(np.float64),
        "rounded": lambda: np.asarray(np.round(chance.normal(20, 0.4, rows) * 2) / 2),
        "walk": lambda: np.convolve(chance.normal(0, 1, rows + 49), np.ones(50) / 50, "valid"),
    }
    values = made[kind]()
    assert len([row for row in alarms(values) if row >= 450]) <= 14


@pytest.mark.parametrize("fields", [2, 20])
def test_more_fields_raise_no_more_false_alarms(fields: int) -> None:
    chance = np.random.default_rng(fields)
    detector = Detector([f"f{i}" for i in range(fields)])
    loud = 0
    for i in range(1500):
        values = {f"f{j}": float(chance.normal()) for j in range(fields)}
        said = detector.score("d", _START + 60 * i, values)
        loud += i >= 225 and said.score >= ALARMING
    assert loud <= 12


def test_names_the_field_and_what_is_wrong_with_it() -> None:
    chance = np.random.default_rng(6)
    detector = Detector(["inlet", "outlet", "pump"])
    for i in range(1200):
        values = {"inlet": chance.normal(20, 1), "outlet": chance.normal(50, 1), "pump": 3.0}
        if i == 1199:
            values["outlet"] = 90.0
        said = detector.score("d", _START + 60 * i, values)
    assert said.score > 0.99
    assert said.field == "outlet"
    assert said.cause in {"jump", "level high"}
    assert said.scores[1] > 0.99
    assert max(said.scores[0], said.scores[2]) < ALARMING
    assert said.expected == pytest.approx(50, abs=1.5)
    assert said.low is not None
    assert said.high is not None
    assert 48 < said.high < 55
    assert said.high - said.low == pytest.approx(2 * 1.645, rel=0.4)


def test_the_interval_holds_nine_in_ten() -> None:
    chance = np.random.default_rng(4)
    detector, inside = Detector(["v"]), 0
    for i in range(4000):
        value = float(chance.normal(0, 1))
        said = detector.score("d", _START + 60 * i, {"v": value})
        if i >= 1000:
            assert said.low is not None
            assert said.high is not None
            inside += said.low <= value <= said.high
    assert 0.86 < inside / 3000 < 0.94


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([500, 2000, 8000]))
def test_a_tail_says_a_record_is_a_record(seed: int, rows: int) -> None:
    """Evidence of `PEAKS` to one is given about as often as there are new records, whatever the length."""
    tail, chance = Tail(1), np.random.default_rng(seed)
    evidence = [tail.see(float(value), i) for i, value in enumerate(chance.exponential(1, rows))]
    assert sum(one >= np.log10(PEAKS) for one in evidence[50:]) <= 12


def test_a_tail_forgets() -> None:
    tail = Tail(5)
    for i in range(100):
        tail.see(float(i % 7), i)
    tail.see(1000.0, 100)
    assert max(tail.peaks) == 1000
    for i in range(101, 101 + MEMORY + 100):
        tail.see(float(i % 7), i)
    assert max(tail.peaks) < 10
    assert len(tail.peaks) <= PEAKS


def test_restoring_other_fields_begins_anew() -> None:
    detector = Detector(["a"])
    for i in range(100):
        detector.score("d", float(i), {"a": float(i % 3)})
    other = Detector(["a", "b"])
    other.restore(detector.snapshot())
    assert other.devices == {}


def test_forgets_a_device() -> None:
    detector = Detector(["a"])
    detector.score("d", 1.0, {"a": 1.0})
    detector.forget("d")
    detector.forget("unknown")
    assert detector.devices == {}


def test_made_up_series_of_all_kinds() -> None:
    """One setting finds most faults of most kinds, and far more than simple detectors at their best."""
    corpus = list(make_corpus(seed=11, each=1))
    assert {series.name.partition("-")[0] for series in corpus} == {k.__name__ for k in KINDS}
    rows = judge(corpus, detect).rows
    ours = outcome_at(ALARMING, rows)
    assert ours.score > 60
    assert ours.caught > 0.8 * ours.windows
    for simple in (deviate, windowed_gaussian):
        theirs = judge(corpus, simple).rows
        assert ours.score > outcome_at(best_threshold(theirs), theirs).score + 20


@pytest.mark.skipif(
    not (NAB_FILES / "windows.json").exists(),
    reason="the labelled files of github.com/numenta/NAB are not here",
)
def test_labelled_files() -> None:
    rows = judge(read_corpus(NAB_FILES), detect).rows
    assert outcome_at(ALARMING, rows).score > 60
