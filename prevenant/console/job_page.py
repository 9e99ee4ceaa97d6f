"""The technician's page of a job, by link: take it or not, the way, how far along, what was found."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Form, Request, Response, status
from jinja2 import Environment
from pydantic import BaseModel, Field
from sqlmodel import Session, col, select
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from notify.links import JOB, link_url, use_link
from prevenant.clock import from_epoch
from prevenant.console.link_pages import (
    HEADERS,
    Visitor,
    Wish,
    find_visitor,
    go_back,
    press,
    show_nowhere,
    show_visitor,
    stream_news,
)
from prevenant.crm.positions import Heard, record_positions
from prevenant.crm.tables import Asset, Device
from prevenant.domain import Severity
from prevenant.errors import ConfigurationError
from workflows.closing import CODES
from workflows.dispatch import Distance
from workflows.experts import ASK as ASK_EXPERT
from workflows.experts import find_talk
from workflows.photos import (
    LARGEST_BYTES,
    MOST_OF_JOB,
    find_photo,
    keep_photo,
    list_photos,
    read_picture,
)
from workflows.tables import ACTIVE_JOBS, Candidate, Offer, Photo, WorkOrder

router = APIRouter(include_in_schema=False)

DECLINED = ("too_far", "busy", "no_parts", "not_my_trade", "other")
_REASONS = {
    "too_far": "too far away",
    "busy": "busy",
    "no_parts": "has not got the parts",
    "not_my_trade": "not their trade",
}
_NEXT = {"accepted": ("en_route", "arrived"), "en_route": ("arrived",), "arrived": ()}
_ENVELOPE_BYTES = 100_000
"""What a form may have around its picture."""


class Sent(BaseModel):
    """What a form of the page sends."""

    do: str = Field(max_length=20)
    key: str = Field(max_length=40)
    reason: str = Field(default="", max_length=40)
    note: str = Field(default="", max_length=500)
    code: str = Field(default="", max_length=40)
    cause: str = Field(default="", max_length=200)
    parts: str = Field(default="", max_length=200)


class Place(BaseModel):
    """Where the technician's phone says that it is."""

    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)
    accuracy: float = Field(default=0.0, ge=0)


@router.get("/j/{token}")
def show_job(request: Request, token: str) -> Response:
    """Show a technician the offer, or the job."""
    return show_visitor(request, token, JOB, "job.html", _collect, _settle)


@router.get("/j/{token}/news")
def tell_news(request: Request, token: str) -> Response:
    """Tell the page when something has changed."""
    return stream_news(request, token, JOB)


@router.post("/j/{token}")
def change_job(request: Request, token: str, sent: Annotated[Sent, Form()]) -> Response:
    """Do what the technician has pressed."""
    return press(request, token, JOB, sent.key, lambda visitor: _judge(visitor, sent), _settle)


@router.post("/j/{token}/position")
def take_position(request: Request, token: str, place: Place) -> Response:
    """Take where a technician is who has a job under way and shares it."""
    state = request.app.state
    with state.store.read() as session:
        visitor, why = find_visitor(request, session, token, JOB)
        order = _order_of(visitor) if visitor else None
    if visitor is None:
        return show_nowhere(request, why)
    if order is None or order.state not in ACTIVE_JOBS:
        return Response(status_code=status.HTTP_409_CONFLICT)
    now = state.clock.now()
    heard = Heard(place.latitude, place.longitude, now, place.accuracy)
    with state.store.write() as session:
        record_positions(session, {order.technician_id: heard}, now)
    return Response(status_code=status.HTTP_204_NO_CONTENT)


