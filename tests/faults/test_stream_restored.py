"""What a stream holds changes behind its back: the store was restored, its topic was made anew.

Whoever decides begins where the store says, and never where Kafka remembers to have been.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from sqlmodel import col, delete, select, update

from ingest.publishing import Publisher
from ingest.records import Heard, encode_record
from ingest.topic import Topic
from prevenant.book import load_book
from prevenant.clock import SystemClock
from prevenant.kafka_address import KafkaAddress
from prevenant.store import Store
from prevenant.stream.changing import UNPUBLISHED
from prevenant.stream.kafka import KafkaHost
from prevenant.stream.partition import Surroundings
from prevenant.stream.voices import NoVoices
from prevenant.tables import Alarm, PartitionState, Stream, TimelineEntry
from tests.kafka.server import Kafka, running_kafka
from tests.servers import wait_until

BOOK = """
devices:
  door: {topic: 'airport/{site}/doors/{device}', fields: {open: bool}}
rules:
  open: {on: door, when: open}
"""
TOPIC, PARTITIONS = "restored", 2
_PATIENCE_S = 60.0


class Spoken:
    """Doors that open, each once, in every partition."""

    def __init__(self, kafka: Kafka) -> None:
        self._publisher = Publisher(KafkaAddress.parse(kafka.url), TOPIC)
        self._number = 0

    def say(self, *doors: str, padding: int = 0) -> None:
        """Let doors open, the first partition first."""
        for place, door in enumerate(doors):
            self._number += 1
            now = time.time()
            payload = b'{"open": true}' + b" " * padding
            frames = [(f"airport/t2/doors/{door}".encode(), payload, 0)]
            record = Heard("a", self._number, now, now, frames)
            self._publisher.publish([(place % PARTITIONS, encode_record(record))])


def make_topic(kafka: Kafka) -> None:
    """Make the topic as the first process does."""
    Topic(KafkaAddress.parse(kafka.url), TOPIC).find_or_make(PARTITIONS, 0, 0)


@contextmanager
def deciding(kafka: Kafka, store: Store, folder: Path) -> Iterator[KafkaHost]:
    """Run one who decides on all of it. Raises what ended it by itself."""
    path = folder / "rules.yaml"
    path.write_text(dedent(BOOK), "utf-8")
    rules = load_book(path).rules
    address = KafkaAddress.parse(kafka.url)
    stream = Stream(topic=TOPIC, partitions=PARTITIONS, keyed_by="device")
    books: Any = None
    around = Surroundings(store, SystemClock(), stream, books, lambda _: "UTC", NoVoices())
    host = KafkaHost(address, around, Publisher(address, TOPIC), lambda: (UNPUBLISHED, rules))
    failures: list[BaseException] = []

    def run() -> None:
        try:
            host.run()
        except BaseException as error:  # noqa: BLE001  told by the thread that waits
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield host
    finally:
        host.stop()
        thread.join(_PATIENCE_S)
    for failure in failures:
        raise failure


def alarms(store: Store) -> set[str]:
    """Return whose alarms there are."""
    with store.read() as session:
        return {one.removeprefix("t2/") for one in session.exec(select(Alarm.device_id))}


def wait_for_alarms(store: Store, *doors: str) -> None:
    """Wait until there is an alarm of each of these doors, and of no other."""
    wait_until(lambda: alarms(store) == set(doors), f"alarms of {doors}", _PATIENCE_S)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_what_the_store_has_not_seen_is_decided_on(store: Store, tmp_path: Path) -> None:
    with running_kafka(tmp_path / "kafka") as kafka:
        make_topic(kafka)
        spoken = Spoken(kafka)
        with deciding(kafka, store, tmp_path):
            spoken.say("d1", "d2")
            wait_for_alarms(store, "d1", "d2")
            wait_until(lambda: kept_offsets(store) == [0, 0], "snapshots")
        with store.read() as session:
            backup = session.exec(select(PartitionState)).all()
            session.expunge_all()
        with deciding(kafka, store, tmp_path):
            spoken.say("d3", "d4", "d5")
            wait_for_alarms(store, "d1", "d2", "d3", "d4", "d5")
            wait_until(lambda: kept_offsets(store) == [2, 1], "snapshots")

        # The backup comes back: Kafka remembers more than the store.
        lost = col(Alarm.device_id).in_(["t2/d3", "t2/d4", "t2/d5"])
        with store.write() as session:
            session.execute(delete(Alarm).where(lost))
            for row in backup:
                kept = {"offset": row.offset, "taken_at": row.taken_at, "state": row.state}
                where = col(PartitionState.number) == row.number
                session.execute(update(PartitionState).where(where).values(**kept))
        with deciding(kafka, store, tmp_path):
            wait_for_alarms(store, "d1", "d2", "d3", "d4", "d5")
            # These are too large to be read; what comes after them is.
            spoken.say("d6", "d7", padding=9_000_000)
            spoken.say("d8", "d9")
            wait_for_alarms(store, *(f"d{number}" for number in (1, 2, 3, 4, 5, 8, 9)))
            wait_until(lambda: kept_offsets(store) == [4, 3], "snapshots")

        # Kafka has lost its disk: the store remembers more than the topic.
        admin = AdminClient({"bootstrap.servers": kafka.servers})
        admin.delete_topics([TOPIC])[TOPIC].result(30)
        wait_until(lambda: TOPIC not in admin.list_topics(timeout=10).topics, "no topic")
        make_topic(kafka)
        with deciding(kafka, store, tmp_path):
            spoken.say("d10", "d11")
            wait_until(lambda: {"d10", "d11"} <= alarms(store), "alarms", _PATIENCE_S)
    with store.read() as session:
        lines = [one.summary for one in session.exec(select(TimelineEntry))]
    assert sum("was made anew" in line for line in lines) == PARTITIONS


def kept_offsets(store: Store) -> list[int]:
    """Return the record of each snapshot."""
    with store.read() as session:
        return list(
            session.exec(select(PartitionState.offset).order_by(col(PartitionState.number)))
        )
