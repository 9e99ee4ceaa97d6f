"""A model is trained on made-up machines, and judged by those that it has not seen."""

import json

import msgspec
import numpy as np
import pandas as pd
import pytest

from models.base import Card, History
from models.estimators import extend_levels, find_chance_intervals
from models.evaluation import evaluate_predictions
from models.labels import label_rows
from models.learning import learn_definition
from models.rows import make_rows
from models.scoring import Scorer, judge_on, make_scorer, predict
from models.training import Model, train
from prevenant.domain import DeviceType, FieldType, Reading
from prevenant.errors import ConfigurationError
from prevenant.target import CYCLES, FAILURE, REMAINING_LIFE, SECONDS, Target
from tests.models.wearing import repaired_machine, wearing_machines


@pytest.fixture(scope="module")
def history() -> History:
    return wearing_machines(12)


@pytest.fixture(scope="module")
def model(history: History) -> Model:
    return train(history, name="press", seed=1)


def readings_of(history: History) -> list[Reading]:
    fields = tuple(FieldType(name, float) for name in history.fields)
    values_type = DeviceType("press", "a/{site}/{device}", fields).values_type
    return [
        Reading("press", "", str(row[0]), float(n), float(n), values_type(*row[2:]))
        for n, row in enumerate(history.rows.itertuples(index=False))
    ]


def test_what_it_says_of_machines_that_it_has_not_seen(model: Model) -> None:
    metrics = model.card.metrics
    assert metrics["rmse"] is not None
    assert metrics["rmse"] < 12
    assert metrics["failures"] == 12
    assert metrics["caught"] is not None
    assert metrics["caught"] >= 0.75
    assert metrics["within_interval"] == pytest.approx(0.9, abs=0.07)


def test_no_interval_goes_beyond_the_cap_and_it_holds_as_often(
    history: History, model: Model
) -> None:
    cap = model.card.cap
    said = model.out_of_fold
    assert said is not None
    for table in (said, judge_on(model, wearing_machines(6, seed=99))):
        assert (table["low"] >= 0).all()
        assert (table["low"] <= table["prediction"]).all()
        assert (table["prediction"] <= table["high"]).all()
        assert (table["high"] <= cap).all()
    assert (predict(model, history)["high"] == cap).any()
    # Beyond the cap there was no truth to hold.
    assert max(model.card.highs) > cap


def test_each_machine_was_judged_by_a_model_without_it(history: History, model: Model) -> None:
    """Lives that are told apart by nothing but their name cannot be learned by heart."""
    assert model.out_of_fold is not None
    fresh = wearing_machines(8, seed=99)
    said = judge_on(model, fresh)
    off = float(np.sqrt(((said["prediction"] - said["truth"]) ** 2).mean()))
    seen = judge_on(model, history)
    by_heart = float(np.sqrt(((seen["prediction"] - seen["truth"]) ** 2).mean()))
    assert model.card.metrics["rmse"] is not None
    assert model.card.metrics["rmse"] > 0.8 * off
    assert by_heart < 0.8 * model.card.metrics["rmse"]


def test_the_same_seed_gives_the_same_model(history: History, model: Model) -> None:
    again = train(history, name="press", seed=1)
    assert again.card.metrics == model.card.metrics
    assert predict(again, history).equals(predict(model, history))


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_is_none_is_refused_before_anything_is_learned(
    history: History, seed: int
) -> None:
    with pytest.raises(ConfigurationError, match="write a whole number from 0 to 4294967295"):
        train(history, seed=seed)


def test_the_stream_says_what_predict_says(history: History, model: Model) -> None:
    said = [
        Scorer.score(scorer, [one])[0] for scorer in [Scorer(model)] for one in readings_of(history)
    ]
    table = predict(model, history)
    assert [one.value if one else None for one in said] == table["prediction"].tolist()
    assert [one.low if one else None for one in said] == table["low"].tolist()
    in_batches, scorer, readings = [], Scorer(model), readings_of(history)
    for begin in range(0, len(readings), 137):
        in_batches += scorer.score(readings[begin : begin + 137])
    assert in_batches == said


def test_a_scorer_goes_on_from_what_was_kept(history: History, model: Model) -> None:
    readings = readings_of(history)[:200]
    whole = Scorer(model).score(readings)
    first = Scorer(model)
    first.score(readings[:77])
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(first.snapshot()))
    second = Scorer(model)
    second.restore(kept)
    assert second.score(readings[77:]) == whole[77:]


def test_a_device_is_asked_about_no_more_often_than_is_said(history: History, model: Model) -> None:
    readings = readings_of(history)[:30]
    often, seldom = Scorer(model).score(readings), Scorer(model, score_every=10.0).score(readings)
    assert len({one.at for one in seldom if one}) == 3
    assert [one for n, one in enumerate(seldom) if n % 10 == 0] == often[::10]


def test_the_card_is_plain_text_and_comes_back(model: Model) -> None:
    text = msgspec.json.encode(model.card)
    assert msgspec.json.decode(text, type=Card) == model.card
    assert json.loads(text)["target"]["kind"] == REMAINING_LIFE


