"""From frames to readings. What cannot be decoded comes back with its reason, and stops nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from ingest.clock_skew import observed_at
from ingest.formats import Reader, make_parser, make_reader
from ingest.mapping import Mapping, make_mapping, read_name
from ingest.mqtt import RETAINED, Frame
from ingest.presence import StatusTopic
from ingest.sparkplug import SPARKPLUG, EdgeNodes
from ingest.topics import Topics
from prevenant.domain import DeviceType, Presence, Reading, device_key
from prevenant.errors import Undecodable

log = structlog.get_logger()

_REMEMBERED = 200_000
"""Topics whose device is remembered."""
_LONGEST_TOPIC = 1_000
_SHOWN_ELEMENTS = 5

_REPLAYED, _ARRIVAL_SHIFT = 2, 8

_Source = tuple[Reader, DeviceType, str, str, str]
"""How to read what comes on a topic; the device's type and its name, the site, the device."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A frame that could not become a reading: its place in the batch, and why."""

    position: int
    frame: Frame
    reason: str


@dataclass(slots=True)
class Decoded:
    """What a batch of frames says, each list in the order of the frames."""

    readings: list[Reading] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    presences: list[Presence] = field(default_factory=list)
    requests: list[tuple[str, bytes]] = field(default_factory=list)
    """Topics and payloads that devices have to be sent."""


def first_arrival(flags: int, received_at: float) -> int:
    """Return the flags of a frame that is read again, with the time of its first arrival in them."""
    return flags & RETAINED | _REPLAYED | round(received_at * 1000) << _ARRIVAL_SHIFT


def _arrival(flags: int, received_at: float) -> float:
    """Return when a frame arrived for the first time."""
    return (flags >> _ARRIVAL_SHIFT) / 1000 if flags & _REPLAYED else received_at


class _Slow(Protocol):
    """A topic on which more, or less, than one reading of one device may come."""

    def take(self, frame: Frame, received_at: float, decoded: Decoded) -> None:
        """Add what the frame says. Raises Undecodable with what could not be used."""


