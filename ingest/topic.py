"""The topic of a stream, beside those who publish to it and decide on it: made, and read again."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from ingest.mqtt import Frame
from ingest.records import Heard, Record
from ingest.topic_reader import PartitionReader
from prevenant.errors import ConfigurationError, JournalError
from prevenant.kafka_address import KafkaAddress

log = structlog.get_logger()

LARGEST_BYTES = 20 * 1024 * 1024
"""A single message of a device may be so large."""
MOST_PARTITIONS = 4_096
_PATIENCE_MS = 10
_REPLICAS, _IN_SYNC = 3, 2
_PATIENCE_S = 10.0
_FETCHED_BYTES, _FETCHED_AHEAD = 1024 * 1024, 5_000
"""Whoever looks for one record among many fetches little around each."""


def number_batch(partition: int, offset: int) -> int:
    """Return the one number by which quarantine knows a record of any partition."""
    return offset * MOST_PARTITIONS + partition


def offset_of(batch: int) -> int:
    """Return where in its partition a record stands that has this number."""
    return batch // MOST_PARTITIONS


class Topic:
    """A topic. Raises JournalError where Kafka does not answer, or refuses."""

    def __init__(self, address: KafkaAddress, name: str) -> None:
        self._address, self._name = address, name

    def find_or_make(self, partitions: int, keep_s: float, max_bytes: int) -> int:
        """Return how many partitions it has, having made it where there was none."""
        try:
            admin = AdminClient(self._options())
            found = admin.list_topics(timeout=_PATIENCE_S)
            known = found.topics.get(self._name)
            if known is not None and known.partitions:
                return len(known.partitions)
            self._make(admin, partitions, min(_REPLICAS, len(found.brokers)), keep_s, max_bytes)
            known = admin.list_topics(self._name, timeout=_PATIENCE_S).topics[self._name]
            return len(known.partitions) or partitions
        except KafkaException as error:
            raise self._error(error) from None

    def count_partitions(self) -> int:
        """Return how many partitions it has. Raises ConfigurationError where there is no such topic."""
        try:
            admin = AdminClient(self._options())
            known = admin.list_topics(timeout=_PATIENCE_S).topics.get(self._name)
        except KafkaException as error:
            raise self._error(error) from None
        if known is None or not known.partitions:
            message = f"Kafka has no topic {self._name}: set PREVENANT_KAFKA_TOPIC"
            raise ConfigurationError(message)
        return len(known.partitions)

    def _make(
        self, admin: AdminClient, partitions: int, replicas: int, keep_s: float, max_bytes: int
    ) -> None:
        config = {
            "max.message.bytes": str(LARGEST_BYTES),
            "min.insync.replicas": str(_IN_SYNC if replicas >= _REPLICAS else 1),
            "retention.ms": str(round(keep_s * 1_000) if keep_s else -1),
            "retention.bytes": str(max_bytes // partitions if max_bytes else -1),
        }
        if replicas < _REPLICAS:
            config["flush.messages"] = "1"
        new = NewTopic(self._name, partitions, replicas, config=config)
        try:
            admin.create_topics([new])[self._name].result(_PATIENCE_S)
        except KafkaException as error:
            # Of several processes that start together, one makes it.
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
        else:
            log.info("topic made", topic=self._name, partitions=partitions, replicas=replicas)

    def earliest(self, partition: int) -> int:
        """Return the first record that it still has of a partition."""
        return self._ends(partition)[0]

    def find_frame(self, batch: int, position: int) -> Frame | None:
        """Return a frame by the number of its record and its place there; None where it is gone."""
        offset, partition = divmod(batch, MOST_PARTITIONS)
        first, end = self._ends(partition)
        if not first <= offset < end:
            return None
        record = next(self.read(partition, offset), None)
        is_there = isinstance(record, Heard) and position < len(record.frames)
        return record.frames[position] if isinstance(record, Heard) and is_there else None

    def read(self, partition: int, first: int = 0) -> Iterator[Record]:
        """Yield what stands in a partition by now, from a record on; rubbish is passed over."""
        with closing(self.reader(partition)) as reader:
            earliest, end = reader.ends()
            for _, record in reader.read(max(first, earliest), end):
                yield record

    def reader(self, partition: int) -> PartitionReader:
        """Return what reads a partition, with a connection of its own."""
        return PartitionReader(self._consumer(), self._name, partition, self._address.shown)

    def _ends(self, partition: int) -> tuple[int, int]:
        with closing(self.reader(partition)) as reader:
            return reader.ends()

    def _consumer(self) -> Consumer:
        # Of no group: it takes nobody's partitions, and commits nothing. A record larger than what
        # is fetched at once comes alone.
        options = {
            "group.id": f"{self._name}-looks",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.message.max.bytes": _FETCHED_BYTES,
            "queued.min.messages": _FETCHED_AHEAD,
            # What was asked for at the end of a partition, or is wanted no more, keeps nobody waiting.
            "fetch.wait.max.ms": _PATIENCE_MS,
            "fetch.queue.backoff.ms": _PATIENCE_MS,
        }
        return Consumer(self._options() | options)

    def _options(self) -> dict[str, Any]:
        return self._address.for_librdkafka() | {"log_level": 0}

    def _error(self, error: KafkaException) -> JournalError:
        return JournalError(
            f"Kafka at {self._address.shown} does not answer: {error.args[0].str()}; "
            "check PREVENANT_KAFKA_URL and the brokers"
        )
