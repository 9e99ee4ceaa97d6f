"""The journal: every batch of frames, durable before the broker is told that we have it.

One SQLite file of its own, write-ahead log, `synchronous=FULL`, one row and one commit a batch. The
slower the disk, the more frames arrive meanwhile, and the larger the next batch. It also keeps the
processor's snapshot, with the last batch that it has seen.

What is too old or too much leaves with the commit of a batch that comes: the file does not grow
beyond its limit, and no other writer is ever waited for. What is damaged is reported, never
passed over in silence, and never stops what can go on.
"""

import fcntl
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import IO

import msgspec
import structlog

from ingest.journal_file import (
    SCHEMA,
    VERSION,
    Batch,
    BookChange,
    Damage,
    connect,
    is_broken,
    read_batches,
    read_book_changes,
    read_one_by_one,
)
from ingest.mqtt import Frame
from prevenant.errors import JournalError

log = structlog.get_logger()

_DROPPED_AT_ONCE = 4
"""Old batches that leave with one commit: more than come, so that a lowered limit is reached."""
_FAR_AHEAD = 1_000_000_000_000
"""Batches are numbered from here on where it is lost how many there were."""
_HIGHEST = (1 << 63) - 1
_NEW_BATCH = "INSERT INTO batch VALUES (?, ?, ?, ?, ?, ?)"
_NEW_CHANGE = "INSERT INTO book_change VALUES (?, ?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state after the batch `seq`, as the host packed it."""

    seq: int
    taken_at: float
    state: bytes