@router.post("/j/{token}/photos")
async def add_photo(request: Request, token: str) -> Response:
    """Keep a picture of the job."""
    base = link_url("", token, JOB)
    length = request.headers.get("content-length", "")
    if not length.isdigit():
        return Response("say how long it is", status.HTTP_411_LENGTH_REQUIRED)
    if int(length) > LARGEST_BYTES + _ENVELOPE_BYTES:
        return go_back(base, "large")
    # Whoever may send nothing here is refused before anything is read.
    why = await run_in_threadpool(_why_no_photo, request, token)
    if why:
        return show_nowhere(request, why)
    async with request.form(max_files=1, max_fields=5) as form:
        sent = form.get("photo")
        data = await sent.read() if isinstance(sent, UploadFile) else b""
    said = await run_in_threadpool(_keep_photo, request, token, data)
    return go_back(base, said)


@router.get("/j/{token}/photos/{photo_id}")
def show_photo(request: Request, token: str, photo_id: int) -> Response:
    """Show a picture that the technician has taken at this job."""
    with request.app.state.store.read() as session:
        visitor, why = find_visitor(request, session, token, JOB)
        if visitor is None:
            return show_nowhere(request, why)
        photo = session.get(Photo, photo_id)
        is_theirs = photo is not None and photo.contact_id == visitor.contact_id
        picture = find_photo(session, visitor.case_id, photo_id) if is_theirs else None
    if picture is None:
        return Response(status_code=status.HTTP_404_NOT_FOUND)
    return Response(picture, media_type="image/jpeg", headers=HEADERS)


def _why_no_photo(request: Request, token: str) -> str:
    with request.app.state.store.read() as session:
        visitor, why = find_visitor(request, session, token, JOB)
        if visitor is None:
            return why
        return "" if _order_of(visitor) else "expired"


def _keep_photo(request: Request, token: str, data: bytes) -> str:
    """Keep a picture; return the code of what came of it."""
    state = request.app.state
    if not data:
        return "no-photo"
    try:
        picture = read_picture(data)
    except ConfigurationError:
        return "no-picture"
    with state.store.write() as session:
        now = state.clock.now()
        used = use_link(session, token, JOB, "a picture sent", now)
        order = _order(session, used.link.case_id, used.link.contact_id) if used.link else None
        if order is None:
            return "over"
        try:
            keep_photo(session, order, picture, now)
        except ConfigurationError:
            return "enough"
    return "photo"


def _judge(visitor: Visitor, sent: Sent) -> Wish:
    """Return what was meant. Raises ConfigurationError with the code of why it cannot be."""
    offer, order = _offer_of(visitor), _order_of(visitor)
    is_open = order is not None and order.state in ACTIVE_JOBS
    note = sent.note.strip()
    match sent.do:
        case "accept" if offer is not None:
            return Wish("offer", "accept", "job accepted")
        case "decline" if offer is not None:
            said = ", ".join(filter(None, (_REASONS.get(sent.reason, ""), note)))
            return Wish("offer", "decline", "job declined", text=note, details={"reason": said})
        case "en_route" | "arrived" if is_open and order and sent.do in _NEXT[order.state]:
            return Wish("progress", sent.do, sent.do.replace("_", " "))
        case "done" if is_open:
            return _done(sent)
        case "cannot" if is_open:
            details = {"reason": note}
            return Wish("progress", "cancel", "job given back", text=note, details=details)
        case "expert" if is_open:
            if not note:
                raise ConfigurationError("write")
            return Wish("progress", ASK_EXPERT, "an expert asked", text=note)
    raise ConfigurationError("over")


def _settle(visitor: Visitor, wish: Wish) -> str:
    """Return the code of what came of it: another may have been quicker."""
    is_late = wish.intent == "accept" and _order_of(visitor) is None
    return "over" if is_late else wish.intent


def _done(sent: Sent) -> Wish:
    if sent.code not in CODES:
        raise ConfigurationError("code")
    cause, parts = sent.cause.strip(), sent.parts.strip()
    details = {"code": sent.code, "cause": cause, "parts": parts}
    return Wish("progress", "done", "job done", text=cause, details=details)


