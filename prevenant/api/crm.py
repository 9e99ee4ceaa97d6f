"""The CRM over HTTP: its rows, judged as those of files are, technicians' positions and leave."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, Response, status
from pydantic import ValidationError
from sqlalchemy import ColumnElement, true
from sqlmodel import Session

from prevenant.api.access import (
    Actor,
    Administrator,
    OperatorOfAll,
    Role,
    Viewer,
    ViewerOfAll,
    check_role,
    check_site,
)
from prevenant.api.bodies import Body, Moment
from prevenant.api.etags import check_unchanged, etag_of
from prevenant.api.paging import Paged
from prevenant.api.within import is_row_at
from prevenant.crm.ages import view_crm
from prevenant.crm.entities import OF_JOBS, Entity, find_entity
from prevenant.crm.exporting import find_rows, hide_secrets
from prevenant.crm.judging import judge
from prevenant.crm.leave import record_leave
from prevenant.crm.positions import Heard, record_positions
from prevenant.crm.tables import ERASED, Device, Technician
from prevenant.crm.writing import remove_rows, write_lines
from prevenant.errors import ConfigurationError, CrmImportError, Problem
from workflows.absence import announce_absences

router = APIRouter(prefix="/api/v1")

_LARGEST_OFFSET = 2**31 - 1

_PERSONAL = frozenset({"contacts", "consents", "leave", "positions"})
"""Kinds of rows that tell of people what is not for everybody who may look."""
_OF_A_SITE = frozenset({"devices", "assets"})
"""Kinds of rows that whoever administers a site may change there."""


class Position(Body):
    """Where a technician is; without a time, now."""

    latitude: float
    longitude: float
    observed_at: Moment | None = None
    accuracy: float = 0.0
    """In metres; 0 where it is not known."""


class Absence(Body):
    """From when to when a technician is away; without a beginning, from now on."""

    starts_at: Moment | None = None
    ends_at: Moment
    reason: str = "leave"


@dataclass(frozen=True, slots=True)
class _One:
    """A single row, as a batch to be judged."""

    entity: Entity
    key: str
    given: Mapping[str, Any]

    def rows(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the row."""
        yield self.key, self.given

    def problem(self, ref: str, column: str, message: str) -> Problem:
        """Return a problem with a column."""
        place = f"{self.entity.name}/{ref}"
        return Problem(place, 1, 1, message, f"{place}: {column}" if column else place)


@router.get("/crm")
def show_crm(request: Request, actor: ViewerOfAll) -> dict[str, Any]:
    """Return how many rows there are, and how old what outside CRMs say is."""
    del actor
    with request.app.state.store.read() as session:
        return view_crm(session, _now(request))


@router.get("/crm/{entity}")
def list_rows(
    request: Request,
    entity: str,
    page: Paged,
    actor: Viewer,
    offset: Annotated[int, Query(ge=0, le=_LARGEST_OFFSET)] = 0,
) -> list[dict[str, Any]]:
    """Return rows of a kind, in the order of their ids."""
    kind = _entity(entity)
    with request.app.state.store.read() as session:
        begin = offset if page.number is None else page.number
        among = _visible(session, kind, actor)
        found = find_rows(session, kind, offset=begin, limit=page.fetched, among=among)
        # Rows of some kinds have no name that says where they stand, so that the next page is counted.
        rows = page.give(found, lambda _: begin + page.limit)
    return [hide_secrets(row) for row in rows]


@router.get("/crm/{entity}/{record_id:path}")
def show_row(
    request: Request, response: Response, entity: str, record_id: str, actor: Viewer
) -> dict[str, Any]:
    """Return one row."""
    kind = _entity(entity)
    with request.app.state.store.read() as session:
        found = _known(session, kind, record_id, _visible(session, kind, actor))
    return _tagged(response, found)


@router.put("/crm/{entity}/{record_id:path}")
def put_row(
    request: Request,
    response: Response,
    entity: str,
    record_id: str,
    row: dict[str, Any],
    actor: Administrator,
) -> dict[str, Any]:
    """Make a row, or change those columns of it that are given."""
    kind = _entity(entity)
    with request.app.state.store.write() as session:
        _check_change(session, actor, kind, record_id, row)
        check_unchanged(request, lambda: find_row(session, kind, record_id))
        try:
            save_row(session, kind, record_id, row, _now(request))
        except CrmImportError as error:
            problems = [{"place": x.place, "message": x.message} for x in error.problems]
            raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, problems) from None
        if kind.name in OF_JOBS:
            announce_absences(session, _now(request))
        return _tagged(response, _known(session, kind, record_id))


@router.delete("/crm/{entity}/{record_id:path}")
def delete_row(
    request: Request, entity: str, record_id: str, actor: Administrator
) -> dict[str, int]:
    """Remove a row: a person is inactive from now on, a role ends, other rows are marked."""
    kind = _entity(entity)
    with request.app.state.store.write() as session:
        _check_change(session, actor, kind, record_id, {})
        found = _known(session, kind, record_id)
        check_unchanged(request, lambda: found)
        removed = remove_rows(session, kind, [kind.key_of(found)], _now(request))
        if kind.name in OF_JOBS:
            announce_absences(session, _now(request))
        return {"removed": removed}


@router.put("/technicians/{technician_id}/position")
def put_position(
    request: Request, technician_id: str, position: Position, actor: OperatorOfAll
) -> dict[str, Any]:
    """Take note of where a technician is; 422 says why it is not believed."""
    del actor
    now = _now(request)
    at = position.observed_at or now
    heard = Heard(position.latitude, position.longitude, at, position.accuracy)
    with request.app.state.store.write() as session:
        _require_technician(session, technician_id)
        verdict = record_positions(session, {technician_id: heard}, now)[technician_id]
    if not verdict.taken:
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, verdict.reason)
    return {"technician": technician_id, "observed_at": at}


