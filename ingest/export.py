"""The journal as tables: statistics of it, and its readings as Parquet or CSV for pandas.

Everything here reads only, also beside a live engine or from a copy, and keeps no more than a few
thousand readings in memory.
"""

import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv, parquet

from ingest.decode import Decoder
from ingest.journal_file import (
    MISSING,
    Batch,
    Damage,
    connect_read_only,
    find_last_seq,
    is_broken,
    read_snapshot,
)
from ingest.journal_walk import DROPPED, walk_batches
from prevenant.domain import DeviceType, Reading
from prevenant.errors import JournalError

_ROWS_A_GROUP = 20_000
_TIME = pa.timestamp("us", tz="UTC")
_KINDS: dict[type, pa.DataType] = {float: pa.float64(), bool: pa.bool_(), str: pa.string()}


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a journal holds. Times are in seconds since 1970, None in an empty journal."""

    size_bytes: int
    used_bytes: int
    batches: int
    readings: int
    first_seq: int
    last_seq: int
    first_at: float | None
    last_at: float | None
    snapshot_seq: int | None
    snapshot_at: float | None
    damages: list[str]
    """What was found damaged so far."""
    found: list[str] | None
    """Which batches are damaged or missing now; None where that was not asked for."""
    snapshot_damage: str | None
    """What is wrong with the snapshot of the processor's state; None where nothing is, or nobody asked."""


