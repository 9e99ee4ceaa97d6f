"""Real records as live telemetry: the rows of a CSV file, published in their own rhythm, only faster."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from prevenant.document import suggest
from prevenant.domain import DeviceType
from prevenant.errors import ConfigurationError
from simulators.fleet import connect

_CONVERSIONS: Mapping[str, Callable[[float], float]] = {
    "fahrenheit": lambda value: (value - 32) / 1.8,
    "kelvin": lambda value: value - 273.15,
    "celsius": lambda value: value,
}
_TRUE, _FALSE = {"true", "1", "yes"}, {"false", "0", "no"}
_LAST_WORDS_S = 10.0


def replay_csv(
    url: str,
    file: Path,
    device_type: DeviceType,
    device: str,
    fields: Sequence[str],
    time_column: str,
    speed: float,
    limit: int,
) -> int:
    """Publish the rows of `file` as readings of one device; return how many.

    Rows without a readable time follow each other once a second of the record. Raises ConfigurationError.
    """
    frame = _read(file)
    if not device_type.is_plain:
        message = (
            f"{device_type.name} does not publish its fields as one JSON object: "
            "replay a device type without format, from, identity or readings"
        )
        raise ConfigurationError(message)
    columns = _read_fields(fields, device_type, [str(c) for c in frame.columns], file)
    topic = _topic(device_type, device)
    client = connect(url)
    waiting = threading.Event()
    count, last = 0, None
    try:
        for offset_s, row in _rows(frame, time_column):
            if limit and count >= limit:
                break
            if last is not None and offset_s > last:
                waiting.wait((offset_s - last) / speed)
            last = offset_s
            payload = {name: read(row[column]) for name, (column, read) in columns.items()}
            payload["observed_at"] = datetime.now(UTC).isoformat(timespec="milliseconds")
            published = client.publish(topic, json.dumps(payload), qos=1)
            count += 1
        if count:
            published.wait_for_publish(_LAST_WORDS_S)
    except KeyboardInterrupt:
        pass
    finally:
        client.disconnect()
        client.loop_stop()
    return count


def _read(file: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(file)
    except FileNotFoundError:
        message = f"there is no file {file}"
        raise ConfigurationError(message) from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        message = f"{file} cannot be read as CSV: {error}"
        raise ConfigurationError(message) from None


def _rows(frame: pd.DataFrame, time_column: str) -> Iterator[tuple[float, Any]]:
    """Yield each row with its time in seconds from the first."""
    if time_column in frame.columns:
        times = pd.to_datetime(frame[time_column], errors="coerce", utc=True)
        seconds = (times - times.iloc[0]).dt.total_seconds().ffill().fillna(0.0)
    else:
        seconds = pd.Series(range(len(frame)), dtype=float)
    for position, (_, row) in enumerate(frame.iterrows()):
        yield float(seconds.iloc[position]), row


def _read_fields(
    fields: Sequence[str], device_type: DeviceType, columns: Sequence[str], file: Path
) -> dict[str, tuple[str, Callable[[Any], Any]]]:
    """Return for each field the column that it comes from, and how its values are read."""
    wanted = list(fields) or [f"{f.name}={f.name}" for f in device_type.fields if f.name in columns]
    if not wanted:
        names = ", ".join(field.name for field in device_type.fields)
        message = f"{file} has no column called like a field ({names}): use --field FIELD=COLUMN"
        raise ConfigurationError(message)
    found = {}
    for text in wanted:
        name, _, source = text.partition("=")
        column, _, unit = source.partition(":")
        field = device_type.field(name)
        if field is None:
            hint = suggest(name, [f.name for f in device_type.fields])
            message = f"{device_type.name} has no field {name!r}: {hint}"
            raise ConfigurationError(message)
        if column not in columns:
            message = f"{file} has no column {column!r}: {suggest(column, columns)}"
            raise ConfigurationError(message)
        if unit and unit not in _CONVERSIONS:
            message = f"{unit!r} cannot be converted: {suggest(unit, _CONVERSIONS)}"
            raise ConfigurationError(message)
        found[name] = (column, _reader(field.kind, _CONVERSIONS.get(unit)))
    return found


def _reader(kind: type, convert: Callable[[float], float] | None) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if pd.isna(value):
            return None
        if kind is float:
            return convert(float(value)) if convert else float(value)
        if kind is bool:
            word = str(value).lower()
            return True if word in _TRUE else False if word in _FALSE else None
        return str(value)

    return read


def _topic(device_type: DeviceType, device: str) -> str:
    site, _, name = device.rpartition("/")
    if "{site}" in device_type.topic and not site:
        message = f"{device_type.name} belongs to a site: write --device SITE/{name}"
        raise ConfigurationError(message)
    return (
        device_type.topic.replace("{site}", site).replace("{device}", name).replace("+", "replay")
    )
