"""Starts the process of a task, and ends it.

It is a session of its own: it goes on while pages are loaded anew, and while the engine that started it
is restarted. It asks for the processor only where nobody else wants it, and for memory up to a limit.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from prevenant.clock import Clock, epoch_seconds
from prevenant.errors import ConfigurationError
from prevenant.settings import PREFIX, Settings
from prevenant.tasks.folder import (
    ENDED,
    RUNNING,
    Asked,
    Ended,
    Task,
    Tasks,
    log_of,
    remove_given,
    write_ended,
)
from prevenant.tasks.wanted import Wanted

AT_ONCE = 2
"""So many tasks run beside each other."""
NICENESS = 19
"""How far a task stands back from whoever else wants the processor; 19 is farthest."""
_ALONE = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MALLOC_ARENA_MAX")
_PID = "pid"


def start_task(
    settings: Settings,
    clock: Clock,
    by: str,
    wanted: Wanted,
    bring: Callable[[Path], None] = lambda _folder: None,
) -> Task:
    """Start a task; `bring` puts the files that come with it into its folder.

    Raises ConfigurationError where as many are running as may.
    """
    asked = Asked(by, epoch_seconds(clock.now()), wanted)
    with Tasks(settings.tasks).open_next(asked, AT_ONCE) as (task, lock):
        bring(task.folder)
        with log_of(task).open("wb") as log:
            process = subprocess.Popen(  # noqa: S603  our own command
                [
                    sys.executable,
                    "-m",
                    "prevenant",
                    "tasks",
                    "run",
                    str(task.number),
                    "--nice",
                    str(NICENESS),
                    "--lock",
                    str(lock),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **_environment(settings)},
                pass_fds=[lock],
                start_new_session=True,
            )
        (task.folder / _PID).write_text(str(process.pid))
    # Whoever waits for it lets nothing of it stay when it is gone.
    threading.Thread(target=process.wait, name=f"task {task.number}", daemon=True).start()
    return task


def end_task(task: Task, clock: Clock, by: str) -> None:
    """End a task's process, on behalf of somebody. Raises ConfigurationError where it is over."""
    said = task.state == RUNNING and write_ended(
        task, Ended(ENDED, epoch_seconds(clock.now()), f"ended by {by}")
    )
    if not said:
        message = f"task {task.number} is over already"
        raise ConfigurationError(message)
    try:
        os.killpg(int((task.folder / _PID).read_text()), signal.SIGKILL)
    except (FileNotFoundError, ProcessLookupError):
        return
    remove_given(task)


def _environment(settings: Settings) -> Mapping[str, str]:
    """Return the settings that a task's process needs, as they are in this one."""
    wanted = {
        "book": settings.book.absolute(),
        "database_url": settings.database_url,
        "journal": settings.journal.absolute(),
        "models": settings.models.absolute(),
        "tasks": settings.tasks.absolute(),
        "task_memory": settings.task_memory,
        "clock": settings.clock,
    }
    ours = {f"{PREFIX}{name}".upper(): str(value) for name, value in wanted.items()}
    # One thread: the other cores are for who listens and decides.
    return {**ours, **dict.fromkeys(_ALONE, "1")}
