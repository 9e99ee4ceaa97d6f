"""What was done under which key: so that a request that is sent again is not done again.

The key is written in the very transaction that does what was asked. What was done has its key, after a
crash too, and what was not done has none. Of two at the same moment one is rolled back.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Index, Text, delete
from sqlmodel import Field, Session, col, update

from prevenant.errors import KeyTaken
from prevenant.rows import TableRow
from prevenant.store import at_the_end, insert_once
from prevenant.tables import json_column, utc_column

KEPT = timedelta(hours=24)


class KeptAnswer(TableRow, table=True):
    """A key under which something was done, and what was answered, where that is kept."""

    __tablename__ = "kept_answer"
    __table_args__ = (Index("ix_kept_answer_at", "at"),)

    digest: str = Field(primary_key=True)
    """Of whose key it is, and of the key."""
    fingerprint: str
    """Of what was asked for under it."""
    holder: str
    """Which attempt it was."""
    at: datetime = utc_column()
    status: int | None = None
    headers: dict[str, Any] = json_column()
    body: str | None = Field(default=None, sa_type=Text)


@dataclass(slots=True)
class Attempt:
    """One attempt to do what is asked for under a key."""

    digest: str
    fingerprint: str
    holder: str
    at: datetime
    is_done: bool = False
    """Whether it has changed anything."""
    is_under_way: bool = False

    def write(self, session: Session) -> None:
        """Write the key with what is done under it. Raises KeyTaken where another attempt has it."""
        if self.is_done or self.is_under_way:
            return
        self.is_under_way = True
        at_the_end(session, self._committed, self._failed)
        session.execute(delete(KeptAnswer).where(col(KeptAnswer.at) < self.at - KEPT))
        row = KeptAnswer(
            digest=self.digest, fingerprint=self.fingerprint, holder=self.holder, at=self.at
        )
        insert_once(session, row)
        found = session.get(KeptAnswer, self.digest, populate_existing=True)
        if found is None or found.holder != self.holder:
            message = "another request with this key is under way, or has just been done"
            raise KeyTaken(message)

    def keep_answer(
        self, session: Session, status: int, headers: dict[str, str], body: str
    ) -> None:
        """Keep what was answered."""
        mine = col(KeptAnswer.digest) == self.digest, col(KeptAnswer.holder) == self.holder
        values = {"status": status, "headers": headers, "body": body}
        session.execute(update(KeptAnswer).where(*mine).values(**values))

    def _committed(self) -> None:
        self.is_done, self.is_under_way = True, False

    def _failed(self) -> None:
        self.is_under_way = False


def find_answer(session: Session, digest: str, now: datetime) -> KeptAnswer | None:
    """Return what was done under a key, or None where nothing was, or too long ago."""
    found = session.get(KeptAnswer, digest)
    return found if found is not None and found.at >= now - KEPT else None


def forget_answers(session: Session) -> None:
    """Forget what was answered, for it may name somebody; what was done stays done."""
    session.execute(update(KeptAnswer).values(status=None, headers={}, body=None))


def digest_of(*parts: str | bytes) -> str:
    """Return the SHA-256 of several parts, each told from the next."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()
