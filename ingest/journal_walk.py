"""All of a journal from its beginning, damaged or not, beside a live engine or without one."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace

from ingest.journal_file import MISSING, ROW, Batch, Damage, is_broken, read_batches
from prevenant.errors import JournalError

DROPPED = "they left by the journal's limits while it was read"
_BATCHES_A_READ = 64
_FARTHEST = 2**45
"""So far behind a damaged part something readable is looked for: numbers may be far apart."""


def walk_batches(connection: sqlite3.Connection) -> Iterator[Batch | Damage]:
    """Yield every batch, oldest first, and what is lost between them.

    It reads in short turns, so that no live writer's log has to wait for us. Raises JournalError where
    the file is not damaged, and cannot be read all the same.
    """
    after = last = 0
    while True:
        page: list[Batch | Damage] = []
        try:
            for one in read_batches(connection, after, is_whole=after > 0):
                page.append(one if page else _say_dropped(connection, one))
                last = max(last, one.seq if isinstance(one, Batch) else one.last_seq)
                if len(page) >= _BATCHES_A_READ:
                    break
        except sqlite3.Error as error:
            if not is_broken(error):
                message = f"the journal cannot be read beyond batch {last}: {error}"
                raise JournalError(message) from error
            found = _find_readable(connection, last)
            page.append(_say_unreadable(last, found, error))
            if found is None:
                yield from page
                return
            last = found - 1
        if not page:
            return
        yield from page
        after = last


def _say_unreadable(last: int, found: int | None, error: sqlite3.Error) -> Damage:
    reason = f"the file cannot be read there: {error}"
    if found is None:
        return Damage(last + 1, last + 1, None, None, None, f"{reason}, nor behind it")
    return Damage(last + 1, found - 1, None, None, None, reason)


def _say_dropped(connection: sqlite3.Connection, one: Batch | Damage) -> Batch | Damage:
    """Tell what left between two of our reads from what is missing: only the oldest leave."""
    if isinstance(one, Damage) and one.reason == MISSING:
        oldest = connection.execute("SELECT min(seq) FROM batch").fetchone()[0]
        if oldest is None or oldest > one.last_seq:
            return replace(one, reason=DROPPED)
    return one


def _find_readable(connection: sqlite3.Connection, after: int) -> int | None:
    """Return the number of the first batch behind a damaged part of the file that begins after `after`.

    None where nothing more can be read.
    """
    unreadable, step = after + 1, 1
    while step <= _FARTHEST:
        try:
            found = _first_from(connection, unreadable + step)
        except (sqlite3.Error, OverflowError):
            unreadable, step = unreadable + step, step * 2
        else:
            break
    else:
        return None
    readable = unreadable + step
    while readable - unreadable > 1:
        middle = (unreadable + readable) // 2
        try:
            readable, found = middle, _first_from(connection, middle)
        except sqlite3.Error:
            unreadable = middle
    return found


def _first_from(connection: sqlite3.Connection, seq: int) -> int | None:
    row = connection.execute(f"{ROW} WHERE seq >= ? ORDER BY seq LIMIT 1", (seq,)).fetchone()
    if row is not None and row[0] < seq:
        message = "the numbers are out of order"
        raise sqlite3.DatabaseError(message)
    return None if row is None else int(row[0])
