"""One process that decides on a filled topic once it is told to, and says how far it is.

python -m benchmarks.growing_worker decide KAFKA_URL DATABASE_URL TOPIC PARTITIONS RULES FOR
python -m benchmarks.growing_worker plain KAFKA_URL TOPIC RULES FOR      plain Faust, one event a reading

RULES thresholds raise when they have held for FOR.

It says `ready N` with the number of its partitions whenever that changes, starts at a line on its input,
and says `TIME DECIDED WRITTEN SECONDS` ten times a second: how many readings it has decided on, of how
many the alarms are written as well, and the processor time it took.
"""

import asyncio
import logging
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import faust
import structlog

from benchmarks.decide import make_book
from ingest.decode import Decoder
from ingest.publishing import Publisher
from prevenant.clock import SystemClock
from prevenant.garbage import collect_seldom
from prevenant.kafka_address import KafkaAddress
from prevenant.store import Store
from prevenant.stream.changing import UNPUBLISHED, Version
from prevenant.stream.kafka import KafkaHost
from prevenant.stream.partition import Surroundings
from prevenant.stream.voices import NoVoices
from prevenant.tables import Stream
from rules.processor import Processor, in_utc
from rules.rule import RuleBook

_TELL_EVERY_S = 0.1


def say(*words: object) -> None:
    """Write a line to whoever started us."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


class OneBook:
    """A rule book that is never changed."""

    def __init__(self, rules: RuleBook) -> None:
        self.rules = rules

    def find_rules(self, version: Version) -> RuleBook:
        """Return the book."""
        del version
        return self.rules

    def follow(self, version: Version) -> None:
        """Do nothing."""

    def note_taken(self, session: Any, change: Any) -> None:
        """Do nothing."""

    def note_refused(self, session: Any, change: Any, reason: str) -> None:
        """Do nothing."""


class GatedHost(KafkaHost):
    """A host that is given its partitions and decides on nothing before it is told to."""

    gate = threading.Event()

    async def _take(self, event: Any) -> None:
        if not self.gate.is_set():
            await asyncio.to_thread(self.gate.wait)
        await super()._take(event)


def decide(kafka_url: str, database_url: str, rules: RuleBook, topic: str, partitions: int) -> None:
    """Decide on a topic until our input ends."""
    address = KafkaAddress.parse(kafka_url)
    store = Store(database_url)
    stream = Stream(topic=topic, partitions=partitions, keyed_by="device")
    around = Surroundings(store, SystemClock(), stream, OneBook(rules), in_utc, NoVoices())
    host = GatedHost(address, around, Publisher(address, topic), lambda: (UNPUBLISHED, rules))
    collect_seldom()

    def done() -> tuple[int, int]:
        """Return how many readings are decided on; and that again, but one less until all is written."""
        return host.frames, host.frames - (0.0 in host.decided_until.values())

    _tell(host.run, lambda: len(host.decided_until), done, host.gate)


def decide_plainly(kafka_url: str, topic: str, rules: RuleBook) -> None:
    """Decide as one writes it with Faust's own means: an agent that is given one reading an event."""
    gate = threading.Event()
    count, assigned = 0, 0
    decoder, processor = Decoder(rules.devices.values()), Processor(rules)

    async def serve() -> None:
        nonlocal assigned
        logging.disable(logging.CRITICAL)
        with TemporaryDirectory() as folder:
            app = faust.App(
                f"plain-{topic}",
                broker=f"aiokafka://{KafkaAddress.parse(kafka_url).servers[0]}",
                consumer_auto_offset_reset="earliest",
                topic_allow_declare=False,
                topic_disable_leader=True,
                web_enabled=False,
                datadir=Path(folder),
            )

            async def each(stream: Any) -> None:
                nonlocal count
                async for event in stream.events():
                    if not gate.is_set():
                        await asyncio.to_thread(gate.wait)
                    now = event.message.timestamp
                    decoded = decoder.decode_batch([(event.key, event.value, 0)], now)
                    processor.process(decoded.readings, now)
                    count += 1

            source = app.topic(topic, key_serializer="raw", value_serializer="raw")
            app.agent(source, name="each")(each)
            await app.start()
            while True:
                assigned = len(app.consumer.assignment())
                await asyncio.sleep(0.1)

    collect_seldom()
    _tell(lambda: asyncio.run(serve()), lambda: assigned, lambda: (count, count), gate)


def _tell(run: Any, ready: Any, done: Any, gate: threading.Event) -> None:
    threading.Thread(target=run, daemon=True).start()

    def wait_for_gate() -> None:
        sys.stdin.readline()
        gate.set()

    threading.Thread(target=wait_for_gate, daemon=True).start()
    before = -1
    while not gate.is_set():
        if ready() != before:
            before = ready()
            say("ready", before)
        time.sleep(_TELL_EVERY_S)
    while True:
        say(time.time(), *done(), time.process_time())
        time.sleep(_TELL_EVERY_S)


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    kind, *rest = sys.argv[1:]
    thresholds = make_book(int(rest[-2]), rest[-1])
    if kind == "plain":
        decide_plainly(rest[0], rest[1], thresholds)
    else:
        decide(rest[0], rest[1], thresholds, rest[2], int(rest[3]))
