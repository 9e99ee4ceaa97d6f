"""Sparkplug B: births, data by alias, deaths, and what is done where the sequence has a gap."""

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ingest.decode import Decoded, Decoder
from ingest.sparkplug import Payload
from prevenant.book import load_book

NOW = 1_800_000_000.0
MS = round(NOW * 1000)
BOOK = """
devices:
  pump:
    format: sparkplug
    topic: spBv1.0/{site}/+/+/{device}
    fields:
      pressure: {unit: bar, from: Inputs/Pressure, scale: 0.001}
      running: {kind: bool, from: Outputs/Run}
      level: {kind: number, from: Level}
  gateway:
    format: sparkplug
    topic: spBv1.0/{site}/+/{device}
    fields: {uptime: second}
"""


@pytest.fixture
def make(tmp_path: Path) -> Callable[[], Decoder]:
    path = tmp_path / "rules.yaml"
    path.write_text(BOOK, "utf-8")
    return lambda: Decoder(load_book(path).rules.devices.values())


class Node:
    """An edge node with a pump, as it publishes; its messages are decoded at once."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder, self.seq, self.now = decoder, -1, NOW

    def say(self, kind: str, *metrics: dict[str, Any], device: str = "", **more: Any) -> Decoded:
        """Publish metrics; `wrap` is what becomes of the payload's bytes."""
        payload = Payload(timestamp=more.get("timestamp", MS))
        if kind != "NDEATH":
            self.seq = 0 if kind == "NBIRTH" else (self.seq + 1) % 256
            payload.seq = more.get("seq", self.seq)
        for metric in metrics:
            payload.metrics.add(**metric)
        topic = f"spBv1.0/s1/{kind}/n1" + (f"/{device}" if device else "")
        data = more.get("wrap", bytes)(payload.SerializeToString())
        return self.decoder.decode_batch([(topic.encode(), data, 0)], self.now)

    def be_born(self) -> Decoded:
        born = self.say(
            "NBIRTH",
            {"name": "bdSeq", "datatype": 4, "long_value": 3},
            {"name": "uptime", "alias": 1, "datatype": 8, "long_value": 60},
        )
        device = self.say(
            "DBIRTH",
            {"name": "Inputs/Pressure", "alias": 2, "datatype": 3, "int_value": 5000},
            {"name": "Outputs/Run", "alias": 3, "datatype": 11, "boolean_value": True},
            {"name": "Level", "alias": 4, "datatype": 2, "int_value": 0xFFFE},
            {"name": "Other", "alias": 5, "datatype": 12, "string_value": "x" * 100},
            device="p1",
        )
        born.readings += device.readings
        born.presences += device.presences
        assert (born.rejected, device.rejected, device.requests) == ([], [], [])
        return born


@pytest.fixture
def node(make: Callable[[], Decoder]) -> Node:
    return Node(make())


def values(decoded: Decoded) -> list[Any]:
    return [msgspec.structs.astuple(one.values) for one in decoded.readings]


def test_a_birth_is_a_reading_and_tells_that_the_device_is_online(node: Node) -> None:
    born = node.be_born()
    assert values(born) == [(60.0,), (5.0, True, -2.0)]
    assert [one.device_id for one in born.readings] == ["s1/n1", "s1/p1"]
    assert [(one.device_id, one.online) for one in born.presences] == [
        ("s1/n1", True),
        ("s1/p1", True),
    ]


def test_data_carry_what_changed_by_alias_and_the_rest_is_remembered(node: Node) -> None:
    node.be_born()
    decoded = node.say(
        "DDATA", {"alias": 2, "int_value": 7000, "timestamp": MS + 4000}, device="p1"
    )
    assert values(decoded) == [(7.0, True, -2.0)]
    assert decoded.readings[0].observed_at == NOW + 4
    named = node.say("DDATA", {"name": "Outputs/Run", "boolean_value": False}, device="p1")
    assert values(named) == [(7.0, False, -2.0)]
    assert (named.rejected, named.requests) == ([], [])


