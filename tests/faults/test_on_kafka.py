"""Every part of a stream is killed, stopped or cut off while devices speak: nothing is lost or told twice.

One world lives through all of it, since its processes take longer to start than to be killed. How long
people waited is printed for each part.
"""

import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlmodel import select

from prevenant.errors import StoreUnavailable
from prevenant.store import Store
from prevenant.tables import Alarm, PartitionState, TimelineEntry
from simulators.engine_process import EngineProcess
from simulators.fleet import connect, take_leave
from simulators.mailbox import Mailbox
from tests.kafka.server import Kafka, running_kafka
from tests.servers import Postgres, make_database, postgres_server, running_broker, wait_until
from tests.stories.test_several_processes import Site
from workflows.tables import CaseAlarm

_PATIENCE_S = 90.0
_DOORS_A_SECOND = 5.0
_PARTITIONS = 4


class Traffic:
    """Doors that open one after another, each once, and when the alarm of each was first seen."""

    def __init__(self, url: str, store: Store) -> None:
        self._store = store
        self._devices = connect(url)
        self.said: dict[str, float] = {}
        self.seen: dict[str, float] = {}
        self._silenced, self._stopping = threading.Event(), threading.Event()
        self._threads = [threading.Thread(target=one) for one in (self._speak, self._look)]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End."""
        self._silenced.set()
        self._stopping.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        take_leave(self._devices)

    def _speak(self) -> None:
        number = 0
        while not self._silenced.wait(1.0 / _DOORS_A_SECOND):
            number += 1
            door = f"t2/d{number}"
            self.said[door] = time.monotonic()
            self._devices.publish(
                f"airport/t2/doors/d{number}", json.dumps({"open": True}).encode(), qos=1
            )

    def _look(self) -> None:
        while not self._stopping.wait(0.05):
            self.look()

    def look(self) -> None:
        """Take note of the alarms that there are by now."""
        try:
            with self._store.read() as session:
                found = session.exec(select(Alarm.device_id)).all()
        except StoreUnavailable:
            return
        now = time.monotonic()
        for door in found:
            self.seen.setdefault(door, now)

    def fall_silent(self) -> None:
        """Let no further door open, and wait until there is an alarm of each."""
        self._silenced.set()
        self._threads[0].join()
        self.wait_until_all_seen()

    def wait_until_all_seen(self) -> None:
        """Wait until there is an alarm of every door that has spoken by now."""
        said = set(self.said)
        wait_until(lambda: said <= set(self.seen), "alarm of every door", _PATIENCE_S)

    def longest_wait_s(self, since: float, until: float) -> float:
        """Return how long the alarm of a door took at most, of those that spoke in a time."""
        # A copy: others open meanwhile.
        said = list(self.said.items())
        waits = [self.seen[door] - at for door, at in said if since <= at <= until]
        return max(waits, default=0.0)


class World:
    """All processes of a stream, with traffic."""

    def __init__(self, site: Site, traffic: Traffic, kafka: Kafka, postgres: Postgres) -> None:
        self.site, self.traffic, self.kafka, self.postgres = site, traffic, kafka, postgres
        self.pauses: dict[str, float] = {}

    def suffer(self, what: str, work: Callable[[], object]) -> None:
        """Do something bad while doors open; wait until all of them are told of."""
        began = time.monotonic()
        work()
        ended = time.monotonic()
        wait_until(lambda: time.monotonic() > ended + 1.0, "a second more of traffic")
        self.traffic.wait_until_all_seen()
        self.pauses[what] = self.traffic.longest_wait_s(began, ended + 1.0)

    def owners(self) -> Counter[str]:
        """Return how many partitions each process decides."""
        with self.site.store.read() as session:
            query = select(PartitionState.owner)
            return Counter(session.exec(query))


@pytest.fixture
def world(tmp_path: Path, mailbox: Mailbox) -> Iterator[World]:
    """Run all that a stream needs; the test starts Prevenant's processes."""
    with (
        running_broker(tmp_path / "broker") as broker,
        running_kafka(tmp_path / "kafka") as kafka,
        postgres_server(is_durable=True) as postgres,
    ):
        store = Store(make_database(postgres.url, "stream"))
        store.upgrade()
        site = Site(tmp_path, store, broker, mailbox)
        site.settings = {
            "PREVENANT_KAFKA_URL": kafka.url,
            "PREVENANT_KAFKA_PARTITIONS": str(_PARTITIONS),
            "PREVENANT_MESSAGE_LIMITS": "major 1000000/1s",
        }
        traffic = Traffic(broker.direct_url, store)
        yield World(site, traffic, kafka, postgres)
        traffic.stop()
        site.end()
        store.close()


def heard_by_cases(store: Store) -> Counter[str]:
    """Return how many cases have each door's alarm."""
    with store.read() as session:
        return Counter(session.exec(select(CaseAlarm.device_id)))


@contextmanager
def stopped(process: EngineProcess) -> Iterator[None]:
    """Let a process stand still."""
    assert process.process is not None
    os.kill(process.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.process.pid, signal.SIGCONT)


def test_nothing_is_lost_and_nothing_told_twice(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    site, traffic = world.site, world.traffic
    first, listening = site.start("decide"), site.start("listen")
    working = [site.start("route,engage") for _ in range(2)]
    traffic.start()
    wait_until(lambda: len(traffic.seen) > 10, "first alarms", _PATIENCE_S)

    world.suffer("a second process that decides joins", lambda: site.start("decide"))
    second = site.processes[-1]
    wait_until(lambda: sorted(world.owners().values()) == [2, 2], "shared work", _PATIENCE_S)

    def kill_listening() -> None:
        listening.kill()
        site.start("listen")

    world.suffer("kill -9 of the one that listens", kill_listening)
    world.suffer("kill -9 of one that decides", first.kill)
    world.suffer("kill -9 of one that routes and engages", working[0].kill)

    def restart_kafka() -> None:
        world.kafka.kill()
        world.kafka.start()

    world.suffer("kill -9 of Kafka", restart_kafka)

    def restart_postgres() -> None:
        world.postgres.stop()
        world.postgres.start()

    world.suffer("PostgreSQL killed", restart_postgres)

    third = site.start("decide")
    wait_until(lambda: sorted(world.owners().values()) == [2, 2], "shared work", _PATIENCE_S)
    with stopped(second):
        world.suffer("one that decides stands still past its session", lambda: None)
    wait_until(lambda: sorted(world.owners().values()) == [2, 2], "shared work", _PATIENCE_S)
    traffic.fall_silent()

    doors = set(traffic.said)
    with site.store.read() as session:
        raised = Counter(
            one.detail["device"]
            for one in session.exec(
                select(TimelineEntry).where(TimelineEntry.kind == "alarm.raised")
            )
        )
    assert raised == dict.fromkeys(doors, 1)
    wait_until(lambda: set(heard_by_cases(site.store)) == doors, "case of every door", _PATIENCE_S)
    assert heard_by_cases(site.store) == dict.fromkeys(doors, 1)
    told = site.texts("Open: ")
    assert told
    assert sum(told.values()) - len(told) <= site.duplicates()
    for process in (second, third, working[1]):
        assert process.is_running(), process.log.read_text("utf-8")
    lines = [f"  {pause:5.1f} s  {what}" for what, pause in world.pauses.items()]
    with capsys.disabled():
        sys.stdout.write("\n".join([f"\nhow long {len(doors)} alarms took at most:", *lines, ""]))
