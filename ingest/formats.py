"""How payloads of one device type become values: read, checked, and with the device's own time.

A plain type (one JSON object, with the fields under their own names) is read by msgspec straight into
its struct. Every other format is parsed into objects, lists and scalars first, and then mapped.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

import cbor2
import msgspec

from ingest.kinds import describe_mismatch, kind_named
from ingest.mapping import NO_TEXT, NUL, make_mapping
from prevenant.domain import DeviceType
from prevenant.errors import Undecodable

Reader = Callable[[bytes], tuple[Any, Any]]
"""From a payload to the values and the device's own timestamp, or None. Raises Undecodable."""

Parser = Callable[[bytes], Any]
"""From a payload to objects, lists and scalars. Raises Undecodable."""

_DEEPEST = 100
_MISMATCH = re.compile(r"Expected (.+), got (.+)")
_PARSERS_WORDS = {
    "Input data was truncated": "it ends too early",
    "object keys must be strings": "names stand in double quotes",
    "Number out of range": "the number is too large",
    "'utf-8' codec can't decode": "it is not written in UTF-8:",
}
_BOM = b"\xef\xbb\xbf"
_NO_NUMBER = re.compile(
    rb'"(?:[^"\\]|\\.)*+"?|-?\b(?:nan|inf(?:inity)?)\b', re.IGNORECASE | re.DOTALL
)
"""What C, Python and JavaScript write for a number that is none; and texts, which are passed over."""
_SELF_DESCRIBED = b"\xd9\xd9\xf7"
"""The tag with which CBOR may say that it is CBOR."""
_EMPTY = "the payload is empty: so a retained message is deleted, or the device had nothing to say"
_LONGEST_STAMP, _LARGEST_STAMP = 100, 2**63
"""Beyond that a device's own time is none."""
_ESCAPED_NUL = b"\\u0000"
"""How JSON writes it; as a byte of its own it is no JSON."""


def make_reader(device_type: DeviceType) -> Reader:
    """Return how to read payloads that hold one reading."""
    if device_type.is_plain:
        return _make_plain_reader(device_type)
    parse, read = make_parser(device_type), make_mapping(device_type)

    def read_payload(payload: bytes) -> tuple[Any, Any]:
        root = parse(payload)
        return read(root, root)

    return read_payload


def make_parser(device_type: DeviceType) -> Parser:
    """Return how to parse payloads of the type's format, within its bounds."""
    limit = device_type.max_payload_bytes
    parse, what = {
        "json": (_parse_json, "JSON"),
        "msgpack": (msgspec.msgpack.Decoder().decode, "MessagePack"),
        "cbor": (_parse_cbor, "CBOR"),
        "number": (_parse_text, "a number"),
        "text": (_parse_text, "text"),
        "csv": (_make_line_parser(device_type.separator), "a CSV line"),
    }[device_type.format]

    def parse_payload(payload: bytes) -> Any:
        if len(payload) > limit:
            raise Undecodable(_too_large(payload, limit))
        if not payload:
            raise Undecodable(_EMPTY)
        try:
            return parse(payload)
        except Undecodable:
            raise
        except RecursionError:
            message = "the payload is nested too deeply"
            raise Undecodable(message) from None
        except Exception as error:  # noqa: BLE001  hostile bytes may break a parser in any way
            message = f"this is not {what}: {_plain(str(error))}"
            raise Undecodable(message) from None

    return parse_payload


