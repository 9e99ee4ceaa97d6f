"""The intake: what listeners hand over goes into the topic of the stream before it is acknowledged.

    broker ─▶ partitions ─▶ topic (durable) ─▶ acknowledged

Every half a second each partition gets at least a mark: up to when we have heard everything. Without our
broker that time stands still, since the silence of devices proves nothing then. Another version of the
rule book goes to every partition before anything that only it can read.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from secrets import token_hex

import structlog
from msgspec import structs

from ingest.mqtt import Frame
from ingest.partitions import Partitioner
from ingest.publishing import MOST_BYTES, Publisher
from ingest.records import BookTaken, Heard, Record, encode_record, in_records
from prevenant.clock import Clock, epoch_seconds, steady_seconds
from prevenant.errors import JournalError, RecordTooLarge
from prevenant.stream.changing import Version
from prevenant.stream.hearing import Hearing
from prevenant.tables import Stream
from rules.book import RuleBook

log = structlog.get_logger()

_MARK_EVERY_S = 0.5
_PAUSE_S = 1.0
_SHORTEST = 4_096
"""Of a message that is too large, so much is kept at least: quarantine shows no more."""


_ToPartition = tuple[int, Record]


class Intake:
    """Publishes batches of the listeners, marks, and changes of the rule book."""

    def __init__(
        self,
        publisher: Publisher,
        clock: Clock,
        stream: Stream,
        version: Version,
        book: RuleBook,
        seat: str = "",
    ) -> None:
        """Prepare; whoever has our `seat` after us hears the same brokers, and all that they keep."""
        self._publisher, self._clock, self._stream = publisher, clock, stream
        self._partitioner = self._make_partitioner(book)
        self._book = version, book
        token = token_hex(8)
        self._origin, self._number = f"{seat or token}.{token}", 0
        self._in_order = threading.Lock()
        """Held from the time of arrival until it is durable: records of ours come in their order."""
        self._hearing = Hearing()
        self._timers_until = 0.0
        self._published_at = [0.0] * stream.partitions
        """By partition, in steady seconds: when a record was published last."""
        self._begun = threading.Event()
        """Set once every partition knows by which version of the book we listen."""
        self._stopping = threading.Event()
        self._is_refused = False
        self.publish: Callable[[str, bytes], None] = lambda _topic, _payload: None
        """How devices are sent something; the listeners', once there are any."""
        self.frames = 0
        """How many frames were made durable since the start."""

    def accept(self, frames: Sequence[Frame]) -> None:
        """Make a batch durable; when this returns, it may be acknowledged.

        While Kafka does not take it, this blocks, and the broker holds back.
        """
        while not self._begun.wait(_PAUSE_S):
            if self._stopping.is_set():
                raise JournalError("nothing can be made durable before Kafka answers")
        with self._in_order:
            now, until = self._times()
            waiting = {
                partition: deque(in_records(some, MOST_BYTES))
                for partition, some in self._partitioner.split(frames, now).items()
            }
            # Of a partition one at a time: where it is refused, none that is after it may be there.
            while waiting:
                self._publish(
                    [
                        (partition, Heard(self._origin, self._next(), now, until, some.popleft()))
                        for partition, some in waiting.items()
                    ]
                )
                waiting = {partition: some for partition, some in waiting.items() if some}
            self.frames += len(frames)
        for topic, payload in self._partitioner.take_requests():
            self.publish(topic, payload)

    def is_refused(self) -> bool:
        """Return whether Kafka takes nothing at present."""
        return self._is_refused or not self._begun.is_set()

    def hear(self, *, connected: bool) -> None:
        """Take note that the broker can be heard from now on, or no more."""
        with self._in_order:
            if not connected and not self._hearing.is_deaf():
                self._timers_until = epoch_seconds(self._clock.now())
            self._hearing.change(connected=connected)

    def change_book(self, version: Version, book: RuleBook) -> None:
        """Let another version decide on all that is accepted from now on.

        Raises JournalError where Kafka does not take it.
        """
        with self._in_order:
            self._book = version, book
            if self._begun.is_set():
                self._tell_book()
            self._partitioner = self._make_partitioner(book)

    def run(self) -> None:
        """Tell every partition by which version we listen, then leave marks, until `stop`."""
        with self._in_order:
            try:
                self._tell_book()
            except JournalError:
                return
            self._begun.set()
        while not self._stopping.wait(_MARK_EVERY_S):
            try:
                self._leave_marks()
            except JournalError:
                return

    def stop(self) -> None:
        """End `run`, and whatever waits for Kafka; what is not durable stays with the broker."""
        self._stopping.set()

    def close(self) -> None:
        """Give Kafka's connection back."""
        self._publisher.close()

    def _make_partitioner(self, book: RuleBook) -> Partitioner:
        stream = self._stream
        return Partitioner(book.devices.values(), stream.partitions, stream.keyed_by)

    def _tell_book(self) -> None:
        (version, _), (now, until) = self._book, self._times()
        self._publish(
            [
                (partition, BookTaken(self._origin, self._next(), now, until, *version))
                for partition in range(self._stream.partitions)
            ]
        )

    def _leave_marks(self) -> None:
        with self._in_order:
            before = steady_seconds() - _MARK_EVERY_S
            now, until = self._times()
            self._publish(
                [
                    (partition, Heard(self._origin, self._next(), now, until, []))
                    for partition, at in enumerate(self._published_at)
                    if at <= before
                ]
            )

    def _times(self) -> tuple[float, float]:
        now = epoch_seconds(self._clock.now())
        return now, self._timers_until if self._hearing.is_deaf() else now

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _publish(self, records: Sequence[_ToPartition]) -> None:
        """Publish until all is confirmed. Raises JournalError only while stopping."""
        later: list[tuple[int, Heard]] = []
        while True:
            try:
                self._publisher.publish([(number, encode_record(one)) for number, one in records])
            except JournalError as error:
                smaller = self._make_smaller(records, error)
                if smaller is not None:
                    records, later = smaller[0], smaller[1] + later
                    continue
                if not self._is_refused:
                    log.error("Kafka refuses, so the broker has to keep", reason=str(error))
                self._is_refused = True
                if self._stopping.wait(_PAUSE_S):
                    raise
            else:
                break
        self._is_refused = False
        now = steady_seconds()
        for partition, _ in records:
            self._published_at[partition] = now
        for partition, rest in later:
            # Numbered only now: what was divided once more has come between.
            self._publish([(partition, structs.replace(rest, number=self._next()))])

    def _make_smaller(
        self, records: Sequence[_ToPartition], error: JournalError
    ) -> tuple[list[_ToPartition], list[tuple[int, Heard]]] | None:
        """Return what to publish instead, and after that; None where size is not what is wrong."""
        if not isinstance(error, RecordTooLarge):
            return None
        first: list[_ToPartition] = []
        later: list[tuple[int, Heard]] = []
        for partition, one in records:
            if partition not in error.partitions:
                first.append((partition, one))
                continue
            if not isinstance(one, Heard):
                return None
            middle = len(one.frames) // 2
            before = one.frames[:middle] if middle else _cut_off(one.frames, error)
            if not before:
                return None
            first.append((partition, structs.replace(one, frames=before)))
            if middle:
                later.append((partition, structs.replace(one, frames=one.frames[middle:])))
        return first, later


def _cut_off(frames: Sequence[Frame], error: JournalError) -> list[Frame]:
    """Return half of the one message there is, or nothing where that is no longer large.

    A message that nobody can keep would have the broker give us no other one.
    """
    topic, payload, flags = frames[0]
    if len(payload) <= _SHORTEST:
        return []
    log.error(
        "a message is cut off, and will be refused",
        topic=topic.decode(errors="replace")[:200],
        size=len(payload),
        reason=str(error),
    )
    return [(topic, payload[: len(payload) // 2], flags)]
