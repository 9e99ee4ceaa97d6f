"""The pages of the rule book: what is in force, which versions there were, and how they differ."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import PlainTextResponse
from sqlmodel import Session, col, select

from prevenant.api.access import Actor, AuthorOfAll, Role, Viewer
from prevenant.book_judging import judge_texts
from prevenant.book_people import known_people
from prevenant.book_texts import compare_texts, describe_differences
from prevenant.console.shell import act, show
from prevenant.console.texts import compare_lines, number_lines
from prevenant.drafts import find_draft, take_version
from prevenant.errors import ConfigurationError
from prevenant.publishing import (
    BookVersion,
    find_active,
    find_version,
    list_versions,
    roll_back,
)

router = APIRouter(include_in_schema=False)

_SHOWN = 100


@router.get("/rules")
def show_rules(request: Request, actor: Viewer) -> Response:
    """Show the rule book that is in force."""
    return show(request, "rules.html", lambda session: _rules(session, request, actor), actor)


@router.get("/rules/state")
def show_state(request: Request, actor: Viewer) -> Response:
    """Return the part that says which version is in force."""
    return show(request, "rules_state.html", lambda s: {"active": find_active(s)}, actor)


@router.get("/rules/versions")
def show_versions(request: Request, actor: Viewer) -> Response:
    """Show what was published."""

    def collect(session: Session) -> dict[str, Any]:
        return {
            "versions": list_versions(session, _SHOWN),
            "may_write": actor.may_everywhere(Role.AUTHOR),
        }

    return show(request, "rules_versions.html", collect, actor)


@router.get("/rules/versions/{number}")
def show_version(request: Request, number: int, actor: Viewer, against: int = 0) -> Response:
    """Show one version, and how it differs from the one before, or another."""
    return show(request, "rules_version.html", lambda s: _version(s, number, against, actor), actor)


@router.get("/rules/versions/{number}/files/{name:path}")
def download_file(request: Request, number: int, name: str, actor: Viewer) -> Response:
    """Return one file of a version as it was published."""
    del actor
    with request.app.state.store.read() as session:
        version = session.get(BookVersion, number)
    if version is None or name not in version.files:
        return PlainTextResponse("there is no such file", 404)
    return PlainTextResponse(
        version.files[name],
        headers={"Content-Disposition": f'attachment; filename="rules-v{number}.yaml"'},
    )


@router.post("/rules/versions/{number}/active")
def activate_version(
    request: Request, number: int, actor: AuthorOfAll, note: Annotated[str, Form()] = ""
) -> Response:
    """Put an earlier version in force again, as a new one."""
    now = request.app.state.clock.now()
    return act(
        request,
        lambda session: roll_back(session, number, now, by=actor.name, note=note.strip()),
        "/rules",
    )


@router.post("/rules/versions/{number}/draft")
def draft_version(request: Request, number: int, actor: AuthorOfAll) -> Response:
    """Let the author's draft go on from a version."""
    now = request.app.state.clock.now()
    return act(
        request,
        lambda session: take_version(session, actor.name, now, find_version(session, number)),
        "/rules/draft",
    )


def _rules(session: Session, request: Request, actor: Actor) -> dict[str, Any]:
    active = find_active(session)
    values: dict[str, Any] = {
        "active": active,
        "draft": find_draft(session, actor.name),
        "may_write": actor.may_everywhere(Role.AUTHOR),
        "counts": {},
        "warnings": [],
        "texts": [],
    }
    if active is None:
        return values
    today = request.app.state.clock.now().date()
    found = judge_texts(active.main, active.files, today, known_people(session))
    if found.edition is not None:
        book = found.edition.book
        values["counts"] = {
            "rules": len(book.rules.rules),
            "devices": len(book.rules.devices),
            "models": len(book.rules.models),
            "workflows": len(book.workflows),
        }
    return {
        **values,
        "warnings": [*found.problems, *found.warnings],
        "texts": number_lines(active.files, found.problems, found.warnings),
    }


def _version(session: Session, number: int, against: int, actor: Actor) -> dict[str, Any] | None:
    try:
        version = find_version(session, number)
        other = find_version(session, against) if against else _before(session, number)
    except ConfigurationError:
        return None
    before = other.files if other else {}
    return {
        "version": version,
        "other": other,
        "others": [one for one in list_versions(session, _SHOWN) if one.number != number],
        "summary": describe_differences(compare_texts(before, version.files)),
        "files": compare_lines(before, version.files) if other else [],
        "texts": number_lines(version.files),
        "may_write": actor.may_everywhere(Role.AUTHOR),
    }


def _before(session: Session, number: int) -> BookVersion | None:
    query = select(BookVersion).where(col(BookVersion.id) < number)
    return session.exec(query.order_by(col(BookVersion.id).desc())).first()
