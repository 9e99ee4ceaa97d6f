"""What the API and the commands tell of who is on call, and how somebody stands in."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, status
from pydantic import Field
from sqlmodel import Session

from prevenant.api.access import OperatorOfAll, Viewer
from prevenant.api.alarms import Person
from prevenant.api.bodies import Body, Moment
from prevenant.api.paging import RowId
from prevenant.crm.directory import find_person, find_present
from prevenant.document import suggest
from prevenant.errors import ConfigurationError
from prevenant.publishing import find_active
from workflows.on_call import (
    OnCallOverride,
    Schedule,
    end_override,
    find_duties,
    find_gaps,
    find_overrides,
    give_override,
)

router = APIRouter(prefix="/api/v1")


class NewOverride(Body):
    """Somebody who is to stand in for a while; without `starts_at` from now on."""

    schedule: str
    contact: str
    starts_at: Moment | None = None
    ends_at: Moment
    by: str = Field(default="", max_length=100)
    reason: str = ""


@router.get("/on-call")
def show_on_call(
    request: Request, actor: Viewer, days: Annotated[int, Query(ge=1, le=400)] = 14
) -> list[dict[str, Any]]:
    """Return for each schedule who is on call from now on and why, and the gaps."""
    del actor
    now = request.app.state.clock.now()
    with request.app.state.store.read() as session:
        schedules = schedules_in_force(session).values()
        return describe_schedules(session, schedules, now, now + timedelta(days=days))


@router.post("/on-call/overrides", status_code=status.HTTP_201_CREATED)
def stand_in(request: Request, wanted: NewOverride, actor: OperatorOfAll) -> OnCallOverride:
    """Let somebody stand in for a while."""
    wanted.by = actor.signs(wanted.by)
    now = request.app.state.clock.now()
    try:
        with request.app.state.store.write() as session:
            return put_override(session, wanted, now)
    except ConfigurationError as error:
        raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, str(error)) from None


@router.post("/on-call/overrides/{override_id}/end")
def stop_standing_in(
    request: Request, override_id: RowId, person: Person, actor: OperatorOfAll
) -> OnCallOverride:
    """End an override before its time."""
    now = request.app.state.clock.now()
    try:
        with request.app.state.store.write() as session:
            return end_override(session, override_id, now, actor.signs(person.by))
    except ConfigurationError as error:
        raise HTTPException(status.HTTP_404_NOT_FOUND, str(error)) from None


def schedules_in_force(session: Session) -> Mapping[str, Schedule]:
    """Return the schedules of the rule book in force."""
    active = find_active(session)
    return active.load().schedules if active else {}


def find_schedule(session: Session, name: str) -> Schedule:
    """Return a schedule of the book in force. Raises ConfigurationError."""
    schedules = schedules_in_force(session)
    if name not in schedules:
        hint = suggest(name, schedules) if schedules else "publish one in the book's `on_call`"
        message = f"the rule book in force has no schedule {name!r}: {hint}"
        raise ConfigurationError(message)
    return schedules[name]


def put_override(session: Session, wanted: NewOverride, now: datetime) -> OnCallOverride:
    """Let somebody stand in as asked. Raises ConfigurationError."""
    find_schedule(session, wanted.schedule)
    override = OnCallOverride(
        schedule=wanted.schedule,
        contact_id=wanted.contact,
        starts_at=wanted.starts_at or now,
        ends_at=wanted.ends_at,
        given_by=wanted.by,
        reason=wanted.reason,
        created_at=now,
    )
    return give_override(session, override)


def describe_schedules(
    session: Session, schedules: Iterable[Schedule], start: datetime, end: datetime
) -> list[dict[str, Any]]:
    """Return for each schedule its duties and gaps between two instants, and overrides not yet over."""
    described = []
    for schedule in schedules:
        overrides = find_overrides(session, start, schedule.name)
        duties = []
        for at, duty in find_duties(schedule, start, end, overrides):
            person = find_person(session, duty.contact_id) if duty else None
            reason = duty.reason if duty else "a gap in the schedule"
            if person and not find_present(session, person.contact_id):
                reason += "; is not there any more, so that nobody is told"
            duties.append(
                {
                    "from": at,
                    "contact": duty.contact_id if duty else None,
                    "name": person.name if person else None,
                    "reason": reason,
                }
            )
        gaps = find_gaps(schedule, start, end, overrides)
        described.append(
            {
                "schedule": schedule.name,
                "timezone": schedule.timezone,
                "duties": duties,
                "gaps": [{"from": gap.starts_at, "to": gap.ends_at} for gap in gaps],
                "overrides": [one.model_dump() for one in overrides],
            }
        )
    return described
