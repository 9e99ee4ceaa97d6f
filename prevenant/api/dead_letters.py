"""What the API tells of dead letters, and giving them again."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request, status
from pydantic import BaseModel, ConfigDict

from notify.dead_letters import list_dead_letters, resend, view_dead_letter
from notify.message import Delivery
from prevenant.api.access import require_token
from prevenant.errors import ConfigurationError

router = APIRouter(prefix="/api/v1", dependencies=[Depends(require_token)])

Limit = Annotated[int, Query(ge=1, le=1000)]


class Resent(BaseModel):
    """Who gives something again."""

    model_config = ConfigDict(extra="forbid")

    by: str = ""


@router.get("/dead-letters")
def show_dead_letters(request: Request, limit: Limit = 100) -> list[dict[str, Any]]:
    """Return what webhooks and devices were not given, the newest first; without addresses."""
    with request.app.state.store.read() as session:
        return [view_dead_letter(*one) for one in list_dead_letters(session, limit)]


@router.post("/dead-letters/{delivery_id}/resend", status_code=status.HTTP_202_ACCEPTED)
def resend_dead_letter(request: Request, delivery_id: int, sent: Resent) -> dict[str, Any]:
    """Queue one again; a running engine hands it over."""
    with request.app.state.store.write() as session:
        if session.get(Delivery, delivery_id) is None:
            raise HTTPException(status.HTTP_404_NOT_FOUND, f"there is no delivery {delivery_id}")
        try:
            name = resend(session, delivery_id, request.app.state.clock.now(), sent.by)
        except ConfigurationError as error:
            raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, str(error)) from None
    return {"id": delivery_id, "to": name}
