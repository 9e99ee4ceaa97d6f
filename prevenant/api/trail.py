"""What the API, the console and the commands tell of the trail of what people did."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from prevenant.access.tables import Act
from prevenant.access.trail import Asked, find_acts, view_act
from prevenant.api.access import AdministratorOfAll
from prevenant.api.acts import call_act
from prevenant.api.bodies import Moment
from prevenant.api.paging import Paged
from prevenant.store import Store

router = APIRouter(prefix="/api/v1")

COLUMNS = (
    "id",
    "at",
    "actor",
    "key",
    "method",
    "route",
    "path",
    "outcome",
    "status",
    "origin",
    "detail",
)
_AT_ONCE = 1000
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


class Wanted(BaseModel):
    """Which acts are asked for; what is not named may be anything."""

    actor: str = ""
    route: str = ""
    """How it begins: `/api/v1/cases`."""
    path: str = ""
    """How it begins: `/api/v1/cases/7/`."""
    outcome: str = ""
    """`done`, `refused`, `failed`, or `begun` where it is not known."""
    since: Moment | None = None
    until: Moment | None = None
    before: int | None = Field(default=None, ge=1, le=2**63 - 1)
    """Only those with a smaller number."""

    def asked(self, limit: int = _AT_ONCE) -> Asked:
        """Return the same as the trail takes it."""
        return Asked(**self.model_dump(), limit=limit)


@router.get("/trail")
def show_trail(
    request: Request, wanted: Annotated[Wanted, Query()], page: Paged, actor: AdministratorOfAll
) -> list[dict[str, Any]]:
    """Return who did what, on what, from where and how it ended, the newest first."""
    del actor
    asked = wanted.asked(page.fetched)
    asked = replace(asked, before=page.number or asked.before)
    with request.app.state.store.read() as session:
        found = page.give(find_acts(session, asked), lambda one: one.id)
    return [view_act(one) for one in found]


@router.get("/trail/csv")
def export_trail(
    request: Request, wanted: Annotated[Wanted, Query()], actor: AdministratorOfAll
) -> StreamingResponse:
    """Return all of that as CSV, the newest first; that somebody took it stands in the trail too."""
    del actor
    call_act(request)
    lines = write_csv(read_on(request.app.state.store, wanted.asked()))
    headers = {"Content-Disposition": 'attachment; filename="trail.csv"'}
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)


def read_on(store: Store, asked: Asked) -> Iterator[Act]:
    """Yield every act that is asked for, some at a time, so that the store is held for none of it long."""
    before = asked.before
    while True:
        part = replace(asked, before=before, limit=_AT_ONCE)
        with store.read() as session:
            found = find_acts(session, part)
        yield from found
        if len(found) < _AT_ONCE:
            return
        before = found[-1].id


def write_csv(acts: Iterable[Act]) -> Iterator[str]:
    """Yield lines of CSV, in which no cell can be a formula."""
    yield _line(COLUMNS)
    for one in acts:
        yield _line([_cell(getattr(one, name)) for name in COLUMNS])


def _cell(value: Any) -> str:
    text = value.isoformat() if hasattr(value, "isoformat") else str(value)
    if isinstance(value, dict):
        text = json.dumps(value, ensure_ascii=False)
    return f"'{text}" if text.startswith(_FORMULAS) else text


def _line(cells: Iterable[str]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerow(cells)
    return written.getvalue()
