"""The words that all parts share, as values. DESIGN-level vocabulary: see docs/words.md."""

import re
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Any

import msgspec

_STEP = re.compile(r"""\.?([^\s.\[\]"']+)|\[(-?\d+)\]|\[(?:"([^"]+)"|'([^']+)')\]""")


Value = float | bool | str
"""What a field of a reading can be."""

_JOINT = "·"
"""Stands for the dot of `engine.remaining_life` where Python wants a name; no payload's field has one."""

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""The days of the week as they are written everywhere; 0 is Monday."""


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


def first_name_of(name: str) -> str:
    """Return what somebody is greeted by; nothing of a name in which nothing can be seen."""
    return next((one for one in name.split() if any(c.isalnum() for c in one)), "")


@dataclass(frozen=True, slots=True)
class PayloadPath:
    """Where a value stands in a payload: keys of objects, and indices of lists."""

    steps: tuple[str | int, ...]
    from_root: bool = False
    """Whether it counts from the whole payload also where a payload holds several readings."""

    @classmethod
    def parse(cls, text: str) -> "PayloadPath":
        """Read a path such as `data[0].t`, `payload.serial` or `["air temperature"].value`.

        Raises ValueError with the forms that are expected.
        """
        steps: list[str | int] = []
        position = 0
        while match := _STEP.match(text, position):
            key, index, *quoted = match.groups()
            steps.append(int(index) if index else key or quoted[0] or quoted[1])
            position = match.end()
        if not steps or position < len(text):
            message = f"{text!r} is no path: write one such as data[0].t or payload.serial"
            raise ValueError(message)
        from_root = steps[0] == "payload" and not text.startswith(("[", "."))
        return cls(tuple(steps[1:] if from_root else steps), from_root)

    def find(self, payload: Any) -> Any:
        """Return what stands there in `payload`, or None where a part of the path is missing."""
        for step in self.steps:
            if isinstance(payload, list):
                if not isinstance(step, int) or not -len(payload) <= step < len(payload):
                    return None
                payload = payload[step]
            elif isinstance(payload, dict):
                payload = payload.get(step)
            else:
                return None
        return payload


@dataclass(frozen=True, slots=True)
class FieldType:
    """One field of a device type: what its values are, in which unit, and how they are sent."""

    name: str
    kind: type
    """`float`, `bool` or `str`."""
    unit: str | None = None
    optional: bool = False
    path: PayloadPath | None = None
    """None: under the field's own name."""
    scale: float = 1.0
    offset: float = 0.0
    """A number is what was sent, times `scale`, plus `offset`."""
    enum: tuple[tuple[str, Any], ...] = ()
    """What is sent, as text, and the value that it means; empty: the value itself is sent."""

    @property
    def attribute(self) -> str:
        """The name under which the values of a reading have it."""
        return attribute_of(self.name)

    @property
    def is_plain(self) -> bool:
        """Whether the value is sent as it is, under the field's own name."""
        return (self.path, self.scale, self.offset, self.enum) == (None, 1.0, 0.0, ())


