"""What growing costs: Faust workers beside the embedded engine and plain Faust, and how long they pause.

The same readings of 1,000 devices lie in a journal and in a topic; 1,000 thresholds judge each of them,
and raise or clear an alarm with one in seventy. It is over when the last alarm is written;
`…_decided_rate` goes until the last reading is decided on:

    embedded  the embedded engine reads its journal again
    worker    one process that decides on the topic: Faust, snapshots, a PostgreSQL that waits for its disk
    two       two of them; where others compute beside them, they have no second core
    calm      a worker whose thresholds have to hold for an hour, so that none raises an alarm
    plain     Faust by its own means under the same calm book: one event a reading, no snapshot

`…_cpu_us` is the processor time a reading takes of those that decide, without Kafka and PostgreSQL.

Then devices speak at a small rate, a process joins, and one is killed: how long the stream was behind.
`taken_up_*` is what it takes to take a partition of 10,000 devices up again: from the store, and from a
changelog topic that has five minutes of snapshots, at the speed of librdkafka.
"""

import argparse
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.decide import as_batches, make_book, quiet
from benchmarks.figures import Figure, median_of, report
from ingest.journal import Journal
from ingest.journal_file import Batch
from ingest.mqtt import Frame
from ingest.partitions import BY_DEVICE, Partitioner
from ingest.publishing import Publisher
from ingest.records import Heard, encode_record
from prevenant.clock import SystemClock
from prevenant.garbage import collect_seldom
from prevenant.kafka_address import KafkaAddress
from prevenant.store import Store
from prevenant.stream.embedded import EmbeddedHost
from prevenant.stream.partition_rows import save_snapshot, take_over
from prevenant.switching import switch_soon
from tests.kafka.server import Kafka, running_kafka
from tests.servers import make_database, running_postgres

_RULES, _PARTITIONS, _IN_RECORD = 1_000, 8, 1_000
_TIMED = ("embedded", "worker", "two", "calm", "plain")
_AT_ONCE, _HOLDS = "", "1h"
"""For how long thresholds have to hold: for an hour none does, since the readings are of ten minutes."""
_PATIENCE_S = 300.0
_RATE = 200
"""Readings a second while processes join and are killed."""
_BEHIND = 100
"""So many readings are half a second: more are a pause."""
_LOOK_EVERY_S, _BREAK_S, _OVER_S = 0.05, 0.5, 2.0
_SNAPSHOT_BYTES, _SNAPSHOTS, _CHUNK = 2_000_000, 60, 900_000
Batches = Sequence[tuple[float, list[Frame]]]


class Said(NamedTuple):
    """How far a process was at a time, and what processor time it had taken."""

    at: float
    decided: int
    written: int
    cpu_s: float


class Worker:
    """A process that decides, as the benchmark sees it."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.growing_worker", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.partitions = 0
        self.said: list[Said] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            first, second, *rest = line.split()
            if first == "ready":
                self.partitions = int(second)
            else:
                written, cpu_s = rest
                self.said.append(Said(float(first), int(second), int(written), float(cpu_s)))

    @property
    def frames(self) -> int:
        """How many readings are decided on and their alarms written."""
        return self.said[-1].written if self.said else 0

    def go(self) -> None:
        """Let it begin."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()


def wait_for(found: Any, what: str) -> None:
    """Wait until `found` returns something true."""
    give_up_at = time.monotonic() + _PATIENCE_S
    while not found():
        if time.monotonic() > give_up_at:
            message = f"there was no {what}"
            raise TimeoutError(message)
        time.sleep(0.02)


@contextmanager
def workers(count: int, share: int, *arguments: str) -> Iterator[list[Worker]]:
    """Run processes that decide, each with its share of the partitions."""
    running = [Worker(*arguments) for _ in range(count)]
    try:
        wait_for(lambda: all(one.partitions == share for one in running), "partitions dealt out")
        yield running
    finally:
        for one in running:
            one.kill()


