"""The pages of models: how each does, its versions, and which of them speaks."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse
from sqlmodel import Session

from prevenant.api.access import Actor, AuthorOfAll, Role, Viewer
from prevenant.console.shell import go_on, show
from prevenant.console.tasks import SANDBOX
from prevenant.errors import ConfigurationError
from prevenant.tables import add_timeline
from prevenant.tasks.folder import Tasks

router = APIRouter(include_in_schema=False)

_TASKS = 5
_KEPT = 5


@router.get("/models")
def show_models(request: Request, actor: Viewer) -> Response:
    """Show every model and how it does."""
    from prevenant.console.model_views import see_models  # noqa: PLC0415  it brings pandas along

    def collect(session: Session) -> dict[str, Any]:
        found = see_models(session, request.app.state.settings.models)
        return {
            "models": found,
            "may_write": actor.may_everywhere(Role.AUTHOR),
            "tasks": _tasks(request, ""),
        }

    return show(request, "models.html", collect, actor)


@router.get("/models/{name}")
def show_model(request: Request, name: str, actor: Viewer) -> Response:
    """Show one model: how it does, its drift, its shadow and its versions."""
    return show(request, "model.html", lambda s: _model(s, request, name, actor), actor)


@router.get("/models/{name}/versions/{number}")
def show_version(request: Request, name: str, number: int, actor: Viewer) -> Response:
    """Show what is known of one version."""
    from prevenant.console.model_views import view_version  # noqa: PLC0415  as above

    def collect(_session: Session) -> dict[str, Any] | None:
        found = view_version(request.app.state.settings.models, name, number)
        return found and {**found, "name": name, "number": number}

    return show(request, "model_version.html", collect, actor)


@router.get("/models/{name}/versions/{number}/report")
def show_report(request: Request, name: str, number: int, actor: Viewer) -> Response:
    """Return the report on a version, in which nothing can run: it may come from elsewhere."""
    del actor
    try:
        text = _registry(request).report(name, number).read_text("utf-8")
    except (ConfigurationError, OSError):
        return PlainTextResponse("there is no such report", 404)
    return HTMLResponse(text, headers={"Content-Security-Policy": SANDBOX})


@router.get("/models/{name}/versions/{number}/file")
def download_version(request: Request, name: str, number: int, actor: AuthorOfAll) -> Response:
    """Return a version as one file, for another engine or for safekeeping."""
    del actor
    try:
        with tempfile.TemporaryDirectory(prefix="prevenant-") as folder:
            content = _registry(request).export(name, number, Path(folder)).read_bytes()
    except ConfigurationError as error:
        return PlainTextResponse(str(error), 404)
    return Response(
        content,
        media_type="application/zip",
        headers={"Content-Disposition": f'attachment; filename="{name}-v{number}.zip"'},
    )


@router.post("/models/{name}/activate")
def activate(
    request: Request, name: str, actor: AuthorOfAll, version: Annotated[int, Form()]
) -> Response:
    """Let a version speak."""

    def change() -> str:
        _registry(request).activate(name, version)
        return f"version {version} of {name} was put in force by {actor.name}"

    return _change(request, name, actor, "activated", change)


@router.post("/models/{name}/rollback")
def roll_back(request: Request, name: str, actor: AuthorOfAll) -> Response:
    """Let the version speak again that did so before."""

    def change() -> str:
        standing = _registry(request).rollback(name)
        return f"version {standing.active} of {name} was put in force again by {actor.name}"

    return _change(request, name, actor, "activated", change)


@router.post("/models/{name}/shadow")
def shadow(
    request: Request, name: str, actor: AuthorOfAll, version: Annotated[int, Form()] = 0
) -> Response:
    """Try a version in the shadow of the one that speaks; 0 ends that."""

    def change() -> str:
        _registry(request).shadow(name, version or None)
        if not version:
            return f"{name} has no shadow any more, said {actor.name}"
        return f"version {version} of {name} was put in the shadow by {actor.name}"

    return _change(request, name, actor, "shadowed", change)


@router.post("/models/{name}/retire")
def retire(
    request: Request, name: str, actor: AuthorOfAll, keep: Annotated[int, Form(ge=1)] = _KEPT
) -> Response:
    """Remove old versions; those in use, and the one to roll back to, stay."""

    def change() -> str:
        gone = _registry(request).retire(name, keep)
        if not gone:
            message = f"nothing of {name} is older than its newest {keep} versions, or free to go"
            raise ConfigurationError(message)
        numbers = ", ".join(map(str, gone))
        return f"{actor.name} removed version {numbers} of {name}"

    return _change(request, name, actor, "retired", change)


def _change(
    request: Request, name: str, actor: Actor, word: str, change: Callable[[], str]
) -> Response:
    """Change which versions do what, and write who did so into the story."""
    page = f"/models/{name}"
    try:
        summary = change()
    except ConfigurationError as error:
        return go_on(page if name.isidentifier() else "/models", str(error))
    with request.app.state.store.write() as session:
        now = request.app.state.clock.now()
        detail = {"model": name, "by": actor.name}
        add_timeline(session, now, f"model.{word}", summary, detail=detail)
    return go_on(page)


def _model(session: Session, request: Request, name: str, actor: Actor) -> dict[str, Any] | None:
    from prevenant.console.model_views import (  # noqa: PLC0415  as above
        compare_shadow,
        see_model,
        view_versions,
    )

    seen = see_model(session, request.app.state.settings.models, name)
    if seen is None:
        return None
    return {
        "model": seen,
        "shadow": compare_shadow(session, seen, actor.sites(Role.VIEWER)),
        "may_write": actor.may_everywhere(Role.AUTHOR),
        "tasks": _tasks(request, name),
        "kept": _KEPT,
        **view_versions(seen),
    }


def _tasks(request: Request, name: str) -> list[Any]:
    """Return the newest tasks about a model, or about any."""
    kinds = {"train", "judge", "predict", "take"}
    found = Tasks(request.app.state.settings.tasks).list_all()
    return [one for one in found if one.kind in kinds and name in {"", one.subject}][:_TASKS]


def _registry(request: Request) -> Any:
    from models.registry import Registry  # noqa: PLC0415  as above

    return Registry(request.app.state.settings.models)
