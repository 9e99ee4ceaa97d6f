"""The machine's clock is put forward or back by an hour in the middle of a hold: it ends on time."""

import json
from pathlib import Path

import pytest
from sqlmodel import select

from ingest.journal import Journal
from ingest.journal_file import Batch
from prevenant import clock as clocks
from prevenant.book import load_book
from prevenant.clock import SystemClock
from prevenant.store import Store
from prevenant.stream.embedded import EmbeddedHost
from prevenant.tables import Alarm

BEGIN = 1_800_000_000.0
DOOR = b"airport/t2/doors/D14"


class Machine:
    """A machine whose wall clock a test puts wrong, and an engine on it that the test drives."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steady, self.wall = 1_000.0, BEGIN
        monkeypatch.setattr(clocks, "_boot_seconds", lambda: self.steady)
        monkeypatch.setattr("prevenant.clock.time.time", lambda: self.wall)
        self.folder = folder
        self.start()

    def start(self) -> None:
        """Start the engine's listening and deciding parts, without their threads."""
        self.journal = Journal(self.folder / "journal.db")
        self.store = Store(f"sqlite:///{self.folder / 'store.db'}")
        self.store.upgrade()
        book = load_book(Path("rules.yaml")).rules
        self.host = EmbeddedHost(
            self.store, SystemClock(self.journal.left_off_at), self.journal, book
        )
        self.host._hearing._until = 0.0
        self.host.recover()

    def stop(self) -> None:
        """End the engine in good order."""
        self.host._keep_snapshot()
        self.journal.close()
        self.store.close()

    def say(self, *, open_: bool, stamped: bool) -> None:
        """Let the door speak, with the time of its own clock, which is right, or without."""
        reading: dict[str, object] = {"open": open_, "battery": 80.0}
        if stamped:
            reading["observed_at"] = BEGIN + self.steady - 1_000.0
        self.host.accept([(DOOR, json.dumps(reading).encode(), 0)])
        batch = self.host._batches.get_nowait()
        assert isinstance(batch, Batch)
        self.host._decide(batch)

    def run(self, seconds: float) -> None:
        """Let time pass, a second at a time."""
        for _ in range(round(seconds)):
            self.steady += 1
            self.wall += 1
            self.host._let_time_pass()

    def raised(self) -> int:
        """Return how many alarms the held door has raised."""
        with self.store.read() as session:
            return len(session.exec(select(Alarm).where(Alarm.rule == "door-held-open")).all())


@pytest.mark.parametrize("stamped", [True, False], ids=["stamped", "unstamped"])
@pytest.mark.parametrize("step", [3600.0, -3600.0])
@pytest.mark.parametrize("restarts", [False, True], ids=["runs on", "restarts"])
def test_a_hold_ends_on_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: float, stamped: bool, restarts: bool
) -> None:
    if restarts and step > 0:
        pytest.skip(
            "a process that starts cannot tell a step forward from the time that it was down"
        )
    machine = Machine(tmp_path, monkeypatch)
    machine.say(open_=True, stamped=stamped)
    machine.run(20)
    machine.wall += step
    if restarts:
        machine.stop()
        machine.start()
    machine.run(19)
    machine.say(open_=True, stamped=stamped)
    machine.run(19)
    assert machine.raised() == 0
    machine.run(3)
    assert machine.raised() == 1
    machine.say(open_=False, stamped=stamped)
    machine.run(100)
    assert machine.raised() == 1
    machine.stop()
