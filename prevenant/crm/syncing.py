"""Reading outside CRMs: what has changed since the last time, page by page, each page in one transaction.

How far we are stands in the store, so that a crash costs one page. A row that cannot be taken is kept
with its reason and tried again every time; the others go on. A CRM that is down delays nothing: what was
read before serves, and says how old it is.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlmodel import Session, col, delete, select

from prevenant.clock import Clock, Wakeup
from prevenant.crm.entities import Entity
from prevenant.crm.erased_rows import find_erased
from prevenant.crm.judging import judge
from prevenant.crm.source import CrmSource, Feed, Page, is_deleted
from prevenant.crm.tables import CrmSkipped, CrmSync
from prevenant.crm.writing import Tally, remove_missing, remove_rows, write_lines
from prevenant.errors import CrmUnavailable, Problem, StoreUnavailable, mask_addresses
from prevenant.store import Store
from prevenant.tables import add_timeline

log = structlog.get_logger()

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 15.0, 3600.0
_MOST_SKIPPED = 10_000
_OF_JOBS = ("technicians", "leave")
"""Rows that can take a technician away from a job."""
_STORE_PAUSE = timedelta(seconds=5)

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


class Syncer:
    """Keeps reading one outside CRM, in a thread of its own."""

    def __init__(self, store: Store, clock: Clock, source: CrmSource, announce: Announce) -> None:
        self._store = store
        self._clock = clock
        self.source = source
        self._announce = announce
        self._wakeup = Wakeup()
        self._stopping = threading.Event()
        self._failures = 0

    def run(self) -> None:
        """Read again and again until `stop`."""
        due = self._first_due()
        while not self._stopping.is_set():
            self._wakeup.wait(self._clock, due)
            if self._clock.now() >= due and not self._stopping.is_set():
                due = self.sync_once()
        self.source.close()

    def stop(self) -> None:
        """End `run` after the page under way."""
        self._stopping.set()
        self._wakeup.ring()

    def sync_once(self) -> datetime:
        """Read what has changed; return when to read again."""
        try:
            outcomes = sync_source(self._store, self._clock, self.source, self._announce)
        except StoreUnavailable as error:
            log.error("the CRM's rows wait", source=self.source.name, reason=str(error))
            return self._clock.now() + _STORE_PAUSE
        failed = any(outcome.error for outcome in outcomes.values())
        self._failures = self._failures + 1 if failed else 0
        pause_s = self.source.every_s
        if failed:
            longest = max(_LONGEST_PAUSE_S, pause_s)
            pause_s = min(longest, _FIRST_PAUSE_S * 2 ** min(self._failures - 1, 20))
        return self._clock.now() + timedelta(seconds=pause_s)

    def _first_due(self) -> datetime:
        """Return when it is to be read first: a restart does not hasten that."""
        now = self._clock.now()
        try:
            with self._store.read() as session:
                query = select(CrmSync.synced_at).where(CrmSync.source == self.source.name)
                synced = session.exec(query).all()
        except StoreUnavailable:
            return now
        if len(synced) < len(self.source.feeds) or any(at is None for at in synced):
            return now
        return min(at for at in synced if at) + timedelta(seconds=self.source.every_s)


def sync_source(
    store: Store, clock: Clock, source: CrmSource, announce: Announce
) -> dict[str, Outcome]:
    """Read all that has changed and write it; return what came of each kind of row."""
    outcomes: dict[str, Outcome] = {}
    for name, feed in source.feeds.items():
        outcome = outcomes[name] = Outcome()
        try:
            _sync_feed(store, clock, source, feed, announce, outcome)
        except CrmUnavailable as error:
            outcome.error = str(error)
            _note_failure(store, source, feed, outcome.error, clock.now())
            if error.whole:
                break
        except StoreUnavailable:
            raise
        except Exception as error:
            # What another system says must not be able to end the engine.
            log.exception("rows cannot be taken", source=source.name, rows=name)
            outcome.error = mask_addresses(repr(error).splitlines()[0])[:500]
            _note_failure(store, source, feed, outcome.error, clock.now())
    return outcomes


def rehearse_source(
    store: Store, clock: Clock, source: CrmSource, announce: Announce
) -> dict[str, Outcome]:
    """Return what reading would bring, and write nothing."""
    outcomes: dict[str, Outcome] = {}
    read: list[tuple[Feed, list[Page]]] = []
    for name, feed in source.feeds.items():
        outcomes[name] = Outcome()
        with store.read() as session:
            sync = session.get(CrmSync, (source.name, name))
        try:
            read.append((feed, list(source.read(feed, sync.cursor if sync else ""))))
        except CrmUnavailable as error:
            outcomes[name].error = str(error)
            if error.whole:
                break
    with store.write() as session:
        for feed, pages in read:
            taker = _Taker(source, feed, announce, outcomes[feed.entity.name])
            for page in [taker.waiting(session), *pages]:
                taker.take(session, page, clock.now())
            taker.finish(session, clock.now())
        session.rollback()
    return outcomes


def _sync_feed(
    store: Store,
    clock: Clock,
    source: CrmSource,
    feed: Feed,
    announce: Announce,
    outcome: Outcome,
) -> None:
    taker = _Taker(source, feed, announce, outcome)
    with store.write() as session:
        sync = session.get(CrmSync, (source.name, feed.entity.name))
        cursor = sync.cursor if sync else ""
        taker.take(session, taker.waiting(session), clock.now())
    with closing(source.read(feed, cursor)) as pages:
        for page in pages:
            with store.write() as session:
                taker.take(session, page, clock.now())
    with store.write() as session:
        taker.finish(session, clock.now())


class _Taker:
    """Takes the pages of one kind of row."""

    def __init__(self, source: CrmSource, feed: Feed, announce: Announce, outcome: Outcome) -> None:
        self._source = source
        self._feed = feed
        self._announce = announce
        self._outcome = outcome
        self._listed: set[str] = set()

    def waiting(self, session: Session) -> Page:
        """Return the rows that could not be taken before, to be tried again."""
        query = select(CrmSkipped).where(
            CrmSkipped.source == self._source.name, CrmSkipped.entity == self._feed.entity.name
        )
        return Page([_Kept(one.record_id, one.values) for one in session.exec(query)])

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
        sync = session.get(CrmSync, (name, entity.name)) or CrmSync(source=name, entity=entity.name)
        sync.cursor = page.cursor or sync.cursor
        sync.rows += sum(not isinstance(row, _Kept) for row in page.rows)
        session.add(sync)
        if entity.name in _OF_JOBS and tally.new + tally.changed + tally.removed:
            self._announce(session, now)

    def finish(self, session: Session, now: datetime) -> None:
        """Take note that everything was read, and remove what is listed no more."""
        name, entity = self._source.name, self._feed.entity
        if self._feed.removes_missing:
            removed = remove_missing(session, entity, name, self._listed, now)
            self._outcome.tally.removed += removed
            if entity.name in _OF_JOBS and removed:
                self._announce(session, now)
        sync = session.get(CrmSync, (name, entity.name))
        if sync is None:
            return
        if sync.failed_at is not None:
            log.info("the CRM answers again", source=name, rows=entity.name)
            add_timeline(session, now, "crm.back", f"{name} answers again: {entity.name}")
        sync.synced_at, sync.failed_at, sync.error = now, None, ""
        session.add(sync)

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
            ref = "/".join(parts) if any(parts) else f"number {number}"
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
        for start in range(0, len(refs), 500):
            session.execute(
                delete(CrmSkipped).where(
                    col(CrmSkipped.source) == self._source.name,
                    col(CrmSkipped.entity) == self._feed.entity.name,
                    col(CrmSkipped.record_id).in_(refs[start : start + 500]),
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
        erased = find_erased(session, self._feed.entity, values)
        for ref, cells in values.items():
            self._outcome.skipped[ref] = reasons[ref]
            # Of somebody who was erased nothing is kept again, not even to say so.
            if ref in erased:
                continue
            known = session.get(CrmSkipped, (name, entity, ref))
            if known is None and len(self._outcome.skipped) > _MOST_SKIPPED:
                continue
            row = known or CrmSkipped(
                source=name, entity=entity, record_id=ref, reason="", values={}, at=now
            )
            row.reason, row.values = mask_addresses(reasons[ref]), dict(cells)
            session.add(row)
        session.flush()


@dataclass(frozen=True, slots=True)
class _Kept:
    """A row that could not be taken before."""

    ref: str
    values: Mapping[str, Any]


def _note_failure(store: Store, source: CrmSource, feed: Feed, reason: str, now: datetime) -> None:
    """Say once that a CRM cannot be read, and how old what we have is."""
    with store.write() as session:
        key = (source.name, feed.entity.name)
        sync = session.get(CrmSync, key) or CrmSync(source=key[0], entity=key[1])
        if sync.failed_at is None:
            age = f"of {sync.synced_at:%Y-%m-%d %H:%M} UTC" if sync.synced_at else "none so far"
            log.warning(
                "the CRM cannot be read, so what we have serves on",
                source=source.name,
                rows=feed.entity.name,
                reason=reason,
                have=age,
            )
            summary = f"{source.name} cannot be read: {reason}; {feed.entity.name}: {age}"
            add_timeline(session, now, "crm.away", summary)
            sync.failed_at = now
        sync.error = reason
        session.add(sync)
