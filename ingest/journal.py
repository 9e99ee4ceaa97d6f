"""The journal: every batch of frames, durable before the broker is told that we have it.

One SQLite file of its own, write-ahead log, `synchronous=FULL`, one row and one commit a batch. The
slower the disk, the more frames arrive meanwhile, and the larger the next batch. It also keeps the
processor's snapshot, with the last batch that it has seen.

What is too old or too much leaves with the commit of a batch that comes: the file does not grow
beyond its limit, and no other writer is ever waited for. What is damaged is reported, never
passed over in silence, and never stops what can go on.
"""

import fcntl
import shutil
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import astuple
from functools import partial
from pathlib import Path
from typing import IO, TypeVar

import msgspec
import structlog

from ingest.journal_file import (
    MISSING,
    SCHEMA,
    VERSION,
    Batch,
    BookChange,
    Damage,
    ModelChange,
    Snapshot,
    batch_checksum,
    connect,
    find_last_seq,
    is_broken,
    read_batches,
    read_changes,
    read_latest_arrival,
    read_snapshot,
    snapshot_checksum,
)
from ingest.journal_log import LogEnd, log_path, read_log_end
from ingest.journal_salvage import FAR_AHEAD, find_gaps, salvage
from ingest.mqtt import Frame
from prevenant.errors import JournalError

log = structlog.get_logger()

_Change = TypeVar("_Change", bound=BookChange)

_DROPPED_AT_ONCE = 4
"""Old batches that leave with one commit: more than come, so that a lowered limit is reached."""
_ENDS = "SELECT (SELECT min(seq) FROM batch), (SELECT max(seq) FROM batch)"
_NEW_BATCH = "INSERT INTO batch VALUES (?, ?, ?, ?, ?, ?)"
_NEW_CHANGE = "INSERT INTO book_change VALUES (?, ?, ?, ?, ?, ?)"
_NEW_MODEL_CHANGE = "INSERT INTO model_change VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


