"""Sparkplug B: births that name metrics, data by alias, deaths, and a sequence without gaps.

The payload is Google's protocol buffers; its form, and the duties of a host application, are those of
the Eclipse Sparkplug specification 3.0 (sections 6.4 payloads, 5 operational behaviour).

Data carry only what changed, so a reading is what the device is known to have, with what came new.
What does not follow on what came before (a gap in the sequence, an alias nobody has named, data
before a birth) makes us ask the edge node to be born again, at most once a minute.
"""

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from ingest.clock_skew import observed_at
from ingest.mapping import convert_value
from ingest.mqtt import RETAINED, Frame
from ingest.topics import TopicPattern
from prevenant.domain import DeviceType, FieldType, Presence, Reading, device_key
from prevenant.errors import Undecodable

if TYPE_CHECKING:
    from ingest.decode import Decoded

SPARKPLUG = "sparkplug"

NAMESPACE = "spBv1.0"
_REBIRTH = "Node Control/Rebirth"
_REBIRTH_EVERY_S = 60.0
_MOST_NODES, _MOST_DEVICES = 100_000, 10_000
"""How many edge nodes are followed, and how many devices of each."""
_SEQUENCE = 256
_NODE_LEVELS, _DEVICE_LEVELS = 4, 5
_BOOLEAN = 11
_SIGNED = {1: 8, 2: 16, 3: 32, 4: 64}
_INTEGERS = {1, 2, 3, 4, 5, 6, 7, 8, 13}
"""Data types of the specification: Int8 to Int64, UInt8 to UInt64, DateTime (milliseconds)."""
_BD_SEQ = "bdSeq"
_COMPRESSED = "SPBV1.0_COMPRESSED"
"""The `uuid` of an envelope: the payload itself is its `body`, compressed as a metric says."""
_ALGORITHM = "algorithm"
_ENVELOPES = {"DEFLATE": (zlib.MAX_WBITS, -zlib.MAX_WBITS), "GZIP": (zlib.MAX_WBITS | 16,)}
"""By algorithm, what zlib is to expect around the data: DEFLATE comes in zlib's envelope, or bare."""
_ASKED = "the edge node was asked to be born again"


def _make_payload_class() -> Any:
    """Return the class of payloads, from the fields that the specification numbers."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="prevenant/sparkplug_b.proto", package="prevenant.sparkplug", syntax="proto2"
    )
    metric = file.message_type.add(name="Metric")
    for number, name, kind in (
        (1, "name", kinds.TYPE_STRING),
        (2, "alias", kinds.TYPE_UINT64),
        (3, "timestamp", kinds.TYPE_UINT64),
        (4, "datatype", kinds.TYPE_UINT32),
        (5, "is_historical", kinds.TYPE_BOOL),
        (6, "is_transient", kinds.TYPE_BOOL),
        (7, "is_null", kinds.TYPE_BOOL),
        (10, "int_value", kinds.TYPE_UINT32),
        (11, "long_value", kinds.TYPE_UINT64),
        (12, "float_value", kinds.TYPE_FLOAT),
        (13, "double_value", kinds.TYPE_DOUBLE),
        (14, "boolean_value", kinds.TYPE_BOOL),
        (15, "string_value", kinds.TYPE_STRING),
    ):
        metric.field.add(name=name, number=number, type=kind, label=kinds.LABEL_OPTIONAL)
    payload = file.message_type.add(name="Payload")
    payload.field.add(
        name="timestamp", number=1, type=kinds.TYPE_UINT64, label=kinds.LABEL_OPTIONAL
    )
    payload.field.add(
        name="metrics",
        number=2,
        type=kinds.TYPE_MESSAGE,
        type_name=".prevenant.sparkplug.Metric",
        label=kinds.LABEL_REPEATED,
    )
    payload.field.add(name="seq", number=3, type=kinds.TYPE_UINT64, label=kinds.LABEL_OPTIONAL)
    payload.field.add(name="uuid", number=4, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    payload.field.add(name="body", number=5, type=kinds.TYPE_BYTES, label=kinds.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = pool.FindMessageTypeByName("prevenant.sparkplug.Payload")
    return message_factory.GetMessageClass(found)


Payload: Any = _make_payload_class()
"""A payload: `timestamp` in milliseconds, `metrics`, `seq`; an envelope has `uuid` and `body`."""


class _Known(msgspec.Struct):
    """The metrics of an edge node, or of one of its devices, since its birth."""

    values: dict[str, Any] = {}
    """By metric name; None where it was said to be null."""
    stamps: dict[str, int] = {}
    """Milliseconds since 1970."""
    types: dict[str, int] = {}


class _Node(msgspec.Struct):
    """What is known of one edge node since its birth."""

    is_born: bool = False
    seq: int = 0
    """Of the last message."""
    birth: int | None = None
    """The `bdSeq` of the birth: a death with another one is that of an earlier connection."""
    aliases: dict[int, tuple[str, str]] = {}
    """To the device (empty: the node itself) and the metric's name."""
    known: dict[str, _Known] = {}
    """By device; the node's own under the empty name."""
    asked_at: float = 0.0
    """When it was last asked to be born again."""


