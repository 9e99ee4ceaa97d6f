"""The rule book over the API: publish one, and see which ones were published."""

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request, status
from pydantic import BaseModel

from prevenant.api.access import require_token
from prevenant.errors import BookError
from prevenant.publishing import list_versions, publish_edition, read_edition, view_version

router = APIRouter(prefix="/api/v1", dependencies=[Depends(require_token)])

_MAIN = "rules.yaml"
_BY, _ORIGIN = "admin", "API"


class NewBook(BaseModel):
    """A rule book to publish."""

    text: str
    includes: dict[str, str] = {}
    """The texts of the files that it includes, by the names under which it does."""
    note: str = ""


@router.post("/book")
def publish_book(request: Request, new: NewBook) -> dict[str, Any]:
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
        done = publish_edition(session, edition, now, by=_BY, origin=_ORIGIN, note=new.note)
        return {**view_version(done.version), "is_new": done.is_new}


@router.get("/book/versions")
def list_books(
    request: Request, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> list[dict[str, Any]]:
    """Return what was published, the newest first, without its texts."""
    with request.app.state.store.read() as session:
        return [view_version(one) for one in list_versions(session, limit)]
