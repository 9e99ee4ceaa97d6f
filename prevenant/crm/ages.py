"""How old what we know is, and whether the CRM that it comes from answers."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, delete, func, select, tuple_

from prevenant.crm.entities import ENTITIES
from prevenant.crm.source import CrmSource
from prevenant.crm.tables import CrmLease, CrmRecord, CrmSkipped, CrmSync


def view_syncs(session: Session, now: datetime) -> list[dict[str, Any]]:
    """Return how each kind of row of each outside CRM stands."""
    skipped = {
        (source, entity): count
        for source, entity, count in session.exec(
            select(CrmSkipped.source, CrmSkipped.entity, func.count()).group_by(
                CrmSkipped.source, CrmSkipped.entity
            )
        )
    }
    query = select(CrmSync).order_by(CrmSync.source, CrmSync.entity)
    return [
        {
            "source": one.source,
            "entity": one.entity,
            "synced_at": one.synced_at,
            "age_s": None if one.synced_at is None else (now - one.synced_at).total_seconds(),
            "failed_at": one.failed_at,
            "error": one.error,
            "rows": one.rows,
            "skipped": skipped.get((one.source, one.entity), 0),
        }
        for one in session.exec(query)
    ]


def view_skipped(session: Session, limit: int = 100) -> list[dict[str, Any]]:
    """Return rows of outside CRMs that could not be taken, with the reason."""
    query = select(CrmSkipped).order_by(CrmSkipped.source, CrmSkipped.entity, CrmSkipped.record_id)
    return [one.model_dump(exclude={"values"}) for one in session.exec(query.limit(limit))]


def view_crm(session: Session, now: datetime) -> dict[str, Any]:
    """Return how many rows there are of each kind, how many are listed no more, and how old it is."""
    removed = dict(
        session.exec(
            select(CrmRecord.entity, func.count())
            .where(col(CrmRecord.removed_at).is_not(None))
            .group_by(CrmRecord.entity)
        ).all()
    )
    counts = {}
    for name, entity in ENTITIES.items():
        query: Any = select(func.count()).select_from(entity.table)
        if name == "positions":
            table: Any = entity.table
            query = query.where(table.position_at.is_not(None))
        counts[name] = {"rows": session.exec(query).one(), "removed": removed.get(name, 0)}
    return {
        "rows": counts,
        "sources": view_syncs(session, now),
        "skipped": view_skipped(session),
        "as_of": find_age(session),
    }


def find_age(session: Session) -> datetime | None:
    """Return since when what outside CRMs say may have changed; None where there is no such CRM."""
    return session.exec(select(func.min(CrmSync.synced_at))).one()


def forget_unread(session: Session, sources: Iterable[CrmSource]) -> None:
    """Forget the age of rows that nobody reads any more, and those kept to be tried again."""
    read = [(source.name, kind) for source in sources for kind in source.feeds]
    for table in (CrmSync, CrmSkipped):
        is_read = tuple_(col(table.source), col(table.entity)).in_(read)
        session.execute(delete(table).where(~is_read))
    session.execute(delete(CrmLease).where(col(CrmLease.source).not_in({name for name, _ in read})))