@dataclass(slots=True)
class Exported:
    """What an export wrote, by file, and what could not be read."""

    rows: dict[Path, int] = field(default_factory=dict)
    rejected: int = 0
    damages: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which readings are wanted. Times are in seconds since 1970, and those of observation."""

    since: float = 0.0
    until: float = float("inf")
    types: frozenset[str] = frozenset()
    devices: frozenset[str] = frozenset()

    def has(self, reading: Reading) -> bool:
        """Return whether `reading` is wanted."""
        return (
            self.since <= reading.observed_at < self.until
            and (not self.types or reading.type in self.types)
            and (not self.devices or reading.device_id in self.devices)
        )


def examine_journal(path: Path, *, check: bool = False) -> Statistics:
    """Return what the journal holds; with `check`, read all of it and compare its checksums.

    Raises JournalError where there is no journal.
    """
    with closing(connect_read_only(path)) as connection:
        query = (
            "SELECT count(*), coalesce(sum(count), 0), coalesce(min(seq), 0), "
            "coalesce(max(seq), 0), min(received_at), max(received_at) FROM batch"
        )
        row: Any = None
        try:
            row = connection.execute(query).fetchone()
        except sqlite3.Error as error:
            if not is_broken(error):
                raise
            # What cannot be counted has to be looked for.
            check = True
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        snapshot: Any = (None, None)
        damages: list[str] = []
        with suppress(sqlite3.Error):
            # A journal of before has no such tables.
            found = connection.execute("SELECT seq, taken_at FROM snapshot").fetchone()
            snapshot = found or snapshot
            damages = [str(Damage(*one[1:])) for one in connection.execute("SELECT * FROM damage")]
        broken: list[str] | None = None
        snapshot_damage: str | None = None
        if check:
            whole, broken = _check(connection)
            row = row or whole
            missing, snapshot_damage = _check_snapshot(connection)
            broken += missing
    files = [path.with_name(path.name + suffix) for suffix in ("", "-wal")]
    return Statistics(
        sum(one.stat().st_size for one in files if one.exists()),
        (pages - free) * size,
        batches=row[0],
        readings=row[1],
        first_seq=row[2],
        last_seq=row[3],
        first_at=row[4],
        last_at=row[5],
        snapshot_seq=snapshot[0],
        snapshot_at=snapshot[1],
        damages=damages,
        found=broken,
        snapshot_damage=snapshot_damage,
    )


def _check(connection: Any) -> tuple[list[Any], list[str]]:
    """Read all; return what is whole, in the order of the query above, and what is damaged."""
    whole: list[Any] = [0, 0, 0, 0, None, None]
    broken: list[str] = []
    for one in walk_batches(connection):
        if isinstance(one, Damage):
            if one.reason != DROPPED:
                broken.append(str(one))
            continue
        first = not whole[0]
        whole[0] += 1
        whole[1] += len(one.frames)
        whole[3], whole[5] = one.seq, one.received_at
        if first:
            whole[2], whole[4] = one.seq, one.received_at
    return whole, broken


def _check_snapshot(connection: sqlite3.Connection) -> tuple[list[str], str | None]:
    """Return which batches it has seen and the journal has not, and what is wrong with itself."""
    try:
        # A live engine adds a batch, then a snapshot that has seen it: both are read as of one moment.
        connection.execute("BEGIN")
        found = read_snapshot(connection)
        last = find_last_seq(connection) if found else 0
    except ValueError:
        return [], _say_snapshot_damaged(connection, "its checksum does not match")
    except sqlite3.Error as error:
        # A journal of before has no such tables.
        return [], _say_snapshot_damaged(connection, str(error)) if is_broken(error) else None
    finally:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
    if found is None or last >= found[0].seq:
        return [], None
    reason = (
        f"{MISSING}, and the snapshot has seen them: what followed is known, what was sent is not"
    )
    return [str(Damage(last + 1, found[0].seq, None, None, found[0].taken_at, reason))], None


def _say_snapshot_damaged(connection: sqlite3.Connection, why: str) -> str:
    oldest = 1
    with suppress(sqlite3.Error):
        oldest = connection.execute("SELECT min(seq) FROM batch").fetchone()[0] or 1
    before = (
        "; what was known before that is lost with it, unless you restore a backup"
        if oldest > 1
        else ", and nothing is lost"
    )
    return (
        f"the snapshot is damaged: {why}; a running engine keeps another with the next readings, and "
        f"one that starts decides on everything from batch {oldest} on again{before}"
    )


def export_readings(
    path: Path,
    device_types: Mapping[str, DeviceType],
    folder: Path,
    selection: Selection,
    format_: str = "parquet",
) -> Exported:
    """Write the wanted readings, one file for each device type. Raises JournalError."""
    types = [
        one for one in device_types.values() if not selection.types or one.name in selection.types
    ]
    decoder = Decoder(device_types.values())
    exported = Exported()
    tables = {one.name: _Table(folder / f"{one.name}.{format_}", _schema(one)) for one in types}
    with _written(tables.values(), exported, folder):
        for batch in _batches(path, exported):
            decoded = decoder.decode_batch(batch.frames, batch.received_at)
            exported.rejected += len(decoded.rejected)
            for reading in decoded.readings:
                if selection.has(reading):
                    tables[reading.type].add(_row(reading, device_types[reading.type]))
    return exported


def export_frames(
    path: Path, folder: Path, selection: Selection, format_: str = "parquet"
) -> Exported:
    """Write what arrived in the wanted time, as it was sent. Raises JournalError."""
    payload_type: pa.DataType = pa.binary() if format_ == "parquet" else pa.string()
    columns: list[tuple[str, pa.DataType]] = [
        ("received_at", _TIME),
        ("topic", pa.string()),
        ("payload", payload_type),
        ("retained", pa.bool_()),
    ]
    schema = pa.schema(columns)
    shown: Callable[[bytes], Any] = bytes if format_ == "parquet" else _shown
    exported = Exported()
    table = _Table(folder / f"frames.{format_}", schema)
    with _written([table], exported, folder):
        for batch in _batches(path, exported):
            if selection.since <= batch.received_at < selection.until:
                at = _microseconds(batch.received_at)
                for topic, payload, flags in batch.frames:
                    table.add((at, _shown(topic), shown(payload), bool(flags & 1)))
    return exported


class _Table:
    """One file, which comes into being with its first row and gets its name when it is whole."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path, self._schema = path, schema
        self._partial = path.with_name(f".{path.name}.partial")
        self._rows: list[tuple[Any, ...]] = []
        self._writer: Any = None
        self.count = 0

    def add(self, row: tuple[Any, ...]) -> None:
        """Add one row, in the order of the schema."""
        self._rows.append(row)
        self.count += 1
        if len(self._rows) >= _ROWS_A_GROUP:
            self._flush()

    def finish(self) -> None:
        """Write the rest, and give the file its name."""
        if self._rows:
            self._flush()
        if self._writer is not None:
            self._writer.close()
            self._partial.replace(self.path)

    def discard(self) -> None:
        """Remove what was written."""
        if self._writer is not None:
            with suppress(OSError):
                self._writer.close()
            self._partial.unlink(missing_ok=True)

    def _flush(self) -> None:
        if self._writer is None:
            self._partial.parent.mkdir(parents=True, exist_ok=True)
            make = parquet.ParquetWriter if self.path.suffix == ".parquet" else csv.CSVWriter
            self._writer = make(str(self._partial), self._schema)
        columns = [
            pa.array(column, type=one.type)
            for column, one in zip(zip(*self._rows, strict=True), self._schema, strict=True)
        ]
        self._writer.write_table(pa.table(columns, schema=self._schema))
        self._rows.clear()