class Decoder:
    """Decodes frames into the structs of the book's device types."""

    def __init__(self, device_types: Iterable[DeviceType]) -> None:
        types = list(device_types)
        sparkplug = [one for one in types if one.format == SPARKPLUG]
        others = [one for one in types if one.format != SPARKPLUG]
        self._topics = Topics(types)
        self._others = Topics(others)
        self._nodes = EdgeNodes(sparkplug)
        self._statuses = [StatusTopic(one, one.status) for one in types if one.status]
        self._readers = {one.name: make_reader(one) for one in others if not one.names_in_payload}
        self._composites = {one.name: _Composite(one) for one in others if one.names_in_payload}
        self._sources: dict[bytes, _Source] = {}
        self._slow: dict[bytes, _Slow] = {}

    @property
    def subscriptions(self) -> list[str]:
        """What to subscribe to."""
        return self._topics.subscriptions

    def decode_batch(self, frames: Sequence[Frame], received_at: float) -> Decoded:
        """Return what `frames` say.

        `received_at` is in seconds since 1970.
        """
        decoded = Decoded()
        readings, sources = decoded.readings, self._sources
        for position, frame in enumerate(frames):
            topic, payload, flags = frame
            try:
                source = sources.get(topic)
                if source is None:
                    source = self._find(topic)
                    if source is None:
                        self._slow[topic].take(frame, received_at, decoded)
                        continue
                read, device_type, name, site_id, device_id = source
                values, stamp = read(payload)
            except Undecodable as error:
                decoded.rejected.append(Rejected(position, frame, str(error)))
                continue
            except Exception as error:
                # The frame is in the journal: what escaped here would end the engine at each start.
                log.exception("a decoder has failed, so the message is refused", topic=str(topic))
                reason = f"the decoder has failed: {type(error).__name__}"
                decoded.rejected.append(Rejected(position, frame, reason))
                continue
            if stamp is None and not flags:
                readings.append(Reading(name, site_id, device_id, received_at, received_at, values))
                continue
            observed, timed = observed_at(stamp, _arrival(flags, received_at), device_type)
            retained = flags & RETAINED != 0 and not timed
            readings.append(
                Reading(name, site_id, device_id, observed, received_at, values, retained)
            )
        return decoded

    def whose(self, topic: bytes) -> tuple[str, str] | None:
        """Return the site and the device of all that comes on a topic; None where only payloads tell.

        Raises Undecodable where it is nobody's topic.
        """
        source = self._sources.get(topic) or self._find(topic)
        return None if source is None else (source[3], source[4])

    def snapshot(self) -> Any:
        """Return what was learned from frames and is needed for the next ones, as plain values."""
        return self._nodes.snapshot()

    def restore(self, state: Any) -> None:
        """Take over what an earlier decoder had learned."""
        self._nodes.restore(state)

    def _find(self, topic: bytes) -> _Source | None:
        """Return how to read what comes on `topic`, or None where `_slow` knows.

        Raises Undecodable where nobody does.
        """
        if topic in self._slow:
            return None
        if len(topic) > _LONGEST_TOPIC:
            message = f"the topic has {len(topic)} bytes, more than {_LONGEST_TOPIC}"
            raise Undecodable(message)
        if len(self._sources) + len(self._slow) >= _REMEMBERED:
            self._sources.clear()
            self._slow.clear()
        slow = self._find_slow(topic)
        if slow is not None:
            self._slow[topic] = slow
            return None
        device_type, site, device = self._others.identify(topic)
        if device_type.name in self._composites:
            self._slow[topic] = self._composites[device_type.name].at(site, device)
            return None
        name = device_type.name
        source = self._readers[name], device_type, name, site, device_key(site, device)
        self._sources[topic] = source
        return source

    def _find_slow(self, topic: bytes) -> _Slow | None:
        for status in self._statuses:
            device = status.match(topic)
            if device is not None:
                return device
        return self._nodes.at(topic)


class _Composite:
    """A device type whose payloads name their device, or hold several readings."""

    def __init__(
        self, device_type: DeviceType, site: str = "", device: str = "", like: Any = None
    ) -> None:
        self._type = device_type
        self._names = {"site": site, "device": device}
        self._parse = like._parse if like else make_parser(device_type)
        self._read: Mapping = like._read if like else make_mapping(device_type)

    def at(self, site: str, device: str) -> "_Composite":
        """Return the same for a topic that names these, or leaves them to the payload."""
        return _Composite(self._type, site, device, self)

    def take(self, frame: Frame, received_at: float, decoded: Decoded) -> None:
        """Add every reading of the payload. Raises Undecodable with what could not be used."""
        root = self._parse(frame[1])
        if self._type.readings_path is None:
            decoded.readings.append(self._reading(root, root, frame[2], received_at))
            return
        parts = self._type.readings_path.find(root)
        if not isinstance(parts, list):
            message = "the payload has no list of readings where the book says"
            raise Undecodable(message)
        wrong = []
        for number, part in enumerate(parts):
            try:
                decoded.readings.append(self._reading(root, part, frame[2], received_at))
            except Undecodable as error:
                wrong.append(f"reading {number}: {error}")
        if wrong:
            more = len(wrong) - _SHOWN_ELEMENTS
            shown = wrong[:_SHOWN_ELEMENTS] + ([f"and {more} more"] if more > 0 else [])
            raise Undecodable("; ".join(shown))

    def _reading(self, root: Any, part: Any, flags: int, received_at: float) -> Reading:
        values, stamp = self._read(root, part)
        names = dict(self._names)
        for what, path in self._type.identity:
            names[what] = read_name(what, path.find(root if path.from_root else part))
        observed, timed = observed_at(stamp, _arrival(flags, received_at), self._type)
        return Reading(
            self._type.name,
            names["site"],
            device_key(names["site"], names["device"]),
            observed,
            received_at,
            values,
            flags & RETAINED != 0 and not timed,
        )
