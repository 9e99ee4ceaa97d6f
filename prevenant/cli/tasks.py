"""`prevenant tasks`: long work that was asked for in the console, each in a process of its own."""

import os
import resource
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from prevenant.cli.shown import out, show_json, show_table, shown_time
from prevenant.clock import epoch_seconds, from_epoch
from prevenant.errors import PrevenantError
from prevenant.publishing import user_name
from prevenant.settings import Settings, load_settings
from prevenant.tasks.folder import (
    DONE,
    FAILED,
    GIVEN,
    RUNNING,
    Ended,
    Progress,
    Task,
    Tasks,
    remove_given,
    write_ended,
    write_progress,
    write_result,
)
from prevenant.tasks.starting import end_task
from prevenant.tasks.wanted import Replay, Trial

Number = Annotated[int, typer.Argument(help="Its number, as `prevenant tasks list` shows it.")]

_TOLD_EVERY_S = 0.3
_FIRST_TO_GO = "1000"

app = typer.Typer(help="Long work that was asked for in the console.", no_args_is_help=True)


@app.callback()
def tasks() -> None:
    """Long work that was asked for in the console."""


@app.command("list")
def list_tasks(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """Show what was asked for, the newest first, how far it is and how it ended."""
    found = Tasks(load_settings().tasks).list_all()
    if as_json:
        show_json([_as_json(one) for one in found])
        return
    rows = [
        (
            str(one.number),
            one.kind,
            one.subject,
            one.state,
            f"{one.progress.done:.0%}" if one.state == RUNNING else "",
            shown_time(from_epoch(one.asked.at)),
            one.asked.by,
            one.reason.partition("\n")[0],
        )
        for one in found
    ]
    show_table(["task", "what", "model", "state", "", "asked", "by", ""], rows)


@app.command("end")
def end(number: Number) -> None:
    """End one that is running."""
    settings = load_settings()
    task = Tasks(settings.tasks).find(number)
    end_task(task, settings.make_clock(), user_name())
    out.print(f"task {number} is ended")


@app.command("run")
def run_task(
    number: Number,
    *,
    nice: Annotated[int, typer.Option(help="How far it stands back, up to 19.")] = 0,
    lock: Annotated[int, typer.Option(help="The lock that says that it lives.")] = -1,
) -> None:
    """Do what was asked for: the console starts this, and nobody else needs to."""
    settings = load_settings()
    _stand_back(settings, nice)
    if lock >= 0:
        os.set_inheritable(lock, False)  # noqa: FBT003  the system's own
    began_at = time.monotonic()
    task = Tasks(settings.tasks).find(number)
    state, reason = FAILED, ""
    try:
        write_result(task, _do(task, settings, _Teller(task)))
        write_progress(task, Progress(1.0, ""))
        state = DONE
    except MemoryError:
        limit = settings.task_memory or "there is"
        remedy = "give less data, as by a later beginning, or raise PREVENANT_TASK_MEMORY"
        reason = f"it needs more memory than {limit}: {remedy}"
    except (PrevenantError, OSError) as error:
        # Files are called as whoever gave them knows them.
        reason = str(error).replace(f"{task.folder}/{GIVEN}", "")
    ended_at = epoch_seconds(settings.make_clock().now())
    write_ended(task, Ended(state, ended_at, reason, time.monotonic() - began_at))
    remove_given(task)


class _Teller:
    """Writes how far a task is, not more often than anybody would look."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._told_at = 0.0

    def __call__(self, done: float, doing: str) -> None:
        """Say how far it is, from 0 to 1."""
        now = time.monotonic()
        if now - self._told_at < _TOLD_EVERY_S:
            return
        self._told_at = now
        if (self._task.folder / "ended.json").exists():
            # Somebody ended it before it could be reached.
            sys.exit(1)
        write_progress(self._task, Progress(float(min(1.0, max(0.0, done))), doing))


def _do(task: Task, settings: Settings, tell: _Teller) -> Any:
    """Do what is wanted; what it takes to do it is loaded only now."""
    wanted = task.asked.wanted
    if isinstance(wanted, Replay | Trial):
        from prevenant.cli.tasks_rules import do_of_rules  # noqa: PLC0415  see above

        return do_of_rules(task, wanted, settings, tell)
    from prevenant.cli.tasks_models import do_of_models  # noqa: PLC0415  see above

    return do_of_models(task, wanted, settings, tell)


def _stand_back(settings: Settings, nice: int) -> None:
    """Let whoever else wants processor and memory have them first."""
    os.nice(nice)
    # Where memory runs out, the system is to end this and not the engine.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO)
    limit = settings.task_memory_bytes
    if limit:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _as_json(task: Task) -> dict[str, Any]:
    return {
        "task": task.number,
        "kind": task.kind,
        "model": task.subject,
        "state": task.state,
        "reason": task.reason,
        "by": task.asked.by,
        "asked_at": from_epoch(task.asked.at),
        "done": task.progress.done,
        "doing": task.progress.doing,
        "result": task.result,
    }
