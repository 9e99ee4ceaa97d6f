"""The pages of technicians: who is on duty and where, and one of them with jobs, skills and leave."""

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Form, HTTPException, Query, Request, Response, status
from sqlmodel import Session, col, select

from prevenant.api.access import Actor, OperatorOfAll, Role, Viewer
from prevenant.api.crm import take_leave
from prevenant.console.shell import act, show
from prevenant.crm.directory import TechnicianView, find_technicians
from prevenant.crm.duty import judge_duty
from prevenant.crm.shifts import show_shifts
from prevenant.crm.tables import Area, Site
from prevenant.errors import ConfigurationError
from workflows.loads import open_jobs
from workflows.tables import ACTIVE_JOBS, WorkOrder

router = APIRouter(include_in_schema=False)

_SHOWN_JOBS = 40


@router.get("/technicians")
def show_technicians(
    request: Request, actor: Viewer, q: Annotated[str, Query(max_length=100)] = "", duty: str = ""
) -> Response:
    """Show the technicians: first who has a job, then who is on duty."""
    now = request.app.state.clock.now()

    def collect(session: Session) -> dict[str, Any]:
        return _technicians(session, actor, now, q.strip(), only_on_duty=duty == "on")

    return show(request, "technicians.html", collect, actor)


@router.get("/technicians/{technician_id:path}")
def show_technician(request: Request, technician_id: str, actor: Viewer) -> Response:
    """Show one technician."""
    now = request.app.state.clock.now()
    return show(
        request,
        "technician.html",
        lambda session: _technician(session, actor, technician_id, now),
        actor,
    )


@router.post("/technician-leave/{technician_id:path}")
def add_leave(
    request: Request,
    technician_id: str,
    actor: OperatorOfAll,
    starts: Annotated[str, Form(max_length=30)] = "",
    ends: Annotated[str, Form(max_length=30)] = "",
    reason: Annotated[str, Form(max_length=100)] = "",
) -> Response:
    """Give a technician leave, in the technician's own time; their open jobs are given to others."""
    del actor
    now = request.app.state.clock.now()

    def change(session: Session) -> None:
        found = find_technicians(session, [technician_id])
        if not found:
            raise HTTPException(status.HTTP_404_NOT_FOUND, "there is nothing of that name")
        one = found[0]
        zone = ZoneInfo(one.timezone)
        begins = _moment(starts, zone) if starts else now
        take_leave(session, one.id, begins, _moment(ends, zone), reason.strip() or "leave", now)

    return act(request, change, f"/technicians/{technician_id}")


def _technicians(
    session: Session, actor: Actor, now: datetime, text: str, *, only_on_duty: bool
) -> dict[str, Any]:
    people = find_technicians(session)
    jobs = open_jobs(session)
    under_way = _under_way(session, actor)
    views = [_view(one, now, jobs.get(one.id, 0), under_way[one.id]) for one in people]
    wanted = text.casefold()
    shown = [
        one
        for one in views
        if (not only_on_duty or not one["off_duty"])
        and (not wanted or wanted in f"{one['name']} {one['skills']}".casefold())
    ]
    shown.sort(key=lambda one: (not one["jobs"], bool(one["off_duty"]), one["name"]))
    return {
        "technicians": shown,
        "text": text,
        "only_on_duty": only_on_duty,
        "counts": {
            "all": len(views),
            "on_duty": sum(not one["off_duty"] for one in views),
            "busy": sum(bool(one["jobs"]) for one in views),
            "free": sum(not one["off_duty"] and one["load"] < one["capacity"] for one in views),
        },
        "may_see_people": actor.may(Role.OPERATOR),
    }


def _technician(
    session: Session, actor: Actor, technician_id: str, now: datetime
) -> dict[str, Any] | None:
    found = find_technicians(session, [technician_id])
    if not found:
        return None
    one = found[0]
    orders = (
        select(WorkOrder)
        .where(WorkOrder.technician_id == technician_id)
        .order_by(col(WorkOrder.id).desc())
        .limit(_SHOWN_JOBS)
    )
    seen = actor.sites()
    jobs = [x for x in session.exec(orders) if seen is None or x.site_id in seen]
    names = select(Site.id, Site.name).where(col(Site.id).in_([x.site_id for x in jobs]))
    areas = select(Area.name).where(col(Area.id).in_(one.areas)).order_by(col(Area.name))
    load = open_jobs(session, [technician_id]).get(technician_id, 0)
    return {
        "one": _view(one, now, load, _under_way(session, actor)[technician_id]),
        "person": one.person,
        "shifts": show_shifts(one.shifts),
        "areas": list(session.exec(areas)),
        "parts": sorted(one.parts.items()),
        "leave": [x for x in sorted(one.leave) if x[1] > now],
        "excluded_by": sorted(one.excluded_by.items()) if seen is None else [],
        "orders": jobs,
        "site_names": dict(session.exec(names).all()),
        "may_act": actor.may_everywhere(Role.OPERATOR),
        "today": now.astimezone(ZoneInfo(one.timezone)),
        "tomorrow": (now + timedelta(days=1)).astimezone(ZoneInfo(one.timezone)),
        "active": ACTIVE_JOBS,
    }


def _view(one: TechnicianView, now: datetime, load: int, jobs: list[WorkOrder]) -> dict[str, Any]:
    away = next((x for x in one.leave if x[0] <= now < x[1]), None)
    off_duty = f"is on leave: {away[2]}" if away else ""
    return {
        "id": one.id,
        "name": one.person.name,
        "off_duty": off_duty or judge_duty(one.shifts, one.holidays, now, one.timezone),
        "back_at": away[1] if away else None,
        "skills": ", ".join(f"{name} {level}" for name, level in sorted(one.skills.items())),
        "seen_at": one.position_at,
        "load": load,
        "capacity": one.capacity,
        "jobs": jobs,
    }


def _under_way(session: Session, actor: Actor) -> dict[str, list[WorkOrder]]:
    """Return the jobs under way by technician, as far as the actor may see where they are."""
    found: dict[str, list[WorkOrder]] = defaultdict(list)
    query = select(WorkOrder).where(col(WorkOrder.state).in_(ACTIVE_JOBS))
    seen = actor.sites()
    if seen is not None:
        query = query.where(col(WorkOrder.site_id).in_(seen))
    for order in session.exec(query.order_by(col(WorkOrder.visit_start))):
        found[order.technician_id].append(order)
    return found


def _moment(text: str, zone: ZoneInfo) -> datetime:
    """Return the moment that a field of a form names. Raises ConfigurationError."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        message = "write until when, as 2026-05-18T08:00"
        raise ConfigurationError(message) from None
    return at if at.tzinfo else at.replace(tzinfo=zone)
