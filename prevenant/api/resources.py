"""The story as it happens, as the API tells it."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request, status
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from prevenant.api.access import Viewer
from prevenant.api.live_topics import Wanted, read_topics
from prevenant.errors import ConfigurationError

router = APIRouter(prefix="/api/v1")

_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_LARGEST = 2**31 - 1


class Asked(BaseModel):
    """What is to be told as it happens."""

    after: int = Field(default=0, ge=-1, le=_LARGEST)
    """The last number that is known; 0: everything, -1: only what is new."""
    topics: str = Field(default="story", max_length=200)
    """`story`, `alarms`, `cases`, `work_orders`, `messages`, with commas between."""
    site: str = ""
    case: int | None = Field(default=None, ge=1, le=_LARGEST)
    alarm: int | None = Field(default=None, ge=1, le=_LARGEST)


@router.get("/live", response_class=StreamingResponse)
async def stream_story(
    request: Request, asked: Annotated[Asked, Query()], actor: Viewer
) -> StreamingResponse:
    """Stream what happens as server-sent events; `Last-Event-ID` or `after` says what is known already.

    Each line of the story is an event `story`; what it is about, as it is now, follows as `alarm`,
    `case`, `work_order` or `message` where these topics are asked for.
    """
    try:
        wanted = Wanted(read_topics(asked.topics), asked.site, asked.case, asked.alarm)
    except ConfigurationError as error:
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, str(error)) from None
    known = request.headers.get("last-event-id", "")
    is_number = known.isascii() and known.isdigit() and int(known) <= _LARGEST
    after = int(known) if is_number else asked.after
    stream = request.app.state.live.stream(request, after, actor, wanted)
    return StreamingResponse(stream, media_type="text/event-stream", headers=_HEADERS)