def test_one_machine_with_several_failures_is_judged_by_its_lives() -> None:
    history = repaired_machine()
    model = train(history, target=Target(FAILURE, SECONDS, 6 * 3600.0), window=(600.0, 6 * 3600.0))
    assert model.card.metrics["caught"] == 1.0
    assert model.card.metrics["premature_per_1000"] is not None
    assert model.card.metrics["premature_per_1000"] < 250
    assert model.out_of_fold is not None
    said = model.out_of_fold
    assert said[said["truth"] == 1]["prediction"].median() > 0.5
    assert said[said["truth"] == 0]["prediction"].median() < 0.05


def test_nasas_score_is_of_cycles(model: Model) -> None:
    said = model.out_of_fold
    assert said is not None
    assert "nasa_score" in evaluate_predictions(model.card, said).metrics
    target = Target(REMAINING_LIFE, SECONDS)
    in_time = msgspec.structs.replace(model.card, target=target)
    assert "nasa_score" not in evaluate_predictions(in_time, said).metrics


def test_rows_too_close_to_the_end_of_a_record_are_not_called_healthy() -> None:
    history = repaired_machine(3)
    cut = History(history.rows, history.failures.head(2), SECONDS)
    fails = label_rows(cut, Target(FAILURE, SECONDS, 3600.0)).fails_within(3600.0)
    assert np.isnan(fails[-6:]).all()
    assert not np.isnan(fails[:-6]).any()


@pytest.mark.parametrize(
    ("history", "target", "told"),
    [
        (wearing_machines(1), None, "the data shows 1 failures"),
        (wearing_machines(4), Target(REMAINING_LIFE, SECONDS), "the data counts cycles"),
        (wearing_machines(4), Target(FAILURE, CYCLES, 500.0), "every row of the data is close"),
    ],
)
def test_what_cannot_be_learned_from_is_refused_with_the_remedy(
    history: History, target: Target | None, told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told):
        train(history, target=target)


def test_data_without_anything_that_moves_is_refused() -> None:
    history = wearing_machines(4)
    rows = history.rows[["device", "at", "fixed"]]
    with pytest.raises(ConfigurationError, match="fixed: it is always the same"):
        train(History(rows, history.failures, CYCLES))


def test_a_detector_needs_no_failures_and_scores_the_stream(history: History) -> None:
    model = train(
        History(history.rows, history.failures.head(0), CYCLES), target=Target("anomaly", CYCLES)
    )
    readings = readings_of(history)[:120]
    scorer = make_scorer(model)
    said = scorer.score(readings)
    assert all(one is not None and 0 <= one.value <= 1 for one in said)
    again = make_scorer(model)
    first = again.score(readings[:50])
    fresh = make_scorer(model)
    fresh.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(again.snapshot())))
    assert first + fresh.score(readings[50:]) == said


def test_an_overhauled_machine_begins_again(model: Model) -> None:
    history = wearing_machines(2, seed=8)
    fields = (*(FieldType(name, float) for name in history.fields), FieldType("cycle", float))
    values_type = DeviceType("press", "a/{site}/{device}", fields).values_type
    scorer, fresh = Scorer(model), Scorer(model)
    said, alone, moment = [], [], 0.0
    for name in ("m00", "m01"):
        for row in history.rows[history.rows["device"] == name].itertuples(index=False):
            moment += 60.0
            one = Reading("press", "", "x", moment, moment, values_type(*row[2:], row[1]))
            said.append(scorer.score([one])[0])
            if name == "m01":
                alone.append(fresh.score([one])[0])
    assert said[-len(alone) :] == alone
    late = Reading("press", "", "x", moment - 900.0, moment, values_type(*row[2:], 1.0))
    assert scorer.score([late]) == [said[-1]]


def test_a_failure_model_is_judged_on_other_data_by_what_is_known_there() -> None:
    horizon = 6 * 3600.0
    model = train(repaired_machine(), target=Target(FAILURE, SECONDS, horizon))
    assert model.card.cap == 0
    other = repaired_machine(4, seed=77)
    said = judge_on(model, other)
    assert set(said["truth"]) == {0.0, 1.0}
    cut = other.rows[other.rows["at"] < other.failures["failed_at"].iloc[-1] - 1800]
    known = judge_on(model, History(cut, other.failures.iloc[:-1], SECONDS))
    assert known["at"].max() <= cut["at"].max() - horizon
    assert evaluate_predictions(model.card, known).failures == 3


def test_lone_rows_tell_nothing_of_how_long_a_device_lasts() -> None:
    rows = wearing_machines(8).rows.groupby("device").tail(1).reset_index(drop=True)
    ends = rows[["device", "at"]].rename(columns={"at": "failed_at"})
    with pytest.raises(ConfigurationError, match="each device has one row"):
        train(History(rows, ends, CYCLES))


