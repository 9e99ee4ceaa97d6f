"""A process that is forked for each run of a story, and the runs that are killed in it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import structlog


class ForkedRuns:
    """Runs of a story, each in a process forked from one that has loaded `module` already."""

    def __init__(self, module: str, folder: Path, prepare: Callable[[Path], None]) -> None:
        self._folder = folder
        self._model = folder / "model"
        self._model.mkdir()
        prepare(self._model)
        with (folder / "log").open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def tell(self, folder: Path, last: int = -1) -> int:
        """Tell the story in a process that is killed at one moment, or not; return how it ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{folder} {last}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, self.log()
        return int(answer)

    def fresh(self, name: str) -> Path:
        """Return a folder in which nothing has happened yet."""
        return Path(shutil.copytree(self._model, self._folder / name))

    def log(self) -> str:
        """Return the end of what was logged."""
        return (self._folder / "log").read_text()[-3_000:]

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


def answer_each_line(live: Callable[[Path, int], None]) -> None:
    """Fork somebody who lives for each line FOLDER NUMBER, and answer it with a status."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    for line in sys.stdin:
        folder, number = line.split()
        child = os.fork()
        if child == 0:
            live(Path(folder), int(number))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(status, flush=True)  # noqa: T201  the answer
