"""How payloads of one device type become values: read, checked, and with the device's own time."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import msgspec

from prevenant.domain import DeviceType
from prevenant.errors import Undecodable

Reader = Callable[[bytes], tuple[Any, Any]]
"""From a payload to the values and the device's own timestamp, or None. Raises Undecodable."""


def make_reader(device_type: DeviceType) -> Reader:
    """Return how to read the payloads of a device type."""
    names = [field.name for field in device_type.fields]
    wire, stamp_of = _wire_type(device_type)
    read = msgspec.json.Decoder(wire).decode
    first = attrgetter(names[0])
    limit = device_type.max_payload_bytes

    def read_payload(payload: bytes) -> tuple[Any, Any]:
        if len(payload) > limit:
            message = f"the payload has {len(payload)} bytes, more than the {limit} of max_payload"
            raise Undecodable(message)
        try:
            values = read(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Undecodable(_why(error)) from None
        if first(values) is None and all(getattr(values, name) is None for name in names):
            message = f"it has none of the fields of {device_type.name}: {', '.join(names)}"
            raise Undecodable(message)
        return values, stamp_of(values)

    return read_payload


def _wire_type(device_type: DeviceType) -> tuple[type[msgspec.Struct], Callable[[Any], Any]]:
    """Return the struct of a payload, which has the timestamp beside the fields, and how to get that."""
    wire = device_type.values_type
    name = device_type.time_field
    if device_type.field(name) is None:
        stamp = (name, Any, None)
        wire = msgspec.defstruct(wire.__name__, [stamp], bases=(wire,), gc=False)
    return wire, attrgetter(name)


def _why(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "the payload is nested too deeply"
    if isinstance(error, msgspec.ValidationError):
        return _plain(str(error))
    return f"this is not JSON: {_plain(str(error))}"


def _plain(message: str) -> str:
    """Turn msgspec's words into ours: `open: expected bool, got str`."""
    text, _, path = message.replace("`", "").partition(" - at $")
    text = text[:1].lower() + text[1:]
    return f"{path.lstrip('.')}: {text}" if path else text