def test_a_null_is_missing_and_a_metric_without_a_field_says_nothing_new(node: Node) -> None:
    node.be_born()
    decoded = node.say("DDATA", {"alias": 3, "is_null": True}, device="p1")
    assert values(decoded) == [(5.0, None, -2.0)]


@pytest.mark.parametrize("stamp", [MS + 10**10, MS * 1000, 2**64 - 1])
def test_a_metric_that_is_dated_far_ahead_is_replaced_by_the_next(node: Node, stamp: int) -> None:
    node.be_born()
    ahead = node.say("DDATA", {"alias": 2, "int_value": 9000, "timestamp": stamp}, device="p1")
    assert values(ahead) == [(9.0, True, -2.0)]
    assert ahead.readings[0].observed_at == NOW
    node.now += 10
    node.say("DDATA", {"alias": 2, "int_value": 7000, "timestamp": MS + 9000}, device="p1")
    other = {"alias": 4, "int_value": 3, "timestamp": MS + 10_000}
    assert values(node.say("DDATA", other, device="p1")) == [(7.0, True, 3.0)]


def test_births_without_end_leave_no_more_behind_than_the_last(node: Node) -> None:
    node.be_born()
    for number in range(300):
        alias = 1_000 + number
        born = {"name": "Level", "alias": alias, "datatype": 2, "int_value": 1}
        assert node.say("DBIRTH", born, device="p1").rejected == []
    (known,) = msgspec.msgpack.decode(msgspec.msgpack.encode(node.decoder.snapshot())).values()
    assert set(known["aliases"]) == {"1", "1299"}
    gone = node.say("DDATA", {"alias": 1_298, "int_value": 2}, device="p1")
    assert "alias 1298 was not named by a birth" in gone.rejected[0].reason


