"""What a device has sent, out of the journal or a topic: its readings, its curves, each as it arrives."""

import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, status
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, BaseModel, Field
from starlette.concurrency import run_in_threadpool

from ingest.history import Span
from ingest.history_pages import Arrived, Place
from ingest.past import Past
from ingest.registry import HeardDevice
from prevenant.api.access import Actor, Viewer, find_actor
from prevenant.api.bodies import Moment
from prevenant.api.devices import sites_of_device
from prevenant.api.history import Histories, view_history
from prevenant.api.live_readings import LiveReadings
from prevenant.api.paging import Paged
from prevenant.api.problems import Refusal
from prevenant.clock import epoch_seconds, from_epoch
from prevenant.domain import DeviceType, Reading, values_by_name
from prevenant.errors import ConfigurationError, JournalError

router = APIRouter(prefix="/api/v1")

Name = Annotated[str, Query(min_length=1, max_length=401, description="As `t2/D14`.")]

_LONGEST = timedelta(days=366 * 30)
_CURVES_SHOW = timedelta(hours=24)
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_LARGEST = 2**53
_LOOKED_AT_EVERY_S = 15.0


class ReadingShown(BaseModel):
    """What a device said at one moment."""

    type: str
    site: str
    device: str
    observed_at: AwareDatetime
    received_at: AwareDatetime
    is_retained: bool
    """The broker had kept it, and it has no time of its own."""
    values: dict[str, Any]


class Spanned(BaseModel):
    """Of which device, and of which time; up to now where nothing is said."""

    device: str = Field(min_length=1, max_length=401)
    since: Moment | None = None
    until: Moment | None = None


@router.get("/readings")
def list_readings(
    request: Request, spanned: Annotated[Spanned, Query()], page: Paged, actor: Viewer
) -> list[ReadingShown]:
    """Return what a device has sent, the newest first, perhaps only what arrived in some time.

    A page may hold fewer than were asked for, or none, although there are more: its `Link` says so.
    """
    device_type = _find(request, actor, spanned.device)
    now = request.app.state.clock.now()
    since = spanned.since or now - _LONGEST
    until = spanned.until or now + timedelta(seconds=1)
    arrived = Arrived(epoch_seconds(since), epoch_seconds(until))
    past: Past = request.app.state.past
    try:
        place = _read_place(page.text)
        found = past.page(device_type, spanned.device, arrived, page.limit, place)
    except ConfigurationError as error:
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, str(error)) from None
    except JournalError as error:
        raise _no_past(past, str(error)) from None
    if found.following is not None:
        page.name_next(f"{found.following.seq}:{found.following.position}")
    return [_view(reading) for _, reading in found.readings]


@router.get("/curves")
def show_curves(
    request: Request, spanned: Annotated[Spanned, Query()], actor: Viewer
) -> dict[str, Any]:
    """Return each value of a device over time, thinned to what can be drawn, with its extremes.

    Without `since`, of the last day. Times are in seconds since 1970.
    """
    device_type = _find(request, actor, spanned.device)
    until = spanned.until or request.app.state.clock.now()
    since = spanned.since or until - _CURVES_SHOW
    if since >= until:
        message = "it ends before it begins: name a later end"
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, message)
    histories: Histories = request.app.state.histories
    span = Span(epoch_seconds(since), epoch_seconds(until))
    history = histories.draw(device_type, spanned.device, span)
    if history.why_not:
        raise _no_past(request.app.state.past, history.why_not)
    return {"device": spanned.device, **view_history(history)}


@router.get("/live/readings", response_class=StreamingResponse)
def stream_readings(
    request: Request,
    actor: Viewer,
    device: Name,
    after: Annotated[int, Query(ge=-1, le=_LARGEST)] = -1,
) -> StreamingResponse:
    """Stream what a device says as server-sent events `readings`, at most once a second.

    `Last-Event-ID` or `after` is the last batch that is known; -1: only what is new.
    """
    device_type = _find(request, actor, device)
    live: LiveReadings = request.app.state.live_readings
    known = request.headers.get("last-event-id", "")
    is_number = known.isascii() and known.isdigit() and int(known) <= _LARGEST
    begin = int(known) if is_number else after
    if begin < 0:
        past: Past = request.app.state.past
        try:
            begin = past.last(device_type, device)
        except JournalError as error:
            raise _no_past(past, str(error)) from None
    stream = _while_seen(request, device, live.stream(request, device_type, device, begin))
    return StreamingResponse(stream, media_type="text/event-stream", headers=_HEADERS)


async def _while_seen(
    request: Request, device_id: str, stream: AsyncIterator[str]
) -> AsyncIterator[str]:
    """Yield what comes for as long as whoever listens may; it is looked at now and then."""
    looked_at = time.monotonic()
    async for text in stream:
        yield text
        if time.monotonic() - looked_at > _LOOKED_AT_EVERY_S:
            actor = await run_in_threadpool(find_actor, request)
            try:
                if actor is None:
                    return
                await run_in_threadpool(_find, request, actor, device_id)
            except HTTPException:
                return
            looked_at = time.monotonic()


def _find(request: Request, actor: Actor, device_id: str) -> DeviceType:
    """Return the type of a device that was heard, for who may look at its site."""
    with request.app.state.store.read() as session:
        heard = session.get(HeardDevice, device_id)
        sites = actor.sites()
        is_seen = sites is None or bool(sites & sites_of_device(session, device_id))
    if heard is None or not is_seen:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"no device {device_id!r} was heard")
    device_type: DeviceType | None = request.app.state.rules.devices.get(heard.type)
    if device_type is None:
        message = f"the rule book in force has no device type {heard.type!r} any more"
        raise HTTPException(status.HTTP_404_NOT_FOUND, message)
    return device_type


def _view(reading: Reading) -> ReadingShown:
    return ReadingShown(
        type=reading.type,
        site=reading.site_id,
        device=reading.device_id,
        observed_at=from_epoch(reading.observed_at),
        received_at=from_epoch(reading.received_at),
        is_retained=reading.retained,
        values=values_by_name(reading.values),
    )


def _read_place(text: str | None) -> Place | None:
    if text is None:
        return None
    seq, _, position = text.partition(":")
    return Place(int(seq), int(position))


def _no_past(past: Past, why: str) -> Refusal:
    message = past.explain(why)
    return Refusal(status.HTTP_503_SERVICE_UNAVAILABLE, "not-listening", message)
