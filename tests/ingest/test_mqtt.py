"""paho's inside as we use it: PUBLISH packets split at every byte, acknowledged only when taken."""

import random
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import closing
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion

from ingest.mqtt import RETAINED, BatchClient, Frame
from prevenant.errors import JournalError

V311, V5 = MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5


class Wire:
    """A client whose broker is the other end of a socket pair."""

    def __init__(self, protocol: MQTTProtocolVersion = V311) -> None:
        self.batches: list[list[Frame]] = []
        self.refuse = False
        self.client = BatchClient("test", protocol, self._take)
        ours, self.broker = socket.socketpair()
        ours.settimeout(0)
        self.broker.settimeout(1)
        self.client._sock = ours

    @property
    def frames(self) -> list[Frame]:
        """Everything that was handed over."""
        return [frame for batch in self.batches for frame in batch]

    def close(self) -> None:
        """Close both ends."""
        if self.client._sock is not None:
            self.client._sock.close()
        self.broker.close()

    def send(self, data: bytes) -> MQTTErrorCode:
        """Let bytes arrive, and the client read them."""
        self.broker.sendall(data)
        return self.client.loop_read()

    def _take(self, frames: Sequence[Frame]) -> None:
        if self.refuse:
            raise JournalError
        self.batches.append(list(frames))


@pytest.fixture
def wire() -> Iterator[Wire]:
    """Return a client on MQTT 3.1.1."""
    wire = Wire()
    yield wire
    wire.close()


def publish(
    topic: bytes,
    payload: bytes,
    *,
    qos: int = 1,
    mid: int = 1,
    retain: bool = False,
    v5: bool = False,
) -> bytes:
    """Return a PUBLISH packet."""
    body = struct.pack("!H", len(topic)) + topic
    if qos:
        body += struct.pack("!H", mid)
    if v5:
        body += b"\x00"
    body += payload
    return bytes([0x30 | qos << 1 | retain]) + _length(len(body)) + body


def _length(size: int) -> bytes:
    out = bytearray()
    while True:
        size, digit = divmod(size, 128)
        out.append(digit | (0x80 if size else 0))
        if not size:
            return bytes(out)


messages = st.lists(
    st.tuples(st.binary(min_size=1, max_size=20), st.binary(max_size=300), st.integers(0, 1)),
    min_size=1,
    max_size=8,
)


@given(messages, st.data(), st.sampled_from([V311, V5]))
def test_packets_split_at_any_bytes_arrive_whole_and_in_order(
    sent: list[tuple[bytes, bytes, int]], data: st.DataObject, protocol: MQTTProtocolVersion
) -> None:
    stream = b"".join(
        publish(topic, payload, qos=qos, mid=number, v5=protocol == V5)
        for number, (topic, payload, qos) in enumerate(sent, 1)
    )
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=12)))
    expected = b"".join(
        b"\x40\x02" + struct.pack("!H", number) for number, one in enumerate(sent, 1) if one[2]
    )
    with closing(Wire(protocol)) as wire:
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            assert wire.send(stream[start:end]) == MQTTErrorCode.MQTT_ERR_SUCCESS
        assert wire.frames == [(topic, payload, 0) for topic, payload, _ in sent]
        assert (wire.broker.recv(65_536) if expected else b"") == expected


def test_every_single_byte_may_come_alone(wire: Wire) -> None:
    stream = publish(b"a/b", b"x" * 200, mid=7) + publish(b"c", b"", mid=8)
    for byte in stream:
        wire.send(bytes([byte]))
    assert wire.frames == [(b"a/b", b"x" * 200, 0), (b"c", b"", 0)]


def test_what_arrives_together_is_one_batch_and_one_acknowledgement(wire: Wire) -> None:
    wire.send(b"".join(publish(b"t", b"%d" % mid, mid=mid) for mid in range(1, 101)))
    assert [len(batch) for batch in wire.batches] == [100]
    acknowledged = wire.broker.recv(65_536)
    assert acknowledged == b"".join(b"\x40\x02" + struct.pack("!H", mid) for mid in range(1, 101))