def test_a_horizon_in_which_no_row_lies_is_refused_with_the_remedy() -> None:
    with pytest.raises(ConfigurationError, match="0 of 6 failures have a row within the horizon"):
        train(repaired_machine(), target=Target(FAILURE, SECONDS, 60.0))


@pytest.mark.parametrize("has_cycle", [True, False])
def test_where_readings_are_passed_over_the_stream_says_what_predict_says(
    history: History, model: Model, *, has_cycle: bool
) -> None:
    definition = msgspec.structs.replace(model.card.definition, least_step=3.0)
    thinned = Model(msgspec.structs.replace(model.card, definition=definition), model.estimator)
    readings = readings_of(history)
    if has_cycle:
        fields = (*(FieldType(name, float) for name in history.fields), FieldType("cycle", float))
        values_type = DeviceType("press", "a/{site}/{device}", fields).values_type
        at = history.rows["at"].tolist()
        readings = [
            msgspec.structs.replace(
                one, values=values_type(*msgspec.structs.astuple(one.values), cycle)
            )
            for one, cycle in zip(readings, at, strict=True)
        ]
    said = Scorer(thinned).score(readings)
    table = predict(thinned, history)
    assert [one.value if one else None for one in said] == table["prediction"].tolist()
    assert len({one.at for one in said if one and one.at < 40}) == 13


def test_an_older_reading_counts_as_no_cycle(history: History, model: Model) -> None:
    readings = readings_of(history)[:40]
    late = msgspec.structs.replace(readings[3], observed_at=2.5)
    assert (
        Scorer(model).score([*readings[:20], late, *readings[20:]])[21:]
        == (Scorer(model).score(readings)[20:])
    )


@pytest.mark.parametrize("broken", [1e30, -9999.0, float("inf"), float("nan")])
def test_one_impossible_value_is_soon_forgotten(
    history: History, model: Model, broken: float
) -> None:
    readings = [one for one in readings_of(history) if one.device_id == "m03"]
    wrong = type(readings[0].values)(7.0, broken, *msgspec.structs.astuple(readings[0].values)[2:])
    hurt = [*readings]
    hurt[20] = msgspec.structs.replace(readings[20], values=wrong)
    said, sound = Scorer(model).score(hurt), Scorer(model).score(readings)
    off = [abs(one.value - two.value) for one, two in zip(said, sound, strict=True) if one and two]
    assert max(off[-15:]) < 4, "18 where nothing holds it"


def test_the_interval_holds_for_machines_that_were_not_there(model: Model) -> None:
    said = judge_on(model, wearing_machines(60, seed=41))
    held = (said["low"] <= said["truth"]) & (said["truth"] <= said["high"])
    assert held.mean() > 0.87
    # Shortly before the end it is looked at most.
    assert held[said["prediction"] <= said["prediction"].quantile(0.04)].mean() > 0.8
    assert (said["high"] - said["low"]).median() < 60


def test_likely_failures_are_told_apart_where_failures_are_rare() -> None:
    """Levels of as many rows each would be all but one of rows that hardly ever fail."""
    random = np.random.default_rng(3)
    value = np.concatenate([random.uniform(0, 0.001, 19_000), random.uniform(0, 1, 1_000)])
    fails = (random.uniform(size=len(value)) < value).astype(float)
    found = find_chance_intervals(value, fails, np.arange(len(value)))
    levels, lows, highs = extend_levels(*found, 1.0)
    assert np.interp(0.95, levels, lows) > 0.8
    assert np.interp(0.15, levels, highs) < 0.3
    assert np.interp(0.0005, levels, highs) < 0.003


def test_few_rows_have_a_wide_interval_and_not_none() -> None:
    model = train(wearing_machines(2))
    said = judge_on(model, wearing_machines(6, seed=9))
    held = (said["low"] <= said["truth"]) & (said["truth"] <= said["high"])
    assert held.mean() > 0.5


def test_a_wide_table_is_learned_from_by_what_tells_of_failures() -> None:
    narrow = wearing_machines(8, regimes=True)
    random = np.random.default_rng(5)
    noise = random.normal(size=(len(narrow.rows), 100))
    noise[:, 10:] += narrow.rows["load"].to_numpy()[:, None]
    others = pd.DataFrame(noise, columns=[f"x{n}" for n in range(100)])
    wide = pd.concat([narrow.rows, others], axis=1)
    history = History(wide, narrow.failures, narrow.unit)
    labels = label_rows(history, Target(REMAINING_LIFE, CYCLES))
    definition = learn_definition(history, labels, Target(REMAINING_LIFE, CYCLES), None)
    assert {"heat", "current"} < set(definition.fields)
    assert len(definition.fields) == 60
    assert len(definition.regimes.means) == 3
    assert list(definition.dropped.values()).count("60 others tell more of failures") == 44
    rows = make_rows(definition, history)
    assert rows.shape == (len(wide), len(definition.features))
    every = learn_definition(history, labels, Target(REMAINING_LIFE, CYCLES), history.fields)
    assert len(every.fields) == 104, "who names fields knows better"
