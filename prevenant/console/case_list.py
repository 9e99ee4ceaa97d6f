"""The list of cases, open and past, with filters."""

from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field
from sqlmodel import Session, col, func, or_, select

from prevenant.api.access import Actor, Role, Viewer
from prevenant.console.shell import show
from prevenant.console.worklist import NOBODY, Sites, find_sites
from prevenant.crm.tables import Device, Site
from prevenant.domain import Severity
from workflows.tables import CLOSED, HANDED_OVER, OPEN, Case, CaseAlarm

router = APIRouter(include_in_schema=False)

_PAGE = 50


class Wanted(BaseModel):
    """Which cases are asked for; what is empty may be anything."""

    state: Literal["", "open", "handed_over", "closed"] = ""
    severity: Literal["", "info", "minor", "major", "critical", "life_safety"] = ""
    """At least so severe."""
    owner: str = ""
    """A name; `nobody`: cases that nobody has."""
    site: str = ""
    rule: str = ""
    q: str = Field(default="", max_length=100)
    """A number, or a part of a device's name."""
    parent: int = 0
    """The storm that they are part of."""
    before: int = 0
    """The number of the last one of the page before."""

    def words(self, **changes: str | int) -> str:
        """Return the address of the same list with some of it changed; a change begins at its top."""
        values = {**self.model_dump(), "before": 0, **changes}
        return urlencode({key: value for key, value in values.items() if value})


@router.get("/cases")
def show_cases(request: Request, actor: Viewer, wanted: Annotated[Wanted, Depends()]) -> Response:
    """Show cases, the newest first."""
    return show(request, "cases.html", lambda session: _cases(session, wanted, actor), actor)


def _cases(session: Session, wanted: Wanted, actor: Actor) -> dict[str, Any]:
    sites = actor.sites(Role.VIEWER)
    query = _narrow(
        select(Case, Device.label, Site.name)
        .outerjoin(Device, col(Device.id) == Case.device_id)
        .outerjoin(Site, col(Site.id) == Case.site_id),
        wanted,
        sites,
    )
    if wanted.before:
        query = query.where(col(Case.id) < wanted.before)
    if wanted.state:
        query = query.where(Case.state == wanted.state)
    rows = session.exec(query.order_by(col(Case.id).desc()).limit(_PAGE + 1)).all()
    shown = [_view(*row) for row in rows[:_PAGE]]
    counts = dict(
        session.exec(
            _narrow(select(Case.state, func.count()), wanted, sites).group_by(Case.state)
        ).all()
    )
    return {
        "cases": shown,
        "wanted": wanted,
        "counts": {"": sum(counts.values()), **{one: counts.get(one, 0) for one in _STATES}},
        "sites": find_sites(session, sites),
        "rules": sorted(session.exec(select(Case.rule).distinct()).all()),
        "next": shown[-1]["id"] if len(rows) > _PAGE else 0,
    }


_STATES = (OPEN, HANDED_OVER, CLOSED)


def _narrow(query: Any, wanted: Wanted, sites: Sites) -> Any:
    """Leave out what is not asked for, whatever its state, and what the actor may not see."""
    if sites is not None:
        query = query.where(col(Case.site_id).in_(sites))
    if wanted.severity:
        query = query.where(Case.severity >= Severity[wanted.severity.upper()])
    if wanted.owner:
        query = query.where(Case.owner == ("" if wanted.owner == NOBODY else wanted.owner))
    if wanted.site:
        query = query.where(Case.site_id == wanted.site)
    if wanted.parent:
        query = query.where(Case.parent_id == wanted.parent)
    if wanted.rule:
        # A case may be about alarms of several rules.
        its = select(CaseAlarm.case_id).where(CaseAlarm.rule == wanted.rule)
        query = query.where(or_(Case.rule == wanted.rule, col(Case.id).in_(its)))
    if wanted.q.strip():
        query = query.where(_is_called(wanted.q.strip()))
    return query


def _is_called(text: str) -> Any:
    if text.lstrip("#").isdecimal():
        return Case.id == int(text.lstrip("#")[:15])
    named = select(Device.id).where(col(Device.label).icontains(text, autoescape=True))
    return or_(col(Case.device_id).icontains(text, autoescape=True), col(Case.device_id).in_(named))


def _view(case: Case, label: str | None, site: str | None) -> dict[str, Any]:
    return {
        "id": case.id,
        "severity": Severity(case.severity).word,
        "label": label or case.device_id.rpartition("/")[2],
        "site": site or case.site_id,
        "rule": case.rule,
        "storm_of": case.storm_of,
        "state": case.state,
        "outcome": case.outcome,
        "owner": case.owner,
        "opened_at": case.opened_at,
        "lasted": case.closed_at - case.opened_at if case.closed_at else None,
    }
