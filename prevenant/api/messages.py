"""Messages, each with its deliveries; without addresses."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query, Request, status
from pydantic import BaseModel, Field
from sqlmodel import Session, col, select

from notify.message import SUBSCRIBER, Delivery, Message
from prevenant.api.access import Role, Viewer, check_site
from prevenant.api.bodies import Moment
from prevenant.api.cases import view_message
from prevenant.api.paging import Paged, RowId
from prevenant.api.within import Sites, is_of_case_at
from workflows.tables import Case

router = APIRouter(prefix="/api/v1")

_UNDER_WAY = Literal["queued", "sending", "uncertain", "gathered"]
_STATES = _UNDER_WAY | Literal["sent", "delivered", "read", "undelivered", "failed", "suppressed"]


class Wanted(BaseModel):
    """Which messages are asked for; what is not named may be anything."""

    case: int | None = Field(default=None, ge=1, le=2**31 - 1)
    contact: str | None = None
    role: str | None = None
    """As what somebody was told: `customer`, `technician`, or a role of the rule book."""
    state: _STATES | None = None
    channel: str | None = None
    """By which it was tried."""
    since: Moment | None = None


@router.get("/messages")
def list_messages(
    request: Request, wanted: Annotated[Wanted, Query()], page: Paged, actor: Viewer
) -> list[dict[str, Any]]:
    """Return messages, the newest first, each with its deliveries; without addresses."""
    with request.app.state.store.read() as session:
        found = find_messages(session, wanted, page.fetched, page.number, actor.sites())
        return [view_message(session, one) for one in page.give(found, lambda one: one.id)]


@router.get("/messages/{message_id}")
def show_message(request: Request, message_id: RowId, actor: Viewer) -> Mapping[str, Any]:
    """Return one message with its deliveries; without addresses."""
    with request.app.state.store.read() as session:
        found = session.get(Message, message_id)
        case = session.get(Case, found.case_id) if found and found.case_id else None
        is_apart = found is not None and found.role == SUBSCRIBER
        if found is None or is_apart or (case is None and actor.sites() is not None):
            message = f"there is no message {message_id}"
            raise HTTPException(status.HTTP_404_NOT_FOUND, message)
        if case is not None:
            check_site(actor, Role.VIEWER, case.site_id)
        return view_message(session, found)


def find_messages(
    session: Session,
    wanted: Wanted,
    limit: int = 100,
    before: int | None = None,
    sites: Sites = None,
) -> list[Message]:
    """Return messages, the newest first, perhaps from behind one on."""
    query = select(Message).order_by(col(Message.id).desc()).limit(limit)
    # What subscribers are told is listed by subscription.
    query = query.where(Message.role != SUBSCRIBER)
    query = query.where(is_of_case_at(session, Message.case_id, sites))
    equal: tuple[tuple[Any, Any], ...] = (
        (Message.case_id, wanted.case),
        (Message.contact_id, wanted.contact),
        (Message.role, wanted.role),
        (Message.state, wanted.state),
    )
    for column, value in equal:
        if value is not None:
            query = query.where(column == value)
    if wanted.channel is not None:
        tried = select(Delivery.message_id).where(Delivery.channel == wanted.channel)
        query = query.where(col(Message.id).in_(tried))
    if wanted.since is not None:
        query = query.where(col(Message.created_at) >= wanted.since)
    if before is not None:
        query = query.where(col(Message.id) < before)
    return list(session.exec(query))