class EdgeNodes:
    """All edge nodes that are heard, and the device types that they and their devices are of."""

    def __init__(self, device_types: Sequence[DeviceType]) -> None:
        self._types = [(one, TopicPattern(one.topic)) for one in device_types]
        self._nodes: dict[str, _Node] = {}
        self.metrics = {metric_of(field) for one in device_types for field in one.fields}
        """The names of all metrics that fields are taken from; no other is kept."""
        self.max_payload_bytes = max((one.max_payload_bytes for one in device_types), default=0)

    def at(self, topic: bytes) -> "_Topic | None":
        """Return what takes the messages of a Sparkplug topic, or None if it is no such topic."""
        levels = topic.decode(errors="replace").split("/")
        if not self._types or levels[0] != NAMESPACE:
            return None
        return _Topic(self, levels)

    def node(self, key: str) -> _Node:
        """Return what is known of `group/node`. Raises Undecodable where there are too many."""
        if key not in self._nodes and len(self._nodes) >= _MOST_NODES:
            message = (
                f"more than {_MOST_NODES} edge nodes have been heard: this one is not followed"
            )
            raise Undecodable(message)
        return self._nodes.setdefault(key, _Node())

    def find_type(self, levels: Sequence[str]) -> tuple[DeviceType, str, str] | None:
        """Return the type, site and id of the device that a topic belongs to, or None.

        Raises Undecodable where a name in it is none.
        """
        topic = "/".join(levels).encode()
        for device_type, pattern in self._types:
            names = pattern.match(topic)
            if names is not None:
                return device_type, names[0], device_key(*names)
        return None

    def snapshot(self) -> Any:
        """Return all that is known, as plain values."""
        return msgspec.to_builtins(self._nodes, builtin_types=(bytes,), str_keys=True)

    def restore(self, state: Any) -> None:
        """Take over what another one knew."""
        self._nodes = msgspec.convert(state or {}, dict[str, _Node], strict=False, str_keys=True)


