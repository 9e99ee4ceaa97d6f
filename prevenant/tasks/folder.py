"""Tasks on the disk: what is asked, how far it is, and what came of it.

    FOLDER/12/asked.json     what is wanted, and by whom; never changed
    FOLDER/12/progress.json  how far it is
    FOLDER/12/ended.json     how it ended; never changed once it is there
    FOLDER/12/result.json    what came of it, with files beside it
    FOLDER/12/lock           held by its process as long as that lives
    FOLDER/12/log            what its process has said

Nothing of it stands in the store: a process of low priority that held the store's write lock would keep
the engine waiting. Several processes share the folder, and whoever reads sees files that are whole.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from prevenant.errors import ConfigurationError
from prevenant.tasks.wanted import Wanted, kind_of, subject_of

RUNNING, DONE, FAILED, ENDED, BROKEN = "running", "done", "failed", "ended", "broken"

_ASKED, _PROGRESS, _ENDED, _RESULT = "asked.json", "progress.json", "ended.json", "result.json"
_LOCK, _LOG = "lock", "log"
_LAST_WORDS = 400
GIVEN = "given-"
"""How the names of files begin that came with what was asked."""
KEPT = 50
"""So many of the newest tasks are kept."""


class Asked(msgspec.Struct, frozen=True):
    """What somebody wants, and when they said so, in seconds since 1970."""

    by: str
    at: float
    wanted: Wanted


class Progress(msgspec.Struct, frozen=True):
    """How far a task is."""

    done: float = 0.0
    """From 0 to 1."""
    doing: str = ""


class Ended(msgspec.Struct, frozen=True):
    """How a task ended."""

    state: str
    """`done`, `failed`, or `ended` by somebody."""
    at: float
    """Seconds since 1970."""
    reason: str = ""
    """Why it failed, line by line, or who ended it."""
    took_s: float | None = None
    """Real seconds, where its process says so itself."""


@dataclass(frozen=True, slots=True)
class Task:
    """One task, as it is at a moment."""

    number: int
    folder: Path
    asked: Asked
    progress: Progress
    ended: Ended | None
    is_alive: bool
    """Whether its process is there."""

    @property
    def kind(self) -> str:
        """What it does, as `train`."""
        return kind_of(self.asked.wanted)

    @property
    def subject(self) -> str:
        """Which model it is about, if any."""
        return subject_of(self.asked.wanted)

    @property
    def state(self) -> str:
        """`running`, `done`, `failed`, `ended` by somebody, or `broken`: its process has vanished."""
        if self.ended is not None:
            return self.ended.state
        return RUNNING if self.is_alive else BROKEN

    @property
    def reason(self) -> str:
        """Why it is not done, or nothing."""
        if self.ended is not None:
            return self.ended.reason
        return "" if self.is_alive else _last_words(self.folder / _LOG)

    @property
    def result(self) -> Any:
        """What came of it, as plain values; None where nothing did."""
        try:
            return msgspec.json.decode((self.folder / _RESULT).read_bytes())
        except FileNotFoundError:
            return None

    def file(self, name: str) -> Path:
        """Return where a file of the task stands."""
        return self.folder / name


class Tasks:
    """The tasks below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def list_all(self) -> Sequence[Task]:
        """Return all tasks, the newest first."""
        found = []
        for number in reversed(self._numbers()):
            # What is removed meanwhile is not there any more.
            with suppress(ConfigurationError):
                found.append(self.find(number))
        return found

    def find(self, number: int) -> Task:
        """Return one task. Raises ConfigurationError where there is none of that number."""
        folder = self._of(number)
        try:
            asked = msgspec.json.decode((folder / _ASKED).read_bytes(), type=Asked)
        except (OSError, msgspec.MsgspecError):
            message = f"there is no task {number}: see `prevenant tasks list`"
            raise ConfigurationError(message) from None
        # A process says how it ended before it goes: asked in the other order, it would seem broken.
        is_alive = _is_held(folder / _LOCK)
        progress = _read(folder / _PROGRESS, Progress) or Progress()
        return Task(number, folder, asked, progress, _read(folder / _ENDED, Ended), is_alive)

    @contextmanager
    def open_next(self, asked: Asked, at_most: int) -> Iterator[tuple[Task, int]]:
        """Make the next task; yield it with its lock, which its process is to inherit and hold.

        Raises ConfigurationError where `at_most` tasks are running already.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._alone():
            running = [one for one in self.list_all() if one.state == RUNNING]
            if len(running) >= at_most:
                names = " and ".join(str(one.number) for one in running)
                message = f"{len(running)} tasks are running already: wait for {names}, or end one of them"
                raise ConfigurationError(message)
            self._prune()
            number = max(self._numbers(), default=0) + 1
            folder = self._of(number)
            folder.mkdir()
            lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
            write_whole(folder / _ASKED, msgspec.json.encode(asked))
        try:
            yield self.find(number), lock
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            os.close(lock)

    def _prune(self) -> None:
        """Of tasks that are over, remove what was given to them, and all but the newest wholly."""
        numbers = self._numbers()
        for number in numbers:
            with suppress(ConfigurationError):
                task = self.find(number)
                if task.state == RUNNING:
                    continue
                remove_given(task)
                if number in numbers[:-KEPT]:
                    shutil.rmtree(task.folder, ignore_errors=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        descriptor = os.open(self.folder / ".lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _numbers(self) -> list[int]:
        if not self.folder.is_dir():
            return []
        return sorted(int(one.name) for one in self.folder.iterdir() if one.name.isdecimal())

    def _of(self, number: int) -> Path:
        return self.folder / str(number)


def write_progress(task: Task, progress: Progress) -> None:
    """Say how far a task is."""
    write_whole(task.folder / _PROGRESS, msgspec.json.encode(progress))


def write_result(task: Task, result: Any) -> None:
    """Keep what came of a task."""
    write_whole(task.folder / _RESULT, msgspec.json.encode(result, enc_hook=str))


def write_ended(task: Task, ended: Ended) -> bool:
    """Say how a task ended; return False where it has ended already, which stays so."""
    path = task.folder / _ENDED
    partial = path.with_name(f".{_ENDED}.{os.getpid()}.partial")
    partial.write_bytes(msgspec.json.encode(ended))
    try:
        # A link is made or not made: of two who say how it ended, one is believed.
        path.hardlink_to(partial)
    except FileExistsError:
        return False
    finally:
        partial.unlink()
    return True


def remove_given(task: Task) -> None:
    """Remove the files that came with what was asked: nobody needs them any more."""
    for path in task.folder.glob(f"{GIVEN}*"):
        path.unlink(missing_ok=True)


def log_of(task: Task) -> Path:
    """Return where a task's process writes what it has to say."""
    return task.folder / _LOG


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that nobody sees a part of it."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)


def _read(path: Path, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None


def _is_held(path: Path) -> bool:
    """Return whether a process holds a lock."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _last_words(path: Path) -> str:
    """Return the last line that a process has said before it vanished."""
    try:
        lines = path.read_text("utf-8", "replace").strip().splitlines()
    except FileNotFoundError:
        lines = []
    last = f": {lines[-1][:_LAST_WORDS]}" if lines else ""
    return f"its process has ended before its work was done{last}"
