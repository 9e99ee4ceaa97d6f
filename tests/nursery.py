"""Processes of Prevenant that have loaded already: one loads everything, and is forked for each.

To load takes a process longer than most of what tests ask it for, and a suite asks more than a hundred.
What is forked is a process like any other, with its own arguments, folder and environment, and it can be
killed like any other. How a process begins that has loaded nothing is for tests of the command itself.

python -m tests.nursery     answers each line, a `Wanted` in JSON, with a process id
"""

import atexit
import ctypes
import gc
import json
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

from sqlalchemy.orm import configure_mappers

from simulators.engine_process import EngineProcess

ROOT = Path(__file__).parents[1]
_LOADED = (
    *("alembic.autogenerate", "alembic.command", "pandas", "prevenant.app", "rich.json"),
    *("prevenant.cli.running", "prevenant.cli.shown", "prevenant.crm.importing"),
)
"""What loads nearly everything that any command needs."""
_PR_SET_PDEATHSIG = 1
_LOOK_AGAIN_S = 0.005


@dataclass(frozen=True)
class Wanted:
    """A process that is wanted: `python -m MODULE ARGUMENTS`."""

    module: str
    arguments: tuple[str, ...]
    folder: str
    environment: dict[str, str]
    said: str
    """The file to which what it says is added."""
    complained: str
    """The same, for what it says of errors."""
    ended: str
    """The file in which its status stands, once it has ended."""


@dataclass
class Forked:
    """A process that was forked, asked and ended as a `Popen` is."""

    pid: int
    returncode: int | None = field(default=None, init=False)
    _ended: Path = field(kw_only=True)

    def poll(self) -> int | None:
        """Return its status, where it has ended."""
        if self.returncode is None and self._ended.exists():
            self.returncode = int(self._ended.read_text())
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended; return its status. Raises TimeoutExpired."""
        until = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            if until is not None and time.monotonic() > until:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
            time.sleep(_LOOK_AGAIN_S)
        return status

    def terminate(self) -> None:
        """Ask it to end."""
        self._tell(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self._tell(signal.SIGKILL)

    def _tell(self, what: signal.Signals) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, what)


class Nursery:
    """The process that is forked, and what was born of it."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="prevenant-nursery-")
        self._count = 0
        self._asking = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.nursery"],
            cwd=ROOT,
            env={**os.environ, "COLUMNS": "200", "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(
        self,
        module: str,
        *arguments: str,
        said: Path,
        complained: Path,
        folder: Path = ROOT,
        environment: Mapping[str, str],
    ) -> Forked:
        """Start a process."""
        with self._asking:
            self._count += 1
            ended = Path(self._folder.name) / f"{self._count}"
            wanted = Wanted(
                module,
                arguments,
                *(str(folder), dict(environment), str(said), str(complained), str(ended)),
            )
            asked, answers = self._process.stdin, self._process.stdout
            assert asked is not None
            assert answers is not None
            asked.write(json.dumps(asdict(wanted)) + "\n")
            asked.flush()
            return Forked(int(answers.readline()), _ended=ended)

    def run(
        self, *arguments: str, folder: Path, environment: Mapping[str, str], timeout_s: float = 120
    ) -> tuple[int, str, str]:
        """Run a command of Prevenant; return its status, what it said, and what it said of errors."""
        with TemporaryDirectory(dir=self._folder.name) as name:
            said, complained = Path(name) / "said", Path(name) / "complained"
            process = self.start(
                "prevenant",
                *arguments,
                said=said,
                complained=complained,
                folder=folder,
                environment=environment,
            )
            try:
                status = process.wait(timeout_s)
            finally:
                process.kill()
            return status, said.read_text("utf-8"), complained.read_text("utf-8")

    def close(self) -> None:
        """End it, and with it whatever lives of those who were born."""
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()


@cache
def nursery() -> Nursery:
    """Return the one of this process, which ends with it."""
    found = Nursery()
    atexit.register(found.close)
    return found


class ForkedEngine(EngineProcess):
    """An engine's process that has loaded already."""

    def start(self, command: Sequence[str] = ("-m", "prevenant", "run")) -> None:
        """Start the process; `command` begins with `-m` and a module."""
        self.carrier.inbound_url = f"{self.url}/webhooks/twilio/sms"
        self.folder.mkdir(parents=True, exist_ok=True)
        _, module, *arguments = command
        self.process = nursery().start(
            module,
            *arguments,
            said=self.log,
            complained=self.log,
            environment=self.environment(),
        )

    def run(self, *arguments: str) -> str:
        """Run another command with the same settings; return what it prints."""
        status, said, complained = nursery().run(
            *arguments, folder=ROOT, environment=self.environment()
        )
        assert status == 0, complained or said
        return said


def main() -> None:
    """Fork a process for each line."""
    for name in _LOADED:
        import_module(name)
    configure_mappers()
    # What stands by now is looked at by no child, which would have to copy it.
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        if os.fork() == 0:
            _watch(Wanted(**json.loads(line)))


def _watch(wanted: Wanted) -> NoReturn:
    """Fork the process, and note how it ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _end_with_parent(signal.SIGKILL)
    process = os.fork()
    if process:
        print(process, flush=True)  # noqa: T201  the answer
        _, status = os.waitpid(process, 0)
        ended = Path(wanted.ended)
        ended.with_suffix(".new").write_text(str(os.waitstatus_to_exitcode(status)))
        ended.with_suffix(".new").replace(ended)
        os._exit(0)
    _end_with_parent(signal.SIGTERM)
    _settle(wanted)
    _leave(_work(wanted))


def _settle(wanted: Wanted) -> None:
    """Take its folder, its environment and its files, and a standard input that is empty."""
    os.setsid()
    os.environ.clear()
    os.environ.update(wanted.environment)
    os.chdir(wanted.folder)
    written = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    _redirect(0, os.devnull, os.O_RDONLY)
    _redirect(1, wanted.said, written)
    _redirect(2, wanted.complained, written)


def _work(wanted: Wanted) -> int:
    """Do what the process is wanted for; return its status."""
    sys.argv = [wanted.module, *wanted.arguments]
    try:
        runpy.run_module(wanted.module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001  as the interpreter does
        traceback.print_exc()
        return 1
    return 0


def _leave(status: int) -> NoReturn:
    """End as the interpreter does, but for giving back what was loaded, which takes longest."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(status)


def _redirect(number: int, path: str, flags: int) -> None:
    opened = os.open(path, flags, 0o600)
    os.dup2(opened, number)
    os.close(opened)


def _end_with_parent(by: signal.Signals) -> None:
    # Where a system has no such call, the test ends what it has started.
    with suppress(AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, by)


if __name__ == "__main__":
    main()
