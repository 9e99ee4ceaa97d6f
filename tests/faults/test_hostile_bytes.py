"""Hostile bytes at every decoder: each frame is accounted for, numbers are finite, memory is bounded."""

import json
import math
import tracemalloc
from types import NoneType

import cbor2
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from ingest.decode import Decoder
from ingest.sparkplug import Payload
from prevenant.book import load_book

NOW = 1_800_000_000.0
BOOK = """
devices:
  plain: {topic: 'json/{device}', fields: {a: celsius, b: string, c: bool}}
  mapped: {topic: 'mapped/{device}', time: m.t, fields: {a: {unit: celsius, from: 'm.x[1]'}, c: bool}}
  packed: {topic: 'msgpack/{device}', format: msgpack, fields: {a: celsius, b: string, c: bool}}
  cbor: {topic: 'cbor/{device}', format: cbor, fields: {a: celsius, b: string, c: bool}}
  number: {topic: 'number/{device}', format: number, fields: {a: celsius}}
  text: {topic: 'text/{device}', format: text, fields: {b: string}}
  csv: {topic: 'csv/{device}', format: csv, time: 4, fields: {a: celsius, b: string, c: bool}}
  many: {topic: many, readings: r, identity: {device: n}, fields: {a: celsius}}
  packed_many: {topic: packed-many, format: cbor, readings: r, identity: {device: n}, fields: {a: celsius}}
  words: {topic: 'words/{device}', format: cbor, fields: {a: {kind: string, enum: {1: one}}}}
  pump: {topic: 'spBv1.0/{site}/+/+/{device}', format: sparkplug, fields: {a: celsius}}
  status: {topic: 'status/{device}', fields: {a: celsius}, status: 'status/{device}/is'}
  said:
    {topic: 'said/{device}', fields: {a: celsius}, status: {topic: 'said/{device}/is', from: a}}
"""
TOPICS = [
    *(f"{name}/1" for name in ("json", "mapped", "msgpack", "cbor", "number", "text", "csv")),
    *(f"spBv1.0/s/{kind}/n/d" for kind in ("DBIRTH", "DDATA", "DDEATH")),
    *(f"spBv1.0/s/{kind}/n" for kind in ("NBIRTH", "NDATA", "NDEATH")),
    "many",
    "packed-many",
    "words/1",
    "status/1/is",
    "said/1/is",
]

SENT = {"a": 21.5, "b": "x", "c": True, "observed_at": NOW, "m": {"x": [1, 2], "t": 5}, "n": "1"}
BIRTH = Payload(timestamp=1, seq=0)
BIRTH.metrics.add(name="a", alias=1, datatype=10, double_value=2.0)
GOOD = [
    json.dumps(SENT).encode(),
    json.dumps({"r": [SENT, SENT]}).encode(),
    msgspec.msgpack.encode(SENT),
    cbor2.dumps(SENT),
    BIRTH.SerializeToString(),
    b"21.5,x,on,1800000000",
    b"21.5",
]
_LARGE = b"\xc2\x59\x08\x00" + b"\xff" * 2_048
"""A number of CBOR with 4,932 digits."""
BOMBS = {
    "msgpack array": b"\xdd\xff\xff\xff\xff",
    "msgpack map": b"\xdf\xff\xff\xff\xff" + b"\xa1a" * 30,
    "msgpack depth": b"\x91" * 60_000,
    "cbor array": b"\x9b\x7f" + b"\xff" * 7,
    "cbor bytes": b"\x5b\x7f" + b"\xff" * 7,
    "cbor depth": b"\x81" * 60_000,
    "cbor big number": b"\xa1\x61a\xc4\x82\x1b" + b"\x7f" * 8 + b"\x01",
    "cbor larger number": b"\xa3\x61a"
    + _LARGE
    + b"\x61n"
    + _LARGE
    + b"\x61r\x81\xa1\x61n"
    + _LARGE,
    "cbor float": b"\xa1\x61a\xc5\x82\x1a\x7f\xff\xff\xff\x01",
    "cbor cycle": b"\xd8\x1c\xa1\x61a\xd8\x1d\x00",
    "json depth": b"[" * 60_000,
    "json objects": b'{"a":' * 10_000,
    "json number": b'{"a": 1' + b"0" * 60_000 + b"}",
    "json stamp": b'{"a": 1, "observed_at": 1' + b"0" * 5_000 + b"}",
    "json large stamp": b'{"a": 1, "observed_at": 1180591620717411303424}',
    "json negative stamp": b'{"a": 1, "observed_at": -1180591620717411303424}',
    "json nested stamp": rb'{"a": 1, "observed_at": {"x": ["\u0000", 1180591620717411303424]}}',
    "json NUL stamp": rb'{"a": 1, "observed_at": "\u0000"}',
    "csv quotes": b'"' * 60_000,
    "csv commas": b"," * 60_000,
    "zero bytes": b"\x00" * 60_000,
    "number": b"9" * 60_000,
    "NUL": rb'{"a": 1, "b": "\u0000"}',
    "no UTF-8": b'{"a": "\xff", "b": "\xff"}',
    "lone surrogate": b'{"a": 1, "b": "\\ud800"}',
    "byte order mark": b'\xef\xbb\xbf{"a": 1}',
}


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    path = tmp_path_factory.mktemp("book") / "rules.yaml"
    path.write_text(BOOK, "utf-8")
    return Decoder(load_book(path).rules.devices.values())


