"""How well the service is done, in figures: each with its definition, as a whole and by period."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query, Request, Response, status
from pydantic import BaseModel, Field

from prevenant.api.access import Actor, Viewer
from prevenant.api.bodies import Moment
from prevenant.api.story import main_zone
from prevenant.domain import Severity
from prevenant.errors import ConfigurationError
from prevenant.kpis import Asked, Every, as_csv, measure, view_measured
from prevenant.kpis.measuring import By, Measured

router = APIRouter(prefix="/api/v1")

_SEVERITIES = {one.word: one for one in Severity}


class Wanted(BaseModel):
    """Which figures are asked for, of what and of which time; what is not named may be anything."""

    since: Moment
    until: Moment | None = None
    """Now, where nothing is said."""
    kpi: list[str] = Field(default=[], max_length=50)
    every: Every | None = None
    by: By | None = None
    site: str | None = None
    customer: str | None = None
    rule: str | None = None
    severity: str | None = None
    language: Literal["en", "fr"] = "en"


@router.get("/kpis")
def show_kpis(
    request: Request, wanted: Annotated[Wanted, Query()], actor: Viewer
) -> list[dict[str, Any]]:
    """Return figures of a time, each with what it counts, what it leaves out, and its trend."""
    found, _ = _measure(request, wanted, actor)
    return [view_measured(one, wanted.language) for one in found]


@router.get("/kpis.csv", response_class=Response)
def export_kpis(request: Request, wanted: Annotated[Wanted, Query()], actor: Viewer) -> Response:
    """Return the same as CSV, with the definitions."""
    found, zone = _measure(request, wanted, actor)
    text = as_csv(found, zone, wanted.language)
    headers = {"Content-Disposition": 'attachment; filename="kpis.csv"'}
    return Response(text, media_type="text/csv; charset=utf-8", headers=headers)


def _measure(request: Request, wanted: Wanted, actor: Actor) -> tuple[list[Measured], Any]:
    severity = None
    if wanted.severity is not None:
        if wanted.severity not in _SEVERITIES:
            message = f"{wanted.severity!r} is no severity: write one of {', '.join(_SEVERITIES)}"
            raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, message)
        severity = _SEVERITIES[wanted.severity]
    with request.app.state.store.read() as session:
        zone = main_zone(session)
        asked = Asked(
            since=wanted.since,
            until=wanted.until or request.app.state.clock.now(),
            names=wanted.kpi,
            every=wanted.every,
            by=wanted.by,
            zone=zone,
            sites=actor.sites(),
            site=wanted.site,
            customer=wanted.customer,
            rule=wanted.rule,
            severity=severity,
        )
        try:
            return measure(session, asked), zone
        except ConfigurationError as error:
            raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, str(error)) from None
