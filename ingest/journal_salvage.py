"""What a journal's file still holds that SQLite cannot read any more."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

from ingest.journal_file import (
    Batch,
    BookChange,
    Snapshot,
    read_book_changes,
    read_model_changes,
    read_one_by_one,
    read_snapshot,
)

FAR_AHEAD = 1_000_000_000_000
"""Batches are numbered from here on where it is lost how many there were."""
_HIGHEST = (1 << 63) - 1


def salvage(path: Path, last: int) -> tuple[Snapshot | None, list[Batch], list[BookChange], int]:
    """Return what a damaged file still holds.

    That is its snapshot, the batches after it, the changes of the rule book and of models, and its last
    number or 0.
    """
    snapshot: Snapshot | None = None
    changes: list[BookChange] = []
    try:
        connection = sqlite3.connect(path, timeout=30)
    except sqlite3.Error:
        return None, [], [], last
    with closing(connection):
        with suppress(sqlite3.Error, ValueError):
            found = read_snapshot(connection)
            snapshot = found[0] if found else None
        # What is damaged of the one is no reason to lose the other.
        for read in (read_book_changes, read_model_changes):
            with suppress(sqlite3.Error):
                changes += read(connection)
        changes.sort(key=lambda change: change.id)
        if not last:
            with suppress(sqlite3.Error):
                last = connection.execute("SELECT max(seq) FROM batch").fetchone()[0] or 0
        after = snapshot.seq if snapshot else 0
        saved = read_one_by_one(connection, after, last or _HIGHEST)
        return snapshot, saved, changes, last


def find_gaps(first: int, last: int, present: Sequence[int]) -> list[tuple[int, int]]:
    """Return the first and last of each run of numbers from `first` to `last` that are not present.

    `present` is sorted. Numbers that were skipped after an earlier damage were never used.
    """
    gaps = []
    for number in (*present, last + 1):
        if number // FAR_AHEAD > first // FAR_AHEAD:
            first = number // FAR_AHEAD * FAR_AHEAD + 1
        if number > first:
            gaps.append((first, number - 1))
        first = number + 1
    return gaps
