"""A storm and its children: who belongs to whom, and what a storm hears of them."""

from datetime import datetime

from sqlmodel import Session, col, select

from prevenant.tables import CaseEvent, add_case_event
from workflows.tables import OPEN, Case

STORM_CALM = "storm.calm"
"""The event by which a storm hears that none of its children is open."""


def storm_of(session: Session, case: Case) -> Case | None:
    """Return the storm that a case is part of, or is itself; None where it stands alone."""
    if case.storm_of:
        return case
    return None if case.parent_id is None else session.get(Case, case.parent_id)


def children_of(session: Session, storm: Case) -> list[Case]:
    """Return the cases of a storm, the most severe first."""
    query = select(Case).where(Case.parent_id == storm.id)
    return list(session.exec(query.order_by(col(Case.severity).desc(), col(Case.id))))


def has_open_child(session: Session, storm_id: int, besides: int | None = None) -> bool:
    """Return whether a case of a storm, other than `besides`, is open."""
    query = select(Case.id).where(Case.parent_id == storm_id, Case.state == OPEN)
    return session.exec(query.where(col(Case.id) != (besides or 0)).limit(1)).first() is not None


def tell_parent(session: Session, case: Case, now: datetime) -> None:
    """Let the storm of a case that has ended hear of it, if it was the last one open."""
    if case.parent_id is None or has_open_child(session, case.parent_id, case.id):
        return
    event = CaseEvent(
        key=f"{STORM_CALM}:{case.id}:{case.state}:{now.timestamp():.6f}",
        kind=STORM_CALM,
        at=now,
        urgency=case.severity,
        case_id=case.parent_id,
    )
    add_case_event(session, event)
