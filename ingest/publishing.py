"""The publisher: records into the topic of a stream, each confirmed by every broker that has to have it.

The topic is the journal of many processes: what is published is durable before devices are told that we
have it. With three brokers two of them have to have it (`min.insync.replicas`); fewer wait for their
disks (`flush.messages`).
"""

import contextlib
from collections.abc import Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from ingest.topic import LARGEST_BYTES
from prevenant.errors import JournalError, RecordTooLarge
from prevenant.kafka_address import KafkaAddress

MOST_BYTES = 900_000
"""How large a record grows by gathering frames."""
_CONFIRMED_WITHIN_MS = 30_000
_ANSWERS_WITHIN_S = 1.0

Addressed = tuple[int, bytes]
"""A record, and the partition that it goes to."""


class Publisher:
    """Publishes records; one thread at a time. Raises JournalError where they are not confirmed."""

    def __init__(self, address: KafkaAddress, topic: str) -> None:
        self._address, self._topic = address, topic
        self._producer = self._make_producer()

    def publish(self, records: Sequence[Addressed]) -> None:
        """Publish records and return once all are confirmed.

        Where some are not, all may be published again: whoever reads them knows them by their numbers.
        Raises RecordTooLarge where some never will be.
        """
        failed = _Failed()
        try:
            for partition, value in records:
                self._give(partition, value, failed)
            self._producer.flush()
        except KafkaException as error:
            failed.errors.append(error.args[0])
        if failed.too_large:
            message = (
                f"Kafka at {self._address.shown} takes no record so large; "
                f"raise max.message.bytes of the topic {self._topic}"
            )
            raise RecordTooLarge(message, failed.too_large)
        if failed.errors:
            if any(error.fatal() for error in failed.errors):
                self._producer = self._make_producer()
            raise JournalError(self._describe(failed.errors[0]))

    def _give(self, partition: int, value: bytes, failed: "_Failed") -> None:
        """Give a record to the client, whenever that has room for it."""
        while True:
            try:
                self._producer.produce(
                    self._topic, value, partition=partition, on_delivery=failed.note
                )
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.MSG_SIZE_TOO_LARGE:
                    raise
                failed.too_large.append(partition)
                return
            else:
                return

    def is_answered(self) -> bool:
        """Return whether a broker of Kafka's answers just now; from any thread."""
        try:
            self._producer.list_topics(self._topic, timeout=_ANSWERS_WITHIN_S)
        except KafkaException:
            return False
        return True

    @property
    def unanswered(self) -> str:
        """What to say, and to do, where none answers."""
        return (
            f"Kafka at {self._address.shown} does not answer: "
            "check PREVENANT_KAFKA_URL and the brokers"
        )

    def close(self) -> None:
        """Give up what is not confirmed."""
        self._producer.purge()
        with contextlib.suppress(KafkaException):
            self._producer.flush(1.0)

    def _describe(self, error: KafkaError) -> str:
        return (
            f"Kafka at {self._address.shown} does not take readings: {error.str()}; "
            "check PREVENANT_KAFKA_URL and the brokers"
        )

    def _make_producer(self) -> Producer:
        return Producer(
            self._address.for_librdkafka()
            | {
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 0,
                "message.max.bytes": LARGEST_BYTES,
                "message.timeout.ms": _CONFIRMED_WITHIN_MS,
                "log_level": 0,
            },
        )


class _Failed:
    """What was not confirmed of the records that are published together."""

    def __init__(self) -> None:
        self.errors: list[KafkaError] = []
        self.too_large: list[int] = []
        """The partitions of those that never will be."""

    def note(self, error: KafkaError | None, message: Any) -> None:
        """Take note of what became of a record."""
        if error is None:
            return
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            self.too_large.append(message.partition())
        else:
            self.errors.append(error)
