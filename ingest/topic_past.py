"""What one device has sent, out of the topic of a stream: to be looked at, not to decide by.

All of a device is in one partition. Of that no more than so many records are read: where there are more,
those nearest to the focus are, and what was left out is said. Reading moves nothing that others go by.
"""

from collections.abc import Callable, Iterator, Sequence
from math import inf
from typing import NamedTuple

from ingest.history import LATE_S, Coverage, DeviceFrames, Span
from ingest.history_pages import (
    Arrived,
    Found,
    Look,
    Place,
    gather_page,
)
from ingest.journal_file import Batch
from ingest.partitions import Partitioner
from ingest.records import Heard
from ingest.sparkplug import SPARKPLUG
from ingest.topic import Topic, number_batch, offset_of
from ingest.topic_reader import PartitionReader, Readers
from prevenant.domain import DeviceType, Reading
from prevenant.errors import ConfigurationError, JournalError

MOST = 400_000
"""Records and messages: a partition gets two marks a second of each process that listens."""
_FEW, _MANY, _MESSAGES_A_LOOK = 16, 5_000, 20_000
"""So many records are looked through at once at first and at most; no more once they carry so much."""
_ASTRAY_S = 60.0
"""Those who listen beside each other publish in no common order: one may have waited for so long."""
_ALWAYS = Arrived(-inf, inf)
_BY_SPARKPLUG = (
    "what comes by Sparkplug follows on all that came before, and is not looked up in Kafka: "
    "`prevenant journal fetch` brings it into a journal"
)


class Divided(NamedTuple):
    """How a topic is divided."""

    partitions: int
    keyed_by: str


class TopicPast:
    """The past of devices in a topic. Raises JournalError where Kafka does not answer."""

    looks_every_s = 1.0
    """So often somebody who follows a device looks: nothing here rings when something arrives."""

    def __init__(
        self, topic: Topic, find_divided: Callable[[], Divided | None], most: int = MOST
    ) -> None:
        """Prepare; `find_divided` returns None for as long as nobody has listened yet."""
        self._find_divided, self._most = find_divided, most
        self._partitioner: Partitioner | None = None
        self._readers = Readers(topic.reader)

    def read(
        self, device_type: DeviceType, device_id: str, span: Span, coverage: Coverage
    ) -> Iterator[Reading]:
        """Yield what a device observed in a span, as it arrived; `coverage` says how far that is all."""
        number = self._partition_of(device_type, device_id)
        frames = DeviceFrames(device_type, device_id)
        found: dict[int, list[Reading]] = {}
        with self._readers.on(number) as reader:
            first, end = reader.ends()
            coverage.last_seq = number_batch(number, end - 1) if end else 0
            ends = span.until + LATE_S
            earliest = span.since - device_type.max_skew_s
            low = reader.find_since(earliest - _ASTRAY_S, first, end)
            high = reader.find_since(ends + _ASTRAY_S, low, end)
            middle = reader.find_since(min(span.focus, ends), low, high)
            cost, looked, stride = 0, 0, _Stride()
            for begins, until in _outwards(low, middle, high, stride):
                found[begins], messages = [], 0
                for batch in _batches(reader, begins, until):
                    messages += len(batch.frames)
                    found[begins] += [
                        reading
                        for reading in frames.readings(batch)
                        if span.since <= reading.observed_at <= span.until
                    ]
                stride.note(messages)
                looked += until - begins
                cost += until - begins + messages
                if cost > self._most:
                    coverage.is_cut = looked < high - low
                    break
        for begins in sorted(found):
            yield from found[begins]

    def page(
        self,
        device_type: DeviceType,
        device_id: str,
        arrived: Arrived,
        limit: int,
        before: Place | None = None,
    ) -> Found:
        """Return at most `limit` readings of a device, from before a place on, the newest first."""
        if device_type.format == SPARKPLUG:
            raise ConfigurationError(_BY_SPARKPLUG)
        number = self._partition_of(device_type, device_id)
        with self._readers.on(number) as reader:
            first, end = reader.ends()
            low = reader.find_since(arrived.since - _ASTRAY_S, first, end)
            high = reader.find_since(arrived.until + _ASTRAY_S, low, end)
            if before is not None:
                # The record itself is looked at again: some of it may belong to this page.
                high = min(high, offset_of(before.seq) + (1 if before.position else 0))
            frames = DeviceFrames(device_type, device_id)
            looks = _look_back(reader, low, high, arrived)
            return gather_page(frames, looks, limit, before, self._most)

    def newer(
        self, device_type: DeviceType, device_id: str, after: int
    ) -> tuple[int, Sequence[Batch]]:
        """Return up to which batch there is anything, and what came after the one numbered `after`."""
        number = self._partition_of(device_type, device_id)
        with self._readers.on(number) as reader:
            first, end = reader.ends()
            begins = max(first, offset_of(after) + 1)
            if begins >= end:
                return after, []
            found: list[Batch] = []
            cost = 0
            for look in _look_back(reader, begins, end):
                found = look.batches + found
                cost += look.cost
                if cost > self._most:
                    break
            return number_batch(number, end - 1), found

    def last(self, device_type: DeviceType, device_id: str) -> int:
        """Return the number of the newest batch of the partition that a device is in."""
        number = self._partition_of(device_type, device_id)
        with self._readers.on(number) as reader:
            _, end = reader.ends()
        return number_batch(number, end - 1) if end else 0

    def explain(self, why: str) -> str:
        """Return what to say where nothing can be read."""
        return why

    def close(self) -> None:
        """Give Kafka's connections back."""
        self._readers.close()

    def _partition_of(self, device_type: DeviceType, device_id: str) -> int:
        if device_type.format == SPARKPLUG:
            raise JournalError(_BY_SPARKPLUG)
        if self._partitioner is None:
            divided = self._find_divided()
            if divided is None:
                raise JournalError(
                    "nobody has listened yet: start a process with the role `listen`"
                )
            self._partitioner = Partitioner([], divided.partitions, divided.keyed_by)
        return self._partitioner.of_device(device_id)


