"""One device's readings out of the journal a page at a time, the newest first, by when they arrived."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ingest.history import MOST_MESSAGES, DeviceFrames, first_since, unreadable, walk
from ingest.journal_file import Batch, connect_read_only
from ingest.sparkplug import SPARKPLUG
from prevenant.domain import DeviceType, Reading
from prevenant.errors import ConfigurationError

_BATCHES_A_READ = 64


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reading stands: its batch, and which of the device's readings in it."""

    seq: int
    position: int


@dataclass(frozen=True, slots=True)
class Found:
    """A page: readings with their places, and where the next one begins; None at the end."""

    readings: list[tuple[Place, Reading]]
    following: Place | None


@dataclass(frozen=True, slots=True)
class Arrived:
    """Between which arrivals readings are wanted, in seconds since 1970."""

    since: float
    until: float


@dataclass(frozen=True, slots=True)
class Look:
    """Batches that arrived one after another, which were looked through together."""

    begins: int
    """The number of the first that was looked at, of whomever."""
    batches: list[Batch]
    cost: int
    """What it has cost to look, in messages."""
    has_earlier: bool
    """Whether there are earlier ones that are wanted."""


def read_page(
    path: Path,
    device_type: DeviceType,
    device_id: str,
    arrived: Arrived,
    limit: int,
    before: Place | None = None,
    most: int = MOST_MESSAGES,
) -> Found:
    """Return at most `limit` readings of a device, from before a place on.

    Where more than `most` messages of all devices have to be looked through, the page ends there, be it
    empty. Raises JournalError where there is no journal, or it cannot be read, and ConfigurationError for
    a device whose messages mean nothing without those before.
    """
    if device_type.format == SPARKPLUG:
        message = "what comes by Sparkplug cannot be read backwards: see the device's curves"
        raise ConfigurationError(message)
    with closing(connect_read_only(path)) as connection:
        try:
            first = first_since(connection, arrived.since)
            last = first_since(connection, arrived.until) - 1
            if before is not None:
                # The batch itself is looked at again: some of it may belong to this page.
                last = min(last, before.seq if before.position else before.seq - 1)
            looks = _look_back(connection, path, first, last)
            return gather_page(DeviceFrames(device_type, device_id), looks, limit, before, most)
        except sqlite3.Error as error:
            raise unreadable(path, error) from error


def gather_page(
    frames: DeviceFrames, looks: Iterator[Look], limit: int, before: Place | None, most: int
) -> Found:
    """Return the readings of a page out of looks at what arrived, each at earlier batches. Pure."""
    found: list[tuple[Place, Reading]] = []
    cost = 0
    for look in looks:
        for batch in reversed(look.batches):
            for position, reading in reversed(list(enumerate(frames.readings(batch)))):
                place = Place(batch.seq, position)
                if before is not None and not _is_before(place, before):
                    continue
                if len(found) == limit:
                    return Found(found, found[-1][0] if found else place)
                found.append((place, reading))
        cost += look.cost
        if cost > most and look.has_earlier:
            return Found(found, Place(look.begins, 0))
    return Found(found, None)


def _look_back(connection: sqlite3.Connection, path: Path, first: int, last: int) -> Iterator[Look]:
    while (last := _at_or_before(connection, last)) >= first:
        after = max(last - _BATCHES_A_READ, first - 1)
        some = [one for one in walk(connection, path, after, last) if isinstance(one, Batch)]
        cost = sum(len(one.frames) for one in some)
        yield Look(after + 1, some, cost, has_earlier=after >= first)
        last = after


def _is_before(place: Place, other: Place) -> bool:
    return (place.seq, place.position) < (other.seq, other.position)


def _at_or_before(connection: sqlite3.Connection, seq: int) -> int:
    """Return the number of the last batch up to one; what was dropped or lost leaves gaps."""
    query = "SELECT max(seq) FROM batch WHERE seq <= ?"
    return int(connection.execute(query, (seq,)).fetchone()[0] or 0)