@contextmanager
def _written(tables: Collection[_Table], exported: Exported, folder: Path) -> Iterator[None]:
    """Finish the tables where all goes well, and leave nothing behind where not.

    Raises JournalError where they cannot be written.
    """
    try:
        yield
        for table in tables:
            table.finish()
    except BaseException as error:
        for table in tables:
            table.discard()
        if isinstance(error, OSError):
            message = (
                f"the tables cannot be written to {folder}: {error.strerror or error}; "
                "free its disk, or name another folder with --to"
            )
            raise JournalError(message) from error
        raise
    exported.rows |= {table.path: table.count for table in tables if table.count}


def _batches(path: Path, exported: Exported) -> Iterator[Batch]:
    with closing(connect_read_only(path)) as connection:
        for one in walk_batches(connection):
            if isinstance(one, Batch):
                yield one
            else:
                exported.damages.append(str(one))


def _schema(device_type: DeviceType) -> pa.Schema:
    fields: list[pa.Field[Any]] = [
        pa.field("site", pa.string()),
        pa.field("device", pa.string()),
        pa.field("observed_at", _TIME),
        pa.field("received_at", _TIME),
        pa.field("retained", pa.bool_()),
    ]
    for one in device_type.fields:
        unit = {"unit": one.unit} if one.unit else None
        fields.append(pa.field(one.name, _KINDS[one.kind], metadata=unit))
    return pa.schema(fields)


def _row(reading: Reading, device_type: DeviceType) -> tuple[Any, ...]:
    return (
        reading.site_id,
        reading.device_id,
        _microseconds(reading.observed_at),
        _microseconds(reading.received_at),
        reading.retained,
        *(getattr(reading.values, field.name) for field in device_type.fields),
    )


def _microseconds(seconds: float) -> int:
    return round(seconds * 1e6)


def _shown(data: bytes) -> str:
    return data.decode(errors="backslashreplace")


def describe_export(exported: Exported) -> Sequence[str]:
    """Return a line for each file and for all that is missing in them."""
    lines = [f"{path}: {count} rows" for path, count in exported.rows.items()]
    if not lines:
        lines.append("nothing was written: no reading fits")
    if exported.rejected:
        lines.append(f"{exported.rejected} messages could not be read: see the quarantine")
    return [*lines, *exported.damages]


def describe_journal(found: Statistics, keep: str, max_size: str) -> Sequence[str]:
    """Return what a journal holds, a line for each thing, beside the limits in force."""
    lines = [
        f"size       {found.size_bytes / 1e6:.1f} MB, of which {found.used_bytes / 1e6:.1f} MB in use",
        f"limits     {keep}, {max_size}",
        f"batches    {found.batches}, numbered {found.first_seq} to {found.last_seq}",
        f"readings   {found.readings}",
    ]
    if found.first_at is not None and found.last_at is not None:
        seconds = found.last_at - found.first_at
        rate = f", {found.readings / seconds:.1f} a second" if seconds else ""
        lines.append(f"received   {_iso(found.first_at)} to {_iso(found.last_at)}{rate}")
    if found.snapshot_at is not None:
        lines.append(f"snapshot   after batch {found.snapshot_seq}, {_iso(found.snapshot_at)}")
    lines += [f"damaged    {line}" for line in found.damages]
    if found.found is not None:
        lines += [f"checked    {line}" for line in found.found or ["every batch is whole"]]
    if found.snapshot_damage is not None:
        lines.append(f"checked    {found.snapshot_damage}")
    return lines


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
