"""What the API tells of messages, and the story as it happens."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse
from sqlmodel import col, select

from notify.message import Message
from prevenant.api.access import require_token
from prevenant.api.cases import view_message

router = APIRouter(prefix="/api/v1", dependencies=[Depends(require_token)])

Limit = Annotated[int, Query(ge=1, le=1000)]


@router.get("/messages")
def list_messages(request: Request, limit: Limit = 100) -> list[dict[str, Any]]:
    """Return messages, the newest first, each with its deliveries; without addresses."""
    with request.app.state.store.read() as session:
        query = select(Message).order_by(col(Message.id).desc()).limit(limit)
        return [view_message(session, message) for message in session.exec(query)]


@router.get("/live")
async def stream_story(
    request: Request, after: Annotated[int, Query(ge=0)] = 0
) -> StreamingResponse:
    """Stream the story as server-sent events; `Last-Event-ID` or `after` says what is known already."""
    known = request.headers.get("last-event-id", "")
    first = int(known) if known.isdigit() else after
    stream = request.app.state.live.stream(request, first)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)
