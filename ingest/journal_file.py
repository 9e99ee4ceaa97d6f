"""The journal's file: its tables, and how they are read, damaged or not, also beside a live engine."""

import math
import sqlite3
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ingest.mqtt import Frame
from prevenant.errors import JournalError

VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS batch (
    seq INTEGER PRIMARY KEY,
    received_at REAL NOT NULL,
    timers_until REAL NOT NULL,
    count INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    frames BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS snapshot (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    seq INTEGER NOT NULL,
    taken_at REAL NOT NULL,
    checksum INTEGER NOT NULL,
    state BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS damage (
    id INTEGER PRIMARY KEY,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    frames INTEGER,
    since REAL,
    until REAL,
    reason TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS book_change (
    id INTEGER PRIMARY KEY,
    after_seq INTEGER NOT NULL,
    at REAL NOT NULL,
    timers_until REAL NOT NULL,
    version INTEGER NOT NULL,
    fingerprint TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS model_change (
    id INTEGER PRIMARY KEY,
    after_seq INTEGER NOT NULL,
    at REAL NOT NULL,
    timers_until REAL NOT NULL,
    version INTEGER NOT NULL,
    fingerprint TEXT NOT NULL,
    model TEXT NOT NULL,
    is_shadow INTEGER NOT NULL
);
"""

_FRAMES = msgspec.msgpack.Decoder(list[tuple[bytes, bytes, int]])
_BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_UNREADABLE_IN_A_ROW = 2_000
"""After so many numbers it is found out whether anything further on can be read."""
_UNREADABLE_AT_MOST = 200_000
"""So many numbers in a row are tried in a damaged part of the file."""
ROW = "SELECT seq, received_at, timers_until, count, checksum, frames FROM batch"
_BATCH_HEAD, _SNAPSHOT_HEAD = struct.Struct("<qddq"), struct.Struct("<qd")
_CHANGE_KINDS = (int, int, float, float, int, str, str, int)
_CHANGE = "SELECT id, after_seq, at, timers_until, version, fingerprint"
MISSING = "they are missing"


@dataclass(frozen=True, slots=True)
class Batch:
    """Frames that arrived together. Times are in seconds since 1970."""

    seq: int
    received_at: float
    timers_until: float
    """Up to when timers run before these frames are taken: not while we could not hear."""
    frames: list[Frame]


@dataclass(frozen=True, slots=True)
class BookChange:
    """After which batch another version of the rule book decides. Times are in seconds since 1970."""

    id: int
    """Rises from one change to the next."""
    after_seq: int
    at: float
    timers_until: float
    """Up to when timers run under the version before."""
    version: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class ModelChange(BookChange):
    """After which batch another version of a model speaks, or is tried in its shadow; 0 is none."""

    model: str
    is_shadow: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state after the batch `seq`, as the host packed it."""

    seq: int
    taken_at: float
    state: bytes


@dataclass(frozen=True, slots=True)
class Damage:
    """Batches that cannot be read any more. Times are in seconds since 1970."""

    first_seq: int
    last_seq: int
    frames: int | None
    """How many readings are lost with them; None where that is lost, too."""
    since: float | None
    until: float | None
    """Between which arrivals they stood, as far as is known."""
    reason: str

    def __str__(self) -> str:
        numbers = f"batch {self.first_seq}"
        if self.last_seq != self.first_seq:
            numbers = f"batches {self.first_seq} to {self.last_seq}"
        count = "an unknown number of" if self.frames is None else str(self.frames)
        return f"{numbers} of the journal, {count} readings: {self.reason}"


def batch_checksum(
    seq: int, received_at: float, timers_until: float, count: int, blob: bytes
) -> int:
    """Return the checksum of a whole row."""
    head = _BATCH_HEAD.pack(seq, received_at, timers_until, count)
    return zlib.crc32(head, zlib.crc32(blob))


def snapshot_checksum(seq: int, taken_at: float, state_checksum: int) -> int:
    """Return the checksum of a whole snapshot; `state_checksum` is that of its state."""
    return zlib.crc32(_SNAPSHOT_HEAD.pack(seq, taken_at), state_checksum)


def is_broken(error: sqlite3.Error) -> bool:
    """Return whether an error means that the file itself is damaged."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _BROKEN


def connect(path: Path) -> sqlite3.Connection:
    """Open the file for writing, so that every commit waits for the disk."""
    connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    # Of a new file only. A batch is some 50 KB in one row: fewer and larger pages take a sixth less time.
    connection.execute("PRAGMA page_size=16384")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    # What a long reader let grow is cut again at the next checkpoint.
    connection.execute("PRAGMA journal_size_limit=67108864")
    return connection


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Open the file for reading, beside a live engine or in a place where nothing can be written.

    Raises JournalError where it is missing or no journal.
    """
    if not path.is_file():
        what = f"{path} is a folder" if path.is_dir() else f"there is no journal {path}"
        message = f"{what}: name a journal with --journal FILE"
        raise JournalError(message)
    error: sqlite3.Error | None = None
    # Beside nobody, in a place without write access, the file is only to be had as one that stands still.
    for mode in ("mode=ro", "immutable=1"):
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True, timeout=30)
        try:
            # No batch is read: the first may be damaged, and the others whole.
            connection.execute(f"{ROW} LIMIT 0").fetchone()
        except sqlite3.Error as refused:
            connection.close()
            error = refused
        else:
            return connection
    message = f"{path} is no journal that can be read ({error}): name another with --journal FILE"
    raise JournalError(message)


def read_changes(connection: sqlite3.Connection) -> list[BookChange]:
    """Return every change of the rule book and of models, oldest first. Raises sqlite3.Error."""
    changes = [*read_book_changes(connection), *read_model_changes(connection)]
    return sorted(changes, key=lambda change: change.id)


def read_book_changes(connection: sqlite3.Connection) -> list[BookChange]:
    """Return every change of the rule book, oldest first. Raises sqlite3.Error."""
    return [
        BookChange(*row)
        for row in connection.execute(f"{_CHANGE} FROM book_change ORDER BY id")
        if all(map(isinstance, row, _CHANGE_KINDS))
    ]


def read_model_changes(connection: sqlite3.Connection) -> list[ModelChange]:
    """Return every change of models, oldest first; none in an older file. Raises sqlite3.Error."""
    query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'model_change'"
    if connection.execute(query).fetchone() is None:
        return []
    return [
        ModelChange(*row)
        for row in connection.execute(f"{_CHANGE}, model, is_shadow FROM model_change ORDER BY id")
        if all(map(isinstance, row, _CHANGE_KINDS))
    ]


def read_snapshot(connection: sqlite3.Connection) -> tuple[Snapshot, int] | None:
    """Return the snapshot and the checksum of its state; None without one.

    Raises sqlite3.Error, and ValueError where it is damaged.
    """
    row = connection.execute("SELECT seq, taken_at, state, checksum FROM snapshot").fetchone()
    if row is None:
        return None
    seq, taken_at, state, checksum = row
    if isinstance(state, bytes):
        found = zlib.crc32(state)
        # Once the checksum was that of the state alone.
        if checksum == found or _agrees(checksum, snapshot_checksum, seq, taken_at, found):
            return Snapshot(seq, taken_at, state), found
    message = "the snapshot is damaged"
    raise ValueError(message)


def read_latest_arrival(connection: sqlite3.Connection) -> float:
    """Return when the newest batch arrived that is whole; 0 where there is none."""
    for row in connection.execute(f"{ROW} ORDER BY seq DESC"):
        if _read_frames(row) is not None:
            return float(row[1])
    return 0.0


def find_last_seq(connection: sqlite3.Connection) -> int:
    """Return the highest number that a batch ever had, also one that was dropped or lost."""
    return max(
        int(connection.execute(query).fetchone()[0] or 0)
        for query in (
            "SELECT max(seq) FROM batch",
            "SELECT max(last_seq) FROM damage",
            "SELECT max(after_seq) FROM book_change",
            "SELECT max(after_seq) FROM model_change",
        )
    )


def read_batches(
    connection: sqlite3.Connection, after: int, *, is_whole: bool = False
) -> Iterator[Batch | Damage]:
    """Yield the batches after the one numbered `after`, oldest first, and what is lost between them.

    With `is_whole`, the batch after `after` has to be there. Raises sqlite3.DatabaseError where the file
    itself is damaged.
    """
    expected: int | None = after + 1 if is_whole else None
    latest: float | None = None
    # Not `> after`: that looks for `after` first, which may stand in a damaged page.
    for row in connection.execute(f"{ROW} WHERE seq >= ? ORDER BY seq", (after + 1,)):
        seq, received_at, timers_until, count = row[:4]
        frames = _read_frames(row)
        at = _finite(received_at)
        if expected is not None and seq != expected:
            yield Damage(expected, seq - 1, None, latest, at, MISSING)
        expected, latest = seq + 1, at
        if frames is None:
            reason = "its checksum does not match"
            yield Damage(seq, seq, count if isinstance(count, int) else None, at, at, reason)
        else:
            yield Batch(seq, received_at, timers_until, frames)


def read_one_by_one(connection: sqlite3.Connection, after: int, last: int) -> list[Batch]:
    """Return every batch from `after` to `last` that a damaged file still holds, oldest first.

    Numbers may be far apart: it goes from batch to batch, from both ends until a part cannot be read.
    """
    saved: dict[int, Batch] = {}
    for order, start, step in (
        ("seq >= ? ORDER BY seq", after + 1, 1),
        ("seq <= ? ORDER BY seq DESC", last, -1),
    ):
        seq, failed = start, 0
        while after < seq <= last and seq not in saved and failed < _UNREADABLE_AT_MOST:
            try:
                row = connection.execute(f"{ROW} WHERE {order} LIMIT 1", (seq,)).fetchone()
            except sqlite3.Error:
                seq, failed = seq + step, failed + 1
                if failed == _UNREADABLE_IN_A_ROW and not _goes_on(connection, order, seq, step):
                    break
                continue
            if row is None or not after < row[0] <= last:
                break
            seq, failed = row[0] + step, 0
            frames = _read_frames(row)
            if frames is not None:
                saved[row[0]] = Batch(row[0], row[1], row[2], frames)
    return [saved[seq] for seq in sorted(saved)]


def _goes_on(connection: sqlite3.Connection, order: str, seq: int, step: int) -> bool:
    """Return whether anything can be read further on, looked for at distances that double."""
    for distance in (2**power for power in range(40)):
        with suppress(sqlite3.Error, OverflowError):
            query = f"{ROW} WHERE {order} LIMIT 1"
            if connection.execute(query, (seq + step * distance,)).fetchone():
                return True
    return False


def _read_frames(row: Sequence[Any]) -> list[Frame] | None:
    """Return the frames of a row, or None where anything of the row is damaged."""
    *head, checksum, blob = row
    if not isinstance(blob, bytes):
        return None
    # Once the checksum was that of the frames alone.
    if checksum != zlib.crc32(blob) and not _agrees(checksum, batch_checksum, *head, blob):
        return None
    try:
        frames = _FRAMES.decode(blob)
    except msgspec.MsgspecError:
        return None
    return frames if len(frames) == row[3] and None not in map(_finite, row[1:3]) else None


def _agrees(checksum: int, compute: Callable[..., int], *parts: Any) -> bool:
    """Return whether a checksum is that of the parts; not where one is of another kind."""
    try:
        return checksum == compute(*parts)
    except struct.error:
        return False


def _finite(seconds: Any) -> float | None:
    return seconds if isinstance(seconds, float) and math.isfinite(seconds) else None
