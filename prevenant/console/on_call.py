"""The on-call calendar: who is on call now and next, where nobody is, and who stands in."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from babel.dates import format_date
from fastapi import APIRouter, Form, Request, Response
from sqlmodel import Session, col, or_, select

from prevenant.api.access import OperatorOfAll, Viewer
from prevenant.api.live import main_zone
from prevenant.api.on_call import (
    NewOverride,
    describe_schedules,
    find_schedule,
    put_override,
    schedules_in_force,
)
from prevenant.api.paging import RowId
from prevenant.console.duty_calendar import DAYS_SHOWN, first_day, lay_out, midnight, read_wall_time
from prevenant.console.shell import act, language_of, show
from prevenant.crm.tables import Contact, RoleHolder, Technician
from prevenant.errors import ConfigurationError
from workflows.on_call import OnCallOverride, Schedule, end_override, find_overrides

router = APIRouter(include_in_schema=False)

_LOOK_AHEAD = timedelta(days=60)
_GAPS_SHOWN = 10


@router.get("/on-call")
def show_on_call(request: Request, actor: Viewer, week: str = "") -> Response:
    """Show who is on call in two weeks, from the week of a day on."""
    now, language = request.app.state.clock.now(), language_of(request)
    return show(
        request, "on_call.html", lambda session: _calendar(session, week, now, language), actor
    )


@router.post("/on-call/overrides")
def stand_in(
    request: Request,
    actor: OperatorOfAll,
    schedule: Annotated[str, Form()],
    contact: Annotated[str, Form()],
    ends: Annotated[str, Form()],
    starts: Annotated[str, Form()] = "",
    reason: Annotated[str, Form()] = "",
) -> Response:
    """Let somebody stand in; without a beginning from now on."""
    now = request.app.state.clock.now()

    def change(session: Session) -> None:
        zone = ZoneInfo(find_schedule(session, schedule).timezone)
        ends_at = _read(ends, zone)
        if ends_at is None:
            raise ConfigurationError("say until when somebody stands in")
        wanted = NewOverride(
            schedule=schedule,
            contact=contact,
            starts_at=_read(starts, zone),
            ends_at=ends_at,
            by=actor.name,
            reason=reason.strip()[:200],
        )
        put_override(session, wanted, now)

    return act(request, change, "/on-call")


@router.post("/on-call/overrides/{override_id}/end")
def stop_standing_in(request: Request, actor: OperatorOfAll, override_id: RowId) -> Response:
    """End an override before its time."""
    now = request.app.state.clock.now()
    return act(
        request, lambda session: end_override(session, override_id, now, actor.name), "/on-call"
    )


def _read(text: str, zone: ZoneInfo) -> datetime | None:
    try:
        return read_wall_time(text, zone)
    except ValueError:
        message = f"{text!r} is no time: write one such as 2026-05-04T18:00"
        raise ConfigurationError(message) from None


def _calendar(session: Session, week: str, now: datetime, language: str) -> dict[str, Any]:
    schedules = list(schedules_in_force(session).values())
    today = now.astimezone(main_zone(session)).date()
    first = first_day(week, today)
    shown = [_view(session, schedule, first, now) for schedule in schedules]
    return {
        "schedules": shown,
        "people": _people(session, schedules),
        "first": first,
        "earlier": first - timedelta(days=7),
        "later": first + timedelta(days=7),
        "is_present": first == first_day("", today),
        "names": _names(session, [one for view in shown for one in view["overrides"]]),
        "day_name": lambda day: _say_day(day, language),
    }


def _view(session: Session, schedule: Schedule, first: date, now: datetime) -> dict[str, Any]:
    zone = ZoneInfo(schedule.timezone)
    start = midnight(first, zone)
    end = midnight(first + timedelta(days=DAYS_SHOWN), zone)
    (found,) = describe_schedules(session, [schedule], start, end)
    (ahead,) = describe_schedules(session, [schedule], now, now + _LOOK_AHEAD)
    days = lay_out(found["duties"], first, zone, now)
    return {
        "name": schedule.name,
        "zone": zone,
        "weeks": [days[:7], days[7:]],
        "now": ahead["duties"][0],
        "next": next(iter(ahead["duties"][1:]), None),
        "gaps": ahead["gaps"][:_GAPS_SHOWN],
        "overrides": find_overrides(session, now, schedule.name),
    }


def _people(session: Session, schedules: Sequence[Schedule]) -> list[tuple[str, str]]:
    """Return who can stand in, by name: whoever is there and has a role, jobs or turns."""
    on_schedules = {
        one for schedule in schedules for layer in schedule.layers for one in layer.people
    }
    works = or_(
        col(Contact.id).in_(select(RoleHolder.contact_id)),
        col(Contact.id).in_(select(Technician.contact_id)),
        col(Contact.id).in_(on_schedules),
    )
    query = select(Contact.id, Contact.name).where(col(Contact.is_active), works)
    return list(session.exec(query.order_by(Contact.name)).all())


def _names(session: Session, overrides: Sequence[OnCallOverride]) -> dict[str, str]:
    ids = {one.contact_id for one in overrides}
    return dict(
        session.exec(select(Contact.id, Contact.name).where(col(Contact.id).in_(ids))).all()
    )


def _say_day(day: date, language: str) -> str:
    """Return Mon 4 May."""
    return str(format_date(day, "EEE d MMM", locale=language))
