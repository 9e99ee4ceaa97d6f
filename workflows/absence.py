"""Technicians who cannot come: their open jobs hear it, so that somebody else is sent."""

from datetime import datetime

from sqlmodel import Session, col, select

from prevenant.crm.directory import find_present
from prevenant.crm.tables import Leave, Technician
from prevenant.tables import CaseEvent, add_case_event, add_timeline
from workflows.tables import ACTIVE_JOBS, Case, WorkOrder


def announce_absences(session: Session, now: datetime, technician_id: str = "") -> int:
    """Tell the cases whose technician is away now, will be during the visit, or works for us no more.

    Each is told once; return how many were told now. Without `technician_id`, everybody's jobs.
    """
    query = (
        select(WorkOrder, Case, Technician, Leave)
        .join(Case, col(Case.id) == col(WorkOrder.case_id))
        .join(Technician, col(Technician.id) == col(WorkOrder.technician_id))
        .join(Leave, col(Leave.technician_id) == col(WorkOrder.technician_id), isouter=True)
        .where(col(WorkOrder.state).in_(ACTIVE_JOBS))
    )
    if technician_id:
        query = query.where(WorkOrder.technician_id == technician_id)
    told = 0
    for order, case, technician, leave in session.exec(query).all():
        works = technician.is_active and find_present(session, technician.contact_id) is not None
        reason, cause = _reason(order, leave, now, works=works)
        key = f"technician.unavailable:{order.id}:{cause}"
        if not reason or _is_told(session, key):
            continue
        data = {"technician": technician.id, "reason": reason, "work_order": order.id}
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
            f"{order.technician_name} cannot come: {reason}",
            case_id=case.id,
        )
        told += 1
    return told


def _reason(
    order: WorkOrder, leave: Leave | None, now: datetime, *, works: bool
) -> tuple[str, str]:
    """Return why a technician cannot do a job, and what that is called; nothing where it can be done."""
    if not works:
        return "works for us no more", "inactive"
    if leave is None or order.state == "arrived":
        return "", ""
    is_now = leave.starts_at <= now < leave.ends_at
    if is_now or (leave.starts_at < order.visit_end and order.visit_start < leave.ends_at):
        return f"is away until {leave.ends_at:%Y-%m-%d %H:%M} UTC", f"leave-{leave.id}"
    return "", ""


def _is_told(session: Session, key: str) -> bool:
    session.flush()
    return session.exec(select(CaseEvent.id).where(CaseEvent.key == key)).first() is not None
