"""Long work in a process of its own: whoever looks sees how far it is, however it comes to its end."""

import fcntl
import os
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from prevenant.cli import app, tasks
from prevenant.errors import ConfigurationError
from prevenant.settings import Settings
from prevenant.tasks.folder import (
    BROKEN,
    DONE,
    ENDED,
    FAILED,
    KEPT,
    RUNNING,
    Asked,
    Ended,
    Progress,
    Task,
    Tasks,
    log_of,
    write_ended,
    write_progress,
    write_result,
)
from prevenant.tasks.starting import AT_ONCE, NICENESS, end_task, start_task
from prevenant.tasks.wanted import Data, Take, Train, Trial
from tests.moved_clock import MovedClock
from tests.servers import wait_until

TAKE = Asked("Camille", 1_777_881_600.0, Take("given-archive.zip"))
PATIENCE_S = 150.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        database_url=f"sqlite:///{tmp_path / 'prevenant.db'}",
        journal=tmp_path / "journal.db",
        models=tmp_path / "models",
        tasks=tmp_path / "tasks",
    )


@pytest.fixture
def made(tmp_path: Path) -> Tasks:
    return Tasks(tmp_path / "tasks")


def leave(made: Tasks) -> Task:
    """Make a task whose process is gone at once."""
    with made.open_next(TAKE, AT_ONCE) as (task, _lock):
        return task


def long_work() -> Trial:
    """Return the shipped book's tests so many times over that nobody comes too late to see them run."""
    book, tests = Path("rules.yaml").read_text("utf-8"), Path("rules.test.yaml").read_text("utf-8")
    head, title, each = tests.partition("\ntests:\n")
    assert title
    return Trial("rules.yaml", {"rules.yaml": book}, head + title + each * 20)


def test_a_task_runs_as_long_as_somebody_holds_its_lock(made: Tasks) -> None:
    with made.open_next(TAKE, AT_ONCE) as (task, lock):
        kept = os.dup(lock)
    assert made.find(task.number).state == RUNNING
    write_progress(task, Progress(0.4, "learning"))
    assert made.find(task.number).progress == Progress(0.4, "learning")
    os.close(kept)
    assert made.find(task.number).state == BROKEN


def test_one_that_vanished_leaves_its_last_words(made: Tasks) -> None:
    task = leave(made)
    log_of(task).write_text("first\nit fell\n")
    assert made.find(task.number).reason.endswith("before its work was done: it fell")


def test_of_two_who_say_how_it_ended_the_first_is_believed(made: Tasks) -> None:
    task = leave(made)
    assert write_ended(task, Ended(ENDED, 1.0, "ended by Camille"))
    assert not write_ended(task, Ended(DONE, 2.0))
    found = made.find(task.number)
    assert (found.state, found.reason) == (ENDED, "ended by Camille")
    assert not list(task.folder.glob("*.partial")) + list(task.folder.glob(".*.partial"))


def test_no_more_run_at_once_than_may(made: Tasks) -> None:
    held = []
    for _ in range(AT_ONCE):
        with made.open_next(TAKE, AT_ONCE) as (_task, lock):
            held.append(os.dup(lock))
    with (
        pytest.raises(ConfigurationError, match="wait for"),
        made.open_next(TAKE, AT_ONCE),
    ):
        pass
    os.close(held.pop())
    assert leave(made).number == AT_ONCE + 1
    os.close(held.pop())


def test_what_cannot_be_brought_leaves_no_task(made: Tasks) -> None:
    with pytest.raises(OSError, match="full"), made.open_next(TAKE, AT_ONCE):
        raise OSError(28, "the disk is full")
    assert not made.list_all()


def test_old_ones_go_and_what_was_given_to_them_goes_first(made: Tasks) -> None:
    first = leave(made)
    first.file("given-readings.csv").write_text("device,cycle\n")
    leave(made)
    assert not first.file("given-readings.csv").exists()
    for _ in range(KEPT + 1):
        leave(made)
    numbers = [one.number for one in made.list_all()]
    assert len(numbers) <= KEPT + 1
    assert numbers[0] == KEPT + 3
    assert first.number not in numbers


