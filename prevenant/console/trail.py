"""The page of the trail: who did what, on what, from where, and how it ended."""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from sqlmodel import Session

from prevenant.access.trail import OUTCOMES, Asked, find_acts, view_act
from prevenant.api.access import AdministratorOfAll
from prevenant.console.shell import show

router = APIRouter(include_in_schema=False)

_SHOWN = 100

Text = Annotated[str, Query(max_length=200)]


@router.get("/settings/trail")
def show_trail(
    request: Request,
    actor: AdministratorOfAll,
    who: Text = "",
    on: Text = "",
    outcome: Text = "",
    before: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
) -> Response:
    """Show what people and programs did, the newest first."""
    asked = Asked(
        actor=who.strip(), path=on.strip(), outcome=outcome, before=before, limit=_SHOWN + 1
    )
    return show(request, "trail.html", lambda session: _collect(session, asked), actor)


def _collect(session: Session, asked: Asked) -> dict[str, Any]:
    found = [view_act(one) for one in find_acts(session, asked)]
    acts = found[:_SHOWN]
    kept = {"who": asked.actor, "on": asked.path, "outcome": asked.outcome}
    return {
        "acts": acts,
        "asked": kept,
        "outcomes": OUTCOMES,
        "older": urlencode({**kept, "before": acts[-1]["id"]}) if len(found) > _SHOWN else "",
        "csv": urlencode({"actor": asked.actor, "path": asked.path, "outcome": asked.outcome}),
    }
