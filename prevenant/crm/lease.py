"""Who reads an outside CRM just now: one process at a time, for as long as it says so.

It says so again with every page, in the page's own transaction. One that was killed is out of the way
once its time is over; one that stood still for as long finds another in its place, and writes no more.
"""

from datetime import datetime, timedelta
from uuid import uuid4

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, or_, update

from prevenant.crm.tables import CrmLease
from prevenant.errors import CrmBusy
from prevenant.store import insert_once

_LEAST_S = 60.0
_ANSWERS = 8
"""The longest time between two pages, in answers that take as long as they may."""


class Lease:
    """Our claim on one outside CRM."""

    def __init__(self, source: str, timeout_s: float) -> None:
        self._source = source
        self._span = timedelta(seconds=max(_LEAST_S, _ANSWERS * timeout_s))
        self._holder = uuid4().hex

    def take(self, session: Session, now: datetime) -> None:
        """Claim it. Raises CrmBusy where another process has it."""
        insert_once(session, CrmLease(source=self._source, holder="", until=now))
        is_free = or_(col(CrmLease.holder) == "", col(CrmLease.until) <= now)
        if not self._write(session, is_free, self._holder, now + self._span):
            until = session.get_one(CrmLease, self._source).until
            remedy = f"it is free by {until:%H:%M:%S} UTC at the latest"
            message = f"{self._source} is read by another process just now: {remedy}"
            raise CrmBusy(message)

    def hold(self, session: Session, now: datetime, wait_s: float = 0.0) -> None:
        """Say that we go on, after a wait perhaps. Raises CrmBusy where another process has taken over."""
        until = now + self._span + timedelta(seconds=wait_s)
        if not self._write(session, col(CrmLease.holder) == self._holder, self._holder, until):
            message = f"{self._source} is read by another process now, since this one stood still"
            raise CrmBusy(message)

    def give_back(self, session: Session, now: datetime) -> None:
        """Let the next have it, where it is still ours."""
        self._write(session, col(CrmLease.holder) == self._holder, "", now)

    def _write(
        self, session: Session, where: ColumnElement[bool], holder: str, until: datetime
    ) -> bool:
        statement = update(CrmLease).where(col(CrmLease.source) == self._source, where)
        changed = statement.values(holder=holder, until=until).returning(col(CrmLease.source))
        return session.execute(changed).first() is not None
