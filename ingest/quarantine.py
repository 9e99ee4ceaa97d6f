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
from sqlmodel import Field, Session, col, select, update

from ingest.decode import Rejected
from prevenant.rows import TableRow
from prevenant.store import wake
from prevenant.tables import QUARANTINE, utc_column

KEPT = 10_000
"""How many refused payloads are kept; older ones give way, and only their count remains."""
WAITING, DUE, REPLAYED, DISCARDED = "waiting", "due", "replayed", "discarded"
SHOWN_BYTES = 4_096
_KEPT_OF_A_KIND = 20
_MOST_KINDS, _OTHER = 500, "other"
_VARIABLE = re.compile(r"""'[^']*'|"[^"]*"|\d+""")


class Quarantined(TableRow, table=True):
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
    claimed_by: str = ""
    """The store of the process that reads it again just now; empty while none does."""


class RefusedCount(TableRow, table=True):
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
    session: Session,
    batch_seq: int,
    received_at: datetime,
    rejected: Sequence[Rejected],
    *,
    in_order: bool = True,
) -> int:
    """Keep refused frames of one batch; return how many are new. A batch read again adds nothing.

    Where batches do not come in the order of their numbers, one is known by its frames.
    """
    known = set(
        session.exec(select(Quarantined.position).where(Quarantined.batch_seq == batch_seq))
    )
    if in_order or not known:
        kinds = Counter(kind_of(one.reason) for one in rejected)
        for kind, count in kinds.items():
            _count(session, kind, count, batch_seq, in_order=in_order)
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


def has_due(session: Session) -> bool:
    """Return whether there is anything to be read again."""
    due = select(Quarantined.id).where(Quarantined.state == DUE)
    return session.exec(due.limit(1)).first() is not None


def claim_due(
    session: Session, name: str, most: int, gone: Sequence[str] = ()
) -> list[Quarantined]:
    """Claim refused payloads that are due for the store `name`, those of stores that have gone as well.

    Of several processes that ask at the same moment each gets others.
    """
    query = select(Quarantined).where(
        col(Quarantined.state) == DUE, col(Quarantined.claimed_by).in_(["", name, *gone])
    )
    query = query.order_by(col(Quarantined.id)).limit(most).with_for_update(skip_locked=True)
    rows = list(session.exec(query))
    for row in rows:
        row.claimed_by = name
        session.add(row)
    return rows


def find_claimers(session: Session, name: str) -> list[str]:
    """Return the other stores that have claimed refused payloads."""
    others = col(Quarantined.claimed_by).not_in(["", name])
    query = select(Quarantined.claimed_by).where(col(Quarantined.state) == DUE, others)
    return list(session.exec(query.distinct()))


def discard(session: Session, ids: Sequence[int] | None) -> int:
    """Mark refused payloads, all where `ids` is None, as of no interest; return how many."""
    statement = update(Quarantined).where(col(Quarantined.state).in_([WAITING, DUE]))
    if ids is not None:
        statement = statement.where(col(Quarantined.id).in_(ids))
    result = session.execute(statement.values(state=DISCARDED))
    return int(result.rowcount)  # type: ignore[attr-defined]


def _count(session: Session, kind: str, count: int, batch_seq: int, *, in_order: bool) -> None:
    row = session.get(RefusedCount, kind)
    if row is None:
        kinds = session.exec(select(func.count()).select_from(RefusedCount)).one()
        if kinds >= _MOST_KINDS:
            row = session.get(RefusedCount, _OTHER)
            kind = _OTHER
        row = row or RefusedCount(reason=kind)
    if row.batch_seq < batch_seq or kind == _OTHER or not in_order:
        row.count += count
        row.batch_seq = max(row.batch_seq, batch_seq)
        session.add(row)
