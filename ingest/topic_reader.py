"""A partition of a topic read from any record on, by clients that are kept for the next look."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
from confluent_kafka import Consumer, KafkaException, TopicPartition

from ingest.records import Record, decode_record
from prevenant.errors import JournalError

_PATIENCE_S = 10.0
_AT_ONCE = 500
_KEPT = 4


class PartitionReader:
    """Reads one partition. Raises JournalError where Kafka does not answer."""

    def __init__(self, consumer: Consumer, topic: str, number: int, shown: str) -> None:
        """Prepare; `shown` is where Kafka is, to be said."""
        self._consumer, self._topic, self._shown = consumer, topic, shown
        self.number = number

    def ends(self) -> tuple[int, int]:
        """Return its first record, and the one that comes next."""
        where = TopicPartition(self._topic, self.number)
        try:
            first, end = self._consumer.get_watermark_offsets(where, timeout=_PATIENCE_S)
        except KafkaException as error:
            raise self.failed(error) from None
        return int(first), int(end)

    def read(self, first: int, end: int) -> Iterator[tuple[int, Record]]:
        """Yield the records between two places that there are; rubbish is passed over."""
        if first >= end:
            return
        consumer, offset = self._consumer, first
        consumer.assign([TopicPartition(self._topic, self.number, first)])
        while offset < end:
            # To ask for many at once would wait for all of them, of which the last may not be there.
            message = consumer.poll(_PATIENCE_S)
            if message is None:
                words = f"Kafka at {self._shown} gives no more records: try again"
                raise JournalError(words)
            for one in (message, *consumer.consume(_AT_ONCE, 0.0)):
                place = one.offset()
                if place is None or one.error() is not None:
                    continue
                if place >= end:
                    return
                offset = place + 1
                try:
                    record = decode_record(one.value() or b"")
                except msgspec.MsgspecError:
                    continue
                yield place, record

    def find_since(self, at: float, first: int, end: int) -> int:
        """Return where the records begin that arrived at a time or later, of those between two places.

        Processes that listen beside each other may differ by moments.
        """
        if first >= end:
            return end
        oldest, newest = self._arrival(first, end), self._arrival(end - 1, end)
        if oldest is None or oldest >= at:
            return first
        if newest is not None and newest < at:
            return end
        low, high = first, end
        while low < high:
            middle = (low + high) // 2
            arrived_at = self._arrival(middle, high)
            if arrived_at is None or arrived_at >= at:
                high = middle
            else:
                low = middle + 1
        return low

    def _arrival(self, first: int, end: int) -> float | None:
        """Return when the first record of a stretch arrived; None where none can be read."""
        found = next(self.read(first, end), None)
        return found[1].at if found else None

    def rest(self) -> None:
        """Fetch nothing more until the next look."""
        self._consumer.unassign()

    def close(self) -> None:
        """Give the connection back."""
        self._consumer.close()

    def failed(self, error: KafkaException) -> JournalError:
        """Return the error of a Kafka that does not answer."""
        return JournalError(
            f"Kafka at {self._shown} does not answer: {error.args[0].str()}; "
            "check PREVENANT_KAFKA_URL and the brokers"
        )


class Readers:
    """Clients that read a topic, a few of which stay connected; from any thread."""

    def __init__(self, make: Callable[[int], PartitionReader]) -> None:
        self._make = make
        self._idle: list[PartitionReader] = []
        self._turn = threading.Lock()

    @contextmanager
    def on(self, number: int) -> Iterator[PartitionReader]:
        """Lend a reader of a partition."""
        with self._turn:
            reader = self._idle.pop() if self._idle else None
        reader = reader or self._make(number)
        reader.number = number
        try:
            yield reader
        except BaseException:
            reader.close()
            raise
        reader.rest()
        with self._turn:
            is_kept = len(self._idle) < _KEPT
            if is_kept:
                self._idle.append(reader)
        if not is_kept:
            reader.close()

    def close(self) -> None:
        """Give all connections back."""
        with self._turn:
            idle, self._idle = self._idle, []
        for one in idle:
            one.close()
