"""Kafka deals partitions out, and whoever has them goes on: slow, behind, with nothing to read."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session

from ingest.publishing import Publisher
from ingest.records import Heard, encode_record
from prevenant.errors import PartitionLost
from prevenant.kafka_address import KafkaAddress
from prevenant.store import Store
from prevenant.stream import kafka as host_on_kafka
from prevenant.stream.faust_app import SESSION_S, make_faust
from prevenant.stream.partition_rows import take_over
from tests import loops
from tests.faults.test_stream_restored import (
    PARTITIONS,
    TOPIC,
    Spoken,
    deciding,
    kept_offsets,
    make_topic,
    wait_for_alarms,
)
from tests.kafka.server import running_kafka
from tests.servers import wait_until

on_postgres = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
_RECORDS = 6_000
"""More than Faust would read in a minute if it slept whenever it has buffered enough."""
_A_YEAR_S = 365 * 86_400


@on_postgres
def test_small_records_do_not_wait_for_each_other(store: Store, tmp_path: Path) -> None:
    with running_kafka(tmp_path / "kafka") as kafka:
        make_topic(kafka)
        publisher, now = Publisher(KafkaAddress.parse(kafka.url), TOPIC), time.time()
        marks = [Heard("a", number, now, now, []) for number in range(_RECORDS)]
        publisher.publish([(0, encode_record(mark)) for mark in marks])
        with deciding(kafka, store, tmp_path) as host:
            wait_until(lambda: len(host.decided_until) == PARTITIONS, "partitions")
            wait_until(lambda: _RECORDS - 1 in kept_offsets(store), "a snapshot of all of them")


@on_postgres
def test_what_is_slow_to_take_up_is_not_given_to_others(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take_over_slowly(session: Session, *arguments: Any) -> Any:
        time.sleep(SESSION_S * 0.9)
        return take_over(session, *arguments)

    monkeypatch.setattr(host_on_kafka, "take_over", take_over_slowly)
    with running_kafka(tmp_path / "kafka") as kafka:
        make_topic(kafka)
        with deciding(kafka, store, tmp_path) as host:
            spoken = Spoken(kafka)
            spoken.say("d1", "d2")
            wait_for_alarms(store, "d1", "d2")
            # Kept after some seconds, or as soon as others are to have them.
            wait_until(lambda: kept_offsets(store) == [0, 0], "snapshots")
            spoken.say("d3", "d4")
            wait_for_alarms(store, "d1", "d2", "d3", "d4")
            assert host._dealings == 1


@on_postgres
def test_what_was_taken_over_by_one_who_has_gone_is_decided_after_a_restart(
    store: Store, tmp_path: Path
) -> None:
    with running_kafka(tmp_path / "kafka") as kafka:
        make_topic(kafka)
        spoken = Spoken(kafka)
        with suppress(PartitionLost), deciding(kafka, store, tmp_path) as host:
            spoken.say("d1", "d2")
            wait_for_alarms(store, "d1", "d2")
            # As one does that stood still while Kafka gave its partitions away, and is killed then.
            with store.write() as session:
                take_over(session, TOPIC, 0, "gone")
            spoken.say("d3", "d4")
            wait_for_alarms(store, "d1", "d2", "d4")

            def has_ended() -> bool:
                spoken.say("d3")
                return isinstance(host._failure, PartitionLost)

            wait_until(has_ended, "the end")
        with deciding(kafka, store, tmp_path):
            wait_for_alarms(store, "d1", "d2", "d3", "d4")


def test_who_has_nothing_to_read_stays_a_member(tmp_path: Path) -> None:
    async def check() -> None:
        app = make_faust(KafkaAddress.parse("kafka://127.0.0.1:1"), TOPIC, "", tmp_path)
        # Faust asks for no records without a partition, nor while the store is away.
        assert app.conf.broker_max_poll_interval > _A_YEAR_S

    loops.run(check())
