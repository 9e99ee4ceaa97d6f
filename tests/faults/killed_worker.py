"""A worker that kills itself at one moment of the story, as a power cut would; the next one goes on.

python -m tests.faults.killed_worker     answers each line FOLDER NUMBER with a status: 9 where killed

It imports once, and forks a worker for each line. With a number of -1 nobody is killed, and what moments
there were stands in FOLDER/moments.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlmodel import Session

from prevenant.store import Store
from tests.faults.forked import answer_each_line
from tests.faults.routing_story import Story
from workflows import steps


class Moments:
    """Counts the moments of one life, and ends it at one of them."""

    def __init__(self, last: int) -> None:
        self.names: list[str] = []
        self._last = last

    def __call__(self, name: str) -> None:
        """Come to a moment."""
        if len(self.names) == self._last:
            os.kill(os.getpid(), signal.SIGKILL)
        self.names.append(name)

    def hook(self) -> None:
        """Come to a moment before and after each step's effect, and each commit."""
        for phase in ("begin", "hear", "expire"):
            setattr(steps, phase, self._around(phase, getattr(steps, phase)))
        write, moment = Store.write, self

        @contextmanager
        def watched(store: Store, urgency: int = 5) -> Iterator[Session]:
            with write(store, urgency) as session:
                yield session
                moment("commit before")
            moment("commit after")

        setattr(Store, "write", watched)  # noqa: B010  a plain assignment is no method to mypy

    def _around(self, phase: str, original: Any) -> Any:
        def watched(run: Any, track: Any, step: Any, *more: Any) -> Any:
            kind = type(step).__name__
            self(f"{phase} {kind} before")
            outcome = original(run, track, step, *more)
            self(f"{phase} {kind} after")
            return outcome

        return watched


def live(folder: Path, last: int) -> None:
    """Tell the story, up to one moment."""
    moments = Moments(last)
    moments.hook()
    story = Story(folder, moments)
    story.tell()
    story.close()
    (folder / "moments").write_text("\n".join(moments.names))


if __name__ == "__main__":
    answer_each_line(live)
