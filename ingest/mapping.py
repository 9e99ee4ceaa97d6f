"""From a parsed payload to the values of one device type, as the rule book maps its fields."""

import math
import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from cbor2 import undefined

from ingest.kinds import NUMBER, OBJECT, TEXT, describe_mismatch, kind_named, kind_of
from ingest.topics import is_name
from prevenant.domain import DeviceType, FieldType, PayloadPath
from prevenant.errors import Undecodable

Mapping = Callable[[Any, Any], tuple[Any, Any]]
"""From the whole payload, and the part of it that is the reading, to the values and the timestamp."""

_BARE = {"number", "text"}
_WRITTEN = {"number", "text", "csv"}
"""Formats without kinds: everything in them is text."""
_WORDS = {
    **dict.fromkeys(("true", "on", "yes", "open", "1"), True),
    **dict.fromkeys(("false", "off", "no", "closed", "0"), False),
}
NUL, NO_TEXT = "\0", "a text with a NUL character, which no database keeps"
_COMMA_NUMBER = re.compile(r"[+-]?\d+,\d+")
_LARGEST_WHOLE = 10**30
"""Larger numbers are no names and no words; Python refuses to write out the largest."""


def make_mapping(device_type: DeviceType) -> Mapping:
    """Return how to take the values out of a payload. The mapping raises Undecodable."""
    values_type = device_type.payload_type
    getters = [
        (field.name, _place_of(device_type, number, field), _reader_of(device_type, field))
        for number, field in enumerate(device_type.fields)
    ]
    stamp_of = _stamp_of(device_type)
    names = ", ".join(field.name for field in device_type.fields)

    def read(root: Any, part: Any) -> tuple[Any, Any]:
        if part is None or not isinstance(part, _PARTS[device_type.format]):
            expected = _EXPECTED.get(device_type.format, OBJECT)
            raise Undecodable(describe_mismatch(expected, kind_of(part)))
        values = []
        for name, place, convert in getters:
            raw = place(root, part)
            try:
                values.append(None if raw is None or raw is undefined else convert(raw))
            except (Undecodable, OverflowError) as error:
                message = f"{name}: {error}"
                raise Undecodable(message) from None
        if all(value is None for value in values):
            message = f"it has none of the fields of {device_type.name}: {names}"
            raise Undecodable(message)
        return values_type(*values), stamp_of(root, part)

    return read


def read_name(what: str, value: Any) -> str:
    """Return the name of a site or device that stands in a payload. Raises Undecodable."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = _written_out(what, value)
    if not isinstance(value, str) or not value.strip():
        message = f"the payload does not name the {what}: {kind_of(value)}"
        raise Undecodable(message)
    if not is_name(value) or set(value) & set("/+#"):
        message = (
            f"{value[:40]!r} cannot name a {what}: it has a slash, +, # or too many characters"
        )
        raise Undecodable(message)
    return value


def read_word(what: str, value: Any) -> str:
    """Return a scalar of a payload as the text that an enum has. Raises Undecodable."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, int):
        return _written_out(what, value)
    if isinstance(value, str | float):
        return str(value)
    message = f"expected {what}, got {kind_of(value)}"
    raise Undecodable(message)


def _written_out(what: str, number: int) -> str:
    if abs(number) > _LARGEST_WHOLE:
        message = f"expected {what}, got a number of {number.bit_length()} bits"
        raise Undecodable(message)
    return str(number)


def convert_value(field: FieldType, raw: Any) -> Any:
    """Return what a field's value means: checked, scaled, or looked up. None where it is no number.

    Raises Undecodable with what was expected.
    """
    if field.enum:
        word = read_word("a value of its enum", raw)
        known = dict(field.enum)
        if word not in known:
            message = f"{word[:40]!r} is not in its enum: {', '.join(known)}"
            raise Undecodable(message)
        return known[word]
    if field.kind is float:
        return _number(field, raw)
    if not isinstance(raw, field.kind):
        expected = kind_named(field.kind.__name__)
        raise Undecodable(describe_mismatch(expected, kind_of(raw)))
    if isinstance(raw, str) and NUL in raw:
        raise Undecodable(NO_TEXT)
    return raw


def _number(field: FieldType, raw: Any) -> float | None:
    if isinstance(raw, bool) or not isinstance(raw, int | float | Decimal | Fraction):
        raise Undecodable(describe_mismatch(NUMBER, kind_of(raw)))
    number = float(raw) * field.scale + field.offset
    return number if math.isfinite(number) else None


def _written(field: FieldType, *, has_comma: bool) -> Callable[[Any], Any]:
    """Return how to read a field that is text on the wire; `has_comma`: numbers are written 21,5."""
    marks = str.maketrans(",.", ".,")

    def read(raw: Any) -> Any:
        text = str(raw)
        if field.enum or field.kind is str:
            return convert_value(field, text)
        if field.kind is bool:
            if text.lower() not in _WORDS:
                message = f"{text[:40]!r} is neither true nor false"
                raise Undecodable(message)
            return _WORDS[text.lower()]
        try:
            number = float(text.translate(marks) if has_comma else text)
        except ValueError:
            message = f"expected a number, got {text[:40]!r}"
            if not has_comma and _COMMA_NUMBER.fullmatch(text):
                message += ": `decimal: comma` in the book reads it"
            raise Undecodable(message) from None
        return _number(field, number)

    return read


def _reader_of(device_type: DeviceType, field: FieldType) -> Callable[[Any], Any]:
    if device_type.format in _WRITTEN:
        return _written(field, has_comma=device_type.has_decimal_comma)
    return lambda raw: convert_value(field, raw)


def _place_of(device_type: DeviceType, number: int, field: FieldType) -> Callable[[Any, Any], Any]:
    """Return how to find a field's raw value."""
    if device_type.format in _BARE:
        return lambda _root, part: part or None
    if device_type.format == "csv":
        column = number if field.path is None else _column(field.path)
        return lambda _root, part: _cell(part, column)
    return _finder(field.path or PayloadPath((field.name,)))


def _stamp_of(device_type: DeviceType) -> Callable[[Any, Any], Any]:
    path = device_type.time_path
    if device_type.format in _BARE:
        return lambda _root, _part: None
    if device_type.format == "csv":
        if path is None:
            return lambda _root, _part: None
        column = _column(path)
        return lambda _root, part: _numeric(_cell(part, column))
    find = _finder(path or PayloadPath((device_type.time_field,)))
    return lambda root, part: _plain_stamp(find(root, part))


def _finder(path: PayloadPath) -> Callable[[Any, Any], Any]:
    if path.from_root:
        return lambda root, _part: path.find(root)
    return lambda _root, part: path.find(part)


def _plain_stamp(stamp: Any) -> Any:
    if isinstance(stamp, datetime):
        return stamp.timestamp()
    return float(stamp) if isinstance(stamp, Decimal) else stamp


def _numeric(text: str | None) -> Any:
    try:
        return float(text or "")
    except ValueError:
        return text


def _column(path: PayloadPath) -> int:
    """Return the index of a column, which the book counts from 1."""
    return int(path.steps[0]) - 1


def _cell(row: list[str], column: int) -> str | None:
    """Return a cell; an empty one is missing."""
    return (row[column] or None) if column < len(row) else None


_PARTS: dict[str, type | tuple[type, ...]] = {
    "json": (dict, list),
    "msgpack": (dict, list),
    "cbor": (dict, list),
    "number": str,
    "text": str,
    "csv": list,
}
_EXPECTED = {"number": NUMBER, "text": TEXT, "csv": "a line"}
