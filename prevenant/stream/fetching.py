"""A topic brought into a journal's file, for all that reads one: replay, export, training and curves.

    partitions ─▶ in the order of arrival, each record once ─▶ journal

What it decides is what the partitions decided, since each batch keeps its time and up to when timers ran.
"""

import heapq
from collections.abc import Iterator

from ingest.journal import Journal
from ingest.records import BookTaken, Heard, Marks, ModelTaken, Record
from ingest.topic import Topic
from prevenant.errors import ConfigurationError


def fetch_topic(topic: Topic, partitions: int, journal: Journal) -> Iterator[int]:
    """Write all that a topic holds by now into an empty journal; yield how many messages that is, so far.

    Raises JournalError, and ConfigurationError where the journal has something already.
    """
    if journal.last_seq or journal.changes():
        message = f"{journal.path} has readings already: name a new file with --to"
        raise ConfigurationError(message)
    marks = [Marks() for _ in range(partitions)]
    read = [_read(topic, number) for number in range(partitions)]
    version, count = 0, 0
    models: dict[tuple[str, bool], int] = {}
    at, until = 0.0, 0.0
    for _, number, _, record in heapq.merge(*read):
        mark = marks[number]
        match record:
            case Heard(origin, one, _, _, _) | BookTaken(origin, one, _, _, _, _):
                if not mark.take(origin, one, record.at, record.timers_until):
                    continue
            case _:
                mark.pass_time(record.at)
        at, until = max(at, mark.latest), max(until, mark.until)
        if isinstance(record, Heard) and record.frames:
            journal.append(record.frames, mark.latest, mark.until)
            count += len(record.frames)
            yield count
        elif isinstance(record, BookTaken) and record.version > version:
            version = record.version
            journal.change_book(version, record.fingerprint, mark.latest, mark.until)
        elif isinstance(record, ModelTaken):
            key = record.model, record.is_shadow
            if models.get(key) != record.version:
                # Each partition takes it up on its own: here it is once.
                models[key] = record.version
                journal.change_model(
                    record.model,
                    record.version,
                    record.fingerprint,
                    mark.latest,
                    mark.until,
                    is_shadow=record.is_shadow,
                )
    if count:
        # Timers that have run since the last message.
        journal.append([], at, until)


def _read(topic: Topic, number: int) -> Iterator[tuple[float, int, int, Record]]:
    """Yield the records of a partition by the time of their arrival, which never runs backwards."""
    latest = 0.0
    for place, record in enumerate(topic.read(number)):
        latest = max(latest, record.at)
        yield latest, number, place, record
