"""Who is on call: schedules of layers, each a rotation of people, and overrides of them by a person.

    override by a person ─▶ first layer of the schedule that is manned ─▶ nobody, which is a gap

The hands of a clock on the wall decide: a turn ends at its hour in the schedule's time zone, in summer
and in winter. Where a change of the clock skips that hour, the turn ends as much later; where it
comes twice, at its first time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlmodel import Field, Session, col, select

from prevenant.crm.directory import Person, find_person, find_present
from prevenant.crm.public_holidays import holiday_on
from prevenant.crm.shifts import is_on_shift
from prevenant.errors import ConfigurationError, Problem
from prevenant.rows import TableRow
from prevenant.tables import add_timeline, utc_column

ALWAYS, NEVER, ONLY = "on", "off", "only"
HOLIDAY_RULES = (ALWAYS, NEVER, ONLY)
A_MONDAY = datetime.fromisoformat("2026-01-05T09:00")
"""From which turns count where the book does not say, by the clock on the wall."""
_LOOK_EVERY = timedelta(hours=1)


class OnCallOverride(TableRow, table=True):
    """A person who takes over a schedule for a while; the latest one given goes first."""

    __tablename__ = "on_call_override"

    id: int | None = Field(default=None, primary_key=True)
    schedule: str = Field(index=True)
    contact_id: str = Field(foreign_key="contact.id")
    starts_at: datetime = utc_column()
    ends_at: datetime = utc_column()
    given_by: str
    reason: str = ""
    created_at: datetime = utc_column()


@dataclass(frozen=True, slots=True)
class Layer:
    """People who take turns, at all hours or at some."""

    people: tuple[str, ...]
    """Contacts, in the order of their turns."""
    turn: timedelta = timedelta(weeks=1)
    begins: datetime = A_MONDAY
    """When the first person's first turn begins, by the clock on the wall."""
    hours: tuple[dict[str, Any], ...] = ()
    """As technicians' shifts; none means around the clock."""
    on_holidays: str = ALWAYS
    """`on` as on other days, `off`, or `only` on public holidays."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A named duty. The first of its layers that is manned at a time says who has it."""

    name: str
    timezone: str
    layers: tuple[Layer, ...]
    holidays: str = ""
    """Whose public holidays count: `FR`, `DE-BY`."""
    place: Problem | None = None
    """Where it stands in the book, for messages."""


