"""From frames to readings. What cannot be decoded comes back with its reason, and stops nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ingest.clock_skew import observed_at
from ingest.formats import Reader, make_reader
from ingest.mqtt import RETAINED, Frame
from ingest.topics import Topics
from prevenant.domain import DeviceType, Reading
from prevenant.errors import Undecodable

_REMEMBERED = 200_000
"""Topics whose device is remembered."""

_Source = tuple[Reader, DeviceType, str, str, str]
"""How to read what comes on a topic; the device's type and its name, the site, the device."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A frame that could not become a reading: its place in the batch, and why."""

    position: int
    frame: Frame
    reason: str


class Decoder:
    """Decodes JSON objects into the structs of the book's device types."""

    def __init__(self, device_types: Iterable[DeviceType]) -> None:
        types = list(device_types)
        self._topics = Topics(types)
        self._sources: dict[bytes, _Source] = {}
        self._readers = {device_type.name: make_reader(device_type) for device_type in types}

    @property
    def subscriptions(self) -> list[str]:
        """What to subscribe to."""
        return self._topics.subscriptions

    def decode_batch(
        self, frames: Sequence[Frame], received_at: float
    ) -> tuple[list[Reading], list[Rejected]]:
        """Return the readings in `frames`, in order, and the frames that are none.

        `received_at` is in seconds since 1970.
        """
        readings: list[Reading] = []
        rejected: list[Rejected] = []
        sources = self._sources
        for position, frame in enumerate(frames):
            topic, payload, flags = frame
            try:
                read, device_type, name, site_id, device_id = sources.get(topic) or self._find(
                    topic
                )
                values, stamp = read(payload)
            except Undecodable as error:
                rejected.append(Rejected(position, frame, str(error)))
                continue
            if stamp is None and not flags:
                readings.append(Reading(name, site_id, device_id, received_at, received_at, values))
                continue
            observed, timed = observed_at(stamp, received_at, device_type)
            retained = flags & RETAINED != 0 and not timed
            readings.append(
                Reading(name, site_id, device_id, observed, received_at, values, retained)
            )
        return readings, rejected

    def _find(self, topic: bytes) -> _Source:
        device_type, site_id, device_id = self._topics.identify(topic)
        if len(self._sources) >= _REMEMBERED:
            self._sources.clear()
        name = device_type.name
        source = self._readers[name], device_type, name, site_id, device_id
        self._sources[topic] = source
        return source
