"""What one device has sent, out of the journal: to be looked at, not to decide by.

It reads only, also beside a live engine, in short reads, and never more than so many messages: where the
span holds more, those nearest to its focus are read, and what was left out is said.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from math import inf
from pathlib import Path
from typing import Any

from ingest.decode import Decoder
from ingest.journal_file import Batch, Damage, connect_read_only, read_batches
from ingest.sparkplug import NAMESPACE, SPARKPLUG
from ingest.topics import TopicPattern
from prevenant.domain import DeviceType, Reading
from prevenant.errors import JournalError, Undecodable

MOST_MESSAGES = 400_000
"""Of all devices together: the journal knows no single one."""
_COST_OF_BATCH = 20
"""What it costs to take a batch in hand, in messages."""
LATE_S = 900.0
"""What arrived later than this after it was observed is not looked for."""
_BATCHES_A_READ = 64
_TOPICS = 200_000


@dataclass(frozen=True, slots=True)
class Span:
    """A time that is looked at. All in seconds since 1970; `focus` is the moment that matters most."""

    since: float
    until: float
    focus: float = inf


@dataclass(slots=True)
class Coverage:
    """How far the journal could be read."""

    since: float | None = None
    until: float | None = None
    """Between which arrivals it was read; None where there was nothing."""
    is_cut: bool = False
    """Whether the span holds more messages than are read."""
    unreadable: list[str] = field(default_factory=list)
    """What of it is damaged."""
    last_seq: int = 0
    """The newest batch that was read, or that there is."""


class DeviceFrames:
    """Picks one device's readings out of batches; a decoder's cost falls on its own messages alone."""

    def __init__(self, device_type: DeviceType, device_id: str) -> None:
        self._device_id = device_id
        self._decoder = Decoder([device_type])
        self._is_wanted = _choice_of(device_type, device_id)
        self._known: dict[bytes, bool] = {}

    def readings(self, batch: Batch) -> list[Reading]:
        """Return what the device says in a batch, in its order."""
        frames = [frame for frame in batch.frames if self._has(frame[0])]
        if not frames:
            return []
        decoded = self._decoder.decode_batch(frames, batch.received_at)
        return [one for one in decoded.readings if one.device_id == self._device_id]

    def _has(self, topic: bytes) -> bool:
        known = self._known.get(topic)
        if known is None:
            if len(self._known) >= _TOPICS:
                self._known.clear()
            known = self._known[topic] = self._is_wanted(topic)
        return known


def read_device(
    path: Path,
    device_type: DeviceType,
    device_id: str,
    span: Span,
    coverage: Coverage,
    most: int = MOST_MESSAGES,
) -> Iterator[Reading]:
    """Yield what a device observed in a span, as it arrived; `coverage` says how far that is all of it.

    Raises JournalError where there is no journal, or it cannot be read.
    """
    frames = DeviceFrames(device_type, device_id)
    # What follows on earlier messages needs them, as far as they are to be had.
    begins = -inf if device_type.format == SPARKPLUG else span.since - device_type.max_skew_s
    with closing(connect_read_only(path)) as connection:
        try:
            first, last = _choose(connection, begins, span, coverage, most)
        except sqlite3.Error as error:
            raise unreadable(path, error) from error
        for one in walk(connection, path, first, last):
            if isinstance(one, Damage):
                coverage.unreadable.append(str(one))
                continue
            for reading in frames.readings(one):
                if span.since <= reading.observed_at <= span.until:
                    yield reading


def read_newer(path: Path, after: int, most: int = MOST_MESSAGES) -> list[Batch]:
    """Return the batches after the one numbered `after`, or the newest of them where that is too much.

    Raises JournalError.
    """
    with closing(connect_read_only(path)) as connection:
        try:
            newest, last, cost = after, 0, 0
            query = "SELECT seq, count FROM batch WHERE seq > ? ORDER BY seq DESC"
            for seq, count in connection.execute(query, (after,)):
                cost += count + _COST_OF_BATCH
                if last and cost > most:
                    break
                newest, last = seq - 1, last or seq
        except sqlite3.Error as error:
            raise unreadable(path, error) from error
        return [one for one in walk(connection, path, newest, last) if isinstance(one, Batch)]


def find_last(path: Path) -> int:
    """Return the number of the newest batch; 0 in an empty journal. Raises JournalError."""
    with closing(connect_read_only(path)) as connection:
        return int(connection.execute("SELECT max(seq) FROM batch").fetchone()[0] or 0)


def _choice_of(device_type: DeviceType, device_id: str) -> Callable[[bytes], bool]:
    """Return whether a topic may carry something of the device."""
    if device_type.format == SPARKPLUG:
        return lambda topic: topic.startswith(NAMESPACE.encode())
    pattern = TopicPattern(device_type.topic)
    site, _, device = device_id.rpartition("/")
    is_named = "site" not in dict(device_type.identity)

    def is_wanted(topic: bytes) -> bool:
        try:
            names = pattern.match(topic)
        except Undecodable:
            return False
        if names is None:
            return False
        # A name that the topic leaves out stands in the payload.
        return names[1] in {"", device} and (names[0] == site or not is_named)

    return is_wanted


def _choose(
    connection: sqlite3.Connection, begins: float, span: Span, coverage: Coverage, most: int
) -> tuple[int, int]:
    """Return the batch before the first and the last that are read: outwards from the focus."""
    coverage.last_seq = int(connection.execute("SELECT max(seq) FROM batch").fetchone()[0] or 0)
    ends = span.until + LATE_S
    middle = first_since(connection, min(span.focus, ends))
    head = "SELECT seq, received_at, count FROM batch WHERE"
    sides: list[Iterator[Sequence[Any]]] = [
        iter(connection.execute(f"{head} seq < ? ORDER BY seq DESC", (middle,))),
        iter(connection.execute(f"{head} seq >= ? ORDER BY seq", (middle,))),
    ]
    first, last, cost = middle, middle - 1, 0
    while sides:
        for side in list(sides):
            row = next(side, None)
            if row is None or not begins <= row[1] <= ends:
                sides.remove(side)
                continue
            cost += row[2] + _COST_OF_BATCH
            if cost > most:
                coverage.is_cut = begins != -inf or row[1] >= span.since
                sides.clear()
                break
            first, last = min(first, row[0]), max(last, row[0])
            coverage.since = min(row[1], row[1] if coverage.since is None else coverage.since)
            coverage.until = max(row[1], row[1] if coverage.until is None else coverage.until)
    return first - 1, last


def first_since(connection: sqlite3.Connection, at: float) -> int:
    """Return the number of the first batch that arrived at a time or later; arrivals only rise."""
    low, high = connection.execute("SELECT min(seq), max(seq) FROM batch").fetchone()
    if low is None:
        return 1
    query = "SELECT seq, received_at FROM batch WHERE seq >= ? ORDER BY seq LIMIT 1"
    high += 1
    while low < high:
        middle = (low + high) // 2
        row = connection.execute(query, (middle,)).fetchone()
        if row is None or row[1] >= at:
            high = middle
        else:
            low = row[0] + 1
    return int(low)


def walk(
    connection: sqlite3.Connection, path: Path, after: int, last: int
) -> Iterator[Batch | Damage]:
    """Yield what stands between two batches, in short reads: no live writer's log has to wait for us."""
    while after < last:
        try:
            page = list(islice(read_batches(connection, after), _BATCHES_A_READ))
        except sqlite3.Error as error:
            raise unreadable(path, error) from error
        for one in page:
            number = one.seq if isinstance(one, Batch) else one.last_seq
            if number > last:
                return
            yield one
            after = number
        if not page:
            return


def unreadable(path: Path, error: sqlite3.Error) -> JournalError:
    """Return the error of a journal that could be opened and not be read."""
    return JournalError(f"the journal {path} cannot be read: {error}")