def test_nothing_is_acknowledged_that_was_not_taken(wire: Wire) -> None:
    wire.refuse = True
    with pytest.raises(JournalError):
        wire.send(publish(b"t", b"lost?", mid=1))
    wire.broker.settimeout(0.05)
    with pytest.raises(TimeoutError):
        wire.broker.recv(10)


def test_a_retained_message_says_so(wire: Wire) -> None:
    wire.send(publish(b"t", b"old", retain=True))
    assert wire.frames == [(b"t", b"old", RETAINED)]


@pytest.mark.parametrize(
    "broken",
    [b"\x32\xff\xff\xff\xff\xff", b"\x32\x02\xff\xff", b"\x32\x03\x00\x05a", b"\xf0\x00"],
    ids=["endless length", "topic beyond the packet", "topic cut off", "unknown packet"],
)
def test_a_broken_packet_ends_the_connection_and_nothing_else(wire: Wire, broken: bytes) -> None:
    assert wire.send(broken) != MQTTErrorCode.MQTT_ERR_SUCCESS
    assert wire.frames == []


def test_half_a_packet_is_forgotten_with_its_connection(wire: Wire) -> None:
    wire.send(publish(b"t", b"half a message")[:9])
    with pytest.raises((OSError, ValueError)):
        wire.client.reconnect()
    assert wire.client._unsplit == bytearray()


def with_properties(topic: bytes, payload: bytes, properties: bytes, mid: int = 1) -> bytes:
    """Return a PUBLISH packet of MQTT 5 at QoS 1."""
    body = struct.pack("!H", len(topic)) + topic + struct.pack("!H", mid)
    body += _length(len(properties)) + properties + payload
    return b"\x32" + _length(len(body)) + body


USER_PROPERTY = b"\x26\x00\x01k\x00\x01v"
EXPIRY, CONTENT_TYPE = b"\x02\x00\x00\x00\x09", b"\x03\x00\x04json"
SUBSCRIPTION = b"\x0b\x81\x01"
ALIAS_1, ALIAS_2 = b"\x23\x00\x01", b"\x23\x00\x02"


@given(st.sets(st.integers(1, 150), max_size=12))
def test_properties_and_aliases_of_mqtt_5_are_read_however_they_are_cut(cuts: set[int]) -> None:
    stream = (
        with_properties(b"a/b", b"1", USER_PROPERTY * 2 + EXPIRY + ALIAS_1)
        + with_properties(b"", b"2", ALIAS_1 + CONTENT_TYPE)
        + with_properties(b"c", b"3", SUBSCRIPTION + ALIAS_2)
        + with_properties(b"d", b"4", ALIAS_1)
        + with_properties(b"", b"5", ALIAS_1 + USER_PROPERTY * 20)
        + with_properties(b"", b"6", ALIAS_2)
    )
    ends = [cut for cut in sorted(cuts) if cut < len(stream)]
    with closing(Wire(V5)) as wire:
        for start, end in zip([0, *ends], [*ends, len(stream)], strict=True):
            assert wire.send(stream[start:end]) == MQTTErrorCode.MQTT_ERR_SUCCESS
        topics = [b"a/b", b"a/b", b"c", b"d", b"d", b"c"]
        assert wire.frames == [(topic, b"%d" % n, 0) for n, topic in enumerate(topics, 1)]


@pytest.mark.parametrize(
    "broken",
    [
        with_properties(b"", b"1", ALIAS_1),
        with_properties(b"", b"1", b""),
        with_properties(b"a", b"1", b"\xff\x00"),
        b"\x36\x05\x00\x01a\x00\x01",
        b"\x34\x03\x00\x09a",
        b"\x34\x01\x00",
        b"\x32\xff\xff\xff\xff\x01",
    ],
    ids=["unknown alias", "no topic", "no property", "QoS 3", "cut", "short", "length"],
)
def test_a_broker_that_breaks_mqtt_5_is_left(broken: bytes) -> None:
    with closing(Wire(V5)) as wire:
        wire.send(with_properties(b"a", b"1", b"") + broken)
        assert wire.frames == [(b"a", b"1", 0)]
        assert wire.client._sock is None


