"""Readings over HTTP: one more way for devices to speak, beside a broker."""

from collections.abc import Iterable
from typing import Annotated

from fastapi import APIRouter, Body, HTTPException, Path, Request, status
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from ingest.mqtt import Frame
from ingest.sparkplug import NAMESPACE
from prevenant.api.access import Actor, Operator, Role, check_site
from prevenant.api.idempotency import HEADER
from prevenant.api.intake import MOST, Intake, Posted, check_topic, frame_of, judge_frames
from prevenant.api.problems import Refusal
from prevenant.clock import epoch_seconds
from prevenant.errors import JournalError

router = APIRouter(prefix="/api/v1")

_RETRY_AFTER_S = "5"


class Taken(BaseModel):
    """How many readings are in the journal now."""

    taken: int


@router.post("/readings", status_code=status.HTTP_202_ACCEPTED)
def post_readings(
    request: Request,
    posted: Annotated[list[Posted], Body(min_length=1, max_length=MOST)],
    actor: Operator,
) -> Taken:
    """Take readings, all of them or none, as if their devices had published them.

    They are durable when this is answered, and decided on as what a broker brings. What cannot be read
    is refused with its place in the list.
    """
    return _take(request, actor, read_frames(posted))


@router.post("/readings/{topic:path}", status_code=status.HTTP_202_ACCEPTED)
async def post_payload(
    request: Request,
    topic: Annotated[str, Path(min_length=1, max_length=1_000)],
    actor: Operator,
) -> Taken:
    """Take one reading: the body is the payload, byte for byte, that a device would publish there."""
    try:
        check_topic(topic)
    except ValueError as error:
        flaws = [{"place": "path.topic", "message": str(error)}]
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, flaws) from None
    body = await request.body()
    return await run_in_threadpool(_take, request, actor, [(topic.encode(), body, 0)])


def read_frames(posted: Iterable[Posted]) -> list[Frame]:
    """Return what devices would have sent; refuse all of it where some cannot be."""
    frames, flaws = [], []
    for position, one in enumerate(posted):
        try:
            frames.append(frame_of(one))
        except ValueError as error:
            flaws.append({"place": f"body.{position}", "message": str(error)})
    if flaws:
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, flaws)
    return frames


def judge(request: Request, frames: list[Frame]) -> set[str]:
    """Return the sites of which frames speak; refuse all of them where some cannot be read."""
    state = request.app.state
    now = epoch_seconds(state.clock.now())
    sites, flaws = judge_frames(state.rules.devices, frames, now)
    if flaws:
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, flaws)
    return sites


def give(request: Request, frames: list[Frame]) -> Taken:
    """Give frames to the stream: they are durable when this returns."""
    intake: Intake | None = request.app.state.intake
    if intake is None:
        message = "this process does not listen: post readings to one with the role `listen`"
        raise Refusal(status.HTTP_503_SERVICE_UNAVAILABLE, "not-listening", message)
    try:
        intake.take(frames)
    except JournalError as error:
        headers = {"Retry-After": _RETRY_AFTER_S}
        message = f"{error}: nothing was taken, send it again later"
        raise Refusal(status.HTTP_503_SERVICE_UNAVAILABLE, "busy", message, headers) from None
    return Taken(taken=len(frames))


def _take(request: Request, actor: Actor, frames: list[Frame]) -> Taken:
    _check_sites(actor, judge(request, frames), frames)
    taken = give(request, frames)
    # The store has no part in it: whoever sent a key has that kept with nothing else.
    if request.headers.get(HEADER):
        with request.app.state.store.write():
            pass
    return taken


def _check_sites(actor: Actor, sites: set[str], frames: list[Frame]) -> None:
    """Refuse what is of a site at which the actor may not act, or of one that nobody can tell."""
    for site in sorted(sites - {""}):
        check_site(actor, Role.OPERATOR, site)
    is_unsaid = "" in sites or any(topic.startswith(NAMESPACE.encode()) for topic, *_ in frames)
    if is_unsaid and actor.sites(Role.OPERATOR) is not None:
        message = "of which site this is cannot be told: it takes the role operator everywhere"
        raise HTTPException(status.HTTP_403_FORBIDDEN, message)