@router.post("/technicians/{technician_id}/leave", status_code=status.HTTP_201_CREATED)
def add_leave(
    request: Request, technician_id: str, absence: Absence, actor: OperatorOfAll
) -> dict[str, Any]:
    """Give a technician leave; their open jobs are given to others."""
    del actor
    now = _now(request)
    with request.app.state.store.write() as session:
        _require_technician(session, technician_id)
        try:
            return take_leave(
                session,
                technician_id,
                absence.starts_at or now,
                absence.ends_at,
                absence.reason,
                now,
            )
        except ConfigurationError as error:
            raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, str(error)) from None


def save_row(
    session: Session, entity: Entity, record_id: str, row: Mapping[str, Any], now: datetime
) -> None:
    """Write one row, whose identity is `record_id`. Raises CrmImportError with everything wrong."""
    identity = _identity(entity, record_id)
    if entity.name == "devices":
        identity = _identify_device(session, record_id, row)
    batch = _One(entity, record_id, {**row, **identity})
    unknown = sorted(set(batch.given) - set(entity.row.model_fields))
    if unknown:
        problems = [batch.problem(record_id, n, "this column is not known") for n in unknown]
        raise CrmImportError(problems)
    judgement = judge(session, [batch])
    if judgement.problems:
        raise CrmImportError(judgement.problems)
    tally = write_lines(session, judgement, "", now=now)[entity.name]
    if tally.unbelieved:
        raise CrmImportError([batch.problem(record_id, "", x) for x in tally.unbelieved.values()])


def take_leave(
    session: Session,
    technician_id: str,
    starts_at: datetime,
    ends_at: datetime,
    reason: str,
    now: datetime,
) -> dict[str, Any]:
    """Record leave and tell the cases of the technician's jobs. Raises ConfigurationError."""
    leave = record_leave(session, technician_id, starts_at, ends_at, reason)
    told = announce_absences(session, now, technician_id)
    return {**leave.model_dump(), "jobs_told": told}


def find_row(
    session: Session, entity: Entity, record_id: str, among: ColumnElement[bool] | None = None
) -> dict[str, Any] | None:
    """Return one row as plain values, perhaps only `among` some, or None."""
    first = record_id
    if len(entity.match) > 1:
        first = record_id.partition("/")[0]
        record_id = _in_one_form(entity, record_id)
    rows = find_rows(session, entity, only=first, among=among)
    return next((row for row in rows if entity.key_of(row) == record_id), None)


def _identity(entity: Entity, record_id: str) -> dict[str, str]:
    names = ("id",) if entity.name == "leave" else entity.identity
    return dict(zip(names, record_id.split("/", len(names) - 1), strict=False))


def _identify_device(session: Session, record_id: str, row: Mapping[str, Any]) -> dict[str, str]:
    """Return which device it is: one may be at another site than that of its topic."""
    known = session.get(Device, record_id)
    site, _, name = record_id.rpartition("/")
    site = row.get("site") or (known.site_id if known else site)
    return {"id": record_id, "site": site, "device": name}


def _in_one_form(entity: Entity, record_id: str) -> str:
    """Return an id as the store's own rows have it: times in UTC, also an empty last part."""
    parts = _identity(entity, record_id)
    try:
        row = entity.partial.model_validate(parts)
    except ValidationError:
        return record_id
    given = {name: getattr(row, name) for name in parts}
    return (
        entity.key_of(given) if {*entity.identity} & {*entity.required} <= {*given} else record_id
    )


def _visible(session: Session, entity: Entity, actor: Actor) -> ColumnElement[bool]:
    """Return which rows of a kind somebody may see; refuse who may see none."""
    role = Role.OPERATOR if entity.name in _PERSONAL else Role.VIEWER
    check_role(actor, role)
    among = is_row_at(session, entity, actor.sites(role))
    if among is None:
        check_role(actor, role, everywhere=True)
        return true()
    return among


def _check_change(
    session: Session, actor: Actor, entity: Entity, record_id: str, row: Mapping[str, Any]
) -> None:
    """Refuse who may not change a row where it is, or not where it is to be."""
    if entity.name not in _OF_A_SITE:
        check_role(actor, Role.ADMINISTRATOR, everywhere=True)
        return
    known = find_row(session, entity, record_id)
    if known is not None:
        check_site(actor, Role.ADMINISTRATOR, str(known["site"]))
    site = row.get("site") or (known or {}).get("site") or record_id.rpartition("/")[0]
    check_site(actor, Role.ADMINISTRATOR, str(site))


def _known(
    session: Session, entity: Entity, record_id: str, among: ColumnElement[bool] | None = None
) -> dict[str, Any]:
    found = find_row(session, entity, record_id, among)
    if found is None:
        message = f"there is no {record_id!r} in {entity.name}"
        raise HTTPException(status.HTTP_404_NOT_FOUND, message)
    return found


def _tagged(response: Response, row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as it can be shown, with the tag of the whole of it."""
    response.headers["ETag"] = etag_of(row)
    return hide_secrets(row)


def _require_technician(session: Session, technician_id: str) -> None:
    if technician_id.startswith(ERASED) or session.get(Technician, technician_id) is None:
        message = f"the CRM has no technician {technician_id!r}"
        raise HTTPException(status.HTTP_404_NOT_FOUND, message)


def _entity(name: str) -> Entity:
    try:
        return find_entity(name)
    except ConfigurationError as error:
        raise HTTPException(status.HTTP_404_NOT_FOUND, str(error)) from None


def _now(request: Request) -> datetime:
    at: datetime = request.app.state.clock.now()
    return at
