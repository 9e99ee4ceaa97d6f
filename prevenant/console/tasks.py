"""The pages of long work: how far it is, what came of it, and the button that ends it."""

import re
from collections import Counter
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, PlainTextResponse

from prevenant.api.access import AuthorOfAll
from prevenant.clock import from_epoch
from prevenant.console.replay_view import draw_differences
from prevenant.console.shell import go_on, show
from prevenant.errors import ConfigurationError
from prevenant.tasks.folder import RUNNING, Task, Tasks
from prevenant.tasks.starting import end_task
from prevenant.tasks.wanted import Replay

router = APIRouter(include_in_schema=False)

SANDBOX = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""What a report may do, perhaps one that was written elsewhere: be looked at."""

_SHOWN = 100
_ON_A_PAGE = 100
_FILES = re.compile(r"differences\.csv|predictions\.(csv|parquet)|report-\d{1,9}\.html")


@router.get("/tasks")
def show_tasks(request: Request, actor: AuthorOfAll) -> Response:
    """Show what was asked for, the newest first."""
    found = [_view(one) for one in _tasks(request).list_all()[:_SHOWN]]
    return show(request, "tasks.html", lambda _session: {"tasks": found}, actor)


@router.get("/tasks/{number}")
def show_task(request: Request, number: int, actor: AuthorOfAll) -> Response:
    """Show one task, and what came of it."""
    return show(request, "task.html", lambda _session: _task(request, number), actor)


@router.get("/tasks/{number}/part")
def show_task_part(request: Request, number: int, actor: AuthorOfAll) -> Response:
    """Return the part of a task's page that changes."""
    return show(request, "task_part.html", lambda _session: _task(request, number), actor)


@router.post("/tasks/{number}/end")
def end(request: Request, number: int, actor: AuthorOfAll) -> Response:
    """End a task that is running."""
    problem = ""
    try:
        end_task(_tasks(request).find(number), request.app.state.clock, actor.name)
    except ConfigurationError as error:
        problem = str(error)
    return go_on(f"/tasks/{number}", problem)


@router.get("/tasks/{number}/files/{name}")
def download(request: Request, number: int, name: str, actor: AuthorOfAll) -> Response:
    """Return a file that came of a task."""
    del actor
    try:
        path = _tasks(request).find(number).file(name)
    except ConfigurationError as error:
        return PlainTextResponse(str(error), 404)
    if not _FILES.fullmatch(name) or not path.is_file():
        return PlainTextResponse("there is no such file", 404)
    if name.endswith(".html"):
        return FileResponse(path, headers={"Content-Security-Policy": SANDBOX})
    return FileResponse(path, filename=name)


def _tasks(request: Request) -> Tasks:
    return Tasks(request.app.state.settings.tasks)


def _task(request: Request, number: int) -> dict[str, Any] | None:
    try:
        task = _tasks(request).find(number)
    except ConfigurationError:
        return None
    values = {"task": _view(task), "result": task.result, "wanted": task.asked.wanted}
    if isinstance(task.asked.wanted, Replay) and task.result:
        values |= _differences(request, task)
    return values


def _view(task: Task) -> dict[str, Any]:
    ended = task.ended
    return {
        "number": task.number,
        "kind": task.kind,
        "subject": task.subject,
        "state": task.state,
        "reasons": task.reason.splitlines(),
        "is_running": task.state == RUNNING,
        "percent": round(100 * task.progress.done),
        "doing": task.progress.doing,
        "by": task.asked.by,
        "asked_at": from_epoch(task.asked.at),
        "ended_at": from_epoch(ended.at) if ended else None,
        "took_s": ended.took_s if ended else None,
    }


def _differences(request: Request, task: Task) -> dict[str, Any]:
    """Return the differences that are asked for, a page of them, and the picture of them all."""
    query = request.query_params
    result = task.result
    rows = result["differences"]
    chosen = {key: query.get(key, "") for key in ("what", "change", "rule")}
    found = [
        one for one in rows if all(not value or one[key] == value for key, value in chosen.items())
    ]
    try:
        start = max(0, int(query.get("from", "0")))
    except ValueError:
        start = 0
    return {
        "counts": Counter((one["what"], one["change"]) for one in rows),
        "chosen": chosen,
        "rules": sorted({one["rule"] for one in rows}),
        "matching": len(found),
        "rows": [{**one, "at": from_epoch(one["at"])} for one in found[start : start + _ON_A_PAGE]],
        "start": start,
        "on_a_page": _ON_A_PAGE,
        "begins_at": from_epoch(result["begins_at"] or 0.0),
        "ends_at": from_epoch(result["ends_at"] or 0.0),
        "lanes": draw_differences(found, result["begins_at"] or 0.0, result["ends_at"] or 0.0),
    }
