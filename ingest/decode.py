"""From frames to readings. What cannot be decoded comes back with its reason, and stops nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from ingest.clock_skew import observed_at
from ingest.mqtt import RETAINED, Frame
from ingest.topics import Topics
from prevenant.domain import DeviceType, Reading
from prevenant.errors import Undecodable


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
        self._formats = {device_type.name: _Format(device_type) for device_type in types}

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
        for position, frame in enumerate(frames):
            try:
                readings.append(self.decode(frame, received_at))
            except Undecodable as error:
                rejected.append(Rejected(position, frame, str(error)))
        return readings, rejected

    def decode(self, frame: Frame, received_at: float) -> Reading:
        """Return the reading in one frame. Raises Undecodable with the reason."""
        topic, payload, flags = frame
        identity = self._topics.identify(topic)
        if identity is None:
            message = "no device type of the book has this topic"
            raise Undecodable(message)
        device_type, site_id, device_id = identity
        values, stamp = self._formats[device_type.name].read(payload)
        observed, timed = observed_at(stamp, received_at, device_type)
        retained = bool(flags & RETAINED) and not timed
        return Reading(
            device_type.name, site_id, device_id, observed, received_at, values, retained
        )


class _Format:
    """How the payloads of one device type are read."""

    def __init__(self, device_type: DeviceType) -> None:
        self._device_type = device_type
        self._names = [field.name for field in device_type.fields]
        wire = device_type.values_type
        if device_type.time_field not in self._names:
            wire = msgspec.defstruct(
                wire.__name__,
                [(device_type.time_field, float | str | None, None)],
                bases=(wire,),
                gc=False,
            )
        self._read = msgspec.json.Decoder(wire).decode

    def read(self, payload: bytes) -> tuple[Any, Any]:
        """Return the values and the device's own timestamp. Raises Undecodable."""
        limit = self._device_type.max_payload_bytes
        if len(payload) > limit:
            message = f"the payload has {len(payload)} bytes, more than the {limit} of max_payload"
            raise Undecodable(message)
        try:
            values = self._read(payload)
        except msgspec.ValidationError as error:
            raise Undecodable(_plain(str(error))) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            message = f"this is not JSON: {_plain(str(error))}"
            raise Undecodable(message) from None
        except RecursionError:
            message = "the payload is nested too deeply"
            raise Undecodable(message) from None
        if all(getattr(values, name) is None for name in self._names):
            message = (
                f"it has none of the fields of {self._device_type.name}: {', '.join(self._names)}"
            )
            raise Undecodable(message)
        return values, getattr(values, self._device_type.time_field)


def _plain(message: str) -> str:
    """Turn msgspec's words into ours: `open: expected bool, got str`."""
    text, _, path = message.replace("`", "").partition(" - at $")
    text = text[:1].lower() + text[1:]
    return f"{path.lstrip('.')}: {text}" if path else text