class Journal:
    """The durable log of what devices sent. One thread at a time appends; any thread reads.

    `keep_s` and `max_bytes` are its limits, 0 for none; a batch that is not in the snapshot yet is
    never dropped. Raises JournalError wherever the file cannot be written or read.
    """

    def __init__(self, path: Path, keep_s: float = 0.0, max_bytes: int = 0) -> None:
        self.path = self._path = path
        """The file."""
        self._keep_s, self._max_bytes = keep_s, max_bytes
        self._lock_path = path.with_name(f"{path.name}.lock")
        self._claim: IO[bytes] | None = None
        self._over_limit = False
        self._state_checksum: int | None = None
        """Of the snapshot's state, where there is one that is whole."""
        self._seq, self._latest = 0, 0.0
        self.last_change = 0
        """The number of the newest change of the rule book or of a model; 0 where there was none."""
        self.damages: list[Damage] = []
        """What was found damaged since the start and not taken note of yet."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _refuse_stranger(path)
            self._open()
        except sqlite3.Error as error:
            # Without the lock beside it, the file may be anything of the user's.
            if not is_broken(error) or not self._lock_path.exists() or not self.claim():
                raise self._error(error) from error
            self._set_aside(error)
        except OSError as error:
            raise self._error(error) from error

    def _open(self) -> None:
        log_end = read_log_end(self._path)
        writer = connect(self._path)
        snapshot = Snapshot(0, 0.0, b"")
        try:
            lost_commits, kept_log = self._keep_unreadable_log(writer, log_end)
            if writer.execute("PRAGMA user_version").fetchone()[0] < VERSION:
                writer.execute("DROP TABLE IF EXISTS snapshot")
            writer.executescript(SCHEMA)
            writer.execute(f"PRAGMA user_version={VERSION}")
            oldest, newest = writer.execute(_ENDS).fetchone()
            last_seq, self._latest = find_last_seq(writer), read_latest_arrival(writer)
            with suppress(ValueError):
                snapshot, _ = read_snapshot(writer) or (Snapshot(0, 0.0, b""), 0)
            changes = read_changes(writer)
            page_size = writer.execute("PRAGMA page_size").fetchone()[0]
        except sqlite3.Error:
            writer.close()
            raise
        self._writer, self._snapshots = writer, connect(self._path)
        self._seq = max(last_seq, snapshot.seq)
        self._oldest = oldest or 1
        self._snapshot_seq = snapshot.seq
        self._seen_at = max([snapshot.taken_at, *(change.at for change in changes)])
        self.last_change = max([self.last_change, *(change.id for change in changes)])
        self._page_size: int = page_size
        if newest and last_seq < snapshot.seq:
            end = snapshot.taken_at
            self._report(Damage(newest + 1, snapshot.seq, None, self._latest, end, MISSING))
        if lost_commits:
            self._miss_end_of_log(lost_commits, kept_log)

    def _keep_unreadable_log(self, writer: sqlite3.Connection, log_end: LogEnd) -> tuple[int, str]:
        """Return how many commits of the log cannot be read, and the name of the copy that is kept of it.

        This comes before anything is written, since that begins the log anew.
        """
        readable: int = writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
        lost = sum(number > readable for number in log_end.commits)
        if not lost or readable < 0 or read_log_end(self._path).salts != log_end.salts:
            return 0, ""
        log_, number = log_path(self._path), 1
        while (kept := log_.with_name(f"{log_.name}.damaged-{number}")).exists():
            number += 1
        with suppress(OSError):
            shutil.copyfile(log_, kept)
        return lost, kept.name

    def _miss_end_of_log(self, commits: int, kept: str) -> None:
        reason = f"the end of the write-ahead log cannot be read; it is kept as {kept}"
        if commits == 1:
            reason += "; after a power cut it was perhaps never acknowledged"
        # So many batches at most: a snapshot is a commit, too.
        first, self._seq = self._seq + 1, self._seq + commits
        self._report(Damage(first, self._seq, None, self._latest, None, reason))

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
        head = (self._seq + 1, received_at, until, count)
        row = (*head, batch_checksum(*head, blob), blob)
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
        make = partial(BookChange, version=version, fingerprint=fingerprint)
        return self._write_change(make, at, timers_until)

    def change_model(
        self,
        model: str,
        version: int,
        fingerprint: str,
        at: float,
        timers_until: float,
        *,
        is_shadow: bool,
    ) -> ModelChange:
        """Write down that another version of a model speaks from the next batch on, as `change_book`."""
        make = partial(
            ModelChange,
            version=version,
            fingerprint=fingerprint,
            model=model,
            is_shadow=is_shadow,
        )
        return self._write_change(make, at, timers_until)

    def _write_change(
        self, make: Callable[[int, int, float, float], _Change], at: float, timers_until: float
    ) -> _Change:
        at = max(at, self._latest)
        until = min(timers_until, at)
        try:
            return self._insert_change(make, at, until)
        except sqlite3.Error as error:
            if not is_broken(error):
                raise self._error(error) from error
            self._set_aside(error)
            return self._insert_change(make, at, until)

    def _insert_change(
        self, make: Callable[[int, int, float, float], _Change], at: float, until: float
    ) -> _Change:
        # A number from the time rises even where a damaged file has lost the numbers before.
        change = make(max(self.last_change + 1, round(at * 1e6)), self._seq, at, until)
        self._keep_change(change)
        return change

    def _keep_change(self, change: BookChange) -> None:
        is_model = isinstance(change, ModelChange)
        self._writer.execute(_NEW_MODEL_CHANGE if is_model else _NEW_CHANGE, astuple(change))
        self.last_change = change.id

    def changes(self) -> list[BookChange]:
        """Return every change of the rule book and of models, oldest first."""
        try:
            return read_changes(self._writer)
        except sqlite3.Error as error:
            if not is_broken(error):
                raise self._error(error) from error
            self._set_aside(error)
            return read_changes(self._writer)

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
                known = reader.execute("SELECT first_seq, last_seq FROM damage").fetchall()
                for one in read_batches(reader, after, is_whole=after > 0):
                    if not _is_known(one, known):
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
        found = zlib.crc32(snapshot.state)
        checksum = snapshot_checksum(snapshot.seq, snapshot.taken_at, found)
        row = (snapshot.seq, snapshot.taken_at, checksum, snapshot.state)
        try:
            self._snapshots.execute("INSERT OR REPLACE INTO snapshot VALUES (1, ?, ?, ?, ?)", row)
        except sqlite3.Error as error:
            raise self._error(error) from error
        self._snapshot_seq, self._state_checksum = snapshot.seq, found

    def keep_time(self, now: float) -> None:
        """Note that the snapshot is still true at `now`, so that a later run does not begin before."""
        if self._state_checksum is None:
            return
        checksum = snapshot_checksum(self._snapshot_seq, now, self._state_checksum)
        try:
            self._snapshots.execute(
                "UPDATE snapshot SET taken_at = ?, checksum = ?", (now, checksum)
            )
        except sqlite3.Error as error:
            raise self._error(error) from error

    def load_snapshot(self) -> Snapshot | None:
        """Return the latest snapshot, or None; one that is damaged is reported in `damages`."""
        try:
            found = read_snapshot(self._snapshots)
        except ValueError:
            reason = "the snapshot is damaged, so all that the journal holds is decided again"
            self._report(Damage(self._oldest, self._oldest, 0, None, None, reason))
            return None
        except sqlite3.Error as error:
            if not is_broken(error):
                raise self._error(error) from error
            self._set_aside(error)
            return None
        if found is None:
            return None
        snapshot, self._state_checksum = found
        return snapshot

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
        snapshot, saved, changes, known_last = salvage(aside, last)
        self._open()
        for batch in saved:
            blob = msgspec.msgpack.encode(batch.frames)
            row = (batch.seq, batch.received_at, batch.timers_until, len(batch.frames))
            self._writer.execute(_NEW_BATCH, (*row, batch_checksum(*row, blob), blob))
        for change in changes:
            self._keep_change(change)
        if snapshot is not None:
            self.save_snapshot(snapshot)
        # Numbers are never used twice: quarantine knows batches by them.
        last = known_last or max([0, *(batch.seq for batch in saved)])
        self._seq = known_last or number * FAR_AHEAD
        self._latest = max([self._latest, *(batch.received_at for batch in saved)])
        self._oldest = 1
        first = (snapshot.seq if snapshot else 0) + 1
        lost = find_gaps(first, last, [batch.seq for batch in saved])
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


def _refuse_stranger(path: Path) -> None:
    """Leave another program's database alone, or our own store. Raises JournalError, sqlite3.Error."""
    if not path.is_file() or not path.stat().st_size:
        return
    with closing(
        sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=30)
    ) as file:
        tables = {name for (name,) in file.execute("SELECT name FROM sqlite_master")}
    if tables and "batch" not in tables:
        message = (
            f"{path} is another program's database, and no journal: it was left alone; "
            "name another file with PREVENANT_JOURNAL"
        )
        raise JournalError(message)


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


def _is_known(one: Batch | Damage, known: Sequence[tuple[int, int]]) -> bool:
    """Return whether batches are missing of whose loss a note was taken before."""
    return (
        isinstance(one, Damage)
        and one.reason == MISSING
        and any(first <= one.first_seq and one.last_seq <= last for first, last in known)
    )
