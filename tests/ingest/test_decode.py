from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.clock_skew import observed_at, stamp_seconds
from ingest.decode import Decoder
from ingest.mqtt import RETAINED
from ingest.topics import TopicPattern, Topics
from prevenant.domain import DeviceType, FieldType

NOW = 1_800_000_000.0
DOOR = DeviceType(
    "door",
    "airport/{site}/doors/{device}",
    (
        FieldType("open", bool),
        FieldType("badge", str, None, optional=True),
        FieldType("battery", float),
    ),
)
SENSOR = DeviceType("sensor", "plain/+/{device}", (FieldType("value", float),), time_field="value")


def read(payload: bytes, topic: bytes = b"airport/t2/doors/D1", flags: int = 0) -> Any:
    decoded = Decoder([DOOR, SENSOR]).decode_batch([(topic, payload, flags)], NOW)
    return decoded.readings[0] if decoded.readings else decoded.rejected[0]


def test_a_reading_carries_its_device_its_site_and_its_fields() -> None:
    reading = read(b'{"open": true, "battery": 71, "unknown": {"deep": [1]}}')
    assert (reading.type, reading.site_id, reading.device_id) == ("door", "t2", "t2/D1")
    assert (reading.values.open, reading.values.badge, reading.values.battery) == (True, None, 71.0)
    assert (reading.observed_at, reading.received_at) == (NOW, NOW)


def test_a_device_without_a_site_has_its_own_name() -> None:
    assert read(b'{"value": 5}', b"plain/x/s1").device_id == "s1"


@pytest.mark.parametrize(
    ("stamp", "seconds"),
    [
        ("1800000000", NOW),
        ("1800000000.25", NOW + 0.25),
        ("1800000000250", NOW + 0.25),
        ("1800000000250000", NOW + 0.25),
        ("1800000000250000000", NOW + 0.25),
        ('"2027-01-15T08:00:00Z"', NOW),
        ('"2027-01-15T09:00:00+01:00"', NOW),
        ('"2027-01-15T08:00:00"', NOW),
    ],
)
def test_a_sane_time_of_the_device_counts(stamp: str, seconds: float) -> None:
    reading = read(b'{"open": true, "observed_at": %s}' % stamp.encode())
    assert reading.observed_at == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize(
    "stamp", ['"yesterday"', "0", "-5", str(NOW + 61), str(NOW - 86_401), '""', "null"]
)
def test_a_time_that_is_not_sane_gives_way_to_the_arrival(stamp: str) -> None:
    assert read(b'{"open": true, "observed_at": %s}' % stamp.encode()).observed_at == NOW


def test_a_retained_reading_is_marked_unless_it_has_a_time_of_its_own() -> None:
    assert read(b'{"open": true}', flags=RETAINED).retained
    timed = read(b'{"open": true, "observed_at": 1799999990}', flags=RETAINED)
    assert not timed.retained


@pytest.mark.parametrize(
    "topic",
    [b"airport/t2/doors/" + b"x" * 201, b"airport/t\x00/doors/D1", b"airport/t2/doors/D\n1"],
    ids=["long", "NUL", "line break"],
)
def test_a_topic_that_no_database_can_keep_is_refused(topic: bytes) -> None:
    assert "cannot name a" in read(b'{"open": true}', topic).reason


def test_a_topic_that_is_endless_is_refused_and_not_remembered() -> None:
    pump = DeviceType("pump", "spBv1.0/{site}/+/+/{device}", DOOR.fields, format="sparkplug")
    decoder = Decoder([DOOR, pump])
    frames = [(b"spBv1.0/s/DDATA/n/" + b"x" * 60_000, b"", 0), (b"airport/" * 8_000, b"", 0)]
    decoded = decoder.decode_batch(frames, NOW)
    assert ["more than 1000" in one.reason for one in decoded.rejected] == [True, True]
    assert len(decoder._slow) + len(decoder._sources) == 0


def test_a_text_that_no_database_can_keep_is_refused_and_elsewhere_it_harms_nobody() -> None:
    refused = read(rb'{"open": true, "badge": "7\u0000"}')
    assert refused.reason == "badge: a text with a NUL character, which no database keeps"
    assert read(rb'{"open": true, "other": "7\u0000"}').values.open is True
    assert read(rb'{"open": true, "badge": "7\\u0000"}').values.badge == "7\\u0000"


@given(st.binary(max_size=400), st.binary(max_size=60))
def test_no_bytes_make_the_decoder_fail(payload: bytes, topic: bytes) -> None:
    frames = [(topic, payload, 0), (b"airport/t/doors/d", payload, 0)]
    decoded = Decoder([DOOR]).decode_batch(frames, NOW)
    assert len(decoded.readings) + len(decoded.rejected) == 2
    assert all(one.reason for one in decoded.rejected)


@given(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.none()))
)
def test_no_stamp_makes_the_clock_fail(stamp: Any) -> None:
    at, _ = observed_at(stamp, NOW, DOOR)
    assert NOW - DOOR.max_late_s <= at <= NOW + DOOR.max_skew_s
    assert stamp_seconds(stamp) is None or isinstance(stamp_seconds(stamp), float)


def test_subscriptions_cover_the_neighbourhood_of_the_patterns() -> None:
    others = [
        DeviceType("b", "airport/{site}/badges/{device}", ()),
        DeviceType("c", "{site}/fridges/{device}", ()),
    ]
    assert Topics([DOOR, *others]).subscriptions == ["airport/#", "+/fridges/+"]


@pytest.mark.parametrize(
    ("first", "second", "overlap"),
    [
        ("a/{site}/b/{device}", "a/{site}/c/{device}", False),
        ("a/{site}/{device}", "a/x/{device}", True),
        ("a/{device}", "a/{device}/b", False),
        ("+/{device}", "a/{device}", True),
    ],
)
def test_patterns_know_whether_they_overlap(first: str, second: str, overlap: bool) -> None:
    one, other = TopicPattern(first), TopicPattern(second)
    assert one.overlaps(other) is overlap
    assert other.overlaps(one) is overlap