def _order(session: Session, case_id: int | None, contact_id: str) -> WorkOrder | None:
    """Return a technician's job of a case, unless it was taken back."""
    query = select(WorkOrder).where(
        WorkOrder.case_id == case_id,
        WorkOrder.contact_id == contact_id,
        WorkOrder.state != "cancelled",
    )
    return session.exec(query.order_by(col(WorkOrder.id).desc())).first()


def _order_of(visitor: Visitor) -> WorkOrder | None:
    return _order(visitor.run.session, visitor.case_id, visitor.contact_id)


def _offer_of(visitor: Visitor) -> Offer | None:
    """Return the offer that the technician can still answer."""
    run = visitor.run
    query = select(Offer).where(
        Offer.case_id == visitor.case_id,
        Offer.contact_id == visitor.contact_id,
        Offer.state == "open",
        Offer.expires_at > run.now,
    )
    return run.session.exec(query.order_by(col(Offer.id).desc())).first()


def _collect(visitor: Visitor, words: Environment) -> Mapping[str, Any]:
    del words
    run = visitor.run
    offer, order = _offer_of(visitor), _order_of(visitor)
    stage = "offered" if offer else order.state if order else "gone"
    variables = run.variables(visitor.language, visitor.run.place.timezone)
    place, is_open = run.place, stage in ACTIVE_JOBS
    facts = run.progress.facts
    return {
        "stage": stage,
        "state": f"{stage}-{order.visit_start:%d%H%M}" if order else stage,
        "number": run.case.id,
        "severity": run.case.severity,
        "severity_word": Severity(run.case.severity).word,
        "saw": variables["alarm"]["message"],
        "reason": run.alarm.reason,
        "raised_at": run.alarm.raised_at,
        "prediction": variables["prediction"],
        "place": place,
        "unit": _unit(run.session, place.device_id) if is_open else None,
        "offer": offer,
        "distance": _distance(visitor) if offer else "",
        "order": order,
        "is_open": is_open,
        "next": _NEXT.get(stage, ()),
        "ways": _ways(place.position, place.address) if is_open else None,
        "arrived_at": _moment(facts, "technician.arrived"),
        "talk": find_talk(run.session, visitor.case_id, visitor.contact_id) if is_open else [],
        "photos": _photos(visitor) if order else [],
        "most_photos": MOST_OF_JOB,
        "declined": DECLINED,
        "codes": CODES,
    }


def _moment(facts: Mapping[str, float], fact: str) -> datetime | None:
    return from_epoch(facts[fact]) if fact in facts else None


def _unit(session: Session, device_id: str) -> Asset | None:
    """Return what is to be served, where the CRM knows it."""
    device = session.get(Device, device_id)
    return session.get(Asset, device.asset_id) if device and device.asset_id else None


def _distance(visitor: Visitor) -> str:
    query = (
        select(Candidate.distance_km)
        .where(Candidate.case_id == visitor.case_id)
        .where(Candidate.technician_id == _technician_id(visitor))
    )
    km = visitor.run.session.exec(query.order_by(col(Candidate.id).desc())).first()
    return str(Distance(km)) if km is not None and km < 1 else visitor.times.km(km) if km else ""


def _technician_id(visitor: Visitor) -> str:
    offer = _offer_of(visitor)
    return offer.technician_id if offer else ""


def _photos(visitor: Visitor) -> list[int]:
    session = visitor.run.session
    query = select(Photo.id).where(
        Photo.case_id == visitor.case_id, Photo.contact_id == visitor.contact_id
    )
    theirs = set(session.exec(query))
    return [one for one in list_photos(session, visitor.case_id) if one in theirs]


def _ways(position: tuple[float, float] | None, address: str) -> dict[str, str] | None:
    """Return where a phone finds the way: in any browser, and in the phone's own map."""
    if position is None:
        return None
    at = f"{position[0]:.6f},{position[1]:.6f}"
    return {
        "web": f"https://www.google.com/maps/dir/?api=1&destination={at}",
        "phone": f"geo:{at}?q={at}({quote(address or 'Prevenant')})",
    }
