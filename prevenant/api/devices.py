"""What the API, the console and the commands tell of devices and of refused payloads, and do with them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from fastapi import APIRouter, HTTPException, Request, status
from sqlmodel import Session, col, func, or_, select

from ingest.quarantine import Quarantined, RefusedCount, ask_for_replay, discard
from ingest.registry import HeardDevice
from prevenant.api.access import (
    Actor,
    Operator,
    OperatorOfAll,
    Role,
    Viewer,
    ViewerOfAll,
    check_site,
)
from prevenant.api.bodies import Body
from prevenant.api.paging import Paged
from prevenant.api.within import Sites, is_at
from prevenant.crm.adopting import adopt_device
from prevenant.crm.tables import Device, Site
from prevenant.errors import ConfigurationError
from prevenant.tables import add_timeline

router = APIRouter(prefix="/api/v1")


class Adoption(Body):
    """Where a device that was heard belongs."""

    site: str
    label: str = ""
    place: str = ""


class Refused(Body):
    """Which refused payloads are meant; none: all that wait."""

    ids: list[int] | None = None


@router.get("/devices")
def list_devices(
    request: Request,
    actor: Viewer,
    page: Paged,
    state: Literal["online", "offline", "silent"] | None = None,
    type: str | None = None,  # noqa: A002  the name in the query
    site: str | None = None,
    unknown: bool | None = None,  # noqa: FBT001  a query's parameter
    after: str = "",
) -> list[dict[str, Any]]:
    """Return devices by id, from the one behind `after`; perhaps only some of them."""
    with request.app.state.store.read() as session:
        found = find_devices(
            session,
            request.app.state.clock.now(),
            state=state,
            type_name=type,
            site=site,
            unknown=unknown,
            after=page.text or after,
            limit=page.fetched,
            sites=actor.sites(),
        )
    return page.give(found, lambda one: str(one["id"]))


@router.get("/devices/{device_id:path}")
def show_device(request: Request, device_id: str, actor: Viewer) -> dict[str, Any]:
    """Return one device with its last values."""
    with request.app.state.store.read() as session:
        found = find_device(session, request.app.state.clock.now(), device_id, actor.sites())
    if found is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"no device {device_id!r} was heard")
    return found


@router.post("/adopt/{device_id:path}")
def adopt(request: Request, device_id: str, adoption: Adoption, actor: Operator) -> dict[str, Any]:
    """Make a device that was heard known to the CRM."""
    now = request.app.state.clock.now()
    with request.app.state.store.write() as session:
        check_adoption(session, actor, device_id, adoption.site)
        try:
            adopt_heard(session, now, device_id, adoption.site, adoption.label, adoption.place)
        except ConfigurationError as error:
            raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, str(error)) from None
        return find_device(session, now, device_id) or {}


@router.get("/quarantine")
def list_quarantine(
    request: Request,
    page: Paged,
    actor: ViewerOfAll,
    state: Literal["waiting", "due", "replayed", "discarded"] | None = None,
) -> list[dict[str, Any]]:
    """Return refused payloads, the newest first, each with its reason: of which site, nobody knows."""
    del actor
    with request.app.state.store.read() as session:
        found = find_refused(session, state=state, limit=page.fetched, before=page.number)
    return page.give(found, lambda one: int(one["id"]))


@router.get("/quarantine/counts")
def count_quarantine(request: Request, actor: ViewerOfAll) -> list[dict[str, Any]]:
    """Return how many payloads were refused ever, by kind of reason, the most frequent first."""
    del actor
    with request.app.state.store.read() as session:
        return count_refused(session)


@router.post("/quarantine/replay")
def replay_quarantine(request: Request, refused: Refused, actor: OperatorOfAll) -> dict[str, int]:
    """Have refused payloads read again, now that the book was mended; return how many."""
    del actor
    with request.app.state.store.write() as session:
        return {"due": ask_for_replay(session, refused.ids)}


@router.post("/quarantine/discard")
def discard_quarantine(request: Request, refused: Refused, actor: OperatorOfAll) -> dict[str, int]:
    """Set refused payloads aside for good; return how many."""
    del actor
    with request.app.state.store.write() as session:
        return {"discarded": discard(session, refused.ids)}


@dataclass(frozen=True, slots=True)
class Sought:
    """Which devices are looked for; what is not named may be anything."""

    state: str | None = None
    type_name: str | None = None
    site: str | None = None
    unknown: bool | None = None
    after: str = ""
    limit: int = 100
    sites: frozenset[str] | None = None
    """The sites that may be seen; None is all."""
    text: str = ""
    """It stands in the id, the label or the place."""


def find_devices(  # noqa: PLR0913  each is a filter of its own
    session: Session,
    now: datetime,
    *,
    state: str | None = None,
    type_name: str | None = None,
    site: str | None = None,
    unknown: bool | None = None,
    after: str = "",
    limit: int = 100,
    sites: Sites = None,
) -> list[dict[str, Any]]:
    """Return devices by id, as plain values."""
    return search_devices(
        session, now, Sought(state, type_name, site, unknown, after, limit, sites)
    )


def search_devices(session: Session, now: datetime, sought: Sought) -> list[dict[str, Any]]:
    """Return the devices that are looked for by id, as plain values."""
    query = (
        select(HeardDevice, Device)
        .join(Device, col(Device.id) == col(HeardDevice.id), isouter=True)
        .where(HeardDevice.id > sought.after)
        .order_by(col(HeardDevice.id))
    )
    if sought.type_name is not None:
        query = query.where(HeardDevice.type == sought.type_name)
    if sought.site is not None:
        query = query.where(HeardDevice.site_id == sought.site)
    if sought.sites is not None:
        known_at = func.coalesce(Device.site_id, HeardDevice.site_id)
        query = query.where(is_at(session, known_at, sought.sites))
    if sought.text:
        columns = (HeardDevice.id, Device.label, Device.place)
        query = query.where(
            or_(*(col(one).icontains(sought.text, autoescape=True) for one in columns))
        )
    if sought.unknown is not None:
        is_known = col(Device.id).is_not(None)
        query = query.where(~is_known if sought.unknown else is_known)
    if sought.state is None:
        query = query.limit(sought.limit)
    found = []
    for heard, known in session.exec(query.execution_options(yield_per=500)):
        # Silence depends on the time of asking, so the state is no column.
        if sought.state is None or heard.state_at(now) == sought.state:
            found.append(_view_device(heard, known, now))
        if len(found) >= sought.limit:
            break
    return found


def find_device(
    session: Session, now: datetime, device_id: str, sites: Sites = None
) -> dict[str, Any] | None:
    """Return one device as plain values, or None."""
    heard, known = session.get(HeardDevice, device_id), session.get(Device, device_id)
    if heard is None:
        return None
    site_id = known.site_id if known is not None else heard.site_id
    is_here = sites is None or site_id in sites
    return _view_device(heard, known, now) if is_here else None


def sites_of_device(session: Session, device_id: str) -> set[str]:
    """Return the site of a device's topic, and the one where it was adopted."""
    found = session.get(HeardDevice, device_id), session.get(Device, device_id)
    return {one.site_id for one in found if one is not None}


def check_adoption(session: Session, actor: Actor, device_id: str, site_id: str) -> None:
    """Refuse who may not take a device from where it is, or not to where it is to be."""
    for one in sorted(sites_of_device(session, device_id)):
        check_site(actor, Role.OPERATOR, one)
    # A site that the CRM does not know is told as such: that it is none is no secret.
    if session.get(Site, site_id) is not None:
        check_site(actor, Role.OPERATOR, site_id)


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
    before: int | None = None,
) -> list[dict[str, Any]]:
    """Return refused payloads as plain values, the newest first, perhaps from behind one on."""
    query = select(Quarantined).order_by(col(Quarantined.id).desc()).limit(limit)
    if before is not None:
        query = query.where(col(Quarantined.id) < before)
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