class _Topic:
    """Takes the messages of one topic: a kind of message of one edge node or device."""

    def __init__(self, nodes: EdgeNodes, levels: Sequence[str]) -> None:
        self._nodes = nodes
        self._levels = levels
        self._kind = levels[2] if len(levels) in {_NODE_LEVELS, _DEVICE_LEVELS} else ""
        self._device = levels[4] if len(levels) == _DEVICE_LEVELS else ""
        self._key = f"{levels[1]}/{levels[3]}" if self._kind else ""

    def take(self, frame: Frame, received_at: float, decoded: "Decoded") -> None:
        """Add what a message says. Raises Undecodable with what could not be used of it."""
        kind = self._kind
        if kind in {"NCMD", "DCMD"} or self._levels[1:2] == ["STATE"]:
            return
        if kind not in {"NBIRTH", "DBIRTH", "NDATA", "DDATA", "NDEATH", "DDEATH"} or (
            bool(self._device) != kind.startswith("D")
        ):
            message = "no Sparkplug topic: expected spBv1.0/GROUP/TYPE/NODE, or with /DEVICE"
            raise Undecodable(message)
        self._nodes.find_type(self._levels)  # refuses names that are none, before anything is kept
        payload = self._parse(frame[1])
        node = self._nodes.node(self._key)
        if self._device not in node.known and len(node.known) > _MOST_DEVICES:
            message = (
                f"its edge node has more than {_MOST_DEVICES} devices: this one is not followed"
            )
            raise Undecodable(message)
        if kind == "NDEATH":
            self._die(node, payload, received_at, decoded)
            return
        missed, unusable = self._follow(node, payload), list[str]()
        if kind == "DDEATH":
            self._forget(node)
            self._say(decoded, self._levels, online=False, at=received_at, why="its death")
        elif kind.endswith("BIRTH"):
            self._be_born(node, payload, received_at, decoded)
        if not kind.endswith("DEATH") and node.is_born:
            unnamed, unusable = self._tell(node, payload, frame, received_at, decoded)
            missed += unnamed
        if missed:
            self._ask_for_rebirth(node, received_at, decoded)
        if missed or unusable:
            raise Undecodable("; ".join(dict.fromkeys(missed + unusable)))

    def _parse(self, data: bytes) -> Any:
        limit = self._nodes.max_payload_bytes
        if len(data) > limit:
            message = f"the payload has {len(data)} bytes, more than the {limit} of max_payload"
            raise Undecodable(message)
        payload = _parse_payload(data)
        if payload.uuid != _COMPRESSED:
            return payload
        within = _parse_payload(_decompress(payload, limit))
        if within.uuid == _COMPRESSED:
            message = "the payload is compressed twice: compress it once"
            raise Undecodable(message)
        for field in ("timestamp", "seq"):
            if payload.HasField(field) and not within.HasField(field):
                setattr(within, field, getattr(payload, field))
        return within

    def _follow(self, node: _Node, payload: Any) -> list[str]:
        """Take note of the message's place in the sequence; return what is wrong with it."""
        if self._kind == "NBIRTH":
            bd_seq = [m.long_value or m.int_value for m in payload.metrics if m.name == _BD_SEQ]
            node.is_born, node.birth = True, bd_seq[0] if bd_seq else None
            node.aliases, node.known, node.seq = {}, {}, payload.seq % _SEQUENCE
            return []
        if not node.is_born:
            return [f"{self._kind} before the edge node's birth: {_ASKED}"]
        expected, node.seq = (node.seq + 1) % _SEQUENCE, payload.seq % _SEQUENCE
        if node.seq != expected:
            return [f"sequence number {node.seq} where {expected} was due: {_ASKED}"]
        if self._kind == "DDATA" and self._device not in node.known:
            return [f"DDATA before the device's birth: {_ASKED}"]
        return []

    def _be_born(self, node: _Node, payload: Any, received_at: float, decoded: "Decoded") -> None:
        self._forget(node)
        known = node.known[self._device] = _Known()
        for metric in payload.metrics:
            if metric.name in self._nodes.metrics:
                known.types[metric.name] = metric.datatype
            if metric.HasField("alias"):
                node.aliases[metric.alias] = (self._device, metric.name)
        self._say(decoded, self._levels, online=True, at=received_at, why="its birth")

    def _forget(self, node: _Node) -> None:
        """Forget what the device was born with: another birth names everything anew."""
        if node.known.pop(self._device, None) is not None:
            node.aliases = {
                alias: named for alias, named in node.aliases.items() if named[0] != self._device
            }

    def _die(self, node: _Node, payload: Any, received_at: float, decoded: "Decoded") -> None:
        bd_seq = [m.long_value or m.int_value for m in payload.metrics if m.name == _BD_SEQ]
        if bd_seq and node.birth is not None and bd_seq[0] != node.birth:
            return
        for device in sorted(node.known):
            levels = [*self._levels[:_NODE_LEVELS], *([device] if device else [])]
            self._say(decoded, levels, online=False, at=received_at, why="its edge node's death")
        node.is_born, node.known, node.aliases = False, {}, {}

    def _say(
        self, decoded: "Decoded", levels: Sequence[str], *, online: bool, at: float, why: str
    ) -> None:
        found = self._nodes.find_type(levels)
        if found is not None:
            device_type, site, device = found
            decoded.presences.append(Presence(device_type.name, site, device, online, at, why))

    def _tell(
        self, node: _Node, payload: Any, frame: Frame, received_at: float, decoded: "Decoded"
    ) -> tuple[list[str], list[str]]:
        """Add readings, one for each time that the metrics have.

        Returns what is wrong with some: aliases that no birth has named, and values of another kind.
        """
        known = node.known.setdefault(self._device, _Known())
        unnamed: list[str] = []
        wrong: list[str] = []
        by_time: dict[int, dict[str, Any]] = {}
        for metric in payload.metrics:
            name = self._name_of(node, metric)
            if name is None:
                unnamed.append(f"alias {metric.alias} was not named by a birth: {_ASKED}")
                continue
            value = _value_of(metric, known.types.get(name, metric.datatype))
            stamp = metric.timestamp or payload.timestamp
            by_time.setdefault(stamp, {})[name] = value
        found = self._nodes.find_type(self._levels)
        for stamp in sorted(by_time):
            values = {**known.values, **by_time[stamp]}
            # A metric that is dated years ahead would else be the newest until then.
            moment = _believed(stamp, received_at, found[0]) if found else stamp
            for name, value in by_time[stamp].items():
                if name in self._nodes.metrics and moment >= known.stamps.get(name, 0):
                    known.values[name], known.stamps[name] = value, moment
            if found is not None:
                wrong += _add_reading(found, values, stamp, frame, received_at, decoded)
        return unnamed, wrong

    def _name_of(self, node: _Node, metric: Any) -> str | None:
        if metric.name:
            return str(metric.name)
        device, name = node.aliases.get(metric.alias, ("", None))
        return name if device == self._device else None

    def _ask_for_rebirth(self, node: _Node, received_at: float, decoded: "Decoded") -> None:
        if 0 <= received_at - node.asked_at < _REBIRTH_EVERY_S:
            return
        node.asked_at = received_at
        command = Payload(timestamp=round(received_at * 1000))
        command.metrics.add(
            name=_REBIRTH,
            timestamp=round(received_at * 1000),
            datatype=_BOOLEAN,
            boolean_value=True,
        )
        topic = f"{NAMESPACE}/{self._levels[1]}/NCMD/{self._levels[3]}"
        decoded.requests.append((topic, command.SerializeToString()))