def test_a_folder_that_holds_none_says_what_to_do(made: Tasks) -> None:
    assert made.list_all() == []
    with pytest.raises(ConfigurationError, match="prevenant tasks list"):
        made.find(1)


def test_a_process_stands_back_goes_on_by_itself_and_can_be_ended(settings: Settings) -> None:
    clock = MovedClock()
    task = start_task(settings, clock, "Camille", long_work())
    made = Tasks(settings.tasks)
    process = psutil.Process(int((task.folder / "pid").read_text()))
    limit = (settings.task_memory_bytes,) * 2
    wait_until(
        lambda: process.nice() == NICENESS and process.rlimit(psutil.RLIMIT_DATA) == limit,
        "a process that stands back",
        PATIENCE_S,
    )
    assert os.getsid(process.pid) == process.pid
    assert made.find(task.number).state == RUNNING
    end_task(made.find(task.number), clock, "Noor")
    wait_until(lambda: not psutil.pid_exists(process.pid), "its end", PATIENCE_S)
    found = made.find(task.number)
    assert (found.state, found.reason) == (ENDED, "ended by Noor")
    with pytest.raises(ConfigurationError, match="over already"):
        end_task(found, clock, "Noor")


def test_the_lock_is_its_own_and_not_that_of_what_it_starts(settings: Settings) -> None:
    task = start_task(settings, MovedClock(), "Camille", Take("given-archive.zip"))
    made = Tasks(settings.tasks)
    wait_until(lambda: made.find(task.number).state != RUNNING, "its end", PATIENCE_S)
    found = made.find(task.number)
    assert found.state == FAILED
    assert "archive.zip" in found.reason
    assert str(settings.tasks) not in found.reason


def run_here(settings: Settings, monkeypatch: pytest.MonkeyPatch, task: Task) -> Task:
    """Do a task in this process."""
    monkeypatch.setenv("PREVENANT_TASKS", str(settings.tasks))
    monkeypatch.setenv("PREVENANT_TASK_MEMORY", "")
    done = CliRunner().invoke(app, ["tasks", "run", str(task.number)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return Tasks(settings.tasks).find(task.number)


def test_memory_that_does_not_suffice_is_said_with_the_remedy(
    settings: Settings, made: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fall(*_arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(tasks, "_do", fall)
    done = run_here(settings, monkeypatch, leave(made))
    assert done.state == FAILED
    assert "PREVENANT_TASK_MEMORY" in done.reason


def test_one_that_was_ended_before_it_began_does_nothing_more(made: Tasks) -> None:
    task = leave(made)
    write_ended(task, Ended(ENDED, 1.0, "ended by Noor"))
    with pytest.raises(SystemExit):
        tasks._Teller(task)(0.1, "learning")
    assert made.find(task.number).progress == Progress()


def test_the_command_lists_what_was_asked_for(
    settings: Settings, made: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked("Camille", 1_777_881_600.0, Train("compressor", data=_data()))
    with made.open_next(asked, AT_ONCE) as (task, _lock):
        pass
    write_result(task, {"version": 3})
    write_ended(task, Ended(DONE, 1_777_881_700.0))
    monkeypatch.setenv("PREVENANT_TASKS", str(settings.tasks))
    shown = CliRunner().invoke(app, ["tasks", "list"], catch_exceptions=False).output
    assert all(word in shown for word in ("train", "compressor", "done", "Camille"))
    as_json = CliRunner().invoke(app, ["tasks", "list", "--json"], catch_exceptions=False).output
    assert '"version": 3' in as_json
    ended = CliRunner().invoke(app, ["tasks", "end", "1"])
    assert isinstance(ended.exception, ConfigurationError)


def test_whoever_looks_keeps_nobody_from_the_lock(made: Tasks) -> None:
    task = leave(made)
    made.find(task.number)
    with (task.folder / "lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _data() -> Data:
    return Data("given-readings.csv")
