"""Quarantine: what devices sent that could not become a reading, with the reason."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import LargeBinary, UniqueConstraint, delete, func
from sqlmodel import Field, Session, SQLModel, col, select

from ingest.decode import Rejected
from prevenant.tables import utc_column

KEPT = 10_000
"""How many refused payloads are kept; older ones give way, and only their count remains."""
_SHOWN_BYTES = 4_096


class Quarantined(SQLModel, table=True):
    """One refused payload, and its place in the journal, where it stands whole."""

    __tablename__ = "quarantine"
    __table_args__ = (UniqueConstraint("batch_seq", "position"),)

    id: int | None = Field(default=None, primary_key=True)
    batch_seq: int
    position: int
    received_at: datetime = utc_column()
    topic: str
    payload: bytes = Field(sa_type=LargeBinary)
    """Its first 4 KiB."""
    size: int
    reason: str


def quarantine(
    session: Session, batch_seq: int, received_at: datetime, rejected: Sequence[Rejected]
) -> int:
    """Keep refused frames of one batch; return how many are new. A batch read again adds nothing."""
    known = set(
        session.exec(select(Quarantined.position).where(Quarantined.batch_seq == batch_seq))
    )
    new = [one for one in rejected if one.position not in known]
    for one in new:
        topic, payload, _ = one.frame
        session.add(
            Quarantined(
                batch_seq=batch_seq,
                position=one.position,
                received_at=received_at,
                topic=topic.decode(errors="backslashreplace"),
                payload=payload[:_SHOWN_BYTES],
                size=len(payload),
                reason=one.reason,
            )
        )
    session.flush()
    newest = session.exec(select(func.max(Quarantined.id))).one()
    if new and newest and newest > KEPT:
        session.execute(delete(Quarantined).where(col(Quarantined.id) <= newest - KEPT))
    return len(new)