class Rate(NamedTuple):
    """How fast readings are done with and decided on, and what each takes of the processes that decide."""

    per_s: float
    decided_per_s: float
    cpu_us: float


def time_workers(running: Sequence[Worker], count: int) -> Rate:
    """Let processes decide together; measure from the first to the last reading."""
    for one in running:
        one.go()
    wait_for(lambda: sum(one.frames for one in running) >= count, "end of the readings")
    firsts = [next(said for said in one.said if said.written) for one in running]
    ends = [(one.said[-1].decided, [*one.said]) for one in running]
    decided = [next(said for said in all_said if said.decided == end) for end, all_said in ends]
    written = [next(said for said in all_said if said.written == end) for end, all_said in ends]
    began, done = min(one.at for one in firsts), count - sum(one.written for one in firsts)
    until_decided, until_written = (
        max(0.1, max(one.at for one in lasts) - began) for lasts in (decided, written)
    )
    cpu = sum(last.cpu_s - first.cpu_s for first, last in zip(firsts, written, strict=True))
    return Rate(done / until_written, done / until_decided, cpu / max(1, done) * 1e6)


def time_embedded(folder: Path, batches: Batches) -> Rate:
    """Let the embedded engine decide on what stands in its journal, as it does live."""
    rules = make_book(_RULES)
    journal = Journal(folder / "journal.db")
    for at, frames in batches:
        journal.append(frames, at)
    store = Store(f"sqlite:///{folder / 'embedded.db'}")
    store.upgrade()
    host = EmbeddedHost(store, SystemClock(), journal, rules)
    collect_seldom()
    switch_soon()
    deciding = threading.Thread(target=host.run)
    count = sum(len(frames) for _, frames in batches)
    began, cpu = time.perf_counter(), time.process_time()
    deciding.start()
    for batch in journal.read(0):
        assert isinstance(batch, Batch)
        host._batches.put(batch)
    while host.frames < count:
        time.sleep(0.01)
    decided = time.perf_counter() - began
    while host.unwritten:
        time.sleep(0.01)
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    host.stop()
    deciding.join()
    journal.close()
    store.close()
    return Rate(count / took, count / decided, cpu / count * 1e6)


def fill(kafka: Kafka, topic: str, batches: Batches) -> None:
    """Publish readings as those that listen do, into a topic of its own."""
    kafka.make_topic(topic, _PARTITIONS)
    partitioner = Partitioner(make_book(1).devices.values(), _PARTITIONS, BY_DEVICE)
    publisher, number = Publisher(KafkaAddress.parse(kafka.url), topic), 0
    waiting: dict[int, list[Frame]] = {}
    for at, frames in batches:
        for partition, some in partitioner.split(frames, at).items():
            waiting.setdefault(partition, []).extend(some)
            if len(waiting[partition]) >= _IN_RECORD:
                number += 1
                heard = Heard("bench", number, at, at, waiting.pop(partition))
                publisher.publish([(partition, encode_record(heard))])
    for partition, some in waiting.items():
        number += 1
        heard = Heard("bench", number, batches[-1][0], batches[-1][0], some)
        publisher.publish([(partition, encode_record(heard))])


def fill_plainly(kafka: Kafka, topic: str, batches: Batches) -> None:
    """Publish one reading an event."""
    kafka.make_topic(topic, _PARTITIONS)
    producer = Producer(
        {"bootstrap.servers": kafka.servers, "queue.buffering.max.messages": 0, "log_level": 0}
    )
    for _, frames in batches:
        for name, payload, _ in frames:
            producer.produce(topic, payload, key=name)
    producer.flush()


def make_store(server: str, name: str) -> str:
    """Make a database with all tables; return its address."""
    database_url = make_database(server, name)
    store = Store(database_url)
    store.upgrade()
    store.close()
    return database_url


