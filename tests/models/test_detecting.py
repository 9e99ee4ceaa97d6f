"""A detector that scores readings: its axis, how often it looks, why it says so, and what it remembers."""

import math

import msgspec
import pytest

from models.detecting import DetectorScorer
from models.features import Input, listen_to
from prevenant.domain import DeviceType, FieldType, Reading
from prevenant.target import CYCLES, SECONDS

FIELDS = (FieldType("amps", float), FieldType("volts", float), FieldType("cycle", float))
VALUES = DeviceType("pump", "a/{site}/{device}", FIELDS).values_type
POWER = listen_to([Input("amps"), Input("amps * volts")])


def reading(at: float, amps: float = 2.0, cycle: float | None = None) -> Reading:
    return Reading("pump", "a", "a/1", at, at, VALUES(amps, 230.0, cycle))


def wave(count: int) -> list[Reading]:
    """Return a current that swings a little, and jumps at its end."""
    return [
        *(reading(60.0 * n, 2.0 + 0.1 * math.sin(n)) for n in range(count)),
        reading(60.0 * count, 40.0),
    ]


def test_what_stands_out_is_named_with_its_value_and_what_was_expected() -> None:
    scorer = DetectorScorer(POWER)
    *_, last = scorer.score(wave(400))
    assert last is not None
    assert last.value > 0.9
    found = scorer.stands_out("a/1")
    assert found is not None
    assert found.name in {"amps", "amps * volts"}
    assert not found.low <= found.value <= found.high


def test_it_looks_no_more_often_than_is_said_in_seconds_whatever_its_axis() -> None:
    for unit in (SECONDS, CYCLES):
        scorer = DetectorScorer(POWER, unit, score_every=600.0)
        said = scorer.score([reading(60.0 * n, cycle=float(n + 1)) for n in range(31)])
        assert len({one.at for one in said if one}) == 4


def test_a_reading_says_itself_of_which_cycle_it_is() -> None:
    scorer = DetectorScorer(POWER, CYCLES)
    first, second, late = scorer.score(
        [reading(0.0, cycle=7.0), reading(60.0, cycle=9.0), reading(120.0, cycle=8.0)]
    )
    assert first is not None
    assert second is not None
    assert (first.at, second.at) == (7.0, 9.0)
    assert late == second
    (counted,) = scorer.score([reading(180.0)])
    assert counted is not None
    assert counted.at == 10.0


def test_it_goes_on_from_what_was_kept() -> None:
    readings = wave(300)
    whole = DetectorScorer(POWER).score(readings)
    first, second = DetectorScorer(POWER), DetectorScorer(POWER)
    first.score(readings[:123])
    second.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(first.snapshot())))
    assert second.stands_out("a/1") == first.stands_out("a/1")
    assert second.score(readings[123:]) == whole[123:]


def test_it_takes_over_nothing_of_other_channels() -> None:
    first, second = DetectorScorer(POWER), DetectorScorer(listen_to([Input("volts")]))
    first.score(wave(3))
    with pytest.raises(ValueError, match="and not of"):
        second.restore(first.snapshot())
    assert second.last("a/1") is None


def test_a_missing_value_stands_out_of_nothing() -> None:
    scorer = DetectorScorer(POWER)
    scorer.score(wave(200))
    scorer.score([reading(60.0 * 500, math.nan)])
    assert scorer.stands_out("a/1") is None
