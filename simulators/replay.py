"""Real records as live telemetry: the rows of a CSV file, published in their own rhythm, only faster."""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from prevenant.document import suggest
from prevenant.domain import DeviceType
from prevenant.errors import ConfigurationError
from simulators.fleet import connect, take_leave

_CONVERSIONS: Mapping[str, Callable[[float], float]] = {
    "fahrenheit": lambda value: (value - 32) / 1.8,
    "kelvin": lambda value: value - 273.15,
    "celsius": lambda value: value,
}
_TRUE, _FALSE = {"true", "1", "yes"}, {"false", "0", "no"}
_TIME_COLUMN = "timestamp"
_LAST_WORDS_S = 10.0


def replay_csv(
    url: str,
    file: Path,
    device_type: DeviceType,
    device: str,
    fields: Sequence[str],
    time_column: str | None,
    speed: float,
    limit: int,
) -> int:
    """Publish the rows of `file` as readings of one device; return how many.

    A row without a readable time comes a second of the record after the one before it. Raises
    ConfigurationError before anything is published.
    """
    frame = _read(file)
    if not device_type.is_plain:
        message = (
            f"{device_type.name} does not publish its fields as one JSON object: "
            "replay a device type without format, from, identity or readings"
        )
        raise ConfigurationError(message)
    columns = _read_fields(fields, device_type, frame, file)
    pauses = _pauses(frame, time_column, file)
    topic = _topic(device_type, device)
    client = connect(url)
    waiting = threading.Event()
    count = 0
    try:
        for pause_s, (_, row) in zip(pauses, frame.iterrows(), strict=True):
            if limit and count >= limit:
                break
            if pause_s > 0:
                waiting.wait(pause_s / speed)
            payload = {name: read(row[column]) for name, (column, read) in columns.items()}
            payload["observed_at"] = datetime.now(UTC).isoformat(timespec="milliseconds")
            published = client.publish(topic, json.dumps(payload), qos=1)
            count += 1
        published.wait_for_publish(_LAST_WORDS_S)
        if not published.is_published():
            message = f"the broker has not taken all of {count} readings: see what it logs"
            raise ConfigurationError(message)
    except KeyboardInterrupt:
        pass
    finally:
        take_leave(client)
    return count


def _read(file: Path) -> pd.DataFrame:
    try:
        frame = pd.read_csv(file)
    except FileNotFoundError:
        message = f"there is no file {file}: name one that exists"
        raise ConfigurationError(message) from None
    except OSError as error:
        message = f"{file} cannot be read: {error.strerror}; name a CSV file"
        raise ConfigurationError(message) from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        message = f"{file} cannot be read as CSV in UTF-8 with a line of headings: {reason}"
        raise ConfigurationError(message) from None
    if frame.empty:
        message = f"{file} has no row below its headings: name a file with readings"
        raise ConfigurationError(message)
    return frame


def _pauses(frame: pd.DataFrame, time_column: str | None, file: Path) -> list[float]:
    """Return how many seconds of the record pass before each row."""
    if time_column is not None and time_column not in frame.columns:
        hint = suggest(time_column, [str(column) for column in frame.columns])
        message = f"{file} has no column {time_column!r}: {hint}"
        raise ConfigurationError(message)
    column = time_column or _TIME_COLUMN
    if column not in frame.columns:
        return [0.0] + [1.0] * (len(frame) - 1)
    times = pd.to_datetime(frame[column], errors="coerce", utc=True)
    pauses = times.diff().dt.total_seconds().fillna(1.0).clip(lower=0.0).tolist()
    return [0.0, *pauses[1:]]


def _read_fields(
    fields: Sequence[str], device_type: DeviceType, frame: pd.DataFrame, file: Path
) -> dict[str, tuple[str, Callable[[Any], Any]]]:
    """Return for each field the column that it comes from, and how its values are read."""
    columns = [str(column) for column in frame.columns]
    wanted = list(fields) or [f"{f.name}={f.name}" for f in device_type.fields if f.name in columns]
    if not wanted:
        names = ", ".join(field.name for field in device_type.fields)
        message = f"{file} has no column called like a field ({names}): use --field FIELD=COLUMN"
        raise ConfigurationError(message)
    found = {}
    for text in wanted:
        name, assigns, source = text.partition("=")
        if not assigns:
            message = f"--field {text} names no column: write {name}=COLUMN"
            raise ConfigurationError(message)
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
        if field.kind is float:
            _check_numbers(frame[column], file)
        found[name] = (column, _reader(field.kind, _CONVERSIONS.get(unit)))
    return found


def _check_numbers(column: "pd.Series[Any]", file: Path) -> None:
    bad = column.notna() & pd.to_numeric(column, errors="coerce").isna()
    if bad.any():
        row = int(bad.to_numpy().argmax())
        message = (
            f"{file}: {column.iloc[row]!r} in row {row + 1} of column {column.name!r} is no number: "
            "leave it empty, or name another column"
        )
        raise ConfigurationError(message)


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
    if not name or set(device) & {"#", "+", "\0"}:
        message = f"--device {device!r} is no name of a device: write SITE/DEVICE, as in t2/T1"
        raise ConfigurationError(message)
    if "{site}" in device_type.topic and not site:
        message = f"{device_type.name} belongs to a site: write --device SITE/{name}"
        raise ConfigurationError(message)
    return (
        device_type.topic.replace("{site}", site).replace("{device}", name).replace("+", "replay")
    )
