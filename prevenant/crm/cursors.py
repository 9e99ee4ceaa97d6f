"""Up to where an outside CRM has been read: kept as JSON, compared where it comes from."""

import json
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

_DAY_CHARACTERS = 10


def encode_cursor(value: Any) -> str:
    """Return a cursor as it is kept: a number, a time, a day, bytes or a text."""
    match value:
        case datetime():
            kind, kept = "time", value.isoformat()
        case date():
            kind, kept = "day", value.isoformat()
        case bytes() | bytearray() | memoryview():
            kind, kept = "bytes", bytes(value).hex()
        case Decimal():
            kind, kept = "decimal", str(value)
        case int() | float() if not isinstance(value, bool):
            return json.dumps({"number": value})
        case _:
            kind, kept = "text", str(value)
    return json.dumps({kind: kept})


def decode_cursor(cursor: str, overlap_s: float = 0.0) -> Any:
    """Return what a cursor is compared with: itself, less the overlap where it is a time or a number."""
    ((kind, value),) = json.loads(cursor).items()
    match kind:
        case "time":
            return _earlier(datetime.fromisoformat(value), overlap_s)
        case "day":
            return _earlier(datetime.fromisoformat(value), overlap_s).date()
        case "bytes":
            return bytes.fromhex(value)
        case "decimal":
            # Arithmetic would round it.
            return Decimal(value) - Decimal(str(overlap_s)) if overlap_s else Decimal(value)
        case "number":
            # A whole number stays one: a float has not enough digits for all.
            return value - (int(overlap_s) if float(overlap_s).is_integer() else overlap_s)
    moment = _moment_of(value) if overlap_s else None
    return value if moment is None else _written_like(value, _earlier(moment, overlap_s))


def cap_cursor(cursor: str, at: datetime) -> str:
    """Return a cursor that is not later than `at`: a row from the future would hide changes.

    A time without a zone is taken for UTC. Numbers are as they are: nobody knows what they count.
    """
    ((kind, value),) = json.loads(cursor).items()
    if kind == "day":
        return encode_cursor(min(date.fromisoformat(value), at.date()))
    moment = _moment_of(value) if kind in {"time", "text"} else None
    if moment is None:
        return cursor
    limit = at.astimezone(moment.tzinfo) if moment.tzinfo else at.replace(tzinfo=None)
    if moment <= limit:
        return cursor
    limit = limit.replace(microsecond=0)
    return encode_cursor(limit if kind == "time" else _written_like(value, limit))


def cursor_order(value: Any) -> tuple[int, Any]:
    """Return by what cursors of one feed are compared: numbers, then times, then texts."""
    if isinstance(value, int | float):
        return 0, value
    moment = _moment_of(str(value))
    if moment is not None:
        return 1, moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return 2, str(value)


def _earlier(moment: datetime, overlap_s: float) -> datetime:
    with suppress(OverflowError):
        return moment - timedelta(seconds=overlap_s)
    return moment


def _moment_of(text: str) -> datetime | None:
    """Return the moment that a text is in ISO 8601 with its hyphens; None where it is another."""
    if text[4:5] == "-":
        with suppress(ValueError):
            return datetime.fromisoformat(text)
    return None


def _written_like(text: str, moment: datetime) -> str:
    """Return a moment in the form of a text that is one: a day, or with its separator and zone."""
    if len(text) <= _DAY_CHARACTERS:
        return moment.date().isoformat()
    shown = moment.isoformat(text[_DAY_CHARACTERS])
    return shown.replace("+00:00", "Z") if text.endswith("Z") else shown
