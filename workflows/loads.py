"""What technicians have to do: jobs under way, offers that stand, jobs that a plan keeps for them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any

from sqlmodel import Session, col, func, select

from prevenant.crm.directory import Place
from workflows.dispatch import Known
from workflows.tables import IS_KEPT, IS_STANDING, IS_UNDER_WAY, Offer, WaitingJob, WorkOrder

_KNOWN = (("device", 8.0), ("site", 5.0), ("customer", 2.0))
"""What having been there before is worth, in minutes."""
_LATEST_VISITS = 500


def open_jobs(
    session: Session, ids: Sequence[str] | None = None, without: int | None = None
) -> dict[str, int]:
    """Return how many jobs technicians have, are offered or are kept for; with `ids`, of those alone.

    What a plan keeps for the case `without` is not counted: it is the job in question.
    """
    orders = select(WorkOrder.technician_id, func.count()).where(IS_UNDER_WAY)
    offers = select(Offer.technician_id, func.count()).where(IS_STANDING)
    kept = select(WaitingJob.technician_id, func.count()).where(IS_KEPT)
    if without is not None:
        kept = kept.where(WaitingJob.case_id != without)
    counts: dict[str, int] = {}
    pairs: tuple[tuple[Any, Any], ...] = (
        (orders, WorkOrder.technician_id),
        (offers, Offer.technician_id),
        (kept, WaitingJob.technician_id),
    )
    for query, technician in pairs:
        if ids is not None:
            query = query.where(technician.in_(ids))  # noqa: PLW2901  the same question, narrower
        for technician_id, count in session.exec(query.group_by(technician)):
            counts[technician_id] = counts.get(technician_id, 0) + count
    return counts


def hold_technicians(session: Session, ids: Sequence[str]) -> None:
    """Keep others from offering anything to these technicians until our transaction ends.

    SQLite lets one write at a time anyway. On PostgreSQL the locks are of our own making: nothing
    that changes a technician's row waits for them, or they for it.
    """
    if session.get_bind().dialect.name != "postgresql":
        return
    for one in sorted(ids):
        number = int.from_bytes(blake2b(one.encode(), digest_size=8).digest(), signed=True)
        session.connection().execute(select(func.pg_advisory_xact_lock(number)))


def find_known(session: Session, place: Place, since: datetime) -> Mapping[str, Known]:
    """Return who was at this device, or else at this site, or else at this customer's since then."""
    found: dict[str, Known] = {}
    wanted = (
        (WorkOrder.site_id, place.site_id),
        (WorkOrder.customer_id, place.customer_id),
    )
    for column, value in wanted:
        if not value:
            continue
        query = (
            select(WorkOrder.technician_id, WorkOrder.device_id, WorkOrder.site_id)
            .where(column == value, WorkOrder.state == "done", WorkOrder.updated_at >= since)
            .order_by(col(WorkOrder.id).desc())
            .limit(_LATEST_VISITS)
        )
        for technician_id, device_id, site_id in session.exec(query):
            is_there = (device_id == place.device_id, site_id == place.site_id, True)
            what, minutes = _KNOWN[is_there.index(True)]
            known = found.get(technician_id)
            if known is None or known.minutes < minutes:
                found[technician_id] = Known(minutes, what)
    return found
