"""The words that all parts share, as values. DESIGN-level vocabulary: see docs/words.md."""

from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Any

import msgspec


class Severity(IntEnum):
    """How much an alarm matters; a higher value goes first."""

    INFO = 1
    MINOR = 2
    MAJOR = 3
    CRITICAL = 4
    LIFE_SAFETY = 5

    @property
    def word(self) -> str:
        """The severity as it is written in the rule book."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class FieldType:
    """One field of a device type: what its values are and in which unit."""

    name: str
    kind: type
    """`float`, `bool` or `str`."""
    unit: str | None = None
    optional: bool = False


@dataclass(frozen=True, slots=True)
class DeviceType:
    """What devices of one kind publish: on which topics, and which fields."""

    name: str
    topic: str
    """A pattern such as `airport/{site}/doors/{device}`."""
    fields: tuple[FieldType, ...]
    time_field: str = "observed_at"
    max_skew_s: float = 60.0
    """How far ahead of arrival a device's own timestamp is believed."""
    max_late_s: float = 86_400.0
    """How far behind arrival a device's own timestamp is believed."""
    max_payload_bytes: int = 65_536
    max_rate: int = 100
    """How many changes of one device are weighed in a second of its own time."""

    def field(self, name: str) -> FieldType | None:
        """Return the field called `name`, or None."""
        return next((field for field in self.fields if field.name == name), None)

    @property
    def values_type(self) -> type[msgspec.Struct]:
        """A struct with one attribute for each field; None where the field was not sent."""
        return _values_type(self.name, self.fields)


class Reading(msgspec.Struct, frozen=True, gc=False):
    """Decoded telemetry of one device. Times are seconds since 1970, UTC."""

    type: str
    site_id: str
    device_id: str
    """Unique in the whole installation: `site/device`, or the device alone where there is no site."""
    observed_at: float
    received_at: float
    values: Any
    """Of the device type's `values_type`. Numbers are finite: decoding sees to it."""
    retained: bool = False
    """The broker kept it and it has no time of its own: it counts for a device not heard before."""


class Transition(msgspec.Struct, frozen=True):
    """One change of an alarm, with what decided it. Times are seconds since 1970, UTC."""

    kind: str
    """`raised`, `cleared`, or `passed`: it began and ended before we could know of it."""
    rule: str
    type: str
    site_id: str
    device_id: str
    severity: int
    onset_at: float
    """When the condition began to hold. With rule and device it identifies the alarm."""
    at: float
    values: dict[str, Any]
    reason: str


def device_key(site: str, device: str) -> str:
    """Return the installation-wide identity of a device: topic levels hold no slash, so it is unique."""
    return f"{site}/{device}" if site else device


@cache
def _values_type(name: str, fields: tuple[FieldType, ...]) -> type[msgspec.Struct]:
    return msgspec.defstruct(
        f"{name.title().replace('_', '')}Values",
        [(field.name, field.kind | None, None) for field in fields],
        gc=False,
    )
