"""What the API, the console and the commands tell of alarms, and what people do with them."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar

from fastapi import APIRouter, HTTPException, Request, status
from pydantic import Field
from sqlmodel import Session, col, or_, select

from ingest.registry import HeardDevice
from prevenant.api.access import Actor, Operator, Role, Viewer, check_role, check_site
from prevenant.api.acts import add_detail
from prevenant.api.bodies import Body, Moment
from prevenant.api.devices import sites_of_device
from prevenant.api.paging import Paged, RowId
from prevenant.api.within import Sites, is_at
from prevenant.durations import parse_duration
from prevenant.errors import ConfigurationError
from prevenant.shelf_scope import check_scope
from prevenant.shelving import (
    BY_PEOPLE,
    MAINTENANCE,
    SHELVED,
    Shelf,
    acknowledge,
    add_shelf,
    end_shelf,
    find_alarm,
    reset,
)
from prevenant.tables import Alarm, TimelineEntry

router = APIRouter(prefix="/api/v1")

T = TypeVar("T")

_STORY_LINES = 200


class Person(Body):
    """For whom a program does it; a person who is signed in does it in their own name."""

    by: str = Field(default="", max_length=100)


class NewShelf(Body):
    """What is to be kept from being told, for how long and why; life-safety only by rule and device."""

    kind: str = SHELVED
    rule: str = ""
    device: str = ""
    site: str = ""
    starts_at: Moment | None = None
    ends_at: Moment | None = None
    lasts: str = ""
    """A length of time such as `2h`, instead of `ends_at`."""
    by: str = Field(default="", max_length=100)
    reason: str = ""


@router.get("/alarms")
def list_alarms(
    request: Request,
    actor: Viewer,
    page: Paged,
    state: Literal["active", "cleared", "latched"] | None = None,
    rule: str | None = None,
    device: str | None = None,
    site: str | None = None,
) -> list[Alarm]:
    """Return alarms, the newest first, perhaps only those in one state or of one rule, device or site."""
    with request.app.state.store.read() as session:
        found = find_alarms(
            session,
            state=state,
            rule=rule,
            device=device,
            site=site,
            limit=page.fetched,
            before=page.number,
            sites=actor.sites(),
        )
    return page.give(found, lambda one: one.id)


@router.get("/alarms/{alarm_id}")
def show_alarm(request: Request, alarm_id: RowId, actor: Viewer) -> dict[str, Any]:
    """Return an alarm with the comparisons that decided, and its story."""
    with request.app.state.store.read() as session:
        return explain_alarm(session, _known(session, alarm_id, actor, Role.VIEWER))


@router.post("/alarms/{alarm_id}/acknowledge")
def acknowledge_alarm(request: Request, alarm_id: RowId, person: Person, actor: Operator) -> Alarm:
    """Take note that a person has seen an alarm."""
    by = actor.signs(person.by)
    with request.app.state.store.write() as session:
        _known(session, alarm_id, actor, Role.OPERATOR)
        return _refusing(lambda: acknowledge(session, alarm_id, _now(request), by))


@router.post("/alarms/{alarm_id}/reset")
def reset_alarm(request: Request, alarm_id: RowId, person: Person, actor: Operator) -> Alarm:
    """End a latched alarm."""
    by = actor.signs(person.by)
    with request.app.state.store.write() as session:
        _known(session, alarm_id, actor, Role.OPERATOR)
        return _refusing(lambda: reset(session, alarm_id, _now(request), by))


@router.get("/shelves")
def list_shelves(
    request: Request,
    actor: Viewer,
    past: bool = False,  # noqa: FBT001, FBT002  a query's parameter
) -> list[Shelf]:
    """Return what keeps alarms from being told, now or later; with `past`, what did."""
    with request.app.state.store.read() as session:
        return find_shelves(session, _now(request), past=past, sites=actor.sites())


@router.post("/shelves", status_code=status.HTTP_201_CREATED)
def shelve(request: Request, wanted: NewShelf, actor: Operator) -> Shelf:
    """Keep alarms from being told for a while: shelve them, or announce maintenance."""
    wanted.by = actor.signs(wanted.by)
    add_detail(request, rule=wanted.rule, device=wanted.device, site=wanted.site)
    with request.app.state.store.write() as session:
        check_shelf(session, actor, Role.OPERATOR, wanted.device, wanted.site)
        return _refusing(lambda: put_shelf(session, wanted, _now(request)))


@router.post("/shelves/{shelf_id}/end")
def unshelve(request: Request, shelf_id: RowId, person: Person, actor: Operator) -> Shelf:
    """End a shelf before its time; alarms under it that are still active are told."""
    by = actor.signs(person.by)
    with request.app.state.store.write() as session:
        shelf = session.get(Shelf, shelf_id)
        if shelf is not None:
            check_shelf(session, actor, Role.OPERATOR, shelf.device_id, shelf.site_id)
        return _refusing(lambda: end_shelf(session, shelf_id, _now(request), by))


def find_alarms(
    session: Session,
    *,
    state: str | None = None,
    rule: str | None = None,
    device: str | None = None,
    site: str | None = None,
    limit: int = 100,
    before: int | None = None,
    sites: Sites = None,
) -> list[Alarm]:
    """Return alarms, the newest first, perhaps from behind one on; None asks for any."""
    query = select(Alarm).order_by(col(Alarm.id).desc()).limit(limit)
    query = query.where(is_at(session, Alarm.site_id, sites))
    if before is not None:
        query = query.where(col(Alarm.id) < before)
    wanted = ((Alarm.state, state), (Alarm.rule, rule), (Alarm.device_id, device))
    for column, value in (*wanted, (Alarm.site_id, site)):
        if value is not None:
            query = query.where(col(column) == value)
    return list(session.exec(query))


def explain_alarm(session: Session, alarm: Alarm) -> dict[str, Any]:
    """Return an alarm with its trace and the lines of its story, the oldest first."""
    query = select(TimelineEntry).where(TimelineEntry.alarm_id == alarm.id)
    story = session.exec(query.order_by(col(TimelineEntry.id)).limit(_STORY_LINES))
    lines = [{"at": line.at, "kind": line.kind, "summary": line.summary} for line in story]
    return {**alarm.model_dump(), "story": lines}


def find_shelves(
    session: Session, now: datetime, *, past: bool, sites: Sites = None
) -> list[Shelf]:
    """Return shelves in force or ahead, or with `past` all, the next to end first.

    One that names neither device nor site is over every site, and concerns everybody.
    """
    query = select(Shelf).order_by(col(Shelf.ends_at))
    if sites is not None:
        devices = select(HeardDevice.id).where(is_at(session, HeardDevice.site_id, sites))
        of_site = or_(Shelf.site_id == "", is_at(session, Shelf.site_id, sites))
        of_device = or_(Shelf.device_id == "", col(Shelf.device_id).in_(devices))
        query = query.where(of_site, of_device)
    if not past:
        query = query.where(Shelf.ends_at > now, col(Shelf.ended_at).is_(None))
    return list(session.exec(query))


def check_shelf(session: Session, actor: Actor, role: Role, device_id: str, site_id: str) -> None:
    """Refuse a shelf over what is at a site where the actor has not the role."""
    sites = sites_of_device(session, device_id) if device_id else set()
    sites |= {site_id} if site_id else set()
    if not sites:
        check_role(actor, role, everywhere=True)
    for one in sorted(sites):
        check_site(actor, role, one)


def put_shelf(session: Session, wanted: NewShelf, now: datetime) -> Shelf:
    """Put a shelf as asked. Raises ConfigurationError with what is missing or wrong."""
    if wanted.kind not in BY_PEOPLE:
        message = f"{wanted.kind!r} is no kind of shelf: write {SHELVED} or {MAINTENANCE}"
        raise ConfigurationError(message)
    starts_at = wanted.starts_at or now
    ends_at = wanted.ends_at
    if ends_at is None:
        try:
            ends_at = starts_at + timedelta(seconds=parse_duration(wanted.lasts))
        except ValueError:
            what = f"{wanted.lasts!r} is no length of time" if wanted.lasts else "no end is given"
            message = f"{what}: say how long, as in 2h (lasts), or until when (ends_at)"
            raise ConfigurationError(message) from None
    unchecked = check_scope(session, wanted.rule, wanted.device, wanted.site)
    shelf = Shelf(
        kind=wanted.kind,
        rule=wanted.rule,
        device_id=wanted.device,
        site_id=wanted.site,
        starts_at=starts_at,
        ends_at=ends_at,
        ended_at=None,
        owner=wanted.by,
        reason=wanted.reason,
        created_at=now,
    )
    return add_shelf(session, shelf, unchecked)


def _known(session: Session, alarm_id: int, actor: Actor, role: Role) -> Alarm:
    try:
        alarm = find_alarm(session, alarm_id)
    except ConfigurationError as error:
        raise HTTPException(status.HTTP_404_NOT_FOUND, str(error)) from None
    check_site(actor, role, alarm.site_id)
    return alarm


def _now(request: Request) -> datetime:
    now: datetime = request.app.state.clock.now()
    return now


def _refusing(work: Callable[[], T]) -> T:
    """Do what is asked, or refuse it with the reason."""
    try:
        return work()
    except ConfigurationError as error:
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, str(error)) from None
