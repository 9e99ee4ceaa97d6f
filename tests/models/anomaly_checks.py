"""What every detector without labels has to keep, whatever it looks at: one function a promise.

A check takes a way to make a fresh detector and whose readings to give it.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from models.anomaly import Anomaly, Detector

Make = Callable[[], Detector]
Readings = Sequence[tuple[float, Mapping[str, float | None]]]
Check = Callable[[Make, Readings], None]
_STEP = 300.0
_START = 1_700_000_000.0


def make_readings(fields: Sequence[str], rows: int = 900, seed: int = 1) -> Readings:
    """Make a device's day and more, with a step, a spike, a stuck sensor, gaps and missing values."""
    chance = np.random.default_rng(seed)
    values = 20 + 4 * np.sin(2 * np.pi * np.arange(rows) / 288)[:, None]
    values = values + chance.normal(0, 1, (rows, len(fields)))
    values[500:540] += 9
    values[700] += 25
    values[760:800] = values[760]
    at = _START + _STEP * np.arange(rows) + np.where(np.arange(rows) > 600, 40_000.0, 0.0)
    missing = chance.random((rows, len(fields))) < 0.02
    return [
        (
            float(when),
            {
                name: None if gone else float(value)
                for name, value, gone in zip(fields, row, holes, strict=True)
            },
        )
        for when, row, holes in zip(at, values, missing, strict=True)
    ]


def run(detector: Detector, readings: Readings, device: str = "d1") -> list[Anomaly]:
    """Score readings of one device in order."""
    return [detector.score(device, at, values) for at, values in readings]


def check_scores_are_shares(make: Make, readings: Readings) -> None:
    said = run(make(), readings)
    assert any(one.score > 0 for one in said)
    for one in said:
        assert 0 <= one.score <= 1
        assert all(0 <= score <= 1 for score in one.scores)
        if one.low is not None and one.high is not None and one.expected is not None:
            assert one.low <= one.expected <= one.high


def check_same_readings_same_scores(make: Make, readings: Readings) -> None:
    assert run(make(), readings) == run(make(), readings)


def check_no_look_ahead(make: Make, readings: Readings) -> None:
    whole = run(make(), readings)
    for length in (1, 41, 502, 703, len(readings) - 1):
        assert run(make(), readings[:length]) == whole[:length]


def check_unit_and_zero_do_not_matter(make: Make, readings: Readings) -> None:
    plain = run(make(), readings)
    for factor, offset in ((1.8, 32.0), (-1.0, 0.0), (1e4, -5e5), (1e-3, 0.0)):
        other: Readings = [
            (at, {name: None if v is None else factor * v + offset for name, v in values.items()})
            for at, values in readings
        ]
        scores = [one.score for one in run(make(), other)]
        np.testing.assert_allclose(scores, [one.score for one in plain], atol=1e-5)


def check_snapshot_at_every_point(make: Make, readings: Readings) -> None:
    whole = run(make(), readings)
    detector = make()
    for i, (at, values) in enumerate(readings):
        if i % 7 == 0 or 495 < i < 510:
            state = msgspec.msgpack.decode(msgspec.msgpack.encode(detector.snapshot()))
            detector = make()
            detector.restore(state)
        assert detector.score("d1", at, values) == whole[i]


def check_snapshot_keeps_to_plain_values(make: Make, readings: Readings) -> None:
    detector = make()
    run(detector, readings)

    def walk(value: object) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                assert isinstance(key, str)
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)
        else:
            assert value is None or isinstance(value, (bool, int, float, str))

    walk(detector.snapshot())


def check_snapshot_is_a_copy(make: Make, readings: Readings) -> None:
    detector = make()
    run(detector, readings[:600])
    state = detector.snapshot()
    before = msgspec.msgpack.encode(state)
    run(detector, readings[600:])
    assert msgspec.msgpack.encode(state) == before


def check_memory_is_constant(make: Make, readings: Readings) -> None:
    fields = list(readings[0][1])
    detector, chance, sizes = make(), random.Random(3), []
    for i in range(25_000):
        detector.score("d1", _START + 900 * i, {name: chance.paretovariate(1.5) for name in fields})
        if i in {12_000, 24_999}:
            sizes.append(len(msgspec.msgpack.encode(detector.snapshot())))
    assert sizes[1] < 1.1 * sizes[0]
    assert sizes[1] < 16_000 * len(fields)


def check_devices_are_apart(make: Make, readings: Readings) -> None:
    alone = run(make(), readings)
    detector = make()
    other = make_readings(list(readings[0][1]), seed=9)
    for (at, values), (_, others), expected in zip(readings, other, alone, strict=True):
        detector.score("d2", at, others)
        assert detector.score("d1", at, values) == expected


def check_late_and_repeated_change_nothing(make: Make, readings: Readings) -> None:
    whole = run(make(), readings)
    detector = make()
    for i, (at, values) in enumerate(readings):
        assert detector.score("d1", at, values) == whole[i]
        assert detector.score("d1", at, values) == whole[i]
        assert detector.score("d1", at - 1000.0, dict.fromkeys(values, 1e9)) == whole[i]


def check_missing_says_nothing(make: Make, readings: Readings) -> None:
    fields = list(readings[0][1])
    detector = make()
    for i, (at, values) in enumerate(readings):
        detector.score("d1", at, values)
        for gone in (None, float("nan"), float("inf")):
            said = detector.score("d1", at + 0.1 + i / 1e6, dict.fromkeys(fields, gone))
            assert said.score == 0
        assert detector.score("d1", at + 0.2 + i / 1e6, {}).score == 0


def check_constant_is_silent(make: Make, readings: Readings) -> None:
    fields = list(readings[0][1])
    for value in (0.0, 20.5, -1e9, 0.1):
        still = run(make(), [(at, dict.fromkeys(fields, value)) for at, _ in readings])
        assert not any(one.score for one in still)


def check_first_values_are_not_judged(make: Make, readings: Readings) -> None:
    assert not any(one.score for one in run(make(), readings[:30]))


CHECKS: list[Check] = [
    check_scores_are_shares,
    check_same_readings_same_scores,
    check_no_look_ahead,
    check_unit_and_zero_do_not_matter,
    check_snapshot_at_every_point,
    check_snapshot_keeps_to_plain_values,
    check_snapshot_is_a_copy,
    check_memory_is_constant,
    check_devices_are_apart,
    check_late_and_repeated_change_nothing,
    check_missing_says_nothing,
    check_constant_is_silent,
    check_first_values_are_not_judged,
]
NAB_FILES = Path(__file__).parents[2] / "../shared/data/nab"