def test_an_edge_node_that_invents_devices_is_not_followed_for_ever(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.sparkplug._MOST_DEVICES", 5)
    node.be_born()
    level = {"name": "Level", "alias": 9, "datatype": 2, "int_value": 1}
    said = [node.say("DBIRTH", level, device=f"x{number}") for number in range(6)]
    assert [len(one.readings) for one in said] == [1, 1, 1, 1, 0, 0]
    assert "more than 5 devices" in said[-1].rejected[0].reason
    again = node.say("DDATA", {"alias": 2, "int_value": 1}, device="p1")
    assert "sequence number" in again.rejected[0].reason
    assert values(again) == [(0.001, True, -2.0)]


def test_stored_values_come_in_the_order_of_their_times_and_do_not_replace_newer_ones(
    node: Node,
) -> None:
    node.be_born()
    old = {"alias": 2, "is_historical": True}
    decoded = node.say(
        "DDATA",
        {**old, "int_value": 2000, "timestamp": MS - 10_000},
        {**old, "int_value": 1000, "timestamp": MS - 20_000},
        device="p1",
    )
    assert [(one.observed_at - NOW, one.values.pressure) for one in decoded.readings] == [
        (-20, 1.0),
        (-10, 2.0),
    ]
    now = node.say("DDATA", {"alias": 3, "boolean_value": True}, device="p1", timestamp=MS + 1)
    assert values(now) == [(5.0, True, -2.0)]


def test_the_sequence_goes_round(node: Node) -> None:
    node.be_born()
    for _ in range(600):
        assert node.say("DDATA", {"alias": 2, "int_value": 1}, device="p1").rejected == []


def test_a_gap_asks_for_one_rebirth_and_what_came_still_counts(node: Node) -> None:
    node.be_born()
    node.seq += 3
    gap = node.say("DDATA", {"alias": 2, "int_value": 9000}, device="p1")
    assert values(gap) == [(9.0, True, -2.0)]
    assert gap.rejected[0].reason.startswith("sequence number 5 where 2 was due")
    ((topic, command),) = gap.requests
    assert topic == "spBv1.0/s1/NCMD/n1"
    (metric,) = Payload.FromString(command).metrics
    assert (metric.name, metric.boolean_value) == ("Node Control/Rebirth", True)

    node.seq += 3
    node.now += 59
    assert node.say("DDATA", {"alias": 2, "int_value": 1}, device="p1").requests == []
    node.seq += 3
    node.now += 1
    assert len(node.say("DDATA", {"alias": 2, "int_value": 1}, device="p1").requests) == 1
    assert node.be_born().rejected == []


@pytest.mark.parametrize(
    ("born", "device", "metric", "reason"),
    [
        (False, "p1", {"alias": 2, "int_value": 1}, "DDATA before the edge node's birth"),
        (True, "p2", {"name": "Level", "int_value": 1}, "DDATA before the device's birth"),
        (True, "p1", {"alias": 77, "int_value": 1}, "alias 77 was not named by a birth"),
        (True, "p1", {"alias": 1, "int_value": 1}, "alias 1 was not named by a birth"),
    ],
)
def test_what_follows_on_nothing_known_asks_for_a_rebirth(
    node: Node, born: bool, device: str, metric: dict[str, Any], reason: str
) -> None:
    if born:
        node.be_born()
    decoded = node.say("DDATA", metric, device=device)
    assert decoded.rejected[0].reason.startswith(reason)
    assert len(decoded.requests) == 1


def test_a_value_of_another_kind_says_so_and_asks_for_no_rebirth_that_would_mend_nothing(
    node: Node,
) -> None:
    node.be_born()
    said = node.say("DDATA", {"alias": 2, "datatype": 12, "string_value": "low"}, device="p1")
    assert said.requests == []
    (one,) = said.rejected
    assert one.reason == "pressure: expected a number, got text: send it without quotes"


def test_a_death_takes_the_devices_with_it_unless_it_is_that_of_an_earlier_birth(
    node: Node,
) -> None:
    node.be_born()
    stale = node.say("NDEATH", {"name": "bdSeq", "long_value": 2})
    assert stale.presences == []
    dead = node.say("NDEATH", {"name": "bdSeq", "long_value": 3})
    assert [(one.device_id, one.online) for one in dead.presences] == [
        ("s1/n1", False),
        ("s1/p1", False),
    ]
    assert node.say("DDATA", {"alias": 2, "int_value": 1}, device="p1").rejected != []


def test_a_device_can_die_alone(node: Node) -> None:
    node.be_born()
    dead = node.say("DDEATH", device="p1")
    assert [(one.device_id, one.online) for one in dead.presences] == [("s1/p1", False)]
    assert node.say("NDATA", {"alias": 1, "long_value": 70}).rejected == []


@pytest.mark.parametrize(
    "topic", ["spBv1.0/s1/NCMD/n1", "spBv1.0/s1/DCMD/n1/p1", "spBv1.0/STATE/h"]
)
def test_what_hosts_say_is_passed_over(node: Node, topic: str) -> None:
    decoded = node.decoder.decode_batch([(topic.encode(), b"ONLINE", 0)], NOW)
    assert (decoded.readings, decoded.rejected, decoded.presences) == ([], [], [])


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        ("spBv1.0/s1/DDATA/n1/p1", b"\xff\xff\xff", "this is no Sparkplug B payload"),
        ("spBv1.0/s1/DDATA/n1", b"", "no Sparkplug topic"),
        ("spBv1.0/s1/NDATA/n1/p1", b"", "no Sparkplug topic"),
        ("spBv1.0/s1", b"", "no Sparkplug topic"),
        ("spBv1.0/s1/DDATA/n1/p1", b"x" * 70_000, "more than the 65536"),
    ],
)
def test_what_is_no_sparkplug_says_so(node: Node, topic: str, payload: bytes, reason: str) -> None:
    decoded = node.decoder.decode_batch([(topic.encode(), payload, 0)], NOW)
    assert reason in decoded.rejected[0].reason


def test_a_restored_decoder_goes_on_where_the_other_was(
    node: Node, make: Callable[[], Decoder]
) -> None:
    node.be_born()
    node.say("DDATA", {"alias": 2, "int_value": 7000}, device="p1")
    packed = msgspec.msgpack.encode(node.decoder.snapshot())
    node.decoder = make()
    node.decoder.restore(msgspec.msgpack.decode(packed))
    decoded = node.say("DDATA", {"alias": 3, "boolean_value": False}, device="p1")
    assert values(decoded) == [(7.0, False, -2.0)]
    assert decoded.rejected == []


