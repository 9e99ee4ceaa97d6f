"""The rule book in force and those before it, whole; judging one without publishing it; going back."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response, status
from pydantic import Field

from prevenant.api.access import Author, AuthorOfAll, Viewer
from prevenant.api.bodies import Body
from prevenant.api.book import NewBook
from prevenant.api.book_seen import check_in_force, view_in_force
from prevenant.api.etags import etag_of
from prevenant.api.paging import RowId
from prevenant.book_advice import advise
from prevenant.errors import BookError, ConfigurationError, Problem
from prevenant.publishing import (
    BookVersion,
    find_active,
    find_version,
    read_edition,
    roll_back,
    view_version,
)

router = APIRouter(prefix="/api/v1")

_MAIN = "rules.yaml"


class Return(Body):
    """Why an earlier version comes back."""

    note: str = Field(default="", max_length=500)


@router.get("/book")
def show_book(request: Request, response: Response, actor: Viewer) -> dict[str, Any]:
    """Return the active version with its texts; its tag guards what is published over it."""
    del actor
    with request.app.state.store.read() as session:
        active = find_active(session)
    if active is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "no rule book was published yet")
    found = view_in_force(active)
    response.headers["ETag"] = etag_of(found)
    return found


@router.get("/book/versions/{number}")
def show_book_version(request: Request, number: RowId, actor: Viewer) -> dict[str, Any]:
    """Return one version with its texts."""
    del actor
    with request.app.state.store.read() as session:
        try:
            return _view_whole(find_version(session, number))
        except ConfigurationError as error:
            raise HTTPException(status.HTTP_404_NOT_FOUND, str(error)) from None


@router.post("/book/check")
def check_book(request: Request, new: NewBook, actor: Author) -> dict[str, Any]:
    """Judge a book without publishing it: every mistake with its place, else what is doubtful."""
    del actor
    today = request.app.state.clock.now().date()
    try:
        edition = read_edition(Path(_MAIN), {**new.includes, _MAIN: new.text})
    except BookError as error:
        return {"is_good": False, "problems": _view_problems(error.problems), "warnings": []}
    warnings = _view_problems(advise(edition.book, today))
    return {"is_good": True, "problems": [], "warnings": warnings}


@router.post("/book/versions/{number}/activate")
def activate_book_version(
    request: Request, number: RowId, back: Return, actor: AuthorOfAll
) -> dict[str, Any]:
    """Put an earlier version in force again, as a new one."""
    now = request.app.state.clock.now()
    with request.app.state.store.write() as session:
        check_in_force(request, session)
        if session.get(BookVersion, number) is None:
            message = f"there is no version {number} of the rule book"
            raise HTTPException(status.HTTP_404_NOT_FOUND, message)
        done = roll_back(session, number, now, by=actor.name, note=back.note)
        return {**view_version(done.version), "is_new": done.is_new}


def _view_whole(version: BookVersion) -> dict[str, Any]:
    return {**view_version(version), "texts": dict(version.files)}


def _view_problems(problems: Sequence[Problem]) -> list[dict[str, Any]]:
    return [
        {"file": one.source, "line": one.line, "column": one.column, "message": one.message}
        for one in problems
    ]