@dataclass(frozen=True, slots=True)
class Duty:
    """Who is on call, and why."""

    contact_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which nobody is on call."""

    starts_at: datetime
    ends_at: datetime


def find_duty(
    schedule: Schedule, at: datetime, overrides: Sequence[OnCallOverride] = ()
) -> Duty | None:
    """Return who is on call at `at`, or None."""
    for one in sorted(overrides, key=lambda override: override.created_at, reverse=True):
        if one.schedule == schedule.name and one.starts_at <= at < one.ends_at:
            why = f": {one.reason}" if one.reason else ""
            return Duty(one.contact_id, f"stands in, as {one.given_by} said{why}")
    local = at.astimezone(ZoneInfo(schedule.timezone))
    holiday = holiday_on(schedule.holidays, local.date())
    for number, layer in enumerate(schedule.layers, 1):
        if (layer.on_holidays == NEVER and holiday) or (layer.on_holidays == ONLY and not holiday):
            continue
        if layer.hours and not is_on_shift(layer.hours, at, schedule.timezone):
            continue
        turn = find_turn(layer, at, schedule.timezone)
        until = turn_begins_at(layer, turn + 1, schedule.timezone)
        person = layer.people[turn % len(layer.people)]
        shown = until.astimezone(ZoneInfo(schedule.timezone))
        alone = len(layer.people) == 1
        reason = f"layer {number}" + ("" if alone else f", until {shown:%Y-%m-%d %H:%M}")
        return Duty(person, reason + (f", on {holiday}" if holiday else ""))
    return None


def find_turn(layer: Layer, at: datetime, timezone: str) -> int:
    """Return the number of the turn under way at `at`; before the first it is negative."""
    local = at.astimezone(ZoneInfo(timezone)).replace(tzinfo=None)
    turn = (local - layer.begins) // layer.turn
    # At a change of the clock the wall alone does not tell: an hour comes twice, or never.
    while turn_begins_at(layer, turn, timezone) > at:
        turn -= 1
    while turn_begins_at(layer, turn + 1, timezone) <= at:
        turn += 1
    return turn


def turn_begins_at(layer: Layer, turn: int, timezone: str) -> datetime:
    """Return when a turn begins."""
    local = layer.begins + layer.turn * turn
    return local.replace(tzinfo=ZoneInfo(timezone)).astimezone(UTC)


def find_gaps(
    schedule: Schedule,
    start: datetime,
    end: datetime,
    overrides: Sequence[OnCallOverride] = (),
) -> list[Gap]:
    """Return when nobody is on call between two instants, in order."""
    gaps: list[Gap] = []
    began: datetime | None = None
    for moment in _moments(schedule, start, end, overrides):
        is_manned = find_duty(schedule, moment, overrides) is not None
        if not is_manned and began is None:
            began = moment
        elif is_manned and began is not None:
            gaps.append(Gap(began, moment))
            began = None
    if began is not None and began < end:
        gaps.append(Gap(began, end))
    return gaps


def find_duties(
    schedule: Schedule,
    start: datetime,
    end: datetime,
    overrides: Sequence[OnCallOverride] = (),
) -> Iterator[tuple[datetime, Duty | None]]:
    """Yield who takes over when, from `start` on, with None where nobody does."""
    told: str | None = ""
    for moment in _moments(schedule, start, end, overrides):
        duty = find_duty(schedule, moment, overrides)
        contact_id = duty.contact_id if duty else None
        if contact_id != told and moment < end:
            told = contact_id
            yield moment, duty


def _moments(
    schedule: Schedule, start: datetime, end: datetime, overrides: Sequence[OnCallOverride]
) -> list[datetime]:
    """Return every instant at which another person may take over, with both ends."""
    zone = ZoneInfo(schedule.timezone)
    moments = {start, end}
    hours = {time(0)}
    for layer in schedule.layers:
        for shift in layer.hours:
            hours |= {_wall_time(shift["start"]), _wall_time(shift["end"])}
        turn = find_turn(layer, start, schedule.timezone) + 1
        while len(layer.people) > 1 and (
            (begins := turn_begins_at(layer, turn, schedule.timezone)) < end
        ):
            moments.add(begins)
            turn += 1
    day = start.astimezone(zone).date()
    while day <= end.astimezone(zone).date():
        for hour in hours:
            # Both readings of an hour that comes twice.
            moments |= {
                datetime.combine(day, hour, zone).replace(fold=fold).astimezone(UTC)
                for fold in (0, 1)
            }
        day += timedelta(days=1)
    # The clock changes on the hour; a shift may begin or end inside an hour that is skipped.
    moment = start.replace(minute=0, second=0, microsecond=0)
    while moment < end:
        moments.add(moment)
        moment += _LOOK_EVERY
    for one in overrides:
        moments |= {one.starts_at, one.ends_at}
    return sorted(moment for moment in moments if start <= moment <= end)


def _wall_time(text: str) -> time:
    return time(0) if text == "24:00" else time.fromisoformat(text)


def find_overrides(session: Session, at: datetime, schedule: str = "") -> list[OnCallOverride]:
    """Return the overrides that are not over at `at`, of one schedule or of all."""
    query = select(OnCallOverride).where(
        col(OnCallOverride.ends_at) > at,
        # One that was ended before it began is never in force.
        col(OnCallOverride.ends_at) > col(OnCallOverride.starts_at),
    )
    if schedule:
        query = query.where(OnCallOverride.schedule == schedule)
    return list(session.exec(query.order_by(col(OnCallOverride.starts_at))))


def who_is_on_call(session: Session, schedule: Schedule, at: datetime) -> tuple[Person | None, str]:
    """Return who is on call, with the reason; no person with the reason why there is none."""
    duty = find_duty(schedule, at, find_overrides(session, at, schedule.name))
    if duty is None:
        return None, f"nobody is on call for {schedule.name}: a gap in its schedule"
    person = find_present(session, duty.contact_id)
    if person is None:
        known = find_person(session, duty.contact_id)
        where = "is not there any more" if known else "not in the CRM"
        who = known.name if known else duty.contact_id
        return None, f"{who} is on call for {schedule.name} and {where}"
    return person, duty.reason


def give_override(session: Session, override: OnCallOverride) -> OnCallOverride:
    """Let a person stand in. Raises ConfigurationError."""
    if override.ends_at <= override.starts_at:
        message = "it ends before it begins: name a later end"
        raise ConfigurationError(message)
    person = find_person(session, override.contact_id)
    if person is None:
        message = f"the CRM has no contact {override.contact_id!r}: import it first"
        raise ConfigurationError(message)
    if find_present(session, override.contact_id) is None:
        message = f"{person.name} is not active in the CRM, and is told nothing: name somebody else"
        raise ConfigurationError(message)
    session.add(override)
    session.flush()
    _note(session, override, override.created_at, f"stands in for {override.schedule}")
    return override


def end_override(session: Session, override_id: int, at: datetime, by: str) -> OnCallOverride:
    """End an override before its time. Raises ConfigurationError."""
    override = session.get(OnCallOverride, override_id)
    if override is None or override.ends_at <= max(at, override.starts_at):
        message = (
            f"there is no override {override_id} under way or to come: see `prevenant on-call show`"
        )
        raise ConfigurationError(message)
    override.ends_at = max(at, override.starts_at)
    session.add(override)
    _note(session, override, at, f"no longer stands in for {override.schedule}, as {by} said")
    return override


def _note(session: Session, override: OnCallOverride, at: datetime, what: str) -> None:
    person = find_person(session, override.contact_id)
    detail = {
        "schedule": override.schedule,
        "from": override.starts_at.isoformat(),
        "to": override.ends_at.isoformat(),
        "by": override.given_by,
        "reason": override.reason,
    }
    name = person.name if person else override.contact_id
    add_timeline(session, at, "on_call.override", f"{name} {what}", detail=detail)


def first_turn(since: date, hand_over: time, weekday: int | None) -> datetime:
    """Return when the first turn begins: on `since`, or on the weekday that follows."""
    days = 0 if weekday is None else (weekday - since.weekday()) % 7
    return datetime.combine(since + timedelta(days=days), hand_over)
