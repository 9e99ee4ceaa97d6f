"""Taking rows of an outside CRM: good ones are written, others kept with their reasons and tried again."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlmodel import Session, col, delete, select

from prevenant.crm.cursors import cap_cursor
from prevenant.crm.entities import Entity
from prevenant.crm.erased_rows import find_erased
from prevenant.crm.judging import judge
from prevenant.crm.rows import LONGEST_ID, is_unseen
from prevenant.crm.source import CrmSource, Feed, Page, is_deleted
from prevenant.crm.tables import CrmSkipped, CrmSync
from prevenant.crm.writing import Tally, remove_missing, remove_rows, write_lines
from prevenant.errors import CrmUnavailable, Problem, TooManyMissing, mask_addresses
from prevenant.tables import add_timeline

log = structlog.get_logger()

_MOST_SKIPPED = 10_000
_MOST_AHEAD = timedelta(days=1)
"""A cursor that is further ahead than clocks and time zones differ hides what has changed since."""
AT_ONCE = 500
"""How many rows are written in one transaction: whoever else writes waits for no more."""
_OF_JOBS = ("technicians", "leave")
"""Rows that can take a technician away from a job."""

Announce = Callable[[Session, datetime], object]
"""What has to be done in the transaction that has changed technicians or their leave."""


@dataclass(slots=True)
class Outcome:
    """What came of reading one kind of row."""

    tally: Tally = field(default_factory=Tally)
    skipped: dict[str, str] = field(default_factory=dict)
    """Rows that could not be taken, by id, each with its reason."""
    error: str = ""
    """Why it could not be read to the end."""
    retry_after_s: float = 0.0
    """After how long the CRM lets us ask again; 0 where it did not say."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of a page, by column and under their ids, as a batch to be judged."""

    source: str
    entity: Entity
    values: Mapping[str, Mapping[str, Any]]

    def rows(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield each row."""
        yield from self.values.items()

    def problem(self, ref: str, column: str, message: str) -> Problem:
        """Return a problem with a row."""
        place = f"{self.source}/{self.entity.name}/{ref}"
        del column
        return Problem(place, 1, 1, message, place)


def slices_of(page: Page) -> Iterator[Page]:
    """Yield a page in parts that one transaction may take; the last has the cursor."""
    for start in range(0, len(page.rows) - AT_ONCE, AT_ONCE):
        yield Page(page.rows[start : start + AT_ONCE])
    start = max(0, (len(page.rows) - 1) // AT_ONCE * AT_ONCE)
    yield Page(page.rows[start:], page.cursor)


class Taker:
    """Takes the pages of one kind of row."""

    def __init__(
        self,
        source: CrmSource,
        feed: Feed,
        announce: Announce,
        outcome: Outcome,
        began_at: datetime,
    ) -> None:
        self._source = source
        self._feed = feed
        self._announce = announce
        self._outcome = outcome
        self._began_at = began_at
        self._listed: set[str] = set()
        self._is_whole = False

    @property
    def kind(self) -> str:
        """What its rows are."""
        return self._feed.entity.name

    def begin(self, session: Session) -> str:
        """Return from where on to read: empty where everything has to be read, as with other columns."""
        sync = self._sync(session)
        latest = self._began_at + _MOST_AHEAD
        is_ahead = sync.cursor and cap_cursor(sync.cursor, latest) != sync.cursor
        if self._feed.cursor is None or sync.mapping != self._feed.mapping or is_ahead:
            sync.cursor, sync.mapping = "", self._feed.mapping
        self._is_whole = not sync.cursor
        return sync.cursor

    def waiting(self, session: Session) -> Page:
        """Return the rows that could not be taken before; none where everything is read anyway."""
        if self._is_whole:
            return Page([])
        return Page(self._kept(session))

    def _kept(self, session: Session) -> list["_Kept"]:
        query = select(CrmSkipped.record_id, CrmSkipped.values).where(
            CrmSkipped.source == self._source.name, CrmSkipped.entity == self._feed.entity.name
        )
        return [_Kept(ref, values) for ref, values in session.exec(query)]

    def take(self, session: Session, page: Page, now: datetime) -> None:
        """Write the good rows of a page, keep the others with their reasons, and how far we are."""
        entity, name = self._feed.entity, self._source.name
        values, gone = self._sort(page)
        batch = _Rows(name, entity, values)
        judgement = judge(session, [batch], whole=False)
        tally = write_lines(session, judgement, name, now=now)[entity.name]
        good = [line.ref for line in judgement.lines[entity.name]]
        self._listed.update(line.key for line in judgement.lines[entity.name])
        self._listed.update(ref for _, ref in judgement.refused)
        tally.removed += remove_rows(session, entity, gone, now, name)
        self._outcome.tally.add(tally)
        self._forget(session, [*good, *gone])
        reasons = {ref: reason for (_, ref), reason in judgement.refused.items()}
        self._keep(session, {ref: values[ref] for ref in reasons}, reasons, now)
        sync = self._sync(session)
        if page.cursor:
            sync.cursor = cap_cursor(page.cursor, self._began_at)
        sync.rows += sum(not isinstance(row, _Kept) for row in page.rows)
        if entity.name in _OF_JOBS and tally.new + tally.changed + tally.removed:
            self._announce(session, now)

    def finish(self, session: Session, now: datetime) -> None:
        """Take note that everything was read; remove and forget what is listed no more.

        Raises CrmUnavailable where too much is missing to be believed.
        """
        name, entity = self._source.name, self._feed.entity
        if self._feed.removes_missing:
            removed = self._remove_missing(session, now)
            self._outcome.tally.removed += removed
            if entity.name in _OF_JOBS and removed:
                self._announce(session, now)
        if self._is_whole:
            kept = [one.ref for one in self._kept(session)]
            self._drop(session, [ref for ref in kept if ref not in self._outcome.skipped])
        sync = self._sync(session)
        if sync.failed_at is not None:
            log.info("the CRM answers again", source=name, rows=entity.name)
            add_timeline(session, now, "crm.back", f"{name} answers again: {entity.name}")
        sync.synced_at, sync.failed_at, sync.error = now, None, ""

    def _remove_missing(self, session: Session, now: datetime) -> int:
        name, most = self._source.name, self._feed.most_removed
        try:
            return remove_missing(session, self._feed.entity, name, self._listed, now, most)
        except TooManyMissing as error:
            once = f"once with `prevenant crm sync {name} --most-removed 100%`"
            message = f"{error} `most_removed: 100%` beside `missing`, or {once}"
            raise CrmUnavailable(message, whole=False) from error

    def _sync(self, session: Session) -> CrmSync:
        key = self._source.name, self._feed.entity.name
        found = session.get(CrmSync, key)
        if found is None:
            found = CrmSync(source=key[0], entity=key[1], mapping=self._feed.mapping)
            session.add(found)
        return found

    def _sort(self, page: Page) -> tuple[dict[str, Mapping[str, Any]], list[str]]:
        """Return rows by id, the last of each, and the ids of those that are gone."""
        entity = self._feed.entity
        values: dict[str, Mapping[str, Any]] = {}
        gone: dict[str, None] = {}
        for number, row in enumerate(page.rows, 1):
            if isinstance(row, _Kept):
                values[row.ref] = row.values
                continue
            cells = {name: column.find(row) for name, column in self._feed.columns.items()}
            names = ("id",) if entity.name == "leave" else entity.identity
            parts = [str(cells.get(name, "")) for name in names]
            ref = _storable("/".join(parts)) if any(parts) else f"number {number}"
            if is_deleted(self._feed, row):
                values.pop(ref, None)
                gone[ref] = None
            else:
                gone.pop(ref, None)
                values[ref] = cells
        return values, list(gone)

    def _forget(self, session: Session, refs: Sequence[str]) -> None:
        for ref in refs:
            self._outcome.skipped.pop(ref, None)
        self._drop(session, refs)

    def _drop(self, session: Session, refs: Sequence[str]) -> None:
        for start in range(0, len(refs), AT_ONCE):
            session.execute(
                delete(CrmSkipped).where(
                    col(CrmSkipped.source) == self._source.name,
                    col(CrmSkipped.entity) == self._feed.entity.name,
                    col(CrmSkipped.record_id).in_(refs[start : start + AT_ONCE]),
                )
            )

    def _keep(
        self,
        session: Session,
        values: Mapping[str, Mapping[str, Any]],
        reasons: Mapping[str, str],
        now: datetime,
    ) -> None:
        name, entity = self._source.name, self._feed.entity.name
        known = {one.record_id: one for one in self._find_skipped(session, list(values))}
        erased = find_erased(session, self._feed.entity, values)
        for ref, cells in values.items():
            self._outcome.skipped[ref] = reasons[ref]
            # Of somebody who was erased nothing is kept again, not even to say so.
            if ref in erased:
                continue
            if ref not in known and len(self._outcome.skipped) > _MOST_SKIPPED:
                continue
            row = known.get(ref) or CrmSkipped(
                source=name, entity=entity, record_id=ref, reason="", values={}, at=now
            )
            row.reason, row.values = mask_addresses(reasons[ref]), dict(cells)
            session.add(row)
        session.flush()

    def _find_skipped(self, session: Session, refs: Sequence[str]) -> Sequence[CrmSkipped]:
        query = select(CrmSkipped).where(
            CrmSkipped.source == self._source.name, CrmSkipped.entity == self._feed.entity.name
        )
        return session.exec(query.where(col(CrmSkipped.record_id).in_(refs))).all()


def _storable(ref: str) -> str:
    """Return an id as every database can keep it, whatever the other side has sent."""
    whole = ref.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\0")
    if not whole.isprintable():
        # What no id has would command whatever shows the row.
        shown = (c.encode("unicode_escape").decode() if is_unseen(c) else c for c in whole)
        whole = "".join(shown)
    return whole[:LONGEST_ID]


@dataclass(frozen=True, slots=True)
class _Kept:
    """A row that could not be taken before."""

    ref: str
    values: Mapping[str, Any]
