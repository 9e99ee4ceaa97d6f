"""The map: sites, what is the matter there, where the technicians are. It needs no picture below."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from sqlmodel import Session, col, func, select

from prevenant.api.access import Actor, Role, Viewer
from prevenant.console.shell import POLICY, show
from prevenant.crm.directory import find_technicians
from prevenant.crm.tables import Customer, Device, Site
from prevenant.domain import Severity
from prevenant.tables import ACTIVE, Alarm, TimelineEntry
from workflows.tables import ACTIVE_JOBS, CLOSED, Case, WorkOrder

router = APIRouter(include_in_schema=False)

_MOST_SITES, _MOST_ALARMS = 2_000, 300


@router.get("/map")
def show_map(request: Request, actor: Viewer) -> Response:
    """Show where everything is."""
    settings = request.app.state.settings
    around = {"tiles": settings.map_tiles, "credit": settings.map_credit}
    response = show(
        request, "map.html", lambda session: {**_places(session, actor), **around}, actor
    )
    if settings.map_tiles:
        # The pictures below come from another server: on this page alone they may.
        allowed = f"img-src 'self' data: {_origin_of(settings.map_tiles)}"
        policy = POLICY.replace("img-src 'self' data:", allowed)
        response.headers["Content-Security-Policy"] = policy
    return response


def _places(session: Session, actor: Actor) -> dict[str, Any]:
    sites = _sites(session, actor)
    here = {one["id"]: one for one in sites}
    newest = session.exec(select(func.max(col(TimelineEntry.id)))).one()
    may_see_people = actor.may(Role.OPERATOR)
    return {
        "sites": sorted(sites, key=lambda one: (-one["level"], one["name"])),
        "alarms": _alarms(session, here),
        "technicians": _technicians(session, here) if may_see_people else [],
        "may_see_people": may_see_people,
        "newest": newest or 0,
    }


def _sites(session: Session, actor: Actor) -> list[dict[str, Any]]:
    query = select(Site, Customer).join(Customer, col(Site.customer_id) == Customer.id)
    seen = actor.sites()
    if seen is not None:
        query = query.where(col(Site.id).in_(seen))
    worst = select(Alarm.site_id, func.max(Alarm.severity), func.count()).where(
        Alarm.state == ACTIVE, Alarm.held_by == ""
    )
    levels = {
        site: (level, count) for site, level, count in session.exec(worst.group_by(Alarm.site_id))
    }
    cases: dict[str, list[int]] = defaultdict(list)
    open_cases = select(Case.site_id, Case.id).where(Case.state != CLOSED)
    for site_id, case_id in session.exec(open_cases.order_by(col(Case.severity).desc())):
        cases[site_id].append(case_id or 0)
    found = []
    for site, customer in session.exec(query.order_by(col(Site.name)).limit(_MOST_SITES)):
        level, count = levels.get(site.id, (0, 0))
        found.append(
            {
                "id": site.id,
                "name": site.name,
                "address": site.address,
                "customer_id": customer.id,
                "customer": customer.name,
                "position": (site.latitude, site.longitude),
                "level": level,
                "severity": Severity(level).word if level else "",
                "alarms": count,
                "cases": cases[site.id],
            }
        )
    return found


def _alarms(session: Session, here: Iterable[str]) -> list[dict[str, Any]]:
    """Return what is the matter with devices that have a position of their own."""
    query = (
        select(Alarm, Device)
        .join(Device, col(Device.id) == Alarm.device_id)
        .where(Alarm.state == ACTIVE, Alarm.held_by == "", col(Device.latitude).is_not(None))
        .order_by(col(Alarm.severity).desc(), col(Alarm.id).desc())
        .limit(_MOST_ALARMS)
    )
    known = frozenset(here)
    return [
        {
            "device": device.id,
            "label": device.label,
            "rule": alarm.rule,
            "severity": Severity(alarm.severity).word,
            "position": (device.latitude, device.longitude),
        }
        for alarm, device in session.exec(query)
        if device.site_id in known and device.longitude is not None
    ]


def _technicians(session: Session, here: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    query = select(WorkOrder).where(col(WorkOrder.state).in_(ACTIVE_JOBS))
    jobs: dict[str, WorkOrder] = {}
    for order in session.exec(query.order_by(col(WorkOrder.visit_start).desc())):
        jobs[order.technician_id] = order
    found = []
    for one in find_technicians(session):
        job = jobs.get(one.id)
        goal = here.get(job.site_id) if job else None
        found.append(
            {
                "id": one.id,
                "name": one.person.name,
                "position": one.position,
                "seen_at": one.position_at,
                "job": job,
                "goal": goal["position"] if goal else None,
                "goal_name": goal["name"] if goal else "",
            }
        )
    return sorted(found, key=lambda one: (one["job"] is None, one["name"]))


def _origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
