"""What the API tells of dead letters, and giving them again."""

from typing import Any

from fastapi import APIRouter, HTTPException, Request, status
from pydantic import Field
from sqlmodel import Session

from notify.dead_letters import list_dead_letters, resend, view_dead_letter
from notify.message import Delivery, Message
from prevenant.api.access import Actor, Operator, Role, check_site
from prevenant.api.bodies import Body
from prevenant.api.paging import Paged, RowId
from prevenant.api.within import is_of_case_at
from prevenant.errors import ConfigurationError
from workflows.tables import Case

router = APIRouter(prefix="/api/v1")


class Resent(Body):
    """For whom a program gives something again."""

    by: str = Field(default="", max_length=100)


@router.get("/dead-letters")
def show_dead_letters(request: Request, page: Paged, actor: Operator) -> list[dict[str, Any]]:
    """Return what webhooks and devices were not given, the newest first; without addresses."""
    with request.app.state.store.read() as session:
        among = is_of_case_at(session, Message.case_id, actor.sites(Role.OPERATOR))
        found = list_dead_letters(session, page.fetched, page.number, among)
    return [view_dead_letter(*one) for one in page.give(found, lambda one: one[0].id)]


@router.post("/dead-letters/{delivery_id}/resend", status_code=status.HTTP_202_ACCEPTED)
def resend_dead_letter(
    request: Request, delivery_id: RowId, sent: Resent, actor: Operator
) -> dict[str, Any]:
    """Queue one again; a running engine hands it over."""
    with request.app.state.store.write() as session:
        delivery = session.get(Delivery, delivery_id)
        if delivery is None:
            raise HTTPException(status.HTTP_404_NOT_FOUND, f"there is no delivery {delivery_id}")
        check_message(session, actor, Role.OPERATOR, delivery.message_id)
        try:
            name = resend(session, delivery_id, request.app.state.clock.now(), actor.signs(sent.by))
        except ConfigurationError as error:
            raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, str(error)) from None
    return {"id": delivery_id, "to": name}


def check_message(session: Session, actor: Actor, role: Role, message_id: int) -> None:
    """Refuse a message of a case at a site where the actor has not the role."""
    message = session.get_one(Message, message_id)
    case = session.get(Case, message.case_id) if message.case_id is not None else None
    check_site(actor, role, case.site_id if case else "")
