"""Technicians: what they can do, whether they are on duty, and what they are about; without addresses."""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime

from fastapi import APIRouter, HTTPException, Request, status
from pydantic import BaseModel
from sqlmodel import Session, col, select

from prevenant.api.access import Actor, Role, Viewer
from prevenant.api.paging import Paged
from prevenant.api.within import Sites, is_at
from prevenant.crm.directory import TechnicianView, find_technicians
from prevenant.crm.duty import judge_duty
from prevenant.crm.tables import Contact, Technician
from workflows.tables import ACTIVE_JOBS, WorkOrder

router = APIRouter(prefix="/api/v1")


class Position(BaseModel):
    """Where somebody was last seen."""

    latitude: float
    longitude: float
    at: datetime


class Job(BaseModel):
    """A job that is under way."""

    work_order: int
    case: int
    state: str
    site: str
    visit_start: datetime
    visit_end: datetime


class TechnicianShown(BaseModel):
    """A technician who works for us."""

    id: str
    name: str
    timezone: str
    skills: dict[str, int]
    """The level of each."""
    capacity: int
    """How many jobs at a time."""
    areas: list[str]
    parts: dict[str, int]
    is_on_duty: bool
    why_not: str
    """Why not on duty, in words."""
    position: Position | None
    """Where last seen; told only to operators of every site."""
    jobs: list[Job]
    """What is under way at the sites that one may see."""


@router.get("/technicians")
def list_technicians(
    request: Request, page: Paged, actor: Viewer, skill: str | None = None
) -> list[TechnicianShown]:
    """Return who works for us, by id, perhaps only those with a skill."""
    now = request.app.state.clock.now()
    with request.app.state.store.read() as session:
        ids = _ids(session, skill)
        begun = ids if page.text is None else [one for one in ids if one > page.text]
        found = page.give(begun, lambda one: one)
        return _show(session, actor, found, now)


@router.get("/technicians/{technician_id}")
def show_technician(request: Request, technician_id: str, actor: Viewer) -> TechnicianShown:
    """Return one who works for us."""
    now = request.app.state.clock.now()
    with request.app.state.store.read() as session:
        found = _show(session, actor, [technician_id], now)
    if not found:
        message = f"there is no technician {technician_id!r} who works for us"
        raise HTTPException(status.HTTP_404_NOT_FOUND, message)
    return found[0]


def _ids(session: Session, skill: str | None) -> list[str]:
    """Return the ids of those who work for us, in order."""
    query = (
        select(Technician.id, Technician.skills)
        .where(Technician.contact_id == Contact.id)
        .where(col(Technician.is_active), col(Contact.is_active))
        .order_by(col(Technician.id))
    )
    return [one for one, skills in session.exec(query) if skill is None or skill in skills]


def _show(
    session: Session, actor: Actor, ids: Collection[str], now: datetime
) -> list[TechnicianShown]:
    jobs = _jobs(session, ids, actor.sites())
    sees_positions = actor.sites(Role.OPERATOR) is None
    found = find_technicians(session, list(ids))
    return [_view(one, jobs[one.id], now, sees_positions=sees_positions) for one in found]


def _view(
    one: TechnicianView, jobs: list[Job], now: datetime, *, sees_positions: bool
) -> TechnicianShown:
    why_not = judge_duty(one.shifts, one.holidays, now, one.timezone)
    for starts_at, ends_at, reason in one.leave:
        if starts_at <= now < ends_at:
            why_not = f"is away ({reason})" if reason else "is away"
    position = None
    if sees_positions and one.position_at is not None:
        position = Position(latitude=one.position[0], longitude=one.position[1], at=one.position_at)
    return TechnicianShown(
        id=one.id,
        name=one.person.name,
        timezone=one.timezone,
        skills=one.skills,
        capacity=one.capacity,
        areas=sorted(one.areas),
        parts=dict(one.parts),
        is_on_duty=not why_not,
        why_not=why_not,
        position=position,
        jobs=jobs,
    )


def _jobs(session: Session, ids: Collection[str], sites: Sites) -> dict[str, list[Job]]:
    query = (
        select(WorkOrder)
        .where(col(WorkOrder.state).in_(ACTIVE_JOBS), col(WorkOrder.technician_id).in_(ids))
        .where(is_at(session, WorkOrder.site_id, sites))
        .order_by(col(WorkOrder.visit_start))
    )
    jobs: dict[str, list[Job]] = defaultdict(list)
    for one in session.exec(query):
        jobs[one.technician_id].append(
            Job(
                work_order=one.id or 0,
                case=one.case_id,
                state=one.state,
                site=one.site_id,
                visit_start=one.visit_start,
                visit_end=one.visit_end,
            )
        )
    return jobs
