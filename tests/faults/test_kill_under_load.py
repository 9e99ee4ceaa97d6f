"""Killed, frozen, cut off and without its broker, under load: nothing acknowledged lost, nothing twice."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import pytest
from sqlmodel import col, select

from ingest.decode import Decoder
from ingest.journal_file import Batch, connect_read_only, read_batches
from prevenant.book import load_book
from prevenant.clock import from_epoch
from prevenant.store import Store
from prevenant.tables import Alarm, TimelineEntry
from rules.processor import Processor
from simulators.fleet import connect, take_leave
from tests.servers import Broker, Proxy, wait_until

DEVICES, KILLS, _RATE = 25, 50, 800
_PATIENCE_S = 90
"""So long may nothing come: an engine that recovers decides on all that it has read before it listens."""
SEED = int(os.environ.get("PREVENANT_TEST_SEED", random.SystemRandom().randrange(1 << 32)))
BOOK = """
devices:
  unit: {topic: 'load/{site}/{device}', fields: {on: bool, n: number}}
rules:
  at-once: {on: unit, when: 'on', severity: minor}
  held: {on: unit, when: 'on', for: 300ms, severity: minor}
"""


class Nursery:
    """Engines that listen and decide, each killed before the next is born."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        (folder / "rules.yaml").write_text(BOOK, "utf-8")
        command = [sys.executable, "-m", "tests.faults.engine_nursery"]
        with (folder / "nursery.log").open("w") as log:
            self._process = subprocess.Popen(
                [*command, str(folder / "rules.yaml"), str(folder), url],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.child = 0

    def bear(self) -> int:
        """Start an engine; return its process id."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        while not (line := self._process.stdout.readline()).strip().isdigit():
            assert line, (self.folder / "nursery.log").read_text()[-2_000:]
        self.child = int(line)
        return self.child

    def kill(self) -> None:
        """Kill the engine at once."""
        os.kill(self.child, signal.SIGKILL)

    def close(self) -> None:
        """Kill everything."""
        if self.child:
            self.kill()
        self._process.kill()
        self._process.communicate()


class Load:
    """Publishes numbered readings of many devices at QoS 1, and knows which the broker has taken."""

    def __init__(self, broker: Broker, first: int = 0) -> None:
        self._client = connect(broker.direct_url)
        self._client.on_publish = lambda _c, _d, mid, _r, _p: self._acknowledged.add(mid)
        self._noise = random.Random(SEED)
        self._stopping = threading.Event()
        self._first = first
        self._sent: dict[int, int] = {}
        self._acknowledged: set[int] = set()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        number = self._first
        while not self._stopping.wait(1 / _RATE):
            number += 1
            reading = {"on": self._noise.random() < 0.4, "n": number, "observed_at": time.time()}
            topic = f"load/s/u{self._noise.randrange(DEVICES)}"
            message = self._client.publish(topic, json.dumps(reading), qos=1)
            self._sent[message.mid] = number

    def stop(self) -> set[int]:
        """Publish no more; return the numbers that the broker has acknowledged."""
        self._stopping.set()
        self._thread.join()
        with suppress(BaseException):
            wait_until(lambda: len(self._acknowledged) >= len(self._sent), "acknowledgements")
        take_leave(self._client)
        return {self._sent[mid] for mid in self._acknowledged if mid in self._sent}


@pytest.fixture(autouse=True)
def _named_seed() -> None:
    sys.stdout.write(f"PREVENANT_TEST_SEED={SEED}\n")


@pytest.fixture
def proxy(broker: Broker) -> Iterator[Proxy]:
    """Put a line between engine and broker that a test can cut."""
    with Proxy(broker.port) as line:
        yield line


@pytest.fixture
def nursery(tmp_path: Path, proxy: Proxy) -> Iterator[Nursery]:
    """Return a nursery whose first engine has subscribed: from then on the broker keeps for us."""
    folder = tmp_path / "engine"
    folder.mkdir()
    nursery = Nursery(folder, f"mqtt://127.0.0.1:{proxy.port}?keepalive=2")
    nursery.bear()
    wait_until(lambda: "subscribed" in (folder / "nursery.log").read_text(), "birth")
    yield nursery
    nursery.close()


def _batches(folder: Path) -> list[Batch]:
    if not (folder / "journal.db").exists():
        return []
    connection = connect_read_only(folder / "journal.db")
    try:
        return [one for one in read_batches(connection, 0) if isinstance(one, Batch)]
    finally:
        connection.close()


def _numbers(folder: Path) -> set[int]:
    frames = [frame for batch in _batches(folder) for frame in batch.frames]
    return {json.loads(payload)["n"] for _, payload, _ in frames}


def check(nursery: Nursery, taken: set[int]) -> None:
    """Let the last engine catch up, and compare the whole with an engine that nothing happened to."""
    folder = nursery.folder
    assert taken
    wait_while_it_grows(lambda: len(taken & _numbers(folder)), len(taken), "readings")
    expected = _decide_again(folder)
    wait_while_it_grows(lambda: len(expected & _alarms(folder)), len(expected), "alarms")
    # What was under way when the load ended may have come since.
    assert _alarms(folder) <= _decide_again(folder), f"alarms of nothing (seed {SEED})"
    store = Store(f"sqlite:///{folder / 'store.db'}")
    with store.read() as session:
        raised = Counter(
            (one.alarm_id, one.kind)
            for one in session.exec(select(TimelineEntry).where(col(TimelineEntry.alarm_id) > 0))
        )
    store.close()
    assert raised
    assert set(raised.values()) == {1}, f"told twice (seed {SEED})"


def wait_while_it_grows(count: Callable[[], int], whole: int, what: str) -> None:
    """Wait until all are there, however slow the machine is, as long as more come."""
    had = -1
    while (has := count()) < whole:
        assert has > had, f"{has} of {whole} {what}, and no more come (seed {SEED})"
        had = has
        with suppress(pytest.fail.Exception):
            wait_until(lambda: count() == whole, what, _PATIENCE_S)


def _decide_again(folder: Path) -> set[tuple[str, str, datetime]]:
    """Return the alarms that a processor raises which reads the journal in one go."""
    book = load_book(folder / "rules.yaml").rules
    decoder, processor = Decoder(book.devices.values()), Processor(book)
    transitions = []
    for batch in _batches(folder):
        decoded = decoder.decode_batch(batch.frames, batch.received_at)
        transitions += processor.process(decoded.readings, batch.timers_until)
    transitions += processor.advance(time.time() + 3600)
    begun = [one for one in transitions if one.kind in {"raised", "passed"}]
    return {(one.rule, one.device_id, from_epoch(one.onset_at)) for one in begun}


def _alarms(folder: Path) -> set[tuple[str, str, datetime]]:
    store = Store(f"sqlite:///{folder / 'store.db'}")
    with store.read() as session:
        rows = list(session.exec(select(Alarm)))
    store.close()
    return {(row.rule, row.device_id, row.onset_at) for row in rows}


def test_killed_fifty_times(broker: Broker, nursery: Nursery) -> None:
    noise = random.Random(SEED)
    load = Load(broker)
    for _ in range(KILLS):
        # Some die before they hear anything, some while they recover, most at work.
        time.sleep(noise.choice([0.02, 0.1, 0.2, 0.3, 0.5]) * noise.uniform(0.5, 1.5))
        nursery.kill()
        nursery.bear()
    check(nursery, load.stop())


def test_frozen_longer_than_the_broker_waits(broker: Broker, nursery: Nursery) -> None:
    load = Load(broker)
    time.sleep(0.5)
    os.kill(nursery.child, signal.SIGSTOP)
    time.sleep(5)
    os.kill(nursery.child, signal.SIGCONT)
    time.sleep(0.5)
    check(nursery, load.stop())


def test_the_line_is_cut_and_mended(broker: Broker, nursery: Nursery, proxy: Proxy) -> None:
    load = Load(broker)
    for _ in range(2):
        time.sleep(0.5)
        proxy.cut()
        time.sleep(4)
        proxy.mend()
        time.sleep(1.5)
    check(nursery, load.stop())


def test_the_broker_restarts_in_good_order(broker: Broker, nursery: Nursery) -> None:
    load = Load(broker)
    for _ in range(2):
        time.sleep(0.7)
        broker.stop()
        time.sleep(0.3)
        broker.start()
        time.sleep(1.5)
    check(nursery, load.stop())


def test_the_broker_is_killed_and_comes_again(broker: Broker, nursery: Nursery) -> None:
    load = Load(broker)
    time.sleep(0.7)
    broker.kill()
    time.sleep(0.3)
    broker.start()
    time.sleep(2)
    load.stop()
    # What a broker had acknowledged and not written yet is lost with it; what comes now is not.
    after = Load(broker, first=1_000_000)
    time.sleep(2)
    check(nursery, after.stop())
