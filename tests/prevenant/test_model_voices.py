"""Versions out of the registry: the stream says what `predict` says, and a bad version is refused."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import pytest

from models.base import History
from models.detecting import StandsOut
from models.registry import Registry
from models.scoring import predict
from models.training import train
from prevenant.domain import Reading
from prevenant.errors import PrevenantError
from prevenant.model_switch import ModelSwitch
from prevenant.model_voices import RegistryVoices, describe_models
from prevenant.scoring_voices import say_unusual
from prevenant.store import Store
from prevenant.stream.predicting import Predictions
from prevenant.stream.speaker import Speaker
from prevenant.stream.voices import Scoring, Voice
from prevenant.tables import ModelState
from prevenant.target import ANOMALY, CYCLES, FAILURE, SECONDS, Target
from rules.models import BookModel
from rules.rule import RuleBook
from tests.trained import FAILS, FAN, SOON, WEARS, fans, readings_of, train_on_fans

_AT = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    found = Registry(tmp_path / "models")
    found.save(train_on_fans())
    return found


def voice_of(registry: Registry, model: BookModel = WEARS, version: int = 1) -> Voice:
    return RegistryVoices(registry.folder).load(model, version)


def score(
    scorer: Scoring, readings: Sequence[Reading], at_once: int
) -> dict[tuple[str, float], float]:
    found = {}
    for begin in range(0, len(readings), at_once):
        batch = readings[begin : begin + at_once]
        for one, said in zip(batch, scorer.score(batch), strict=True):
            if said is not None:
                found[one.device_id.removeprefix("s/"), one.observed_at] = said.value
    return found


@pytest.mark.parametrize("at_once", [1, 7, 500])
def test_the_stream_says_what_predict_says_of_every_row(registry: Registry, at_once: int) -> None:
    history = fans(4, seed=9)
    live = score(voice_of(registry).make_scorer(), readings_of(history), at_once)
    expected = predict(train_on_fans(), history)
    rows = zip(expected["device"], expected["at"], expected["prediction"], strict=True)
    assert live == {(device, at): value for device, at, value in rows}


def test_a_restart_in_the_middle_changes_nothing(registry: Registry) -> None:
    voice, readings = voice_of(registry), readings_of(fans(3, seed=5))
    whole, half = voice.make_scorer(), len(readings) // 2
    expected = score(whole, readings, 10)
    first, second = voice.make_scorer(), voice.make_scorer()
    found = score(first, readings[:half], 10)
    second.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(first.snapshot())))
    found |= score(second, readings[half:], 10)
    assert found == expected


def test_it_says_why_in_both_languages_and_names_the_sensor(registry: Registry) -> None:
    speaker = Speaker(replace(WEARS, units={"amps": "ampere"}), FAN)
    speaker.take(voice_of(registry), 0.0)
    readings = [one for one in readings_of(fans(1, seed=3)) if one.device_id == "s/f0"]
    for one in readings:
        speaker.say([one], one.received_at)
    first, *_ = speaker.explain("s/f0")
    assert first.sensor == "amps"
    assert set(first.words) == {"en", "fr"}
    assert all(words.strip() for words in first.words.values())
    assert speaker.explain("s/unheard") == ()


def test_what_fails_now_does_so_whatever_readings_are_counted_in(registry: Registry) -> None:
    """A book cannot say it: `failure now` names no unit."""
    registry.save(train_on_fans(Target(FAILURE, CYCLES)))
    assert voice_of(registry, replace(FAILS, unit=SECONDS, horizon=0.0))
    with pytest.raises(PrevenantError, match="predicts something else"):
        voice_of(registry, replace(FAILS, unit=SECONDS, horizon=15.0))


def test_a_version_that_predicts_something_else_is_refused(registry: Registry) -> None:
    with pytest.raises(PrevenantError, match="predicts something else than the rule book asks"):
        voice_of(registry, replace(FAILS, name="wears"))


def test_a_version_that_hears_what_no_device_sends_any_more_is_refused(registry: Registry) -> None:
    with pytest.raises(PrevenantError, match="has learned from rpm, which no fan sends"):
        voice_of(registry, replace(WEARS, sent=("amps",)))


def test_a_chance_of_failure_speaks_too(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "models")
    registry.save(train_on_fans(SOON))
    readings = readings_of(fans(2, seed=4))
    said = score(voice_of(registry, FAILS).make_scorer(), readings, 50)
    assert all(0.0 <= value <= 1.0 for value in said.values())
    assert said["f0", 5.0] < 0.3 < max(said.values())


def test_a_detector_needs_no_training_and_names_what_stands_out(tmp_path: Path) -> None:
    model = BookModel("strange", "fan", "anomaly", numbers=("amps", "rpm"))
    voices = RegistryVoices(tmp_path / "models")
    assert voices.wanted(model) == (1, 0)
    speaker = Speaker(model, FAN)
    speaker.take(voices.load(model, 1), 0.0)
    noise = np.random.default_rng(2)
    like = readings_of(fans(1))[0]
    readings = [
        replace_values(like, at=60.0 * n, amps=noise.normal(2, 0.1), rpm=noise.normal(900, 5))
        for n in range(600)
    ]
    calm = [speaker.say([one], one.received_at)[0][0] for one in readings]
    assert all(value is not None and 0.0 <= value <= 1.0 for value in calm)
    assert np.mean([value >= 0.5 for value in calm if value is not None]) < 0.02
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(speaker.snapshot()))
    odd = replace_values(readings[-1], at=36_000.0, amps=60.0)
    (said,) = speaker.say([odd], odd.received_at)
    assert said[0] is not None
    assert said[0] >= 0.5
    (why,) = speaker.explain("s/f0")
    assert why.sensor == "amps"
    assert "60" in why.words["fr"]
    other = Speaker(model, FAN)
    other.restore(kept, lambda number, _: voices.load(model, number), 0.0)
    assert other.say([odd], odd.received_at) == [said]


def test_a_trained_detector_says_what_predict_says_and_outlives_a_restart(tmp_path: Path) -> None:
    history = fans(3)
    history = History(history.rows, history.failures, SECONDS)
    trained = train(history, name="strange", target=Target(ANOMALY))
    registry = Registry(tmp_path / "models")
    registry.save(trained)
    model = BookModel("strange", "fan", "anomaly", sent=("amps", "rpm"))
    voice, readings = voice_of(registry, model), readings_of(history)
    first, second, half = voice.make_scorer(), voice.make_scorer(), len(readings) // 2
    found = score(first, readings[:half], 10)
    second.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(first.snapshot())))
    found |= score(second, readings[half:], 10)
    expected = predict(trained, history)
    rows = zip(expected["device"], expected["at"], expected["prediction"], strict=True)
    assert found == {(device, at): value for device, at, value in rows}


def test_a_detector_takes_arithmetic_over_fields(tmp_path: Path) -> None:
    model = BookModel("strange", "fan", "anomaly", features=("amps * rpm", "rpm"))
    scorer = RegistryVoices(tmp_path).load(model, 1).make_scorer()
    said = scorer.score(readings_of(fans(2)))
    assert all(one is not None for one in said)


def replace_values(reading: Reading, at: float, **values: float) -> Reading:
    return msgspec.structs.replace(
        reading,
        observed_at=at,
        received_at=at,
        values=msgspec.structs.replace(reading.values, **values),
    )


class Given:
    """What the switch gives a host."""

    def __init__(self) -> None:
        self.made: list[tuple[str, int, bool]] = []

    def __call__(self, model: str, voice: Voice | None, *, is_shadow: bool = False) -> None:
        self.made.append((model, voice.version if voice else 0, is_shadow))


def book_of(model: BookModel) -> RuleBook:
    on = replace(FAN, predicted=model.fields)
    return RuleBook({"fan": on}, {}, models={model.name: model})


def test_the_switch_follows_the_registry_and_keeps_what_works(
    registry: Registry, store: Store
) -> None:
    with store.write() as session:
        session.add(ModelState(name="wears", device_type="fan", state="none", since=_AT))
    host = Given()
    switch = ModelSwitch(store, RegistryVoices(registry.folder), book_of(WEARS))
    switch.begin(dict, host)
    assert host.made == [("wears", 1, False)]
    switch._look(host)
    registry.save(train_on_fans(seed=1))
    registry.shadow("wears", 2)
    switch._look(host)
    assert host.made[1:] == [("wears", 2, True)]
    registry.activate("wears", 2)
    switch._look(host)
    assert host.made[2:] == [("wears", 2, False), ("wears", 0, True)]
    registry.rollback("wears")
    switch._look(host)
    assert host.made[4:] == [("wears", 1, False)]
    registry.save(train_on_fans(seed=2))
    registry.activate("wears", 3)
    (registry.folder / "wears" / "v3" / "estimator.skops").write_bytes(b"no model")
    switch._look(host)
    assert host.made[5:] == [], "the version before goes on"
    assert "is damaged" in refused(store)
    assert refused(store).endswith("version 1 goes on")
    registry.rollback("wears")
    switch._look(host)
    assert (host.made[5:], refused(store)) == ([], "")
    switch.change_book(book_of(replace(WEARS, version=2)))
    switch._look(host)
    assert host.made[5:] == [("wears", 2, False)], "the book pins it"
    (registry.folder / "wears" / "v2" / "card.json").write_bytes(b"{}")
    switch._look(host)
    assert host.made[6:] == [("wears", 0, False)], "the very one that speaks is damaged"


def refused(store: Store) -> str:
    with store.read() as session:
        return session.get_one(ModelState, 1).refused


def test_rules_check_says_for_what_models_speak(registry: Registry, tmp_path: Path) -> None:
    (line,) = describe_models(book_of(WEARS), RegistryVoices(registry.folder))
    assert line == (
        "model wears speaks for fan (wears.remaining_life, wears.low, wears.high): version 1"
    )
    (line,) = describe_models(book_of(WEARS), RegistryVoices(tmp_path / "none"))
    assert "it has no version yet, so these are unknown: train it with" in line
    (registry.folder / "wears" / "v1" / "card.json").unlink()
    (line,) = describe_models(book_of(WEARS), RegistryVoices(registry.folder))
    assert "card.json is missing" in line


def test_readings_of_other_types_are_left_as_they_are() -> None:
    predictions = Predictions(book_of(WEARS))
    readings = [Reading("door", "s", "s/d", 1.0, 1.0, None)]
    assert predictions.join(readings, 1.0) is readings


def test_what_stands_out_is_said_with_numbers_as_each_language_writes_them() -> None:
    said = say_unusual(StandsOut("temperature", 31.25, 20.5, 22.0))
    assert said["en"] == "temperature is unusual: 31.25, where 20.5 to 22 was to be expected"
    assert said["fr"] == "temperature est inhabituel : 31,25, au lieu de 20,5 à 22"