def longest_run(moments: Sequence[float]) -> float:
    """Return how long the stream was behind without a break, from the moments at which it was."""
    longest, began = 0.0, None
    for before, at in zip([None, *moments], moments, strict=False):
        if began is None or before is None or at - before > _BREAK_S:
            began = at
        longest = max(longest, at - began)
    return longest


def time_pauses(kafka: Kafka, database_url: str) -> tuple[float, float]:
    """Return for how long the stream was behind when a process joined, and when one was killed."""
    topic = f"pauses-{time.time_ns()}"
    kafka.make_topic(topic, _PARTITIONS)
    arguments = ("decide", kafka.url, database_url, topic, str(_PARTITIONS), str(_RULES), _AT_ONCE)
    publisher = Publisher(KafkaAddress.parse(kafka.url), topic)
    first = Worker(*arguments)
    wait_for(lambda: first.partitions == _PARTITIONS, "partitions")
    first.go()
    published, running, ending = 0, [first], threading.Event()
    behind: list[float] = []

    def speak() -> None:
        nonlocal published
        number = 0
        payload = b'{"temperature": 50, "humidity": 50, "pressure": 50, "current": 50}'
        while not ending.wait(_PARTITIONS / _RATE):
            number += 1
            now = time.time()
            records = []
            for partition in range(_PARTITIONS):
                frame = (f"bench/s/d{partition}".encode(), payload, 0)
                heard = Heard("bench", number, now, now, [frame])
                records.append((partition, encode_record(heard)))
            publisher.publish(records)
            published += _PARTITIONS

    def look() -> None:
        while not ending.wait(_LOOK_EVERY_S):
            if published - sum(one.frames for one in running) > _BEHIND:
                behind.append(time.monotonic())

    threads = [threading.Thread(target=one) for one in (speak, look)]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: first.frames > _RATE, "first readings")
        behind.clear()
        second = Worker(*arguments)
        running.append(second)
        second.go()
        wait_for(lambda: second.frames > _RATE, "readings of the second")
        wait_for(
            lambda: not behind or time.monotonic() - behind[-1] > _OVER_S, "the end of the pause"
        )
        # Where it is seen first, the oldest reading waits as long as it takes to say so many.
        joined = longest_run(behind) + _BEHIND / _RATE if behind else 0.0
        behind.clear()
        killed_at = time.monotonic()
        first.kill()
        wait_for(lambda: behind, "a pause")
        wait_for(lambda: time.monotonic() - behind[-1] > _OVER_S, "the end of the pause")
        # What the dead process had decided after its snapshot counts twice, but comes at once.
        killed = behind[-1] - killed_at
    finally:
        ending.set()
        for thread in threads:
            thread.join()
        for one in running:
            one.kill()
    return joined, killed


