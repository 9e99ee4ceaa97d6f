"""What the API, the console and the commands tell of cases, and what people do with them at their desk."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query, Request, Response, status
from pydantic import BaseModel, Field
from sqlmodel import Session, col, select

from notify.links import hide_all
from notify.message import Delivery, Message
from notify.replies import Reply
from prevenant.api.access import Actor, Operator, Role, Viewer, check_site
from prevenant.api.bodies import Body, Moment
from prevenant.api.etags import check_unchanged, etag_of
from prevenant.api.paging import Paged, RowId
from prevenant.api.story import main_zone, view_entry
from prevenant.api.within import Sites, is_at
from prevenant.clock import from_epoch
from prevenant.crm.ages import find_age
from prevenant.crm.directory import find_place
from prevenant.domain import Severity
from prevenant.errors import ConfigurationError
from prevenant.tables import Alarm, TimelineEntry
from workflows import deskwork
from workflows.family import children_of
from workflows.members import find_members
from workflows.tables import Candidate, Case, CaseAlarm, Offer, WorkOrder

router = APIRouter(prefix="/api/v1")

CaseState = Literal["open", "handed_over", "closed"]

_SHOWN_CHILDREN = 200
_UNSEEN = {"address", "message_id", "severity", "subscription_id", "in_turn"}
"""What of a delivery is not told: where it goes, and what means nothing to anybody."""


class Done(Body):
    """For whom a program does it, and what there is to say."""

    by: str = Field(default="", max_length=100)
    note: str = ""


class Found(Body):
    """For whom a program says so, what the cause was, and whether what was predicted was found."""

    by: str = Field(default="", max_length=100)
    cause: str = Field(default="", max_length=200)
    code: Literal["", "confirmed", "no_fault_found", "other_cause"] = ""


class Wanted(BaseModel):
    """Which cases are asked for; what is not named may be anything."""

    state: CaseState | None = None
    site: str | None = None
    severity: str | None = None
    """At least so severe."""
    owner: str | None = None
    rule: str | None = None
    since: Moment | None = None
    parent: int | None = Field(default=None, ge=1, le=2**31 - 1)


@router.get("/cases")
def list_cases(
    request: Request, wanted: Annotated[Wanted, Query()], page: Paged, actor: Viewer
) -> list[dict[str, Any]]:
    """Return cases, the newest first, perhaps only some."""
    with request.app.state.store.read() as session:
        try:
            found = find_cases(session, wanted, page.fetched, page.number, actor.sites())
        except ConfigurationError as error:
            raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, str(error)) from None
    return [view_row(one) for one in page.give(found, lambda one: one.id)]


@router.get("/cases/{case_id}")
def show_case(
    request: Request, response: Response, case_id: RowId, actor: Viewer
) -> dict[str, Any]:
    """Return a case with everything that was decided and said about it."""
    with request.app.state.store.read() as session:
        found = view_case(session, case_id)
    if found is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"there is no case {case_id}")
    check_site(actor, Role.VIEWER, found["case"]["site_id"])
    response.headers["ETag"] = etag_of(found)
    return found


@router.post("/cases/{case_id}/acknowledge", status_code=status.HTTP_202_ACCEPTED)
def acknowledge_case(
    request: Request, case_id: RowId, done: Done, actor: Operator
) -> dict[str, Any]:
    """Say that somebody has seen a case and looks after it."""
    return _post(request, deskwork.ACKNOWLEDGED, case_id, done, actor)


@router.post("/cases/{case_id}/take", status_code=status.HTTP_202_ACCEPTED)
def take_case(request: Request, case_id: RowId, done: Done, actor: Operator) -> dict[str, Any]:
    """Take a case over: its workflow ends, and open offers are taken back."""
    return _post(request, deskwork.TAKEN, case_id, done, actor)


@router.post("/cases/{case_id}/done", status_code=status.HTTP_202_ACCEPTED)
def finish_job(request: Request, case_id: RowId, done: Found, actor: Operator) -> dict[str, Any]:
    """Say that the technician has done the job, and what was found: models learn from the code."""
    said = Done(by=done.by, note=done.cause)
    return _post(request, deskwork.DONE, case_id, said, actor, done.code)


@router.post("/cases/{case_id}/resolve", status_code=status.HTTP_202_ACCEPTED)
def resolve_case(request: Request, case_id: RowId, done: Done, actor: Operator) -> dict[str, Any]:
    """Close a case: what is under way is called off."""
    return _post(request, deskwork.RESOLVED, case_id, done, actor)


def find_cases(
    session: Session,
    wanted: Wanted,
    limit: int = 100,
    before: int | None = None,
    sites: Sites = None,
) -> list[Case]:
    """Return cases, the newest first, perhaps from behind one on.

    Raises ConfigurationError where a severity is none.
    """
    query = select(Case).order_by(col(Case.id).desc()).limit(limit)
    query = query.where(is_at(session, Case.site_id, sites))
    if before is not None:
        query = query.where(col(Case.id) < before)
    equal = (
        (Case.state, wanted.state),
        (Case.owner, wanted.owner),
        (Case.parent_id, wanted.parent),
        (Case.site_id, wanted.site),
    )
    for column, value in equal:
        if value is not None:
            query = query.where(col(column) == value)
    if wanted.rule is not None:
        ids = select(CaseAlarm.case_id).where(CaseAlarm.rule == wanted.rule)
        query = query.where(col(Case.id).in_(ids))
    if wanted.severity is not None:
        words = {one.word: one for one in Severity}
        if wanted.severity not in words:
            message = f"{wanted.severity!r} is no severity: write one of {', '.join(words)}"
            raise ConfigurationError(message)
        query = query.where(Case.severity >= words[wanted.severity])
    if wanted.since is not None:
        query = query.where(Case.opened_at >= wanted.since)
    return list(session.exec(query))


def view_row(case: Case) -> dict[str, Any]:
    """Return a case as plain values, without where its tracks stand."""
    return case.model_dump(exclude={"progress"})


def view_case(session: Session, case_id: int) -> dict[str, Any] | None:
    """Return everything about a case as plain values, or None."""
    case = session.get(Case, case_id)
    if case is None:
        return None
    zone = main_zone(session)
    members = find_members(session, case_id)

    def rows(table: Any) -> list[Any]:
        return list(session.exec(select(table).where(table.case_id == case_id).order_by(table.id)))

    alarms = [one.alarm_id for one in members] or [case.alarm_id]
    of_alarms = col(TimelineEntry.case_id).is_(None) & col(TimelineEntry.alarm_id).in_(alarms)
    query = select(TimelineEntry).where((col(TimelineEntry.case_id) == case_id) | of_alarms)
    entries = session.exec(query.order_by(col(TimelineEntry.id)))
    children = children_of(session, case) if case.storm_of else []
    return {
        "case": view_row(case),
        "alarm": session.get_one(Alarm, case.alarm_id).model_dump(),
        "alarms": [_view_member(session, case, one) for one in members],
        "children": [view_row(one) for one in children[:_SHOWN_CHILDREN]],
        "timeline": [view_entry(entry, zone) for entry in entries],
        "candidates": [row.model_dump() for row in rows(Candidate)],
        "offers": [row.model_dump(exclude={"contact_id"}) for row in rows(Offer)],
        "work_orders": [row.model_dump(exclude={"contact_id"}) for row in rows(WorkOrder)],
        "messages": [view_message(session, row) for row in rows(Message)],
        "callbacks": [_view_callback(one) for one in case.progress.get("callbacks", ())],
        "crm_as_of": find_age(session),
        "replies": [row.model_dump(exclude={"address", "provider_id"}) for row in rows(Reply)],
    }


def view_message(session: Session, message: Message, *, with_links: bool = False) -> dict[str, Any]:
    """Return a message and its deliveries as plain values, without addresses.

    Its links can be followed only where they are asked for, by somebody who may act for a customer.
    """
    query = select(Delivery).where(Delivery.message_id == message.id).order_by(col(Delivery.id))
    deliveries = [one.model_dump(exclude=_UNSEEN) for one in session.exec(query)]
    texts = message.texts if with_links else hide_all(message.texts)
    return {**message.model_dump(exclude={"addresses"}), "texts": texts, "deliveries": deliveries}


def _view_callback(callback: Mapping[str, Any]) -> dict[str, Any]:
    """Return who waits to be called back and why, or who has taken it."""
    shown = {key: callback[key] for key in ("name", "wish", "said", "asked", "taken_by")}
    return {**shown, "since": from_epoch(callback["since"])}


def _view_member(session: Session, case: Case, member: CaseAlarm) -> dict[str, Any]:
    alarm = session.get_one(Alarm, member.alarm_id)
    place = find_place(session, case.device_type, case.site_id, member.device_id)
    return {
        **member.model_dump(exclude={"case_id"}),
        "label": place.label,
        "severity": Severity(member.severity).word,
        "reason": alarm.reason,
        "values": alarm.values,
    }


def _post(
    request: Request, kind: str, case_id: int, done: Done, actor: Actor, code: str = ""
) -> dict[str, Any]:
    now: datetime = request.app.state.clock.now()
    by = actor.signs(done.by)
    with request.app.state.store.write() as session:
        case = session.get(Case, case_id)
        if case is None:
            raise HTTPException(status.HTTP_404_NOT_FOUND, f"there is no case {case_id}")
        check_site(actor, Role.OPERATOR, case.site_id)
        check_unchanged(request, lambda: view_case(session, case_id))
        try:
            return view_row(deskwork.post(session, kind, case_id, now, by, done.note, code))
        except ConfigurationError as error:
            raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, str(error)) from None
