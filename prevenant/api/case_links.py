"""A case's links for people without a login, and the pictures that technicians took there.

A link that was given out is known to its receiver alone: here stands who has which, and for how long.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Path, Request, Response, status
from pydantic import Field
from sqlmodel import Session, col, select

from notify.links import JOB, VISIT, Link, LinkFor, end_links, issue_link, link_url
from notify.message import Message
from prevenant.api.access import Operator, Role, Viewer, check_site
from prevenant.api.bodies import Body
from prevenant.api.paging import RowId
from prevenant.crm.directory import find_person, find_place, find_present
from prevenant.errors import ConfigurationError
from prevenant.tables import add_timeline
from workflows.links import CUSTOMER_ROLES, LIVES
from workflows.photos import find_photo, list_photos
from workflows.tables import Case, Offer, WorkOrder

router = APIRouter(prefix="/api/v1")

PURPOSES = (VISIT, JOB)


class Wanted(Body):
    """For whom a link is to be: a customer's `visit`, or a technician's `job`."""

    purpose: Literal["visit", "job"]
    contact: str = Field(max_length=200)


@router.get("/cases/{case_id}/links")
def list_links(request: Request, case_id: RowId, actor: Operator) -> list[dict[str, Any]]:
    """Return who was given a link to the page of a case, until when, and how often it was used."""
    now: datetime = request.app.state.clock.now()
    with request.app.state.store.read() as session:
        _check(session, actor, Role.OPERATOR, case_id)
        return view_links(session, case_id, now)


@router.post("/cases/{case_id}/links", status_code=status.HTTP_201_CREATED)
def give_link(
    request: Request, response: Response, case_id: RowId, wanted: Wanted, actor: Operator
) -> dict[str, Any]:
    """Make a link for somebody whom the case has told something, to be given by another way."""
    response.headers["Cache-Control"] = "no-store"
    state = request.app.state
    now: datetime = state.clock.now()
    with state.store.write() as session:
        _check(session, actor, Role.OPERATOR, case_id)
        try:
            token = make_link(session, case_id, wanted.purpose, wanted.contact, actor.name, now)
        except ConfigurationError as error:
            raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, str(error)) from None
    url = link_url(state.settings.public_url, token, wanted.purpose)
    return {"url": url, "expires_at": now + LIVES[wanted.purpose]}


@router.delete("/cases/{case_id}/links", status_code=status.HTTP_204_NO_CONTENT)
def revoke_links(request: Request, case_id: RowId, actor: Operator) -> None:
    """Let every link to the page of a case lead nowhere from now on."""
    now: datetime = request.app.state.clock.now()
    with request.app.state.store.write() as session:
        _check(session, actor, Role.OPERATOR, case_id)
        revoke_links_of(session, case_id, actor.name, now)


@router.get("/cases/{case_id}/photos")
def list_case_photos(request: Request, case_id: RowId, actor: Viewer) -> list[dict[str, Any]]:
    """Return the pictures of a case: their numbers, in the order in which they were taken."""
    with request.app.state.store.read() as session:
        _check(session, actor, Role.VIEWER, case_id)
        return [{"id": one} for one in list_photos(session, case_id)]


@router.get("/cases/{case_id}/photos/{photo_id}", response_class=Response)
def show_photo(
    request: Request,
    case_id: RowId,
    photo_id: Annotated[int, Path(ge=1, le=2**31 - 1)],
    actor: Viewer,
) -> Response:
    """Return a picture, as JPEG."""
    with request.app.state.store.read() as session:
        _check(session, actor, Role.VIEWER, case_id)
        picture = find_photo(session, case_id, photo_id)
    if picture is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"case {case_id} has no such picture")
    return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "private"})


def view_links(session: Session, case_id: int, now: datetime) -> list[dict[str, Any]]:
    """Return the links of a case as plain values, the latest first, without what opens them."""
    query = select(Link).where(Link.case_id == case_id, col(Link.purpose).in_(PURPOSES))
    found = []
    for link in session.exec(query.order_by(col(Link.created_at).desc(), Link.digest)):
        person = find_person(session, link.contact_id)
        found.append(
            {
                "purpose": link.purpose,
                "name": person.name if person else "",
                "created_at": link.created_at,
                "expires_at": link.expires_at,
                "is_open": now < link.expires_at,
                "uses": link.uses,
                "used_at": link.used_at,
            }
        )
    return found


def make_link(
    session: Session, case_id: int, purpose: str, contact_id: str, by: str, now: datetime
) -> str:
    """Make a link; return its token. Raises ConfigurationError for whom the case is no business of."""
    person = find_present(session, contact_id)
    if person is None or not _is_concerned(session, case_id, purpose, contact_id):
        who = "the technician of an offer or a job" if purpose == JOB else "the customer's contact"
        message = f"{contact_id!r} is not concerned by case {case_id}: name {who}"
        raise ConfigurationError(message)
    token = issue_link(session, LinkFor(purpose, contact_id, LIVES[purpose], case_id), now)
    add_timeline(session, now, "link.given", f"{by} gives {person.name} a link", case_id=case_id)
    return token


def revoke_links_of(session: Session, case_id: int, by: str, now: datetime) -> None:
    """Let a case's links lead nowhere, and say so in its story."""
    for purpose in PURPOSES:
        end_links(session, purpose, case_id, now)
    add_timeline(session, now, "link.revoked", f"{by} revokes the links", case_id=case_id)


def _is_concerned(session: Session, case_id: int, purpose: str, contact_id: str) -> bool:
    if purpose == JOB:
        return any(
            session.exec(
                select(table.id).where(table.case_id == case_id, table.contact_id == contact_id)
            ).first()
            for table in (Offer, WorkOrder)
        )
    case = session.get_one(Case, case_id)
    customer = find_place(session, case.device_type, case.site_id, case.device_id).customer
    told = select(Message.id).where(
        Message.case_id == case_id,
        Message.contact_id == contact_id,
        col(Message.role).in_(CUSTOMER_ROLES),
    )
    is_customer = customer is not None and customer.contact_id == contact_id
    return is_customer or session.exec(told).first() is not None


def _check(session: Session, actor: Any, role: Role, case_id: int) -> None:
    case = session.get(Case, case_id)
    if case is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"there is no case {case_id}")
    check_site(actor, role, case.site_id)