def time_taking_up(kafka: Kafka, database_url: str) -> dict[str, float]:
    """Return what keeping and taking up a snapshot takes, from the store and from a changelog."""
    state = bytes(range(256)) * (_SNAPSHOT_BYTES // 256)
    store = Store(database_url)
    with store.write() as session:
        kept = take_over(session, "snapshots", 0, store.name)
    began = time.perf_counter()
    for offset in range(_SNAPSHOTS):
        with store.write() as session:
            save_snapshot(session, kept.lease, offset, 0.0, state)
    saved = (time.perf_counter() - began) / _SNAPSHOTS
    began = time.perf_counter()
    with store.write() as session:
        take_over(session, "snapshots", 0, store.name)
    from_store = time.perf_counter() - began
    store.close()
    topic = f"changelog-{time.time_ns()}"
    kafka.make_topic(topic, 1)
    chunks = [state[at : at + _CHUNK] for at in range(0, len(state), _CHUNK)]
    publisher = Publisher(KafkaAddress.parse(kafka.url), topic)
    began = time.perf_counter()
    for _ in range(_SNAPSHOTS):
        publisher.publish([(0, chunk) for chunk in chunks])
    published = (time.perf_counter() - began) / _SNAPSHOTS
    consumer = Consumer({"bootstrap.servers": kafka.servers, "group.id": topic})
    consumer.assign([TopicPartition(topic, 0, 0)])
    began, found = time.perf_counter(), 0
    while found < _SNAPSHOTS * len(chunks):
        found += len(consumer.consume(100, 1.0))
    from_changelog = time.perf_counter() - began
    consumer.close()
    return {
        "snapshot_store_s": saved,
        "snapshot_changelog_s": published,
        "taken_up_store_s": from_store,
        "taken_up_changelog_s": from_changelog,
    }


def main() -> None:
    """Measure, and report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--readings", type=int, default=600_000)
    parser.add_argument("--plain-readings", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    batches = as_batches(quiet(given.readings, 1))
    few = as_batches(quiet(given.plain_readings, 2))
    rates: dict[str, list[Rate]] = {name: [] for name in _TIMED}
    joins, kills = [], []
    with TemporaryDirectory() as name, running_kafka(Path(name) / "kafka") as kafka:
        folder = Path(name)
        with running_postgres(is_durable=True) as server:
            database_url = make_store(server, "grow")
            for turn in range(given.rounds):
                made = folder / str(turn)
                made.mkdir()
                rates["embedded"].append(time_embedded(made, batches))
                for what, count, holds in (
                    ("worker", 1, _AT_ONCE),
                    ("two", 2, _AT_ONCE),
                    ("calm", 1, _HOLDS),
                ):
                    topic = f"{what}-{turn}"
                    fill(kafka, topic, batches)
                    # Alarms that stand there already would not be written again.
                    own_url = make_store(server, f"grow_{what}_{turn}")
                    about = (kafka.url, own_url, topic, str(_PARTITIONS), str(_RULES), holds)
                    with workers(count, _PARTITIONS // count, "decide", *about) as running:
                        rates[what].append(time_workers(running, given.readings))
                topic = f"plain-{turn}"
                fill_plainly(kafka, topic, few)
                about_plain = (kafka.url, topic, str(_RULES), _HOLDS)
                with workers(1, _PARTITIONS, "plain", *about_plain) as running:
                    rates["plain"].append(time_workers(running, given.plain_readings))
                joined, killed = time_pauses(kafka, database_url)
                joins.append(joined)
                kills.append(killed)
            taking_up = time_taking_up(kafka, database_url)
    report("grow", make_figures(rates, joins, kills, taking_up, given.readings))


def make_figures(
    rates: dict[str, list[Rate]],
    joins: list[float],
    kills: list[float],
    taking_up: dict[str, float],
    readings: int,
) -> list[Figure]:
    """Return the figures; each ratio is one of the same round."""
    conditions = {"readings": readings, "rules": _RULES, "partitions": _PARTITIONS}

    def ratio(name: str, over: str) -> list[float]:
        pairs = zip(rates[name], rates[over], strict=True)
        return [one.per_s / other.per_s for one, other in pairs]

    return [
        *(
            figure
            for name, runs in rates.items()
            for figure in (
                median_of(f"{name}_rate", [one.per_s for one in runs], "1/s", conditions),
                median_of(
                    f"{name}_decided_rate", [one.decided_per_s for one in runs], "1/s", conditions
                ),
                median_of(f"{name}_cpu_us", [one.cpu_us for one in runs], "µs", conditions),
            )
        ),
        median_of("worker_over_embedded", ratio("worker", "embedded"), "", conditions),
        median_of("batched_over_plain_faust", ratio("calm", "plain"), "", conditions),
        median_of("two_workers_over_one", ratio("two", "worker"), "", conditions),
        median_of("join_pause_s", joins, "s", conditions),
        median_of("kill_pause_s", kills, "s", conditions),
        *(Figure(name, value, "s") for name, value in taking_up.items()),
    ]


if __name__ == "__main__":
    main()
