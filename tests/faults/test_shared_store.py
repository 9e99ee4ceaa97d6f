"""Workers on one PostgreSQL: stopped past their lease, killed, their server restarted under load."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import Session, col, select

from notify.message import SENT, Delivery
from prevenant.clock import SystemClock
from prevenant.crm.tables import Contact, RoleHolder
from prevenant.errors import StoreUnavailable
from prevenant.shelving import tell_case
from prevenant.store import Store
from prevenant.tables import Alarm, CaseEvent
from tests.faults.routing_story import find_lost, taken
from tests.faults.stopped_worker import AT_THE_DOOR, MOMENTS, RULE
from tests.servers import Postgres, make_database, postgres_server, wait_until
from workflows.tables import Case

_PATIENCE_S = 60.0


class Worker:
    """A worker process. All of one test are started alike, under one name."""

    def __init__(self, url: str, folder: Path, moment: str = "") -> None:
        command = [sys.executable, "-m", "tests.faults.stopped_worker", url, str(folder)]
        self.log = folder / "log"
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [*command, *moment.split()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def wait_until_ready(self) -> None:
        """Wait until it works."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n", self.log.read_text()[-3_000:]

    def is_stopped(self) -> bool:
        """Return whether it stands still."""
        state = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "T"

    def go_on(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Let it end in good order, with what it has begun."""
        self.process.communicate(timeout=_PATIENCE_S)
        assert self.process.returncode == 0, self.log.read_text()[-3_000:]

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.communicate()


class Shared:
    """A PostgreSQL of its own, with a guard, and the workers on it."""

    def __init__(self, server: Postgres, folder: Path, name: str) -> None:
        self.server = server
        self.folder = folder
        self.url = make_database(server.url, name)
        self.store = Store(self.url)
        self.store.upgrade()
        self.workers: list[Worker] = []
        with self.store.write() as session:
            session.add(Contact(id="g", name="Guard", phone="+33639980001"))
            session.flush()
            session.add(RoleHolder(contact_id="g", role="guard"))

    def start(self, *moments: str) -> list[Worker]:
        """Start a worker for each moment at which one is to stop; with "" it does not."""
        workers = [Worker(self.url, self.folder, moment) for moment in moments]
        self.workers += workers
        for worker in workers:
            worker.wait_until_ready()
        return workers

    def raise_alarms(self, first: int, count: int) -> None:
        """Raise some alarms, each in its own transaction, however long the store is away."""
        for number in range(first, first + count):
            while True:
                try:
                    with self.store.write() as session:
                        _raise_alarm(session, number)
                except StoreUnavailable:
                    time.sleep(0.1)
                else:
                    break

    def told(self) -> int:
        """Return how many messages are sent, as the ledger has it."""
        try:
            with self.store.read() as session:
                return len(session.exec(select(Delivery.id).where(Delivery.state == SENT)).all())
        except StoreUnavailable:
            return 0

    def check(self, count: int) -> None:
        """Each alarm has one case, and each message came once or counts as a possible duplicate."""
        with self.store.read() as session:
            cases = Counter(session.exec(select(Case.device_id)))
            deliveries = list(session.exec(select(Delivery)))
            unheard = session.exec(select(CaseEvent).where(col(CaseEvent.heard_at).is_(None)))
            assert unheard.all() == []
            assert find_lost(session) == []
        assert cases == Counter({f"s/u{number}": 1 for number in range(count)})
        assert len(deliveries) == count
        arrived = taken(self.folder)
        for one in deliveries:
            assert one.state == SENT
            assert arrived[one.key] == 1 or (one.possible_duplicate and arrived[one.key] == 2)
        assert sum(arrived.values()) <= count + 1


def _raise_alarm(session: Session, number: int) -> None:
    now = SystemClock().now()
    known = select(Alarm).where(Alarm.device_id == f"s/u{number}")
    if session.exec(known).first() is not None:
        # The answer to its commit was lost.
        return
    alarm = Alarm(
        rule=RULE,
        device_type="unit",
        site_id="s",
        device_id=f"s/u{number}",
        severity=3,
        onset_at=now,
        raised_at=now,
        reason="it is hot",
    )
    session.add(alarm)
    session.flush()
    tell_case(session, alarm, "alarm.raised", now, alarm.reason)


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """Run a PostgreSQL that these tests may restart."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def shared(server: Postgres, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Shared]:
    """Prepare a store for workers."""
    shared = Shared(server, tmp_path, f"shared_{abs(hash(request.node.name))}")
    yield shared
    for worker in shared.workers:
        worker.kill()
    shared.store.close()


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_worker_that_was_stopped_past_its_lease_does_nothing_late(
    shared: Shared, moment: str
) -> None:
    stopped, _ = shared.start(moment, "")
    shared.raise_alarms(0, 20)
    wait_until(lambda: stopped.is_stopped() or shared.told() == 20, f"stop: {moment}", _PATIENCE_S)
    if not stopped.is_stopped():
        # The other was quicker with all of them.
        shared.raise_alarms(20, 20)
    wait_until(stopped.is_stopped, f"stop: {moment}", _PATIENCE_S)
    count = 20 if shared.told() <= 20 and len(_devices(shared)) == 20 else 40
    wait_until(lambda: shared.told() == count, "the other to take over", _PATIENCE_S)
    before = taken(shared.folder)
    stopped.go_on()
    # It works again, and what it had begun is not done a second time.
    shared.raise_alarms(count, 5)
    wait_until(lambda: shared.told() == count + 5, "both at work", _PATIENCE_S)
    for worker in shared.workers:
        worker.end()
    after = taken(shared.folder)
    assert moment == AT_THE_DOOR or {key: after[key] for key in before} == before
    shared.check(count + 5)


def _devices(shared: Shared) -> list[str]:
    with shared.store.read() as session:
        return list(session.exec(select(Alarm.device_id)))


def test_workers_that_are_killed_leave_their_work_to_others(shared: Shared) -> None:
    first, second = shared.start("", "")
    shared.raise_alarms(0, 15)
    os.kill(first.process.pid, signal.SIGKILL)
    shared.raise_alarms(15, 15)
    os.kill(second.process.pid, signal.SIGKILL)
    (third,) = shared.start("")
    wait_until(lambda: shared.told() == 30, "everything", _PATIENCE_S)
    third.end()
    shared.check(30)


def test_postgresql_is_restarted_under_load(shared: Shared) -> None:
    workers = shared.start("", "")
    shared.raise_alarms(0, 15)
    for number in (15, 30):
        shared.server.stop()
        shared.server.start()
        shared.raise_alarms(number, 15)
    wait_until(lambda: shared.told() == 45, "everything", _PATIENCE_S)
    for worker in workers:
        worker.end()
    shared.check(45)
