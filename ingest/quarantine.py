"""Quarantine: what devices sent that could not become a reading, with the reason, until it is tried again.

The whole payload stands in the journal; here are its first 4 KiB. Who sends rubbish by the thousand
fills neither the store nor the time of others: of one batch and one kind of reason a few are kept, all are
counted.
"""

import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import BigInteger, LargeBinary, UniqueConstraint, delete, func
from sqlmodel import Field, Session, SQLModel, col, select, update

from ingest.decode import Rejected
from prevenant.store import wake
from prevenant.tables import QUARANTINE, utc_column

KEPT = 10_000
"""How many refused payloads are kept; older ones give way, and only their count remains."""
WAITING, DUE, REPLAYED, DISCARDED = "waiting", "due", "replayed", "discarded"
SHOWN_BYTES = 4_096
_KEPT_OF_A_KIND = 20
_MOST_KINDS, _OTHER = 500, "other"
_VARIABLE = re.compile(r"""'[^']*'|"[^"]*"|\d+""")


class Quarantined(SQLModel, table=True):
    """One refused payload, and its place in the journal, where it stands whole."""

    __tablename__ = "quarantine"
    __table_args__ = (UniqueConstraint("batch_seq", "position"),)

    id: int | None = Field(default=None, primary_key=True)
    batch_seq: int = Field(sa_type=BigInteger)
    position: int
    received_at: datetime = utc_column()
    topic: str
    payload: bytes = Field(sa_type=LargeBinary)
    """Its first 4 KiB."""
    size: int
    reason: str
    state: str = Field(default=WAITING, index=True)
    """`waiting`, `due` (to be tried again), `replayed` or `discarded`."""
    outcome: str = ""
    """What came of the last attempt to read it again."""
    tried_at: datetime | None = utc_column(nullable=True)


class RefusedCount(SQLModel, table=True):
    """How many payloads were refused for one kind of reason, ever."""

    __tablename__ = "refused_count"

    reason: str = Field(primary_key=True)
    """The reason without what varies."""
    count: int = Field(default=0, sa_type=BigInteger)
    batch_seq: int = Field(default=0, sa_type=BigInteger)
    """Up to which batch it has counted: one that is read again counts once."""


def kind_of(reason: str) -> str:
    """Return a reason without the numbers and the quoted parts that vary."""
    return _VARIABLE.sub("…", reason)[:120]


def quarantine(
    session: Session, batch_seq: int, received_at: datetime, rejected: Sequence[Rejected]
) -> int:
    """Keep refused frames of one batch; return how many are new. A batch read again adds nothing."""
    kinds = Counter(kind_of(one.reason) for one in rejected)
    for kind, count in kinds.items():
        _count(session, kind, count, batch_seq)
    known = set(
        session.exec(select(Quarantined.position).where(Quarantined.batch_seq == batch_seq))
    )
    kept: Counter[str] = Counter()
    new = 0
    for one in rejected:
        kind = kind_of(one.reason)
        kept[kind] += 1
        if kept[kind] > _KEPT_OF_A_KIND or one.position in known:
            continue
        topic, payload, _ = one.frame
        new += 1
        session.add(
            Quarantined(
                batch_seq=batch_seq,
                position=one.position,
                received_at=received_at,
                topic=topic.decode(errors="backslashreplace").replace("\x00", "\\x00"),
                payload=payload[:SHOWN_BYTES],
                size=len(payload),
                reason=one.reason.replace("\x00", "\\x00"),
            )
        )
    session.flush()
    newest = session.exec(select(func.max(Quarantined.id))).one()
    if new and newest and newest > KEPT:
        session.execute(delete(Quarantined).where(col(Quarantined.id) <= newest - KEPT))
    return new


def ask_for_replay(session: Session, ids: Sequence[int] | None) -> int:
    """Mark refused payloads, all where `ids` is None, to be read again by the engine; return how many."""
    statement = update(Quarantined).where(col(Quarantined.state) == WAITING)
    if ids is not None:
        statement = statement.where(col(Quarantined.id).in_(ids))
    count = session.execute(statement.values(state=DUE)).rowcount  # type: ignore[attr-defined]
    wake(session, QUARANTINE)
    return int(count)


def discard(session: Session, ids: Sequence[int] | None) -> int:
    """Mark refused payloads, all where `ids` is None, as of no interest; return how many."""
    statement = update(Quarantined).where(col(Quarantined.state).in_([WAITING, DUE]))
    if ids is not None:
        statement = statement.where(col(Quarantined.id).in_(ids))
    result = session.execute(statement.values(state=DISCARDED))
    return int(result.rowcount)  # type: ignore[attr-defined]


def _count(session: Session, kind: str, count: int, batch_seq: int) -> None:
    row = session.get(RefusedCount, kind)
    if row is None:
        kinds = session.exec(select(func.count()).select_from(RefusedCount)).one()
        if kinds >= _MOST_KINDS:
            row = session.get(RefusedCount, _OTHER)
            kind = _OTHER
        row = row or RefusedCount(reason=kind)
    if row.batch_seq < batch_seq or kind == _OTHER:
        row.count += count
        row.batch_seq = batch_seq
        session.add(row)