def compressed(body: bytes, algorithm: str | None, **more: Any) -> bytes:
    """Return an envelope as edge nodes that compress make it."""
    payload = Payload(uuid="SPBV1.0_COMPRESSED", body=body, **more)
    if algorithm is not None:
        payload.metrics.add(name="algorithm", datatype=12, string_value=algorithm)
    return bytes(payload.SerializeToString())


WRAPS: dict[str, Callable[[bytes], bytes]] = {
    "deflate": lambda data: compressed(zlib.compress(data), "DEFLATE"),
    "deflate as it is": lambda data: compressed(zlib.compress(data, wbits=-15), "DEFLATE"),
    "gzip": lambda data: compressed(gzip.compress(data), "GZIP"),
    "in small letters": lambda data: compressed(gzip.compress(data), "gzip"),
    "unnamed": lambda data: compressed(zlib.compress(data), None),
    "with a number of its own": lambda data: compressed(gzip.compress(data), "GZIP", seq=77),
}


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_compressed_payloads_are_read_as_others(node: Node, wrap: Callable[[bytes], bytes]) -> None:
    node.say("NBIRTH", {"name": "uptime", "alias": 1, "datatype": 8, "long_value": 60}, wrap=wrap)
    born = {"name": "Inputs/Pressure", "alias": 2, "datatype": 3, "int_value": 5000}
    assert values(node.say("DBIRTH", born, device="p1", wrap=wrap)) == [(5.0, None, None)]
    decoded = node.say("DDATA", {"alias": 2, "int_value": 7000}, device="p1", wrap=wrap)
    assert values(decoded) == [(7.0, None, None)]
    assert (decoded.rejected, decoded.requests) == ([], [])


def test_a_sequence_number_that_stands_on_the_envelope_alone_counts(node: Node) -> None:
    node.be_born()

    def wrap(data: bytes) -> bytes:
        inner = Payload.FromString(data)
        seq = inner.seq
        inner.ClearField("seq")
        return compressed(zlib.compress(inner.SerializeToString()), "DEFLATE", seq=seq)

    decoded = node.say("DDATA", {"alias": 2, "int_value": 7000}, device="p1", wrap=wrap)
    assert values(decoded) == [(7.0, True, -2.0)]
    assert decoded.rejected == []


@pytest.mark.parametrize(
    ("wrap", "reason"),
    [
        (lambda _: compressed(zlib.compress(bytes(10**7)), "DEFLATE"), "more than the 65536 bytes"),
        (
            lambda data: compressed(gzip.compress(data + bytes(65_536)), "GZIP"),
            "more than the 65536",
        ),
        (lambda data: compressed(gzip.compress(data)[:-9], "GZIP"), "it ends too early"),
        (lambda _: compressed(b"", "GZIP"), "it ends too early"),
        (lambda data: compressed(data, "DEFLATE"), "its body is not compressed by DEFLATE"),
        (lambda data: compressed(data, "ZSTD"), "compressed by 'ZSTD': use DEFLATE or GZIP"),
        (lambda _: compressed(gzip.compress(b"\xff" * 9), "GZIP"), "no Sparkplug B payload"),
        (
            lambda data: compressed(gzip.compress(compressed(gzip.compress(data), "GZIP")), "GZIP"),
            "compressed twice",
        ),
    ],
    ids=["bomb", "a little more", "cut", "empty", "plain", "unknown", "rubbish", "twice"],
)
def test_what_cannot_be_decompressed_is_refused_with_its_reason(
    node: Node, wrap: Callable[[bytes], bytes], reason: str
) -> None:
    node.be_born()
    decoded = node.say("DDATA", {"alias": 2, "int_value": 7000}, device="p1", wrap=wrap)
    assert decoded.readings == []
    assert reason in decoded.rejected[0].reason
