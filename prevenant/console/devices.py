"""The pages of devices: everything that was heard, and one device with its values as they arrive."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Form, HTTPException, Query, Request, Response, status
from fastapi.responses import StreamingResponse
from sqlmodel import Session, col, func, select

from ingest.registry import HeardDevice
from prevenant.api.access import Actor, Operator, Role, Viewer, check_site
from prevenant.api.alarms import find_alarms, find_shelves
from prevenant.api.devices import (
    Sought,
    adopt_heard,
    check_adoption,
    count_waiting,
    find_device,
    search_devices,
)
from prevenant.api.live import main_zone
from prevenant.api.live_readings import LiveReadings
from prevenant.console.charts import Around, Mark, Picture, show_charts, unit_of
from prevenant.console.shell import act, show
from prevenant.crm.directory import find_place
from prevenant.crm.tables import Asset, Device
from prevenant.domain import DeviceType, Severity
from prevenant.tables import TimelineEntry
from workflows.tables import Case, CaseAlarm

router = APIRouter(include_in_schema=False)

STATES = ("online", "silent", "offline")
_SHOWN, _SHOWN_UNKNOWN = 100, 200
_SHOWN_ALARMS = 15
HOURS = (0.25, 1.0, 6.0, 24.0, 168.0)
"""How far back the curves of a device can be seen, in hours."""


@router.get("/devices")
def show_devices(
    request: Request,
    actor: Viewer,
    q: Annotated[str, Query(max_length=100)] = "",
    state: str = "",
    after: str = "",
) -> Response:
    """Show the devices that were heard, unknown ones first."""
    now = request.app.state.clock.now()
    chosen = state if state in STATES else ""

    def collect(session: Session) -> dict[str, Any]:
        return _devices(session, actor, now, q.strip(), chosen, after)

    return show(request, "devices.html", collect, actor)


@router.post("/devices/adopt")
def adopt_device(
    request: Request,
    actor: Operator,
    device: Annotated[str, Form()],
    site: Annotated[str, Form()],
    label: Annotated[str, Form()] = "",
) -> Response:
    """Make a device that was heard known to the CRM."""
    now = request.app.state.clock.now()

    def change(session: Session) -> None:
        check_adoption(session, actor, device, site)
        adopt_heard(session, now, device, site, label)

    return act(request, change, "/devices")


@router.get("/device-readings/{device_id:path}")
def show_readings(
    request: Request, device_id: str, actor: Viewer, hours: float = HOURS[1]
) -> Response:
    """Show what a device has sent in the last hours."""
    now: datetime = request.app.state.clock.now()
    span = min(HOURS, key=lambda one: abs(one - hours))
    with request.app.state.store.read() as session:
        heard = _known(session, actor, device_id)
        place = find_place(session, heard.type, heard.site_id, device_id)
        device_type = _type_of(request, heard)
        since = now - timedelta(hours=span)
        marks = [
            Mark(one.raised_at, "raised", Severity(one.severity).word)
            for one in find_alarms(session, device=device_id, limit=_SHOWN_ALARMS)
            if one.raised_at >= since and one.cleared_at is None
        ]
        zone = main_zone(session)
    picture = Picture(device_type, device_id, since, now, marks=marks[:1])
    path = quote(device_id)
    around = Around(place.label, f"/devices/{path}", f"/device-live/{path}")
    return show_charts(request, picture, around, zone, actor)


@router.get("/device-live/{device_id:path}")
async def stream_readings(
    request: Request, device_id: str, actor: Viewer, after: Annotated[int, Query(ge=0)] = 0
) -> Response:
    """Stream what a device sends as it arrives; `Last-Event-ID` or `after` says what is known."""
    with request.app.state.store.read() as session:
        device_type = _type_of(request, _known(session, actor, device_id))
    known = request.headers.get("last-event-id", "")
    live: LiveReadings = request.app.state.live_readings
    stream = live.stream(request, device_type, device_id, int(known) if known.isdigit() else after)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


@router.get("/devices/{device_id:path}")
def show_device(
    request: Request, device_id: str, actor: Viewer, hours: float = HOURS[1]
) -> Response:
    """Show one device: where it is, what it says, what was the matter with it."""
    now = request.app.state.clock.now()
    types = request.app.state.rules.devices
    span = min(HOURS, key=lambda one: abs(one - hours))

    def collect(session: Session) -> dict[str, Any]:
        heard = _known(session, actor, device_id)
        return {**_device(session, heard, types, now), "hours": span, "choices": HOURS}

    return show(request, "device.html", collect, actor)


def _devices(
    session: Session, actor: Actor, now: datetime, text: str, state: str, after: str
) -> dict[str, Any]:
    sought = Sought(state or None, sites=actor.sites(), text=text)
    unknown = search_devices(session, now, replace(sought, unknown=True, limit=_SHOWN_UNKNOWN))
    page = replace(sought, unknown=False, after=after, limit=_SHOWN + 1)
    known = search_devices(session, now, page)
    for one in (*unknown, *known):
        one["shown"] = list(one["values"].items())[:6]
    newest = session.exec(select(func.max(col(TimelineEntry.id)))).one()
    return {
        "unknown": [] if after else unknown,
        "known": known[:_SHOWN],
        "next": known[_SHOWN - 1]["id"] if len(known) > _SHOWN else "",
        "text": text,
        "state": state,
        "states": STATES,
        "quarantined": count_waiting(session),
        "newest": newest or 0,
    }


def _device(
    session: Session, heard: HeardDevice, types: Mapping[str, DeviceType], now: datetime
) -> dict[str, Any]:
    known = session.get(Device, heard.id)
    device_type = types.get(heard.type)
    units = {one.name: unit_of(one.unit or "") for one in device_type.fields} if device_type else {}
    values = [(name, value, units.get(name, "")) for name, value in heard.values.items()]
    cases = (
        select(Case)
        .join(CaseAlarm, col(CaseAlarm.case_id) == Case.id)
        .where(CaseAlarm.device_id == heard.id)
        .order_by(col(Case.id).desc())
        .distinct()
        .limit(_SHOWN_ALARMS)
    )
    newest = session.exec(select(func.max(col(TimelineEntry.id)))).one()
    return {
        "device": find_device(session, now, heard.id),
        "known": known,
        "asset": session.get(Asset, known.asset_id) if known and known.asset_id else None,
        "place": find_place(session, heard.type, heard.site_id, heard.id),
        "is_drawn": device_type is not None,
        "values": values,
        "alarms": find_alarms(session, device=heard.id, limit=_SHOWN_ALARMS),
        "cases": list(session.exec(cases)),
        "severities": {int(one): one.word for one in Severity},
        "shelves": [
            one
            for one in find_shelves(session, now, past=False)
            if heard.id == one.device_id or (not one.device_id and heard.site_id == one.site_id)
        ],
        "newest": newest or 0,
    }


def _known(session: Session, actor: Actor, device_id: str) -> HeardDevice:
    """Return a device at whose site the actor may look. Raises HTTPException."""
    heard = session.get(HeardDevice, device_id)
    if heard is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"no device {device_id!r} was heard")
    known = session.get(Device, device_id)
    check_site(actor, Role.VIEWER, known.site_id if known else heard.site_id)
    return heard


def _type_of(request: Request, heard: HeardDevice) -> DeviceType:
    found: DeviceType | None = request.app.state.rules.devices.get(heard.type)
    if found is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "the book has no such device type any more")
    return found