class Journal:
    """The durable log of what devices sent. One thread at a time appends; any thread reads.

    `keep_s` and `max_bytes` are its limits, 0 for none; a batch that is not in the snapshot yet is
    never dropped. Raises JournalError wherever the file cannot be written or read.
    """

    def __init__(self, path: Path, keep_s: float = 0.0, max_bytes: int = 0) -> None:
        self._path = path
        self._keep_s, self._max_bytes = keep_s, max_bytes
        self._lock_path = path.with_name(f"{path.name}.lock")
        self._claim: IO[bytes] | None = None
        self._over_limit = False
        self._seq, self._latest = 0, 0.0
        self.last_change = 0
        """The number of the newest change of the rule book; 0 where there was none."""
        self.damages: list[Damage] = []
        """What was found damaged since the start and not taken note of yet."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._open()
        except sqlite3.Error as error:
            # Without the lock beside it, the file may be anything of the user's.
            if not is_broken(error) or not self._lock_path.exists() or not self.claim():
                raise self._error(error) from error
            self._set_aside(error)
        except OSError as error:
            raise self._error(error) from error

    def _open(self) -> None:
        writer = connect(self._path)
        try:
            if writer.execute("PRAGMA user_version").fetchone()[0] < VERSION:
                writer.execute("DROP TABLE IF EXISTS snapshot")
            writer.executescript(SCHEMA)
            writer.execute(f"PRAGMA user_version={VERSION}")
            query = "SELECT seq, received_at FROM batch ORDER BY seq DESC LIMIT 1"
            row = writer.execute(query).fetchone() or (0, 0.0)
            oldest = writer.execute("SELECT min(seq) FROM batch").fetchone()
            seen = writer.execute("SELECT seq, taken_at FROM snapshot").fetchone() or (0, 0.0)
            changes = read_book_changes(writer)
            page_size = writer.execute("PRAGMA page_size").fetchone()[0]
        except sqlite3.Error:
            writer.close()
            raise
        self._writer, self._snapshots = writer, connect(self._path)
        self._seq, self._latest = int(row[0]), float(row[1])
        self._oldest = oldest[0] or 1
        self._snapshot_seq = int(seen[0])
        self._seen_at = max([float(seen[1]), *(change.at for change in changes)])
        self.last_change = max([self.last_change, *(change.id for change in changes)])
        self._page_size: int = page_size

    def claim(self) -> bool:
        """Become the only process that appends, until `close` or this process's end.

        Returns whether nobody else has it.
        """
        if self._claim is not None:
            return True
        claim = self._lock_path.open("wb")
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
    def left_off_at(self) -> float:
        """The latest time that the file knows of, in seconds since 1970; 0 where it is empty."""
        return max(self._latest, self._seen_at)

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
        try:
            self._insert(blob, received_at, until, len(frames))
        except sqlite3.Error as error:
            if not is_broken(error):
                raise self._error(error) from error
            self._set_aside(error)
            self._insert(blob, received_at, until, len(frames))
        self._latest = received_at
        return Batch(self._seq, received_at, until, list(frames))

    def _insert(self, blob: bytes, received_at: float, until: float, count: int) -> None:
        row = (self._seq + 1, received_at, until, count, zlib.crc32(blob), blob)
        with self._transaction():
            self._writer.execute(_NEW_BATCH, row)
            self._drop_some(received_at)
        self._seq += 1

    def change_book(
        self, version: int, fingerprint: str, at: float, timers_until: float
    ) -> BookChange:
        """Write down that another version of the rule book decides from the next batch on.

        It is durable when this returns. The thread that appends calls this.
        """
        at = max(at, self._latest)
        until = min(timers_until, at)
        try:
            return self._insert_change(version, fingerprint, at, until)
        except sqlite3.Error as error:
            if not is_broken(error):
                raise self._error(error) from error
            self._set_aside(error)
            return self._insert_change(version, fingerprint, at, until)

    def _insert_change(self, version: int, fingerprint: str, at: float, until: float) -> BookChange:
        # A number from the time rises even where a damaged file has lost the numbers before.
        number = max(self.last_change + 1, round(at * 1e6))
        change = BookChange(number, self._seq, at, until, version, fingerprint)
        self._writer.execute(_NEW_CHANGE, astuple(change))
        self.last_change = number
        return change

    def book_changes(self) -> list[BookChange]:
        """Return every change of the rule book, oldest first."""
        try:
            return read_book_changes(self._writer)
        except sqlite3.Error as error:
            if not is_broken(error):
                raise self._error(error) from error
            self._set_aside(error)
            return read_book_changes(self._writer)

    def drop_old(self, now: float) -> None:
        """Drop what is too old or too much at `now` although nothing new comes."""
        try:
            with self._transaction():
                self._drop_some(now)
        except sqlite3.Error as error:
            if not is_broken(error):
                raise self._error(error) from error
            self._set_aside(error)

    def read(self, after: int) -> Iterator[Batch | Damage]:
        """Yield the batches after the one numbered `after`, oldest first, and what is lost of them."""
        found = after
        try:
            with closing(connect(self._path)) as reader:
                for one in read_batches(reader, after, is_whole=after > 0):
                    yield one
                    found = one.seq if isinstance(one, Batch) else one.last_seq
        except sqlite3.Error as error:
            if not is_broken(error):
                raise self._error(error) from error
            self._set_aside(error)
            with closing(connect(self._path)) as reader:
                yield from read_batches(reader, found)

    def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keep `snapshot` in place of the one before."""
        checksum = zlib.crc32(snapshot.state)
        row = (snapshot.seq, snapshot.taken_at, checksum, snapshot.state)
        try:
            self._snapshots.execute("INSERT OR REPLACE INTO snapshot VALUES (1, ?, ?, ?, ?)", row)
        except sqlite3.Error as error:
            raise self._error(error) from error
        self._snapshot_seq = snapshot.seq

    def keep_time(self, now: float) -> None:
        """Note that the snapshot is still true at `now`, so that a later run does not begin before."""
        try:
            self._snapshots.execute("UPDATE snapshot SET taken_at = ?", (now,))
        except sqlite3.Error as error:
            raise self._error(error) from error

    def load_snapshot(self) -> Snapshot | None:
        """Return the latest snapshot, or None; one that is damaged is reported in `damages`."""
        query = "SELECT seq, taken_at, state, checksum FROM snapshot"
        try:
            row = self._snapshots.execute(query).fetchone()
        except sqlite3.Error as error:
            if not is_broken(error):
                raise self._error(error) from error
            self._set_aside(error)
            return None
        if row is None:
            return None
        if not isinstance(row[2], bytes) or zlib.crc32(row[2]) != row[3]:
            reason = "the snapshot is damaged, so all that the journal holds is decided again"
            self._report(Damage(row[0], row[0], 0, None, None, reason))
            return None
        return Snapshot(*row[:3])

    def take_damages(self) -> list[Damage]:
        """Return what was found damaged, once."""
        found, self.damages = self.damages, []
        return found

    def keep_damage(self, damage: Damage) -> None:
        """Note in the file that `damage` is known, for those who look at it later."""
        with suppress(sqlite3.Error):
            row = (None, *astuple(damage))
            self._snapshots.execute("INSERT INTO damage VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def close(self) -> None:
        """Close the file; everything appended is durable already."""
        self._writer.close()
        self._snapshots.close()
        if self._claim is not None:
            self._claim.close()

    def _report(self, damage: Damage) -> None:
        self.damages.append(damage)
        self.keep_damage(damage)

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._writer)

    def _drop_some(self, now: float) -> None:
        """Delete a few of the oldest batches, where a limit is passed and the snapshot has them."""
        for _ in range(_DROPPED_AT_ONCE):
            row = self._writer.execute(
                "SELECT seq, received_at FROM batch WHERE seq >= ? ORDER BY seq LIMIT 1",
                (self._oldest,),
            ).fetchone()
            if row is None:
                return
            self._oldest = row[0]
            is_old = self._keep_s > 0 and row[1] < now - self._keep_s
            is_over = self._max_bytes > 0 and self._used_bytes() > self._max_bytes
            if not is_old and not is_over:
                self._over_limit = False
                return
            if row[0] > self._snapshot_seq:
                if is_over and not self._over_limit:
                    self._over_limit = True
                    log.warning(
                        "the journal is over its limit with readings that are not decided on yet",
                        journal=str(self._path),
                        limit_bytes=self._max_bytes,
                    )
                return
            self._writer.execute("DELETE FROM batch WHERE seq = ?", (row[0],))
            self._oldest += 1

    def _used_bytes(self) -> int:
        pages: int = self._writer.execute("PRAGMA page_count").fetchone()[0]
        free: int = self._writer.execute("PRAGMA freelist_count").fetchone()[0]
        return (pages - free) * self._page_size

    def _set_aside(self, error: sqlite3.Error) -> None:
        """Begin a new file with what the damaged one still holds after its snapshot; keep that one."""
        last = self._seq
        if last:
            self._writer.close()
            self._snapshots.close()
        number = 1
        while (aside := self._path.with_name(f"{self._path.name}.damaged-{number}")).exists():
            number += 1
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                self._path.with_name(self._path.name + suffix).rename(f"{aside}{suffix}")
        log.error("the journal is damaged and was set aside", kept=str(aside), reason=str(error))
        snapshot, saved, changes, known_last = _salvage(aside, last)
        self._open()
        for batch in saved:
            blob = msgspec.msgpack.encode(batch.frames)
            row = (batch.seq, batch.received_at, batch.timers_until, len(batch.frames))
            self._writer.execute(_NEW_BATCH, (*row, zlib.crc32(blob), blob))
        for change in changes:
            self._writer.execute(_NEW_CHANGE, astuple(change))
            self.last_change = change.id
        if snapshot is not None:
            self.save_snapshot(snapshot)
        # Numbers are never used twice: quarantine knows batches by them.
        last = known_last or max([0, *(batch.seq for batch in saved)])
        self._seq = known_last or number * _FAR_AHEAD
        self._latest = max([self._latest, *(batch.received_at for batch in saved)])
        self._oldest = 1
        first = (snapshot.seq if snapshot else 0) + 1
        lost = _gaps(first, last, [batch.seq for batch in saved])
        reason = f"the file was damaged ({error}); it is kept as {aside.name}"
        if not known_last:
            reason += "; how many batches are lost from here on is not known"
            self._report(Damage(last + 1, last + 1, None, None, None, reason))
        elif not lost:
            self._report(Damage(first, first, 0, None, None, reason))
        for begin, end in lost:
            self._report(Damage(begin, end, None, None, None, reason))

    def _error(self, error: Exception) -> JournalError:
        return JournalError(
            f"the journal {self._path} cannot be used: {error}; "
            "free its disk or name another file with PREVENANT_JOURNAL"
        )