@dataclass(frozen=True, slots=True)
class Status:
    """Where devices say whether they are online: by their last will, or by themselves."""

    topic: str
    """A pattern, as that of the readings."""
    online: str = "online"
    offline: str = "offline"
    path: PayloadPath | None = None
    """Where the word stands in a JSON payload; None: it is the payload."""


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
    silent_after_s: float = 0.0
    """After so long without a reading a device counts as silent; 0 never."""
    format: str = "json"
    separator: str = ","
    """Between the columns of a CSV line."""
    has_decimal_comma: bool = False
    """Whether numbers that are sent as text are written as 21,5."""
    time_path: PayloadPath | None = None
    """None: the device's own time stands under `time_field`."""
    readings_path: PayloadPath | None = None
    """Where a payload holds the list of its readings; None: it is one."""
    identity: tuple[tuple[str, PayloadPath], ...] = ()
    """Where the payload names `site` or `device`, if the topic does not."""
    status: Status | None = None
    predicted: tuple[FieldType, ...] = ()
    """What models say of its devices, as `engine.remaining_life`; no device can send it."""

    @property
    def is_plain(self) -> bool:
        """Whether a payload is one JSON object with the fields and the time under their own names."""
        return (
            self.format == "json"
            and not self.identity
            and self.time_path is None
            and self.readings_path is None
            and all(field.is_plain for field in self.fields)
        )

    @property
    def names_in_payload(self) -> bool:
        """Whether a payload names its device, or holds several readings."""
        return bool(self.identity) or self.readings_path is not None

    def field(self, name: str) -> FieldType | None:
        """Return the field called `name` that devices send, or None."""
        return next((field for field in self.fields if field.name == name), None)

    def known_field(self, name: str) -> FieldType | None:
        """Return the field called `name` that rules may ask for, sent or predicted, or None."""
        everything = (*self.fields, *self.predicted)
        return next((field for field in everything if field.name == name), None)

    @property
    def payload_type(self) -> type[msgspec.Struct]:
        """A struct with one attribute for each field that is sent; None where it was not sent."""
        return _values_type(self.name, self.fields)

    @property
    def values_type(self) -> type[msgspec.Struct]:
        """The same with what models say behind it; None where they say nothing."""
        return _values_type(self.name, (*self.fields, *self.predicted))


class Reading(msgspec.Struct, frozen=True, gc=False):
    """Decoded telemetry of one device. Times are seconds since 1970, UTC."""

    type: str
    site_id: str
    device_id: str
    """Unique in the whole installation: `site/device`, or the device alone where there is no site."""
    observed_at: float
    received_at: float
    values: Any
    """Of the device type's `payload_type` as it is decoded, and of its `values_type` for rules.

    Numbers are finite: decoding sees to it.
    """
    retained: bool = False
    """The broker kept it and it has no time of its own: it counts for a device not heard before."""


class Presence(msgspec.Struct, frozen=True):
    """What a device, its broker or its gateway said of whether it can be heard."""

    type: str
    site_id: str
    device_id: str
    online: bool
    at: float
    """Seconds since 1970."""
    reason: str


class TraceLine(msgspec.Struct, frozen=True, gc=False):
    """One comparison of a rule's conditions, at the reading that decided."""

    condition: str
    value: Any
    """What was compared; None where it was missing, or where there is nothing to compare."""
    truth: bool | None


class Transition(msgspec.Struct, frozen=True, gc=False):
    """One change of an alarm, with what decided it. Times are seconds since 1970, UTC."""

    kind: str
    """`raised`, `levelled`, `cleared`, `latched` (over, but kept until a person resets it), `passed`
    (it began and ended before we could know of it), `shelved` (it is raised too often), `released`
    (what kept it from being told has ended)."""
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
    held_by: str = ""
    """Of a raised alarm: the rule whose alarm explains it, or `flapping`; nobody is told."""
    held_until: float = 0.0
    """Until when `flapping` keeps it from being told."""
    trace: tuple["TraceLine", ...] = ()


def attribute_of(name: str) -> str:
    """Return the attribute under which the values of a reading have the field called `name`."""
    return name.replace(".", _JOINT)


def values_by_name(values: Any) -> dict[str, Any]:
    """Return the known values of a reading under the names that the rule book has for them."""
    return {
        name.replace(_JOINT, "."): value
        for name, value in msgspec.structs.asdict(values).items()
        if value is not None
    }


def device_key(site: str, device: str) -> str:
    """Return the installation-wide identity of a device: topic levels hold no slash, so it is unique."""
    return f"{site}/{device}" if site else device


@cache
def _values_type(name: str, fields: tuple[FieldType, ...]) -> type[msgspec.Struct]:
    return msgspec.defstruct(
        f"{name.title().replace('_', '')}Values",
        [(field.attribute, field.kind | None, None) for field in fields],
        gc=False,
    )
