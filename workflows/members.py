"""The alarms of a case: which it is about, what becomes of each, and what messages say of them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from prevenant.crm.directory import find_place
from prevenant.domain import Severity
from prevenant.tables import Alarm, CaseEvent
from workflows.tables import Case, CaseAlarm

_SHOWN = 20
"""How many alarms of a case a message can name."""


_MEMBERS = "members"


def remember_members(session: Session) -> None:
    """Let a session that claims every case before it asks look the alarms of each up once."""
    session.info[_MEMBERS] = {}


def find_members(session: Session, case_id: int) -> Sequence[CaseAlarm]:
    """Return every alarm that a case was ever about, the first to join first."""
    known: dict[int, Sequence[CaseAlarm]] = session.info.get(_MEMBERS, {})
    if case_id not in known:
        query = select(CaseAlarm).where(CaseAlarm.case_id == case_id)
        in_order = query.order_by(col(CaseAlarm.joined_at), col(CaseAlarm.alarm_id))
        known[case_id] = session.exec(in_order).all()
    return known[case_id]


def begin(session: Session, case: Case, alarm: Alarm, at: datetime) -> None:
    """Make a case that was just opened be about an alarm that was raised at a time."""
    member = _new(case, alarm, at)
    session.add(member)
    session.info.get(_MEMBERS, {})[case.id] = [member]


def join(session: Session, case: Case, alarm: Alarm, at: datetime) -> None:
    """Make a case be about an alarm that was raised, or raised again, at a time."""
    member = session.get(CaseAlarm, (case.id, alarm.id))
    if member is None:
        member = _new(case, alarm, at)
    for other in find_members(session, case.id or 0):
        # A rule has one alarm at a time on a device: the one before is over.
        is_same = (other.rule, other.device_id) == (alarm.rule, alarm.device_id)
        if is_same and other.alarm_id != alarm.id and other.ended_at is None:
            other.ended_at = at
            session.add(other)
    member.severity, member.joined_at, member.ended_at = alarm.severity, at, None
    _keep(session, case, member)


def end(session: Session, case: Case, event: CaseEvent) -> CaseAlarm | None:
    """Note that an alarm of a case is over; return it where others of the case are still active."""
    member = session.get(CaseAlarm, (case.id, event.alarm_id))
    if member is not None and member.ended_at is None:
        member.ended_at = event.at
        _keep(session, case, member)
    return member if count_active(session, case) else None


def level(session: Session, case: Case, event: CaseEvent) -> bool:
    """Note that an alarm of a case matters more or less than before; return whether it is one of its."""
    member = session.get(CaseAlarm, (case.id, event.alarm_id))
    if member is not None:
        member.severity = event.data["severity"]
        _keep(session, case, member)
    return member is not None


def count_active(session: Session, case: Case) -> int:
    """Return how many alarms of a case are not over."""
    return sum(one.ended_at is None for one in find_members(session, case.id or 0))


def is_shared(session: Session, case: Case) -> bool:
    """Return whether a case is about alarms of several rules or devices that are not over."""
    active = [one for one in find_members(session, case.id or 0) if one.ended_at is None]
    return len({(one.rule, one.device_id) for one in active}) > 1


def leading_alarm(session: Session, case: Case) -> Alarm:
    """Return the alarm that a case is told by.

    It is the worst of those that are active, of these the earliest; once all are over, its first.
    """
    active = [one for one in find_members(session, case.id or 0) if one.ended_at is None]
    worst = min(active, key=lambda one: (-one.severity, one.joined_at, one.alarm_id), default=None)
    return session.get_one(Alarm, worst.alarm_id if worst else case.alarm_id)


def describe_alarms(session: Session, case: Case) -> dict[str, Any]:
    """Return what templates can say of the alarms of a case: those that are active, if any are."""
    members = find_members(session, case.id or 0)
    told = [one for one in members if one.ended_at is None] or members
    shown = [
        {
            "rule": one.rule,
            "device": find_place(session, case.device_type, case.site_id, one.device_id).label,
            "severity": Severity(one.severity).word,
        }
        for one in told[:_SHOWN]
    ]
    devices = {one.device_id for one in told}
    return {"alarms": shown, "others": max(0, len(devices) - 1)}


def _new(case: Case, alarm: Alarm, at: datetime) -> CaseAlarm:
    return CaseAlarm(
        case_id=case.id or 0,
        alarm_id=alarm.id or 0,
        rule=alarm.rule,
        device_id=alarm.device_id,
        severity=alarm.severity,
        joined_at=at,
    )


def _keep(session: Session, case: Case, member: CaseAlarm) -> None:
    """Write a change, and give the case the severity of the worst of its active alarms, if any."""
    session.add(member)
    session.flush()
    session.info.get(_MEMBERS, {}).pop(case.id, None)
    active = [one.severity for one in find_members(session, case.id or 0) if one.ended_at is None]
    case.severity = max(active, default=case.severity)
    session.add(case)
