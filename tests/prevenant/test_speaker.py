"""A model that cannot be believed says nothing from that batch on, and is back once it can be."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from models.drift import SCORE
from prevenant.domain import DeviceType, FieldType, Reading
from prevenant.stream.pace import SHARE, Pace
from prevenant.stream.speaker import BROKEN, DRIFTING, NONE, SLOW, SPEAKING, STALE, Speaker
from prevenant.target import CYCLES, SECONDS
from rules.models import BookModel
from tests.voices import FakeScorer, FakeVoice

MODEL = BookModel(
    "worn", "fridge", "remaining_life", shown_unit="hour", shown_scale=3600.0, score_every_s=600.0
)
FRIDGE = DeviceType(
    "fridge",
    "a/{site}/{device}",
    (FieldType("amps", float), FieldType("mode", str)),
    predicted=MODEL.fields,
)
UNKNOWN = (None, None, None)


def reading(at: float, amps: float | None = 1.0, device: str = "f", **more: Any) -> Reading:
    values = FRIDGE.payload_type(amps=amps)
    return Reading("fridge", "s", f"s/{device}", at, more.pop("received", at), values, **more)


def make(model: BookModel = MODEL, **voice: Any) -> tuple[Speaker, FakeVoice]:
    speaker, found = Speaker(model, FRIDGE), FakeVoice(model, **voice)
    speaker.take(found, 0.0)
    return speaker, found


class Short(FakeScorer):
    """Says one thing less than it is asked."""

    def score(self, readings: Sequence[Reading]) -> list[Any]:
        return list(super().score(readings))[1:]


def test_without_a_version_it_says_nothing_and_that_is_no_fault() -> None:
    speaker = Speaker(MODEL, FRIDGE)
    assert speaker.say([reading(1.0)], 1.0) == [UNKNOWN]
    assert speaker.health.state == NONE


def test_it_says_its_prediction_in_the_unit_of_the_book() -> None:
    speaker, _ = make()
    assert speaker.say([reading(1.0, 7200.0)], 1.0) == [(2.0, 7199 / 3600, 7201 / 3600)]
    assert speaker.health.state == SPEAKING


def test_a_batch_is_scored_at_once() -> None:
    speaker, _ = make()
    speaker.say([reading(1.0, device=f"f{n}") for n in range(50)], 1.0)
    assert isinstance(speaker._scorer, FakeScorer)
    assert speaker._scorer.batches == [50]


def test_one_that_raises_is_out_at_once_begins_anew_and_is_back() -> None:
    def fail(one: Reading, total: float) -> float:
        if one.values.amps == 13.0:
            message = "unlucky"
            raise ValueError(message)
        return total

    speaker, _ = make(formula=fail)
    speaker.say([reading(1.0, 5.0)], 1.0)
    assert speaker.say([reading(2.0, 13.0), reading(2.0, 1.0, "g")], 2.0) == [UNKNOWN] * 2
    assert speaker.health.state == BROKEN
    assert speaker.health.reason == "it has failed: ValueError: unlucky"
    assert speaker.say([reading(10.0)], 10.0) == [UNKNOWN]
    assert speaker.say([reading(62.0, 3.0)], 62.0)[0][0] == 3.0 / 3600, "it begins anew"
    assert speaker.health.state == BROKEN, "it is watched for a while"
    speaker.say([reading(301.9)], 301.9)
    assert speaker.health.state == BROKEN
    speaker.say([reading(302.0)], 302.0)
    assert speaker.health == (SPEAKING, "", 302.0)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_unknown_and_said(number: float) -> None:
    speaker, _ = make(formula=lambda one, total: number if one.values.amps == 13.0 else total)
    said = speaker.say([reading(1.0, 13.0), reading(1.0, 3.0, "g")], 1.0)
    assert said[0] == UNKNOWN
    assert said[1][0] == 3.0 / 3600
    assert speaker.health[:2] == (BROKEN, "what it says is no number")
    speaker.say([reading(302.0)], 302.0)
    assert speaker.health.state == SPEAKING


def test_one_that_returns_too_few_is_broken() -> None:
    speaker, voice = make()
    speaker._scorer = Short(voice)
    assert speaker.say([reading(1.0), reading(2.0)], 2.0) == [UNKNOWN] * 2
    assert "1 predictions for 2 readings" in speaker.health.reason


def test_one_that_is_too_old_is_stale() -> None:
    speaker, _ = make(replace(MODEL, max_age_s=100.0), trained_at=1000.0)
    assert speaker.say([reading(1100.0)], 1100.0) != [UNKNOWN]
    assert speaker.say([reading(1100.5)], 1100.5) == [UNKNOWN]
    assert speaker.health[:2] == (STALE, "it was trained more than 1m40s ago")


def test_one_that_hears_what_it_was_not_trained_on_is_out_until_it_does_again() -> None:
    noise = np.random.default_rng(4)
    reference = {"amps": np.quantile(noise.normal(5, 1, 5_000), np.linspace(0, 1, 101)).tolist()}
    speaker, _ = make(reference=reference, formula=lambda _one, _total: 1.0)

    def live(mean: float, seconds: int, begin: int) -> None:
        for second in range(begin, begin + seconds):
            speaker.say([reading(second, noise.normal(mean, 1))], second)

    live(5, 3_000, 0)
    assert speaker.health.state == SPEAKING
    live(12, 4_000, 3_000)
    assert speaker.health.state == DRIFTING
    assert speaker.health.reason == "amps lies outside of everything that was seen in training"
    assert speaker.say([reading(7_000, 12.0)], 7_000) == [UNKNOWN]
    assert speaker.findings()[0].name == "amps"
    live(5, 12_000, 7_001)
    assert speaker.health.state == SPEAKING


def test_its_own_words_are_watched_too() -> None:
    steps = np.linspace(0, 1, 101)
    speaker, _ = make(reference={SCORE: (1e6 * steps).tolist()}, formula=lambda _o, _t: 9e6)
    for second in range(700):
        speaker.say([reading(float(second))], float(second))
    assert speaker.health.state == DRIFTING
    assert speaker.health.reason.startswith("what it says lies outside")


def test_a_kept_message_is_not_taken_in_twice() -> None:
    speaker, _ = make()
    speaker.say([reading(1.0, 100.0)], 1.0)
    assert speaker.say([reading(5.0, 100.0, retained=True)], 5.0) == [UNKNOWN]
    assert speaker.say([reading(6.0, 1.0)], 6.0)[0][0] == 101.0 / 3600


def test_between_two_scorings_the_last_word_stays_but_not_for_ever() -> None:
    class Sleepy(FakeScorer):
        """Never scores a device again."""

        def _score(self, one: Reading) -> Any:
            return self._latest.get(one.device_id) or super()._score(one)

    speaker, voice = make()
    speaker._scorer = Sleepy(voice)
    (first,) = speaker.say([reading(1.0, 10.0)], 1.0)
    assert speaker.say([reading(1_800.0)], 1_800.0) == [first]
    assert speaker.say([reading(1_802.0)], 1_802.0) == [UNKNOWN], "three times score_every"


def test_what_it_knows_outlives_a_restart() -> None:
    speaker, voice = make(cost_s=0.1)
    for second in range(30):
        speaker.say([reading(float(second), device=f"f{n}") for n in range(9)], float(second))
    other = Speaker(MODEL, FRIDGE)
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(speaker.snapshot()))
    other.restore(kept, lambda number, fingerprint: {(1, "v1"): voice}[number, fingerprint], 30.0)
    assert other.snapshot() == speaker.snapshot()
    batch = [reading(30.0, device=f"f{n}") for n in range(9)]
    assert other.say(batch, 30.0) == speaker.say(batch, 30.0)


def test_a_shadow_is_compared_and_never_heard() -> None:
    speaker, _ = make()
    speaker.try_beside(FakeVoice(MODEL, 2, formula=lambda _one, total: total + 7200.0))
    assert speaker.say([reading(1.0, 3600.0)], 1.0)[0][0] == 1.0
    speaker.say([reading(2.0, 3600.0)], 2.0)
    (one,) = speaker.compared.values()
    assert (one.value, one.shadow, one.count, one.difference) == (2.0, 4.0, 2, 4.0)
    assert speaker.shadow_version == (2, "v2")


def test_a_shadow_that_fails_concerns_nobody() -> None:
    def fail(_one: Reading, _total: float) -> float:
        raise RuntimeError

    speaker, _ = make()
    speaker.try_beside(FakeVoice(MODEL, 2, formula=fail))
    assert speaker.say([reading(1.0, 3600.0)], 1.0)[0][0] == 1.0
    assert speaker.health.state == SPEAKING


class Unwilling(FakeVoice):
    """Begins so many times, and never again."""

    begins = 0

    def make_scorer(self) -> FakeScorer:
        if self.begins <= 0:
            message = "its file is gone"
            raise RuntimeError(message)
        self.begins -= 1
        return super().make_scorer()


def unwilling(begins: int, version: int = 1, **more: Any) -> Unwilling:
    voice = Unwilling(MODEL, version, **more)
    voice.begins = begins
    return voice


def test_one_that_cannot_begin_is_broken_and_stops_nobody() -> None:
    speaker = Speaker(MODEL, FRIDGE)
    speaker.take(unwilling(0), 0.0)
    assert speaker.health[:2] == (BROKEN, "it has failed: RuntimeError: its file is gone")
    for at in (1.0, 61.0, 200.0):
        assert speaker.say([reading(at)], at) == [UNKNOWN]
    assert speaker.health.state == BROKEN


def test_one_that_cannot_begin_anew_after_an_error_stays_broken() -> None:
    def fail(_one: Reading, _total: float) -> float:
        raise ArithmeticError

    speaker = Speaker(MODEL, FRIDGE)
    speaker.take(unwilling(1, formula=fail), 0.0)
    for at in (1.0, 100.0, 500.0):
        assert speaker.say([reading(at)], at) == [UNKNOWN]
        assert speaker.health.state == BROKEN


def test_what_was_remembered_and_fits_no_more_is_begun_anew() -> None:
    speaker, voice = make()
    speaker.say([reading(1.0)], 1.0)
    kept = {**speaker.snapshot(), "scorer": {"of": "another release"}}
    other = Speaker(MODEL, FRIDGE)
    other.restore(kept, lambda _number, _fingerprint: voice, 1.0)
    assert other.say([reading(2.0)], 2.0) == [UNKNOWN]
    assert other.health.state == BROKEN
    assert other.say([reading(70.0, 3.0)], 70.0)[0][0] == 3.0 / 3600


@pytest.mark.parametrize("fault", ["begins not", "says too little", "remembers otherwise"])
def test_whatever_a_shadow_does_wrong_concerns_nobody(fault: str) -> None:
    speaker, voice = make()
    tried = unwilling(0 if fault == "begins not" else 9, 2)
    speaker.try_beside(tried)
    if fault == "says too little" and speaker._shadow is not None:
        speaker._shadow.scorer = Short(tried)
    kept = speaker.snapshot()
    if fault == "remembers otherwise":
        kept["shadow"] = (kept["shadow"][0], {"of": "another release"})
    other = Speaker(MODEL, FRIDGE)
    other.restore(kept, lambda number, _fingerprint: {1: voice, 2: tried}[number], 0.0)
    for one in (speaker, other):
        assert one.say([reading(1.0, 3600.0)], 1.0)[0][0] == 1.0
        assert one.health.state == SPEAKING
        assert one.shadow_version == (2, "v2")
        assert one.snapshot()["shadow"] is not None


def drive(
    cost_s: float,
    devices: int,
    seconds: int,
    score_every_s: float = 600.0,
    unit: str = SECONDS,
    step: int = 1,
) -> tuple[Speaker, FakeVoice]:
    model = replace(MODEL, score_every_s=score_every_s, unit=unit)
    speaker, voice = make(model, cost_s=cost_s)
    for second in range(0, seconds, step):
        batch = [reading(float(second), device=f"f{n}") for n in range(devices)]
        speaker.say(batch, float(second))
    return speaker, voice


def test_a_model_that_keeps_up_scores_every_reading() -> None:
    speaker, voice = drive(cost_s=0.0001, devices=20, seconds=60)
    assert voice.scored == 20 * 60
    assert speaker.health.state == SPEAKING


@pytest.mark.parametrize("unit", [SECONDS, CYCLES])
@pytest.mark.parametrize("step", [1, 4])
def test_a_model_that_does_not_keeps_its_share_and_every_device_gets_its_turn(
    unit: str, step: int
) -> None:
    speaker, voice = drive(cost_s=0.1, devices=20, seconds=300, unit=unit, step=step)
    spent = voice.scored * 0.1 / 300
    assert spent <= SHARE * 1.2, "the stream is not held up"
    assert voice.scored >= 20 * 30, "and the share is used"
    assert speaker.health.state == SPEAKING


def test_however_slow_each_device_is_scored_once_in_score_every_and_somebody_is_told() -> None:
    speaker, voice = drive(cost_s=5.0, devices=20, seconds=120, score_every_s=30.0)
    assert voice.scored >= 20 * 4
    assert speaker.health.state == SLOW
    assert speaker.say([reading(121.0, device="f1")], 121.0) != [UNKNOWN]


def test_the_pace_follows_from_arrivals_alone_and_outlives_a_restart() -> None:
    first, second = Pace(0.01, 600.0), Pace(0.01, 600.0)
    rates: Callable[[int], int] = lambda second: 100 if 20 <= second < 40 else 1  # noqa: E731
    intervals = [first.interval_s(float(at), rates(at), 50) for at in range(80)]
    assert intervals[10] == 0.0
    assert intervals[39] == pytest.approx(50 * 0.01 / SHARE)
    assert intervals[70] == 0.0
    again = []
    for at in range(80):
        again.append(second.interval_s(float(at), rates(at), 50))
        other = Pace(0.01, 600.0)
        other.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(second.snapshot())))
        second = other
    assert again == intervals


def test_a_model_goes_on_in_the_next_book() -> None:
    speaker, _ = make()
    speaker.say([reading(1.0, 3600.0)], 1.0)
    after: Mapping[str, Any] = {"score_every_s": 5.0}
    other = Speaker(replace(MODEL, **after), FRIDGE)
    other.adopt(speaker)
    assert other.say([reading(2.0, 3600.0)], 2.0)[0][0] == 2.0
