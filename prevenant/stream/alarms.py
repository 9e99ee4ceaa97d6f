"""From the processor's transitions to alarms in the store, their story, and what their cases hear."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
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
    shelves_over,
    tell_case,
)
from prevenant.store import UtcDateTime, keep_at_hand
from prevenant.tables import (
    ACTIVE,
    CLEARED,
    LATCHED,
    Alarm,
    TimelineEntry,
    add_timeline,
    wake_cases,
    write_timeline,
)

_ENGINE = "Prevenant"
AT_ONCE = 32
"""So many alarms are looked up and inserted together."""


def write_transitions(session: Session, transitions: Sequence[Transition]) -> None:
    """Write changes of alarms, their lines in the story, and what their cases have to hear; each once."""
    for run in _runs(transitions):
        found = _find(session, run)
        fresh = [
            _raise(transition, latched)
            if alarm is None and transition.kind in {"raised", "passed"}
            else None
            for transition, (alarm, latched) in zip(run, found, strict=True)
        ]
        raised = [(alarm, one) for alarm, one in zip(fresh, run, strict=True) if alarm is not None]
        _hold_back(session, raised)
        session.add_all(alarm for alarm, _ in raised)
        # Lines and events name alarms by their numbers.
        session.flush()
        # Their cases may hear of them at once.
        keep_at_hand(session, (alarm for alarm, _ in raised))
        for transition, (alarm, _), risen in zip(run, found, fresh, strict=True):
            if risen is not None:
                _tell_raised(session, transition, risen)
            elif alarm is not None and _is_current(transition, alarm):
                _change(session, transition, alarm)


def _runs(transitions: Sequence[Transition]) -> Iterator[list[Transition]]:
    """Yield changes together that are of different alarms, in their order."""
    run: dict[tuple[str, str], Transition] = {}
    for transition in transitions:
        key = transition.rule, transition.device_id
        if key in run or len(run) >= AT_ONCE:
            yield [*run.values()]
            run = {}
        run[key] = transition
    if run:
        yield [*run.values()]


def _find(session: Session, run: Sequence[Transition]) -> list[tuple[Alarm | None, Alarm | None]]:
    """Return the alarm that each change is of, and the latched one of the same rule and device."""
    onsets = [from_epoch(transition.onset_at) for transition in run]
    params = {
        "rules": sorted({transition.rule for transition in run}),
        "devices": sorted({transition.device_id for transition in run}),
        "onsets": sorted(set(onsets)),
        "first": min(onsets),
        "last": max(onsets),
    }
    known: dict[tuple[str, str], list[Alarm]] = defaultdict(list)
    for alarm in session.exec(_ALARMS, params=params):
        known[alarm.rule, alarm.device_id].append(alarm)
    return [
        _tell_apart(known[transition.rule, transition.device_id], onset_at)
        for transition, onset_at in zip(run, onsets, strict=True)
    ]


def _tell_apart(alarms: Sequence[Alarm], onset_at: datetime) -> tuple[Alarm | None, Alarm | None]:
    of_it, latched = None, None
    for alarm in alarms:
        if alarm.onset_at <= onset_at <= (alarm.latest_onset_at or alarm.onset_at):
            of_it = of_it or alarm
        if alarm.state == LATCHED:
            latched = latched or alarm
    return of_it, latched


_ONSETS = bindparam("onsets", type_=UtcDateTime(), expanding=True)
_FIRST, _LAST = (bindparam(name, type_=UtcDateTime()) for name in ("first", "last"))
_ALARMS = (
    select(Alarm)
    .where(col(Alarm.rule).in_(bindparam("rules", expanding=True)))
    .where(col(Alarm.device_id).in_(bindparam("devices", expanding=True)))
    .where(
        or_(
            col(Alarm.onset_at).in_(_ONSETS),
            and_(Alarm.onset_at < _LAST, col(Alarm.latest_onset_at) >= _FIRST),
            Alarm.state == LATCHED,
        )
    )
    .order_by(col(Alarm.id).desc())
)


def _change(session: Session, transition: Transition, alarm: Alarm) -> None:
    """Write what has become of an alarm that stands in the store."""
    at = from_epoch(transition.at)
    match transition.kind:
        case "levelled" if not _is_noted(session, transition, alarm):
            _level(session, transition, alarm, at)
        case "shelved" if not _is_noted(session, transition, alarm):
            _note(session, transition, alarm)
        case "released":
            _release(session, transition, alarm, at)
        case "cleared" | "latched":
            _end(session, transition, alarm, at)


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


def _raise(transition: Transition, latched: Alarm | None) -> Alarm:
    """Return an alarm raised anew, or the one that is latched, raised again."""
    at, onset_at = from_epoch(transition.at), from_epoch(transition.onset_at)
    alarm = latched
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
    alarm.state, alarm.cleared_at = (CLEARED, at) if transition.kind == "passed" else (ACTIVE, None)
    alarm.acknowledged_at, alarm.acknowledged_by = None, ""
    return alarm


def _tell_raised(session: Session, transition: Transition, alarm: Alarm) -> None:
    _note(session, transition, alarm)
    if alarm.state == ACTIVE and not alarm.held_by:
        at = from_epoch(transition.at)
        tell_case(session, alarm, "alarm.raised", at, transition.reason)
    elif alarm.held_until is not None:
        # Whoever waits for the next deadline does not know of the end of this one's shelf yet.
        wake_cases(session)


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


def _hold_back(session: Session, raised: Sequence[tuple[Alarm, Transition]]) -> None:
    """Find out who keeps raised alarms from being told: another alarm, a person, or their flapping."""
    for alarm, transition in raised:
        alarm.held_by, alarm.held_until = transition.held_by, None
        if transition.held_by == FLAPPING:
            shelf = _flapping_shelf(session, transition, from_epoch(transition.at))
            if shelf.ended_at is None:
                alarm.held_until = shelf.ends_at
            else:
                alarm.held_by = ""
    free = [(alarm, from_epoch(one.at)) for alarm, one in raised if not alarm.held_by]
    for (alarm, _), by_person in zip(free, shelves_over(session, free), strict=True):
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
    (shelf,) = shelves_over(session, [(alarm, at)])
    if shelf is not None:
        alarm.held_by, alarm.held_until = shelf.kind, shelf.ends_at
        session.add(alarm)
        wake_cases(session)
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