@pytest.mark.parametrize(
    "odd",
    [
        b"\x26\x00\x01k\x00\x04\xef\xbb\xbfv",
        CONTENT_TYPE + CONTENT_TYPE,
        b"\x03\x00\x02\xff\xfe",
        b"\x01\x07",
        SUBSCRIPTION * 3,
    ],
    ids=["byte order mark", "twice", "no text", "unknown payload format", "three subscriptions"],
)
def test_what_a_device_writes_into_properties_stops_nobody(odd: bytes) -> None:
    with closing(Wire(V5)) as wire:
        wire.send(with_properties(b"a", b"1", odd) + with_properties(b"b", b"2", ALIAS_1))
        assert wire.frames == [(b"a", b"1", 0), (b"b", b"2", 0)]


@given(st.binary(max_size=60), st.integers(0, 70))
def test_any_properties_are_read_or_end_the_connection(noise: bytes, size: int) -> None:
    body = b"\x00\x01a\x00\x01" + _length(size) + noise
    whole = publish(b"a", b"1", v5=True)
    with closing(Wire(V5)) as wire:
        wire.send(whole + b"\x32" + _length(len(body)) + body + whole)
        expected = 1 if wire.client._sock is None else 3
        assert len(wire.frames) == expected
        assert all(topic == b"a" and len(payload) <= 60 for topic, payload, _ in wire.frames)


def test_a_packet_larger_than_any_chunk_arrives_whole(wire: Wire) -> None:
    payload = bytes(range(256)) * 4_096
    stream = publish(b"a", payload) + publish(b"b", b"")
    for start in range(0, len(stream), 60_000):
        wire.send(stream[start : start + 60_000])
    assert wire.frames == [(b"a", payload, 0), (b"b", b"", 0)]


def test_a_large_packet_that_trickles_in_is_looked_at_when_it_is_whole(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = Mock(wraps=wire.client._split)
    monkeypatch.setattr(wire.client, "_split", split)
    stream = publish(b"a", bytes(200_000)) + publish(b"b", b"")
    for start in range(0, len(stream), 1_000):
        wire.send(stream[start : start + 1_000])
    assert [len(payload) for _, payload, _ in wire.frames] == [200_000, 0]
    assert split.call_count < 5


def test_qos_2_is_received_when_it_is_taken_and_handed_over_once(wire: Wire) -> None:
    twice = publish(b"a", b"1", qos=2, mid=7)
    wire.refuse = True
    with pytest.raises(JournalError):
        wire.send(twice)
    wire.refuse = False
    with pytest.raises(ValueError, match="host"):
        wire.client.reconnect()
    duplicate = bytes([twice[0] | 8]) + twice[1:]
    wire.send(duplicate + publish(b"b", b"2", qos=1, mid=8))
    assert wire.broker.recv(100) == b"\x40\x02\x00\x08\x50\x02\x00\x07"
    wire.send(duplicate)
    assert wire.broker.recv(100) == b"\x50\x02\x00\x07"
    wire.send(b"\x62\x02\x00\x07")
    assert wire.broker.recv(100) == b"\x70\x02\x00\x07"
    wire.send(publish(b"c", b"3", qos=2, mid=7))
    assert wire.frames == [(b"a", b"1", 0), (b"b", b"2", 0), (b"c", b"3", 0)]


def test_numbers_of_qos_2_are_new_where_the_broker_has_lost_our_session(wire: Wire) -> None:
    wire.send(publish(b"a", b"1", qos=2, mid=7))
    wire.client.was_welcomed(is_resumed=True)
    wire.send(publish(b"a", b"1", qos=2, mid=7))
    wire.client.was_welcomed(is_resumed=False)
    wire.send(publish(b"b", b"2", qos=2, mid=7))
    assert wire.frames == [(b"a", b"1", 0), (b"b", b"2", 0)]


def test_reconnections_wait_longer_each_time_and_never_all_at_once() -> None:
    waits = []
    for seed in range(50):
        client = BatchClient("test", V5, lambda _: None, noise=random.Random(seed))
        waits.append([client.reconnect_delay_s() for _ in range(8)])
    first, last = ([one[n] for one in waits] for n in (0, 7))
    assert max(first) <= 1.0
    assert 6.0 < max(last) <= 8.0
    assert len({round(one, 1) for one in last}) > 20
    client.was_welcomed(is_resumed=True)
    assert client.reconnect_delay_s() <= 1.0
