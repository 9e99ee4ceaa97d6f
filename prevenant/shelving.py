"""Alarms that a person has a word in: shelved for a while, under maintenance, acknowledged, reset.

A *shelf* keeps alarms from being told: those of one rule, device or site, from one time to another.
Who put it there, until when and why is stored. An alarm that is raised under a shelf and still active when
the last shelf over it ends is told then.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, literal_column
from sqlmodel import Field, Session, col, select

from prevenant.domain import Severity
from prevenant.errors import ConfigurationError
from prevenant.rows import TableRow
from prevenant.store import UtcDateTime
from prevenant.tables import (
    ACTIVE,
    CLEARED,
    LATCHED,
    Alarm,
    CaseEvent,
    add_case_event,
    add_timeline,
    utc_column,
    wake_cases,
)

SHELVED, MAINTENANCE, FLAPPING = "shelved", "maintenance", "flapping"
BY_PEOPLE = (SHELVED, MAINTENANCE)
_SHELVES = (*BY_PEOPLE, FLAPPING)


# Written out, so that the index of those under a shelf is known to hold all that is asked for.
_IS_ACTIVE = col(Alarm.state) == literal_column(f"'{ACTIVE}'")


class Shelf(TableRow, table=True):
    """What keeps alarms from being told; an empty rule, device or site means any."""

    id: int | None = Field(default=None, primary_key=True)
    kind: str
    """`shelved` or `maintenance` by a person; `flapping` by itself."""
    rule: str = ""
    device_id: str = ""
    site_id: str = ""
    starts_at: datetime = utc_column()
    ends_at: datetime = Field(sa_type=UtcDateTime, index=True)
    ended_at: datetime | None = utc_column(nullable=True)
    """When a person ended it before its time."""
    owner: str
    """Who put it there."""
    reason: str = ""
    created_at: datetime = utc_column()

    @property
    def scope(self) -> str:
        """What it is about, in words."""
        parts = (("rule", self.rule), ("device", self.device_id), ("site", self.site_id))
        return ", ".join(f"{what} {name}" for what, name in parts if name)


def add_shelf(session: Session, shelf: Shelf, unchecked: str = "") -> Shelf:
    """Put a shelf over alarms; its story says what could not be checked.

    Raises ConfigurationError where it is about nothing or ends at once.
    """
    if not (shelf.rule or shelf.device_id or shelf.site_id):
        message = "name a rule, a device or a site: everything cannot be shelved at once"
        raise ConfigurationError(message)
    if shelf.ends_at <= max(shelf.starts_at, shelf.created_at):
        message = "it would end before it begins: give a time that lies ahead"
        raise ConfigurationError(message)
    session.add(shelf)
    session.flush()
    until = shelf.ends_at.isoformat(" ", "minutes")
    why = f": {shelf.reason}" if shelf.reason else ""
    summary = f"{shelf.scope} is {_WORDS[shelf.kind]} until {until} by {shelf.owner}{why}"
    summary += f"; {unchecked}" if unchecked else ""
    add_timeline(session, shelf.created_at, f"alarm.{shelf.kind}", summary)
    return shelf


def end_shelf(session: Session, shelf_id: int, now: datetime, owner: str) -> Shelf:
    """End a shelf now; alarms that it kept are told. Raises ConfigurationError where there is none."""
    shelf = session.get(Shelf, shelf_id)
    if shelf is None or shelf.ends_at <= now or shelf.ended_at is not None:
        message = f"no shelf {shelf_id} is in force or ahead: see `prevenant alarms shelves`"
        raise ConfigurationError(message)
    shelf.ended_at = now
    session.add(shelf)
    session.flush()
    query = select(Alarm).where(Alarm.state == ACTIVE, Alarm.held_by == shelf.kind)
    for alarm in session.exec(query):
        if _covers(shelf, alarm):
            alarm.held_until = now
            session.add(alarm)
    add_timeline(session, now, "alarm.unshelved", f"{shelf.scope} is told again, says {owner}")
    wake_cases(session)
    return shelf


def shelves_over(session: Session, alarms: Sequence[tuple[Alarm, datetime]]) -> list[Shelf | None]:
    """Return the shelf that people have put over each alarm at a moment, the one that ends last, or None.

    One over an alarm of life-safety has to name its rule and its device.
    """
    if not alarms:
        return []
    params = {
        "first": min(at for _, at in alarms),
        "last": max(at for _, at in alarms),
        "rules": ["", *{alarm.rule for alarm, _ in alarms}],
        "devices": ["", *{alarm.device_id for alarm, _ in alarms}],
        "sites": ["", *{alarm.site_id for alarm, _ in alarms}],
    }
    shelves = session.exec(_BY_PEOPLE, params=params).all()
    return [next((one for one in shelves if _lies_over(one, *each)), None) for each in alarms]


def _lies_over(shelf: Shelf, alarm: Alarm, at: datetime) -> bool:
    names_it = bool(shelf.rule and shelf.device_id) or alarm.severity < Severity.LIFE_SAFETY
    return names_it and shelf.starts_at <= at < shelf.ends_at and _covers(shelf, alarm)


_FIRST, _LAST = (bindparam(name, type_=UtcDateTime()) for name in ("first", "last"))
_BY_PEOPLE = (
    select(Shelf)
    .where(col(Shelf.kind).in_(BY_PEOPLE), col(Shelf.ended_at).is_(None))
    .where(Shelf.starts_at <= _LAST, Shelf.ends_at > _FIRST)
    .where(col(Shelf.rule).in_(bindparam("rules", expanding=True)))
    .where(col(Shelf.device_id).in_(bindparam("devices", expanding=True)))
    .where(col(Shelf.site_id).in_(bindparam("sites", expanding=True)))
    .order_by(col(Shelf.ends_at).desc())
)


NEXT_RELEASE = (
    select(Alarm.held_until)
    .where(_IS_ACTIVE, col(Alarm.held_by).in_(_SHELVES), col(Alarm.held_until).is_not(None))
    .order_by(col(Alarm.held_until))
    .limit(1)
)
"""When the next alarm comes out from under a shelf."""


def release_next(session: Session, now: datetime) -> bool:
    """Tell of an alarm whose shelf has ended; return whether there was one."""
    query = (
        select(Alarm)
        .where(_IS_ACTIVE, col(Alarm.held_by).in_(_SHELVES))
        .where(col(Alarm.held_until) <= now)
        .order_by(col(Alarm.severity).desc(), col(Alarm.id))
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    alarm = session.exec(query).first()
    if alarm is None:
        return False
    (shelf,) = shelves_over(session, [(alarm, now)])
    if shelf is None:
        release(session, alarm, now, f"no longer {_WORDS[alarm.held_by]}")
    else:
        alarm.held_by, alarm.held_until = shelf.kind, shelf.ends_at
        session.add(alarm)
    return True


def release(session: Session, alarm: Alarm, now: datetime, why: str) -> None:
    """Let an active alarm be told that was kept back so far."""
    alarm.held_by, alarm.held_until = "", None
    session.add(alarm)
    summary = f"{alarm.rule} on {alarm.device_id} is told now: {why}, and it is still active"
    add_timeline(session, now, "alarm.released", summary, alarm_id=alarm.id)
    tell_case(session, alarm, "alarm.raised", now, alarm.reason)


def acknowledge(session: Session, alarm_id: int, now: datetime, owner: str) -> Alarm:
    """Take note that a person has seen an alarm; its case hears of it."""
    alarm = find_alarm(session, alarm_id)
    if alarm.state == CLEARED:
        message = f"alarm {alarm_id} is over: there is nothing to acknowledge"
        raise ConfigurationError(message)
    if alarm.acknowledged_at is None:
        alarm.acknowledged_at, alarm.acknowledged_by = now, owner
        session.add(alarm)
        summary = f"{alarm.rule} on {alarm.device_id} is acknowledged by {owner}"
        add_timeline(session, now, "alarm.acknowledged", summary, alarm_id=alarm.id)
        tell_case(session, alarm, "alarm.acknowledged", now, f"acknowledged by {owner}")
    return alarm


def reset(session: Session, alarm_id: int, now: datetime, owner: str) -> Alarm:
    """End a latched alarm, whose condition is over. Raises ConfigurationError for any other."""
    alarm = find_alarm(session, alarm_id)
    if alarm.state != LATCHED:
        message = f"alarm {alarm_id} is {alarm.state}: only a latched alarm can be reset"
        raise ConfigurationError(message)
    alarm.state, alarm.cleared_at = CLEARED, now
    session.add(alarm)
    summary = f"{alarm.rule} on {alarm.device_id} is reset by {owner}"
    add_timeline(session, now, "alarm.reset", summary, alarm_id=alarm.id)
    tell_case(session, alarm, "alarm.cleared", now, f"reset by {owner}")
    return alarm


def find_alarm(session: Session, alarm_id: int) -> Alarm:
    """Return an alarm. Raises ConfigurationError where there is none of this number."""
    alarm = session.get(Alarm, alarm_id)
    if alarm is None:
        message = f"there is no alarm {alarm_id}: see `prevenant alarms list`"
        raise ConfigurationError(message)
    return alarm


def tell_case(session: Session, alarm: Alarm, kind: str, at: datetime, reason: str) -> None:
    """Let the case of an alarm hear what has become of it."""
    event = CaseEvent(
        key=f"{kind}:{alarm.id}:{at.timestamp():.6f}",
        kind=kind,
        at=at,
        urgency=alarm.severity,
        alarm_id=alarm.id,
        site_id=alarm.site_id,
        data={"reason": reason, "severity": alarm.severity},
    )
    add_case_event(session, event)


def _covers(shelf: Shelf, alarm: Alarm) -> bool:
    return (
        shelf.rule in {"", alarm.rule}
        and shelf.device_id in {"", alarm.device_id}
        and shelf.site_id in {"", alarm.site_id}
    )


_WORDS = {SHELVED: "shelved", MAINTENANCE: "under maintenance", FLAPPING: "shelved for flapping"}