def account(decoder: Decoder, payload: bytes) -> None:
    """Decode `payload` on every topic and check that nothing of it is lost or poisonous."""
    for topic in TOPICS:
        decoded = decoder.decode_batch([(topic.encode(), payload, 0)], NOW)
        said = [*decoded.readings, *decoded.rejected, *decoded.presences]
        assert said or topic.startswith(("spBv1.0", "many", "packed-many")), topic
        assert not any("decoder has failed" in one.reason for one in decoded.rejected)
        for reading in decoded.readings:
            for value in msgspec.structs.astuple(reading.values):
                assert not isinstance(value, float) or math.isfinite(value)
                assert not isinstance(value, str) or "\0" not in value
                assert isinstance(value, (float, bool, str, int, NoneType))
            # The snapshot has to hold it, or there is none any more.
            assert msgspec.msgpack.encode(reading.values)
            assert NOW - 86_400 <= reading.observed_at <= NOW + 60
            assert reading.device_id
        for rejected in decoded.rejected:
            assert rejected.reason
            assert len(rejected.reason) < 2_000


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Draw a good payload with some bytes changed, cut out or doubled."""
    data = bytearray(draw(st.sampled_from(GOOD)))
    for _ in range(draw(st.integers(1, 8))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        what = draw(st.sampled_from(["change", "cut", "double", "insert"]))
        if what == "change" and data:
            data[at] = draw(st.integers(0, 255))
        elif what == "cut":
            del data[at : at + draw(st.integers(1, 9))]
        elif what == "double":
            data[at:at] = data[at : at + 20]
        else:
            data[at:at] = draw(st.binary(max_size=9))
    return bytes(data)


@settings(max_examples=400)
@given(payload=st.one_of(st.binary(max_size=300), mutated()))
def test_any_bytes_on_any_topic_are_accounted_for(decoder: Decoder, payload: bytes) -> None:
    account(decoder, payload)


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_costs_no_memory(decoder: Decoder, bomb: str) -> None:
    tracemalloc.start()
    try:
        account(decoder, BOMBS[bomb])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 32_000_000


def test_a_decoder_that_fails_refuses_the_message_and_goes_on(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("ingest.decode._Composite.take", fail)
    frames = [(b"json/1", b'{"a": 1}', 0), (b"many", b"{}", 0), (b"json/1", b'{"a": 2}', 0)]
    with capture_logs() as said:
        decoded = decoder.decode_batch(frames, NOW)
    assert [one.values.a for one in decoded.readings] == [1.0, 2.0]
    (rejected,) = decoded.rejected
    assert (rejected.position, rejected.reason) == (1, "the decoder has failed: ZeroDivisionError")
    assert said[0]["log_level"] == "error"