class _Transaction:
    """One commit: all of it, or nothing where an error is raised."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            try:
                self._connection.execute("COMMIT")
            except sqlite3.Error:
                self._roll_back()
                raise
        else:
            self._roll_back()

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):
            self._connection.execute("ROLLBACK")


def _salvage(path: Path, last: int) -> tuple[Snapshot | None, list[Batch], list[BookChange], int]:
    """Return what a damaged file still holds.

    That is its snapshot, the batches after it, the changes of the rule book, and its last number or 0.
    """
    snapshot, changes = None, []
    try:
        connection = sqlite3.connect(path, timeout=30)
    except sqlite3.Error:
        return None, [], [], last
    with closing(connection):
        with suppress(sqlite3.Error):
            row = connection.execute(
                "SELECT seq, taken_at, state, checksum FROM snapshot"
            ).fetchone()
            if row and zlib.crc32(row[2]) == row[3]:
                snapshot = Snapshot(*row[:3])
        with suppress(sqlite3.Error):
            changes = read_book_changes(connection)
        if not last:
            with suppress(sqlite3.Error):
                last = connection.execute("SELECT max(seq) FROM batch").fetchone()[0] or 0
        after = snapshot.seq if snapshot else 0
        saved = read_one_by_one(connection, after, last or _HIGHEST)
        return snapshot, saved, changes, last


def _gaps(first: int, last: int, present: Sequence[int]) -> list[tuple[int, int]]:
    """Return the first and last of each run of numbers from `first` to `last` that are not present.

    `present` is sorted. Numbers that were skipped after an earlier damage were never used.
    """
    gaps = []
    for number in (*present, last + 1):
        if number // _FAR_AHEAD > first // _FAR_AHEAD:
            first = number // _FAR_AHEAD * _FAR_AHEAD + 1
        if number > first:
            gaps.append((first, number - 1))
        first = number + 1
    return gaps
