"""The rule book over the API: publish one, and see which ones were published."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException, Request, status
from pydantic import Field

from prevenant.api.access import AuthorOfAll, Viewer
from prevenant.api.bodies import Body
from prevenant.api.book_seen import check_in_force
from prevenant.api.paging import Paged
from prevenant.errors import BookError
from prevenant.publishing import list_versions, publish_edition, read_edition, view_version

router = APIRouter(prefix="/api/v1")

_MAIN = "rules.yaml"
_ORIGIN = "API"


class NewBook(Body):
    """A rule book to publish."""

    text: str
    includes: dict[str, str] = Field(default={})
    """The texts of the files that it includes, by the names under which it does."""
    note: str = ""
    by: str = Field(default="", max_length=100)
    """For whom a program publishes it."""


@router.post("/book")
def publish_book(request: Request, new: NewBook, actor: AuthorOfAll) -> dict[str, Any]:
    """Judge a book and put it in force; where it is bad, every problem comes back, and nothing changes."""
    try:
        edition = read_edition(Path(_MAIN), {**new.includes, _MAIN: new.text})
    except BookError as error:
        problems = [
            {"file": one.source, "line": one.line, "column": one.column, "message": one.message}
            for one in error.problems
        ]
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, problems) from None
    now = request.app.state.clock.now()
    with request.app.state.store.write() as session:
        check_in_force(request, session)
        by = actor.signs(new.by)
        done = publish_edition(session, edition, now, by=by, origin=_ORIGIN, note=new.note)
        return {**view_version(done.version), "is_new": done.is_new}


@router.get("/book/versions")
def list_books(request: Request, page: Paged, actor: Viewer) -> list[dict[str, Any]]:
    """Return what was published, the newest first, without its texts."""
    del actor
    with request.app.state.store.read() as session:
        found = list_versions(session, page.fetched, page.number)
    return [view_version(one) for one in page.give(found, lambda one: one.id)]
