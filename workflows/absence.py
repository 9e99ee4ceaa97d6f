"""Technicians who cannot come: the cases that count on them hear it, so that somebody else is sent."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from prevenant.crm.directory import find_present
from prevenant.crm.tables import Leave, Technician
from prevenant.tables import CaseEvent, add_case_event, add_timeline
from workflows.tables import IS_STANDING, IS_UNDER_WAY, Case, Offer, WorkOrder


def announce_absences(session: Session, now: datetime, technician_id: str = "") -> int:
    """Tell the cases whose technician is away now, will be during the visit, or works for us no more.

    A technician who is still thinking about an offer counts, too. Each is told once; return how many
    were told now. Without `technician_id`, everybody's jobs.
    """
    told = 0
    for one, case, technician, leave in _counted_on(session, technician_id):
        works = technician.is_active and find_present(session, technician.contact_id) is not None
        reason, cause = _reason(one, leave, now, works=works)
        what = "offer-" if isinstance(one, Offer) else ""
        key = f"technician.unavailable:{what}{one.id}:{cause}"
        if not reason or _is_told(session, key):
            continue
        data: dict[str, Any] = {"technician": technician.id, "reason": reason}
        if isinstance(one, WorkOrder):
            data["work_order"] = one.id
        event = CaseEvent(
            key=key,
            kind="technician.unavailable",
            at=now,
            urgency=case.severity,
            case_id=case.id,
            data=data,
        )
        add_case_event(session, event)
        add_timeline(
            session,
            now,
            "technician.unavailable",
            f"{one.technician_name} cannot come: {reason}",
            case_id=case.id,
        )
        told += 1
    return told


def _counted_on(
    session: Session, technician_id: str
) -> Iterator[tuple[WorkOrder | Offer, Case, Technician, Leave | None]]:
    """Yield the jobs under way and the offers that stand, each with every leave of its technician."""
    tables: tuple[tuple[Any, Any], ...] = ((WorkOrder, IS_UNDER_WAY), (Offer, IS_STANDING))
    for table, is_open in tables:
        query = (
            select(table, Case, Technician, Leave)
            .join(Case, col(Case.id) == col(table.case_id))
            .join(Technician, col(Technician.id) == col(table.technician_id))
            .join(Leave, col(Leave.technician_id) == col(table.technician_id), isouter=True)
            .where(is_open)
        )
        if technician_id:
            query = query.where(table.technician_id == technician_id)
        yield from session.exec(query).all()


def _reason(
    one: WorkOrder | Offer, leave: Leave | None, now: datetime, *, works: bool
) -> tuple[str, str]:
    """Return why a technician cannot do a job, and what that is called; nothing where it can be done."""
    if not works:
        return "works for us no more", "inactive"
    if leave is None or one.state == "arrived":
        return "", ""
    is_away = leave.starts_at <= now < leave.ends_at
    if isinstance(one, WorkOrder):
        is_away = is_away or (leave.starts_at < one.visit_end and one.visit_start < leave.ends_at)
    if is_away:
        return f"is away until {leave.ends_at:%Y-%m-%d %H:%M} UTC", f"leave-{leave.id}"
    return "", ""


def _is_told(session: Session, key: str) -> bool:
    session.flush()
    return session.exec(select(CaseEvent.id).where(CaseEvent.key == key)).first() is not None