class _Stride:
    """How many records are looked through at once: fewer where each carries much."""

    def __init__(self) -> None:
        self.records = _FEW

    def note(self, messages: int) -> None:
        """Take note of how much the last ones carried."""
        if messages > _MESSAGES_A_LOOK:
            self.records = max(1, self.records // 2)
        else:
            self.records = min(2 * self.records, _MANY)


def _batches(reader: PartitionReader, first: int, end: int) -> Iterator[Batch]:
    """Yield what devices have sent in a stretch; a record that was published twice is there once."""
    seen: set[tuple[str, int]] = set()
    for offset, record in reader.read(first, end):
        if not isinstance(record, Heard) or not record.frames:
            continue
        if (record.origin, record.number) in seen:
            continue
        seen.add((record.origin, record.number))
        seq = number_batch(reader.number, offset)
        yield Batch(seq, record.at, record.timers_until, record.frames)


def _look_back(
    reader: PartitionReader, first: int, end: int, arrived: Arrived = _ALWAYS
) -> Iterator[Look]:
    stride = _Stride()
    while first < end:
        begins = max(first, end - stride.records)
        batches = [
            one
            for one in _batches(reader, begins, end)
            if arrived.since <= one.received_at < arrived.until
        ]
        messages = sum(len(one.frames) for one in batches)
        stride.note(messages)
        cost = end - begins + messages
        yield Look(number_batch(reader.number, begins), batches, cost, has_earlier=begins > first)
        end = begins


def _outwards(low: int, middle: int, high: int, stride: _Stride) -> Iterator[tuple[int, int]]:
    """Yield stretches between two places, in turn before and after a middle, outwards."""
    before, after = middle, middle
    while before > low or after < high:
        if before > low:
            begins = max(low, before - stride.records)
            yield begins, before
            before = begins
        if after < high:
            until = min(high, after + stride.records)
            yield after, until
            after = until
