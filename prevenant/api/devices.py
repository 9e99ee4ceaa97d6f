"""What the API, the console and the commands tell of devices and of refused payloads, and do with them."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request, status
from pydantic import BaseModel
from sqlmodel import Session, col, func, select

from ingest.quarantine import Quarantined, RefusedCount, ask_for_replay, discard
from ingest.registry import HeardDevice
from prevenant.api.access import require_token
from prevenant.crm.adopting import adopt_device
from prevenant.crm.tables import Device
from prevenant.errors import ConfigurationError
from prevenant.tables import add_timeline

router = APIRouter(prefix="/api/v1", dependencies=[Depends(require_token)])

Limit = Annotated[int, Query(ge=1, le=1000)]


class Adoption(BaseModel):
    """Where a device that was heard belongs."""

    site: str
    label: str = ""
    place: str = ""


class Refused(BaseModel):
    """Which refused payloads are meant; none: all that wait."""

    ids: list[int] | None = None


@router.get("/devices")
def list_devices(
    request: Request,
    state: str | None = None,
    type: str | None = None,  # noqa: A002  the name in the query
    site: str | None = None,
    unknown: bool | None = None,  # noqa: FBT001  a query's parameter
    after: str = "",
    limit: Limit = 100,
) -> list[dict[str, Any]]:
    """Return devices by id, from the one behind `after`; perhaps only some of them."""
    with request.app.state.store.read() as session:
        return find_devices(
            session,
            request.app.state.clock.now(),
            state=state,
            type_name=type,
            site=site,
            unknown=unknown,
            after=after,
            limit=limit,
        )


@router.get("/devices/{device_id:path}")
def show_device(request: Request, device_id: str) -> dict[str, Any]:
    """Return one device with its last values."""
    with request.app.state.store.read() as session:
        found = find_device(session, request.app.state.clock.now(), device_id)
    if found is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"no device {device_id!r} was heard")
    return found


@router.post("/adopt/{device_id:path}")
def adopt(request: Request, device_id: str, adoption: Adoption) -> dict[str, Any]:
    """Make a device that was heard known to the CRM."""
    now = request.app.state.clock.now()
    with request.app.state.store.write() as session:
        try:
            adopt_heard(session, now, device_id, adoption.site, adoption.label, adoption.place)
        except ConfigurationError as error:
            raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, str(error)) from None
        return find_device(session, now, device_id) or {}


@router.get("/quarantine")
def list_quarantine(
    request: Request, state: str | None = None, limit: Limit = 100
) -> list[dict[str, Any]]:
    """Return refused payloads, the newest first, each with its reason."""
    with request.app.state.store.read() as session:
        return find_refused(session, state=state, limit=limit)


@router.get("/quarantine/counts")
def count_quarantine(request: Request) -> list[dict[str, Any]]:
    """Return how many payloads were refused ever, by kind of reason, the most frequent first."""
    with request.app.state.store.read() as session:
        return count_refused(session)


@router.post("/quarantine/replay")
def replay_quarantine(request: Request, refused: Refused) -> dict[str, int]:
    """Have refused payloads read again, now that the book was mended; return how many."""
    with request.app.state.store.write() as session:
        return {"due": ask_for_replay(session, refused.ids)}


@router.post("/quarantine/discard")
def discard_quarantine(request: Request, refused: Refused) -> dict[str, int]:
    """Set refused payloads aside for good; return how many."""
    with request.app.state.store.write() as session:
        return {"discarded": discard(session, refused.ids)}


def find_devices(
    session: Session,
    now: datetime,
    *,
    state: str | None = None,
    type_name: str | None = None,
    site: str | None = None,
    unknown: bool | None = None,
    after: str = "",
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Return devices by id, as plain values."""
    query = (
        select(HeardDevice, Device)
        .join(Device, col(Device.id) == col(HeardDevice.id), isouter=True)
        .where(HeardDevice.id > after)
        .order_by(col(HeardDevice.id))
    )
    if type_name is not None:
        query = query.where(HeardDevice.type == type_name)
    if site is not None:
        query = query.where(HeardDevice.site_id == site)
    if unknown is not None:
        is_known = col(Device.id).is_not(None)
        query = query.where(~is_known if unknown else is_known)
    if state is None:
        query = query.limit(limit)
    found = []
    for heard, known in session.exec(query.execution_options(yield_per=500)):
        # Silence depends on the time of asking, so the state is no column.
        if state is None or heard.state_at(now) == state:
            found.append(_view_device(heard, known, now))
        if len(found) >= limit:
            break
    return found


def find_device(session: Session, now: datetime, device_id: str) -> dict[str, Any] | None:
    """Return one device as plain values, or None."""
    heard = session.get(HeardDevice, device_id)
    return None if heard is None else _view_device(heard, session.get(Device, device_id), now)


def adopt_heard(
    session: Session, now: datetime, device_id: str, site: str, label: str = "", place: str = ""
) -> None:
    """Make a device that was heard known to the CRM. Raises ConfigurationError."""
    heard = session.get(HeardDevice, device_id)
    if heard is None:
        message = f"no device {device_id!r} was heard: see `prevenant devices list --unknown`"
        raise ConfigurationError(message)
    device = adopt_device(session, device_id, heard.type, site, label, place)
    add_timeline(session, now, "device.adopted", f"{device_id} is {device.label} at {site}")


def find_refused(
    session: Session,
    *,
    state: str | None = None,
    topic: str = "",
    reason: str = "",
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Return refused payloads as plain values, the newest first."""
    query = select(Quarantined).order_by(col(Quarantined.id).desc()).limit(limit)
    if state is not None:
        query = query.where(Quarantined.state == state)
    if topic:
        query = query.where(col(Quarantined.topic).contains(topic, autoescape=True))
    if reason:
        query = query.where(col(Quarantined.reason).contains(reason, autoescape=True))
    return [view_refused(one) for one in session.exec(query)]


def view_refused(one: Quarantined) -> dict[str, Any]:
    """Return a refused payload as plain values; what cannot be printed is escaped."""
    return {
        "id": one.id,
        "received_at": one.received_at,
        "topic": one.topic,
        "payload": one.payload.decode(errors="backslashreplace"),
        "size": one.size,
        "reason": one.reason,
        "state": one.state,
        "outcome": one.outcome,
        "tried_at": one.tried_at,
    }


def count_refused(session: Session) -> list[dict[str, Any]]:
    """Return how many payloads were refused ever, by kind of reason, and how many of all are kept."""
    rows = session.exec(select(RefusedCount).order_by(col(RefusedCount.count).desc()))
    return [{"reason": row.reason, "count": row.count} for row in rows]


def count_waiting(session: Session) -> int:
    """Return how many refused payloads wait for somebody."""
    query = select(func.count()).where(Quarantined.state == "waiting")
    return int(session.exec(query).one())


def _view_device(heard: HeardDevice, known: Device | None, now: datetime) -> dict[str, Any]:
    return {
        **heard.model_dump(exclude={"is_online", "silent_after_s"}),
        "state": heard.state_at(now),
        "is_known": known is not None,
        "label": known.label if known else "",
        "place": known.place if known else "",
    }
