"""Which partition a message belongs to: all of a device in one, and of a site where rules ask for that.

Where only the payload names the devices it is read for that; where it names several, it goes to each of
their partitions, and each takes what is its own.
"""

import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence

from ingest.decode import Decoded, Decoder
from ingest.mqtt import Frame
from ingest.sparkplug import NAMESPACE, SPARKPLUG
from prevenant.domain import DeviceType, Presence, Reading
from prevenant.errors import Undecodable

BY_SITE, BY_DEVICE = "site", "device"
_REMEMBERED = 200_000
_EDGE = NAMESPACE.encode() + b"/"
_NODE_LEVELS = (1, 3)
"""Where a Sparkplug topic names its group and its edge node."""


class Partitioner:
    """Finds the partition of each message, by the device types of a book."""

    def __init__(self, device_types: Iterable[DeviceType], partitions: int, keyed_by: str) -> None:
        types = list(device_types)
        self._partitions, self._by_site = partitions, keyed_by == BY_SITE
        self._decoder = Decoder(types)
        self._of: dict[bytes, int] = {}
        self._in_payload = frozenset(one.name for one in types if one.names_in_payload)
        self._has_edges = any(one.format == SPARKPLUG for one in types)
        self._requests: list[tuple[str, bytes]] = []
        self._site_levels = [
            one.topic.split("/").index("{site}")
            for one in types
            if one.format == SPARKPLUG and "{site}" in one.topic.split("/")
        ]

    def split(self, frames: Sequence[Frame], now: float) -> dict[int, list[Frame]]:
        """Return the frames of each partition, in their order."""
        parts: dict[int, list[Frame]] = defaultdict(list)
        known = self._of
        for frame in frames:
            number = known.get(frame[0])
            if number is not None:
                parts[number].append(frame)
                continue
            for one in self._find(frame, now):
                parts[one].append(frame)
        return parts

    def take_requests(self) -> list[tuple[str, bytes]]:
        """Return topics and payloads that edge nodes have to be sent, once."""
        requests, self._requests = self._requests, []
        return requests

    def part(self, partition: int) -> "Part | None":
        """Return what is a partition's own of what it is given; None: all of it is."""
        return Part(self, partition) if self._in_payload else None

    def is_ours(self, partition: int, one: Reading | Presence) -> bool:
        """Return whether a reading or a presence is a partition's own."""
        return one.type not in self._in_payload or self._of_device(one) == partition

    def refuses(self, partition: int, topic: bytes) -> bool:
        """Return whether a message that cannot be read is to be refused by a partition."""
        try:
            is_by_topic = topic.startswith(_EDGE) or self._decoder.whose(topic) is not None
        except Undecodable:
            return True
        return is_by_topic or self.home(topic) == partition

    def home(self, topic: bytes) -> int:
        """Return the partition in which a message that nobody can read is refused."""
        return self._hash(topic)

    def of_device(self, device_id: str) -> int:
        """Return the partition that has all of a device, but where it speaks Sparkplug."""
        return self._hash_of(device_id.rpartition("/")[0], device_id)

    def _find(self, frame: Frame, now: float) -> Sequence[int]:
        topic = frame[0]
        if self._has_edges and topic.startswith(_EDGE):
            self._requests += self._decoder.decode_batch([frame], now).requests
            return [self._hash(self._edge_node(topic))]
        try:
            whose = self._decoder.whose(topic)
        except Undecodable:
            return [self._remember(topic, self.home(topic))]
        if whose is not None:
            site_id, device_id = whose
            return [self._remember(topic, self._hash_of(site_id, device_id))]
        decoded = self._decoder.decode_batch([frame], now)
        found = {self._of_device(one) for one in decoded.readings}
        found |= {self._of_device(one) for one in decoded.presences}
        if decoded.rejected or not found:
            found.add(self.home(topic))
        return sorted(found)

    def _edge_node(self, topic: bytes) -> bytes:
        """Return what all messages of an edge node share: its site, where the topic says that."""
        levels = topic.split(b"/")
        if self._by_site:
            for level in self._site_levels:
                if level in _NODE_LEVELS and level < len(levels):
                    return levels[level]
        return b"/".join(levels[level] for level in _NODE_LEVELS if level < len(levels))

    def _remember(self, topic: bytes, number: int) -> int:
        if len(self._of) >= _REMEMBERED:
            self._of.clear()
        self._of[topic] = number
        return number

    def _of_device(self, one: Reading | Presence) -> int:
        return self._hash_of(one.site_id, one.device_id)

    def _hash_of(self, site_id: str, device_id: str) -> int:
        return self._hash((site_id if self._by_site else device_id).encode())

    def _hash(self, key: bytes) -> int:
        return zlib.crc32(key) % self._partitions


class Part:
    """What is one partition's own of messages that go to several."""

    def __init__(self, partitioner: Partitioner, partition: int) -> None:
        self._partitioner, self._partition = partitioner, partition

    def keep(self, decoded: Decoded) -> None:
        """Take out what is another partition's."""
        where, whose = self._partition, self._partitioner
        decoded.readings = [one for one in decoded.readings if whose.is_ours(where, one)]
        decoded.presences = [one for one in decoded.presences if whose.is_ours(where, one)]
        decoded.rejected = [one for one in decoded.rejected if whose.refuses(where, one.frame[0])]