def _make_plain_reader(device_type: DeviceType) -> Reader:
    names = [field.name for field in device_type.fields]
    wire, stamp_of = _wire_type(device_type)
    read = msgspec.json.Decoder(wire).decode
    first = attrgetter(names[0])
    limit = device_type.max_payload_bytes
    time_field = device_type.time_field
    is_beside = device_type.field(time_field) is None

    def read_payload(payload: bytes) -> tuple[Any, Any]:
        if len(payload) > limit:
            raise Undecodable(_too_large(payload, limit))
        try:
            values = read(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            values = _read_mended(read, payload, error)
        if first(values) is None and all(getattr(values, name) is None for name in names):
            message = f"it has none of the fields of {device_type.name}: {', '.join(names)}"
            raise Undecodable(message)
        if _ESCAPED_NUL in payload:
            _refuse_nul(names, values)
        stamp = stamp_of(values)
        if is_beside and type(stamp) is not float and stamp is not None and not _is_kept(stamp):
            setattr(values, time_field, None)
            return values, None
        return values, stamp

    return read_payload


def _read_mended(read: Callable[[bytes], Any], payload: bytes, error: Exception) -> Any:
    """Read JSON behind a byte order mark, or in which numbers that are none stand.

    Raises Undecodable with what was wrong where it is neither.
    """
    if not payload:
        raise Undecodable(_EMPTY)
    if isinstance(error, msgspec.DecodeError) and not isinstance(error, msgspec.ValidationError):
        mended = _NO_NUMBER.sub(_write_null, payload.removeprefix(_BOM))
        if mended != payload:
            try:
                return read(mended)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as another:
                error = another
    raise Undecodable(_why(error))


def _write_null(found: re.Match[bytes]) -> bytes:
    return found[0] if found[0].startswith(b'"') else b"null"


def _refuse_nul(names: Iterable[str], values: msgspec.Struct) -> None:
    for name in names:
        value = getattr(values, name)
        if isinstance(value, str) and NUL in value:
            message = f"{name}: {NO_TEXT}"
            raise Undecodable(message)


def _is_kept(stamp: Any) -> bool:
    """Return whether a stamp may stand among the values, which are kept: not what no store can hold."""
    if isinstance(stamp, str):
        return len(stamp) <= _LONGEST_STAMP and NUL not in stamp
    return type(stamp) is int and abs(stamp) < _LARGEST_STAMP


def _wire_type(device_type: DeviceType) -> tuple[type[msgspec.Struct], Callable[[Any], Any]]:
    """Return the struct of a payload, which has the timestamp beside the fields, and how to get that."""
    wire = device_type.payload_type
    name = device_type.time_field
    if device_type.field(name) is None:
        stamp = (name, Any, None)
        wire = msgspec.defstruct(wire.__name__, [stamp], bases=(wire,), gc=False)
    return wire, attrgetter(name)


_decode_json = msgspec.json.Decoder().decode


def _parse_json(payload: bytes) -> Any:
    try:
        return _decode_json(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return _read_mended(_decode_json, payload, error)


def _parse_cbor(payload: bytes) -> Any:
    stream = io.BytesIO(payload.removeprefix(_SELF_DESCRIBED))
    decoder = cbor2.CBORDecoder(stream, semantic_decoders={35: _refuse}, max_depth=_DEEPEST)
    item = decoder.decode()
    if stream.read(1):
        message = "bytes follow its end"
        raise ValueError(message)
    return item


def _refuse(*_: Any) -> Any:
    message = "a pattern, which no field is"
    raise ValueError(message)


def _parse_text(payload: bytes) -> Any:
    return payload.decode("utf-8-sig").strip()


def _make_line_parser(separator: str) -> Parser:
    def parse(payload: bytes) -> list[str]:
        text = io.StringIO(payload.decode("utf-8-sig"), newline="")
        lines = [line for line in csv.reader(text, delimiter=separator, strict=True) if line]
        if len(lines) != 1:
            message = f"{len(lines)} lines where one is expected"
            raise ValueError(message)
        return [cell.strip() for cell in lines[0]]

    return parse


def _too_large(payload: bytes, limit: int) -> str:
    return f"the payload has {len(payload)} bytes, more than the {limit} of max_payload"


def _why(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "the payload is nested too deeply"
    if isinstance(error, msgspec.ValidationError):
        return _plain(str(error))
    return f"this is not JSON: {_plain(str(error))}"


def _plain(message: str) -> str:
    """Turn a parser's words into ours: `open: expected true or false, got text`, with the remedy."""
    text, _, path = message.replace("`", "").partition(" - at $")
    text = text.removeprefix("JSON is malformed: ")
    if mismatch := _MISMATCH.fullmatch(text):
        text = describe_mismatch(kind_named(mismatch[1]), kind_named(mismatch[2]))
    for theirs, ours in _PARSERS_WORDS.items():
        text = text.replace(theirs, ours)
    text = text[:1].lower() + text[1:]
    return f"{path.lstrip('.')}: {text}" if path else text
