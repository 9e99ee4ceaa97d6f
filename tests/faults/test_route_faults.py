"""The store locked, the answer to a commit lost, the clock put wrong: cases and messages come out once."""

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlmodel import Session, col, select

from notify.message import DELIVERED, SENT, Delivery
from notify.outbox import Outbox
from prevenant import clock as clocks
from prevenant.clock import SystemClock
from prevenant.errors import StoreUnavailable
from prevenant.store import Store
from prevenant.tables import CaseEvent
from tests.faults.routing_story import Story, check, messages, prepare, taken
from tests.moved_clock import MovedClock
from tests.servers import wait_until
from tests.workflows.test_case import Desk

LOCKED_S = 31
_LOCK = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
time.sleep(float(sys.argv[2]))
"""
BEGIN = 1_800_000_000.0
_WAITS = """
- wait: alarm.cleared
  within: 10m
  otherwise: {escalate: guard, within: 5m, repeat: 2}
- close: done
"""


def test_another_process_locks_sqlite_for_half_a_minute(tmp_path: Path) -> None:
    prepare(tmp_path)
    story = Story(tmp_path)
    lock = subprocess.Popen(
        [sys.executable, "-c", _LOCK, str(tmp_path / "store.db"), str(LOCKED_S)],
        stdout=subprocess.PIPE,
    )
    assert lock.stdout is not None
    assert lock.stdout.readline() == b"locked\n"
    threads = [threading.Thread(target=run) for run in (story.runtime.run, story.outbox.run)]
    for thread in threads:
        thread.start()
    lock.communicate(timeout=60)
    wait_until(lambda: len(taken(tmp_path)) >= 3, "the first messages", 60)
    story.runtime.stop()
    story.outbox.stop()
    for thread in threads:
        thread.join()
    story.close()
    again = Story(tmp_path)
    again.tell()
    again.close()
    check(tmp_path, messages(tmp_path))


class _Forgetful(Story):
    """Loses the answer to some of its commits: they are done, and look as if they were not."""

    def forget(self, every: int) -> None:
        """Lose the answer to each commit of that number."""
        write, count = self.store.write, iter(range(1, 1_000_000))

        @contextmanager
        def losing(urgency: int = 5) -> Iterator[Session]:
            with write(urgency) as session:
                yield session
            if next(count) % every == 0:
                message = "the connection was lost"
                raise StoreUnavailable(message)

        self.store.write = losing  # type: ignore[method-assign]
        work, answer = self._work, self._answer
        self._work = _patient(work)  # type: ignore[method-assign]
        self._answer = _patient(answer)  # type: ignore[method-assign]


def _patient(work: Callable[[], bool]) -> Callable[[], bool]:
    def again() -> bool:
        try:
            return work()
        except StoreUnavailable:
            return True

    return again


@pytest.mark.parametrize("every", [2, 3, 5, 7])
def test_the_answer_to_a_commit_is_lost(tmp_path: Path, every: int) -> None:
    for name in ("whole", "lost"):
        (tmp_path / name).mkdir()
        prepare(tmp_path / name)
    whole, story = Story(tmp_path / "whole"), _Forgetful(tmp_path / "lost")
    whole.tell()
    whole.close()
    story.outbox._recover()
    story.forget(every)
    story.tell()
    story.close()
    check(tmp_path / "lost", messages(tmp_path / "whole"))
    store = Store(f"sqlite:///{tmp_path / 'lost' / 'store.db'}")
    with store.read() as session:
        found = Counter((d.state, d.attempts) for d in session.exec(select(Delivery)))
        unsure = session.exec(select(Delivery.id).where(col(Delivery.possible_duplicate))).all()
    store.close()
    assert set(found) == {(SENT, 1), (DELIVERED, 1)}
    assert unsure == []


@pytest.mark.parametrize("step", [3600.0, -3600.0])
@pytest.mark.parametrize("restarts", [False, True], ids=["runs on", "restarts"])
def test_a_deadline_is_kept_when_the_clock_is_put_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: float, restarts: bool
) -> None:
    if restarts and step > 0:
        pytest.skip(
            "a process that starts cannot tell a step forward from the time that it was down"
        )
    machine = {"steady": 1_000.0, "wall": BEGIN}
    monkeypatch.setattr(clocks, "_boot_seconds", lambda: machine["steady"])
    monkeypatch.setattr("prevenant.clock.time.time", lambda: machine["wall"])
    store = Store(f"sqlite:///{tmp_path / 'store.db'}")
    store.upgrade()
    desk = Desk(store, MovedClock(), _WAITS)
    desk.clock = SystemClock()  # type: ignore[assignment]
    desk.raise_alarm()
    due = desk.case().due_at
    assert due is not None

    def run(seconds: int) -> None:
        for _ in range(seconds):
            machine["steady"] += 1
            machine["wall"] += 1
            desk.work()

    run(300)
    machine["wall"] += step
    if restarts:
        # As an engine does, whose journal keeps the time.
        desk.clock = SystemClock(desk.clock.now().timestamp())  # type: ignore[assignment]
    run(299)
    assert desk.told() == []
    run(2)
    assert desk.told() == ["guard"]
    late = desk.clock.now() - due
    assert timedelta() <= late < timedelta(seconds=3)
    store.close()


def test_a_receipt_that_comes_while_its_delivery_is_in_hand_stands(tmp_path: Path) -> None:
    prepare(tmp_path)
    story = Story(tmp_path)
    while story.runtime.work_once(story.clock.now()):
        pass
    claims = story.outbox._turn(story.clock.now())
    with story.store.write() as session:
        for claim in claims:
            delivery = session.get_one(Delivery, claim.delivery.id)
            delivery.state = "delivered"
            session.add(delivery)
    for claim in claims:
        story.outbox._work(claim)
    story.outbox._turn(story.clock.now())
    with story.store.read() as session:
        rows = session.exec(select(Delivery)).all()
        assert {(row.state, row.claimed_by) for row in rows} == {("delivered", "")}
        assert session.exec(select(CaseEvent.error)).all() == [None] * 2
    assert isinstance(story.outbox, Outbox)
    story.close()
