"""The journal: every batch of frames, durable before the broker is told that we have it.

One SQLite file of its own, write-ahead log, `synchronous=FULL`, one row and one commit a batch. The
slower the disk, the more frames arrive meanwhile, and the larger the next batch. It also keeps the
processor's snapshots, each with the last batch that it has seen.
"""

import fcntl
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from ingest.mqtt import Frame
from prevenant.errors import JournalError

_SCHEMA = """
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
    state BLOB NOT NULL
);
"""

_FRAMES = msgspec.msgpack.Decoder(list[tuple[bytes, bytes, int]])


@dataclass(frozen=True, slots=True)
class Batch:
    """Frames that arrived together. Times are in seconds since 1970."""

    seq: int
    received_at: float
    timers_until: float
    """Up to when timers run before these frames are taken: not while we could not hear."""
    frames: list[Frame]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The processor's state after the batch `seq`."""

    seq: int
    taken_at: float
    state: bytes


class Journal:
    """The durable log of what devices sent. One thread appends; any thread reads.

    Raises JournalError wherever the file cannot be written or read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._connect()
            self._writer.executescript(_SCHEMA)
            self._snapshots = self._connect()
            row = self._writer.execute("SELECT max(seq), max(received_at) FROM batch").fetchone()
        except (OSError, sqlite3.Error) as error:
            raise self._error(error) from error
        self._seq = row[0] or 0
        self._latest = row[1] or 0.0
        self._claim: IO[bytes] | None = None

    def claim(self) -> bool:
        """Become the only process that appends, until `close` or this process's end.

        Returns whether nobody else has it.
        """
        claim = self._path.with_name(f"{self._path.name}.lock").open("wb")
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            claim.close()
            return False
        self._claim = claim
        return True

    @property
    def last_seq(self) -> int:
        """The number of the newest batch; 0 in an empty journal."""
        return self._seq

    @property
    def latest(self) -> float:
        """When the newest batch arrived, in seconds since 1970; 0 in an empty journal."""
        return self._latest

    def append(
        self, frames: Sequence[Frame], received_at: float, timers_until: float | None = None
    ) -> Batch:
        """Write one batch and return it once it is durable.

        Arrival times never run backwards in the journal, whatever the clock does.
        """
        received_at = max(received_at, self._latest)
        until = received_at if timers_until is None else min(timers_until, received_at)
        blob = msgspec.msgpack.encode(frames)
        row = (self._seq + 1, received_at, until, len(frames), zlib.crc32(blob), blob)
        try:
            self._writer.execute("INSERT INTO batch VALUES (?, ?, ?, ?, ?, ?)", row)
        except sqlite3.Error as error:
            raise self._error(error) from error
        self._seq += 1
        self._latest = received_at
        return Batch(self._seq, received_at, until, list(frames))

    def read(self, after: int) -> Iterator[Batch]:
        """Yield the batches after the one numbered `after`, oldest first."""
        try:
            reader = self._connect()
        except sqlite3.Error as error:
            raise self._error(error) from error
        try:
            rows = reader.execute(
                "SELECT seq, received_at, timers_until, checksum, frames"
                " FROM batch WHERE seq > ? ORDER BY seq",
                (after,),
            )
            for seq, received_at, timers_until, checksum, blob in rows:
                if zlib.crc32(blob) != checksum:
                    message = f"batch {seq} of {self._path} is damaged: its checksum does not match"
                    raise JournalError(message)
                yield Batch(seq, received_at, timers_until, _FRAMES.decode(blob))
        except sqlite3.Error as error:
            raise self._error(error) from error
        finally:
            reader.close()

    def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep `snapshot` in place of the one before."""
        row = (snapshot.seq, snapshot.taken_at, snapshot.state)
        try:
            self._snapshots.execute("INSERT OR REPLACE INTO snapshot VALUES (1, ?, ?, ?)", row)
        except sqlite3.Error as error:
            raise self._error(error) from error

    def load_snapshot(self) -> Snapshot | None:
        """Return the latest snapshot, or None."""
        try:
            row = self._snapshots.execute("SELECT seq, taken_at, state FROM snapshot").fetchone()
        except sqlite3.Error as error:
            raise self._error(error) from error
        return Snapshot(*row) if row else None

    def close(self) -> None:
        """Close the file; everything appended is durable already."""
        self._writer.close()
        self._snapshots.close()
        if self._claim is not None:
            self._claim.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=30, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        return connection

    def _error(self, error: Exception) -> JournalError:
        return JournalError(
            f"the journal {self._path} cannot be used: {error}; "
            "free its disk or name another file with PREVENANT_JOURNAL"
        )
