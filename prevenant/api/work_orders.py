"""Technicians' jobs: whose they are, how far they have come, and when the visit is."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query, Request, status
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session, col, select

from prevenant.api.access import Role, Viewer, check_site
from prevenant.api.bodies import Moment
from prevenant.api.paging import Paged, RowId
from prevenant.api.within import Sites, is_at
from workflows.tables import ACTIVE_JOBS, Case, WorkOrder

router = APIRouter(prefix="/api/v1")

_STATES = Literal["accepted", "en_route", "arrived", "done", "cancelled"]


class Wanted(BaseModel):
    """Which jobs are asked for; what is not named may be anything."""

    state: _STATES | None = None
    is_under_way: bool | None = None
    """Accepted and neither done nor cancelled."""
    case: int | None = Field(default=None, ge=1, le=2**31 - 1)
    technician: str | None = None
    customer: str | None = None
    site: str | None = None
    since: Moment | None = None
    """Whose visit ends at this time or later."""
    until: Moment | None = None
    """Whose visit begins before this time."""


class WorkOrderView(BaseModel):
    """A technician's job on a case."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    case_id: int
    step: str
    technician_id: str
    technician_name: str
    device_id: str
    site_id: str
    customer_id: str
    state: _STATES
    visit_start: datetime
    visit_end: datetime
    cause: str
    code: str
    """What of the prediction was found: `confirmed`, `no_fault_found`, `other_cause`; empty: not said."""
    accepted_at: datetime
    updated_at: datetime


@router.get("/work-orders")
def list_work_orders(
    request: Request, wanted: Annotated[Wanted, Query()], page: Paged, actor: Viewer
) -> list[WorkOrderView]:
    """Return jobs, the newest first, perhaps only some."""
    with request.app.state.store.read() as session:
        found = find_work_orders(session, wanted, page.fetched, page.number, actor.sites())
    return [WorkOrderView.model_validate(one) for one in page.give(found, lambda one: one.id)]


@router.get("/work-orders/{work_order_id}")
def show_work_order(request: Request, work_order_id: RowId, actor: Viewer) -> WorkOrderView:
    """Return one job."""
    with request.app.state.store.read() as session:
        found = session.get(WorkOrder, work_order_id)
        case = session.get(Case, found.case_id) if found else None
    if found is None or case is None:
        message = f"there is no work order {work_order_id}"
        raise HTTPException(status.HTTP_404_NOT_FOUND, message)
    check_site(actor, Role.VIEWER, found.site_id or case.site_id)
    return WorkOrderView.model_validate(found)


def find_work_orders(
    session: Session,
    wanted: Wanted,
    limit: int = 100,
    before: int | None = None,
    sites: Sites = None,
) -> list[WorkOrder]:
    """Return jobs, the newest first, perhaps from behind one on."""
    query = select(WorkOrder).order_by(col(WorkOrder.id).desc()).limit(limit)
    query = query.where(is_at(session, WorkOrder.site_id, sites))
    equal: tuple[tuple[Any, Any], ...] = (
        (WorkOrder.state, wanted.state),
        (WorkOrder.case_id, wanted.case),
        (WorkOrder.technician_id, wanted.technician),
        (WorkOrder.customer_id, wanted.customer),
        (WorkOrder.site_id, wanted.site),
    )
    for column, value in equal:
        if value is not None:
            query = query.where(column == value)
    if wanted.is_under_way is not None:
        is_under_way = col(WorkOrder.state).in_(ACTIVE_JOBS)
        query = query.where(is_under_way if wanted.is_under_way else ~is_under_way)
    if wanted.since is not None:
        query = query.where(col(WorkOrder.visit_end) >= wanted.since)
    if wanted.until is not None:
        query = query.where(col(WorkOrder.visit_start) < wanted.until)
    if before is not None:
        query = query.where(col(WorkOrder.id) < before)
    return list(session.exec(query))
