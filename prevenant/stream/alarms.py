"""From the processor's transitions to alarms in the store, their story, and what their cases hear."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import bindparam
from sqlmodel import Session, and_, col, or_, select

from prevenant.clock import from_epoch
from prevenant.domain import Severity, Transition
from prevenant.shelving import (
    BY_PEOPLE,
    FLAPPING,
    Shelf,
    release,
    shelf_over,
    tell_case,
)
from prevenant.store import UtcDateTime
from prevenant.tables import (
    ACTIVE,
    CLEARED,
    LATCHED,
    Alarm,
    TimelineEntry,
    add_timeline,
    write_timeline,
)

_ENGINE = "Prevenant"


def write_transitions(session: Session, transitions: Sequence[Transition]) -> None:
    """Write changes of alarms in their order; see `write_transition`."""
    for transition in transitions:
        write_transition(session, transition)


def write_transition(session: Session, transition: Transition) -> None:
    """Write a change of an alarm, its line in the story, and what its case has to hear; each once."""
    alarm, latched = _find(session, transition)
    at = from_epoch(transition.at)
    match transition.kind:
        case "raised" | "passed":
            if alarm is None:
                _raise(session, transition, latched, at)
        case _ if alarm is None or not _is_current(transition, alarm):
            return
        case "levelled" if not _is_noted(session, transition, alarm):
            _level(session, transition, alarm, at)
        case "shelved" if not _is_noted(session, transition, alarm):
            _note(session, transition, alarm)
        case "released":
            _release(session, transition, alarm, at)
        case "cleared" | "latched":
            _end(session, transition, alarm, at)


def _find(session: Session, transition: Transition) -> tuple[Alarm | None, Alarm | None]:
    """Return the alarm that a change is of, and the latched one of the same rule and device."""
    onset_at = from_epoch(transition.onset_at)
    params = {"rule": transition.rule, "device": transition.device_id, "onset_at": onset_at}
    of_it, latched = None, None
    for alarm in session.exec(_ALARMS, params=params):
        latest_onset_at = alarm.latest_onset_at or alarm.onset_at
        if alarm.onset_at <= onset_at <= latest_onset_at:
            of_it = of_it or alarm
        if alarm.state == LATCHED:
            latched = latched or alarm
    return of_it, latched


_ONSET_AT = bindparam("onset_at", type_=UtcDateTime())
_ALARMS = (
    select(Alarm)
    .where(Alarm.rule == bindparam("rule"), Alarm.device_id == bindparam("device"))
    .where(
        or_(
            Alarm.onset_at == _ONSET_AT,
            and_(Alarm.onset_at < _ONSET_AT, col(Alarm.latest_onset_at) >= _ONSET_AT),
            Alarm.state == LATCHED,
        )
    )
    .order_by(col(Alarm.id).desc())
)


def _is_current(transition: Transition, alarm: Alarm) -> bool:
    """Return whether a change is of what the alarm is now.

    After a crash, what became of it before, and of earlier lives of a latched one, comes again.
    """
    latest_onset_at = alarm.latest_onset_at or alarm.onset_at
    return alarm.state == ACTIVE and from_epoch(transition.onset_at) == latest_onset_at


def _is_noted(session: Session, transition: Transition, alarm: Alarm) -> bool:
    """Return whether a change that an alarm may see several times was written before a crash."""
    write_timeline(session)
    query = select(TimelineEntry.detail).where(
        TimelineEntry.alarm_id == alarm.id,
        TimelineEntry.kind == f"alarm.{transition.kind}",
        TimelineEntry.at == from_epoch(transition.at),
    )
    word = Severity(transition.severity).word
    return any(detail["severity"] == word for detail in session.exec(query))


def _raise(session: Session, transition: Transition, alarm: Alarm | None, at: datetime) -> None:
    """Raise an alarm anew, or the one that is latched again."""
    onset_at = from_epoch(transition.onset_at)
    if alarm is not None:
        alarm.latest_onset_at = onset_at
    else:
        alarm = Alarm(
            rule=transition.rule,
            device_type=transition.type,
            site_id=transition.site_id,
            device_id=transition.device_id,
            severity=transition.severity,
            onset_at=onset_at,
            raised_at=at,
            reason=transition.reason,
        )
    alarm.severity = transition.severity
    alarm.values, alarm.reason = transition.values, transition.reason
    alarm.trace = msgspec.to_builtins(transition.trace)
    passed = transition.kind == "passed"
    alarm.state, alarm.cleared_at = (CLEARED, at) if passed else (ACTIVE, None)
    alarm.acknowledged_at, alarm.acknowledged_by = None, ""
    _hold_back(session, alarm, transition, at)
    session.add(alarm)
    session.flush()
    _note(session, transition, alarm)
    if not passed and not alarm.held_by:
        tell_case(session, alarm, "alarm.raised", at, transition.reason)


def _level(session: Session, transition: Transition, alarm: Alarm, at: datetime) -> None:
    if alarm.severity == transition.severity:
        return
    alarm.severity, alarm.reason = transition.severity, transition.reason
    alarm.trace, alarm.values = msgspec.to_builtins(transition.trace), transition.values
    session.add(alarm)
    _note(session, transition, alarm)
    if not alarm.held_by:
        tell_case(session, alarm, "alarm.levelled", at, transition.reason)


def _end(session: Session, transition: Transition, alarm: Alarm, at: datetime) -> None:
    is_over = transition.kind == "cleared"
    alarm.state, alarm.cleared_at = (CLEARED if is_over else LATCHED), at
    session.add(alarm)
    _note(session, transition, alarm)
    if is_over:
        tell_case(session, alarm, "alarm.cleared", at, transition.reason)


def _hold_back(session: Session, alarm: Alarm, transition: Transition, at: datetime) -> None:
    """Find out who keeps a raised alarm from being told: another alarm, a person, or its flapping."""
    alarm.held_by, alarm.held_until = transition.held_by, None
    if transition.held_by == FLAPPING:
        shelf = _flapping_shelf(session, transition, at)
        if shelf.ended_at is None:
            alarm.held_until = shelf.ends_at
        else:
            alarm.held_by = ""
    if not alarm.held_by:
        by_person = shelf_over(session, alarm, at, BY_PEOPLE)
        if by_person is not None:
            alarm.held_by, alarm.held_until = by_person.kind, by_person.ends_at


def _flapping_shelf(session: Session, transition: Transition, at: datetime) -> Shelf:
    """Return the shelf of an alarm that flaps; a person may have ended it early."""
    until = from_epoch(transition.held_until)
    query = select(Shelf).where(
        Shelf.kind == FLAPPING,
        Shelf.rule == transition.rule,
        Shelf.device_id == transition.device_id,
        Shelf.ends_at == until,
    )
    shelf = session.exec(query).first()
    if shelf is None:
        shelf = Shelf(
            kind=FLAPPING,
            rule=transition.rule,
            device_id=transition.device_id,
            starts_at=at,
            ends_at=until,
            owner=_ENGINE,
            reason="raised too often",
            created_at=at,
        )
        session.add(shelf)
    return shelf


def _release(session: Session, transition: Transition, alarm: Alarm, at: datetime) -> None:
    """Tell of an alarm that the processor kept back, unless a person's shelf lies over it."""
    if not alarm.held_by or alarm.held_by in BY_PEOPLE:
        return
    shelf = shelf_over(session, alarm, at, BY_PEOPLE)
    if shelf is not None:
        alarm.held_by, alarm.held_until = shelf.kind, shelf.ends_at
        session.add(alarm)
    else:
        release(session, alarm, at, transition.reason)


def _note(session: Session, transition: Transition, alarm: Alarm) -> None:
    """Write the line of the story."""
    held = (
        f"; nobody is told: {_held_words(alarm)}" if alarm.held_by and alarm.state == ACTIVE else ""
    )
    add_timeline(
        session,
        from_epoch(transition.at),
        f"alarm.{transition.kind}",
        f"{transition.rule} on {transition.device_id}: {transition.reason}{held}",
        alarm_id=alarm.id,
        detail={
            "rule": transition.rule,
            "device": transition.device_id,
            "severity": Severity(transition.severity).word,
            "values": transition.values,
            "observed_at": from_epoch(transition.onset_at).isoformat(),
            "held_by": alarm.held_by,
        },
    )


def _held_words(alarm: Alarm) -> str:
    if alarm.held_until is not None:
        return f"{alarm.held_by} until {alarm.held_until.isoformat(' ', 'minutes')}"
    return f"{alarm.held_by} explains it"