def _parse_payload(data: bytes) -> Any:
    try:
        return Payload.FromString(data)
    except (DecodeError, ValueError, RecursionError):
        message = "this is no Sparkplug B payload"
        raise Undecodable(message) from None


def _decompress(payload: Any, limit: int) -> bytes:
    """Return what a compressed payload holds. Raises Undecodable, also where that is more than `limit`."""
    named = next((m.string_value for m in payload.metrics if m.name == _ALGORITHM), "DEFLATE")
    envelopes = _ENVELOPES.get(named.upper())
    if envelopes is None:
        message = f"the payload is compressed by {named!r}: use DEFLATE or GZIP"
        raise Undecodable(message)
    for wbits in envelopes:
        stream = zlib.decompressobj(wbits)
        try:
            data = stream.decompress(payload.body, limit + 1)
        except zlib.error:
            continue
        if len(data) > limit:
            message = f"decompressed, the payload has more than the {limit} bytes of max_payload"
            raise Undecodable(message)
        if not stream.eof:
            message = "the payload's compressed body is cut: it ends too early"
            raise Undecodable(message)
        return data
    message = f"the payload cannot be decompressed: its body is not compressed by {named}"
    raise Undecodable(message)


def metric_of(field: FieldType) -> str:
    """Return the name of the metric that a field is taken from."""
    return str(field.path.steps[0]) if field.path else field.name


def _add_reading(
    found: tuple[DeviceType, str, str],
    metrics: dict[str, Any],
    stamp: int,
    frame: Frame,
    received_at: float,
    decoded: "Decoded",
) -> list[str]:
    """Add the reading of one moment, unless no field of the type is known; return what is wrong."""
    device_type, site, device = found
    values, wrong = [], []
    for field in device_type.fields:
        raw = metrics.get(metric_of(field))
        try:
            values.append(None if raw is None else convert_value(field, raw))
        except (Undecodable, OverflowError) as error:
            values.append(None)
            wrong.append(f"{field.name}: {error}")
    if any(value is not None for value in values):
        observed, timed = observed_at(stamp or None, received_at, device_type)
        retained = frame[2] & RETAINED != 0 and not timed
        made = device_type.payload_type(*values)
        reading = Reading(device_type.name, site, device, observed, received_at, made, retained)
        decoded.readings.append(reading)
    return wrong


def _believed(stamp: int, received_at: float, device_type: DeviceType) -> int:
    """Return when a metric was taken, in milliseconds since 1970: its own time only where it is sane."""
    return round(observed_at(stamp or None, received_at, device_type)[0] * 1000)


def _value_of(metric: Any, datatype: int) -> Any:
    """Return a metric's value; None where it is null, or of a kind that no field has."""
    kind = metric.datatype or datatype
    if metric.is_null:
        return None
    if kind in _INTEGERS:
        number = metric.long_value if metric.HasField("long_value") else metric.int_value
        bits = _SIGNED.get(kind)
        if bits is None:
            return number
        number &= (1 << bits) - 1
        return number - (1 << bits) if number >> (bits - 1) else number
    for name in ("float_value", "double_value", "boolean_value", "string_value"):
        if metric.HasField(name):
            return getattr(metric, name)
    return None
