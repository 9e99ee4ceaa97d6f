"""Features are the same in training and in the stream, and know nothing of what comes later."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.base import History
from models.features import Definition, States
from models.inputs import compute_input, fields_of
from models.labels import label_rows
from models.learning import learn_definition
from models.rows import make_rows, thin
from prevenant.errors import ConfigurationError
from prevenant.target import CYCLES, FAILURE, REMAINING_LIFE, Target
from tests.models.wearing import repaired_machine, wearing_machines

LIFE = Target(REMAINING_LIFE, CYCLES)


def learned(history: History, target: Target = LIFE) -> Definition:
    return learn_definition(history, label_rows(history, target), target, None)


@pytest.fixture(scope="module")
def history() -> History:
    return wearing_machines(6)


@pytest.fixture(scope="module")
def definition(history: History) -> Definition:
    return learned(history)


def test_a_row_is_made_of_nothing_that_comes_later(
    history: History, definition: Definition
) -> None:
    whole = make_rows(definition, history)
    for end in (1, 7, 40):
        kept = history.rows.groupby("device").head(end).index
        cut = History(history.rows.loc[kept].reset_index(drop=True), history.failures, history.unit)
        assert np.array_equal(make_rows(definition, cut), whole[kept])


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_however_devices_are_mixed_each_has_the_same_features(data: st.DataObject) -> None:
    history = wearing_machines(4)
    definition = learned(history)
    rows = make_rows(definition, history)
    channels = definition.read_columns({n: history.rows[n].to_numpy() for n in definition.fields})
    at = history.rows["at"].to_numpy(float)
    groups = history.rows.groupby("device").indices
    turns = {str(name): list(where) for name, where in groups.items()}
    slots = {device: number for number, device in enumerate(turns)}
    states, seen = States(definition), 0
    while turns and seen < 60:
        chosen = data.draw(st.lists(st.sampled_from(sorted(turns)), min_size=1, unique=True))
        index = [turns[device].pop(0) for device in chosen]
        features = states.update(
            np.array([slots[device] for device in chosen], np.intp), at[index], channels[index]
        )
        assert np.array_equal(features, rows[index])
        turns = {device: rest for device, rest in turns.items() if rest}
        seen += len(index)


def test_what_is_kept_of_a_device_goes_on_as_if_nothing_had_been(
    history: History, definition: Definition
) -> None:
    own = history.rows[history.rows["device"] == "m01"]
    channels = definition.read_columns({n: own[n].to_numpy() for n in definition.fields})
    at, slot = own["at"].to_numpy(float), np.array([0], np.intp)
    states = States(definition)
    for number in range(len(own)):
        again = States(definition)
        again.take(3, states.keep(0))
        other = again.update(
            np.array([3], np.intp), at[number : number + 1], channels[number : number + 1]
        )
        assert np.array_equal(
            states.update(slot, at[number : number + 1], channels[number : number + 1]), other
        )


def test_what_is_missing_leaves_the_rest_as_it_is(definition: Definition) -> None:
    states, slot = States(definition), np.array([0], np.intp)
    names = [one.name for one in definition.features]
    for at in range(5):
        states.update(slot, np.array([float(at)]), np.array([[60.0, 5.0, 0.0]]))
    features = states.update(slot, np.array([5.0]), np.array([[np.nan, 5.0, np.nan]]))
    assert np.isfinite(features).all()
    assert features[0, names.index("heat.change")] == 0


def test_a_steady_rise_has_its_slope_whatever_the_intervals(definition: Definition) -> None:
    states, slot = States(definition), np.array([0], np.intp)
    names = [one.name for one in definition.features]
    scale = definition.regimes.scales[0][0]
    random = np.random.default_rng(1)
    at = np.cumsum(random.uniform(0.2, 2.0, 200))
    for moment in at:
        features = states.update(
            slot, np.array([moment]), np.array([[60.0 + 0.05 * moment, 5.0, 0.0]])
        )
    slope = features[0, names.index("heat.slope_24")] / definition.time_constants[3]
    assert slope == pytest.approx(0.05 / scale, rel=1e-3)


def test_constants_are_dropped_and_it_says_so(definition: Definition) -> None:
    assert [one.text for one in definition.inputs] == ["heat", "current", "noise"]
    assert definition.dropped == {"load": "it is always the same", "fixed": "it is always the same"}


def test_ways_of_working_do_not_hide_wear() -> None:
    history = wearing_machines(8, regimes=True)
    definition = learned(history)
    assert len(definition.regimes.centres) == 3
    rows = pd.DataFrame(
        make_rows(definition, history), columns=[f.name for f in definition.features]
    )
    remaining = label_rows(history, LIFE).remaining
    worn, fresh = rows["heat.mean_2"][remaining < 4], rows["heat.mean_2"][remaining > 50]
    assert worn.min() > fresh.max()


def test_a_stage_of_wear_is_no_way_of_working() -> None:
    """Where a sensor jumps once in a life, its two values are no regimes: they would hide the failure."""
    history = wearing_machines(8)
    remaining = label_rows(history, LIFE).remaining
    jumped = history.rows.assign(heat=np.where(remaining < 20, 500.0, 0.0), current=remaining < 20)
    jumped["current"] = jumped["current"].astype(float) * 70
    definition = learned(History(jumped, history.failures, CYCLES))
    assert len(definition.regimes.centres) == 1


def test_words_become_channels_and_a_new_word_is_none_of_them() -> None:
    history = wearing_machines(4)
    rows = history.rows.assign(kind=np.where(history.rows["device"] == "m00", "small", "large"))
    definition = learned(History(rows, history.failures, CYCLES))
    assert {"kind=small", "kind=large"} <= set(definition.channel_names)
    known = dict(zip(definition.fields, range(len(definition.fields)), strict=True))
    row: list[object] = [0.0] * len(known)
    row[known["kind"]] = "huge"
    read = definition.read_rows([row])
    kinds = [read[0, n] for n, name in enumerate(definition.channel_names[:5]) if "kind" in name]
    assert kinds == [0.0, 0.0]


def test_time_constants_follow_the_horizon_where_one_machine_is_repaired() -> None:
    history = repaired_machine()
    definition = learned(history, Target(FAILURE, horizon=7200.0))
    assert not definition.has_age
    assert definition.step == 600
    assert definition.time_constants[0] == pytest.approx(1800)
    assert definition.baseline_time_constant > definition.time_constants[-1]


def test_bursts_are_not_thinned_away() -> None:
    rows = [pd.DataFrame({"at": week * 604_800.0 + np.arange(3600.0)}) for week in range(8)]
    burst = pd.concat(rows, ignore_index=True).assign(device="pump", heat=1.0)
    history = History(burst[["device", "at", "heat"]], pd.DataFrame(), "seconds")
    assert 4_000 < len(thin(history, 10_000)[0].rows) <= 10_008


def test_long_records_are_thinned_as_the_stream_passes_readings_over() -> None:
    history = repaired_machine()
    thinned, least = thin(history, 300)
    gaps = thinned.rows["at"].diff().dropna()
    assert gaps.min() >= least > 600
    assert len(thinned.rows) <= 301


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("a - b", 1.0),
        ("a * b + 1", 7.0),
        ("-a / 2", -1.5),
        ("sqrt(abs(b - 6))", 2.0),
        ("a ** 2", 9.0),
    ],
)
def test_arithmetic_over_fields(text: str, result: float) -> None:
    columns = {"a": np.array([3.0, np.nan]), "b": np.array([2.0, 2.0])}
    computed = compute_input(text, columns)
    assert computed[0] == pytest.approx(result)


def test_what_cannot_be_computed_is_missing() -> None:
    columns = {"a": np.array([1.0, -1.0]), "b": np.array([0.0, 2.0])}
    assert np.isnan(compute_input("a / b", columns)[0])
    assert np.isnan(compute_input("sqrt(a)", columns)[1])


@pytest.mark.parametrize(
    "text", ["", "a +", "__import__('os')", "a.b", "1 + 2", "a if b else c", "f(a)"]
)
def test_what_is_no_arithmetic_is_refused_with_the_remedy(text: str) -> None:
    with pytest.raises(ConfigurationError, match="write a field, or arithmetic over fields"):
        fields_of(text)
