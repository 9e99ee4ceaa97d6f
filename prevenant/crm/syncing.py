"""Reading outside CRMs: what has changed since the last time, page by page, a page in short transactions.

How far we are stands in the store, so that a crash costs one page. A CRM that is down delays nothing: what
was read before serves, and says how old it is. Of several processes one reads, and the others look later.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog
from sqlmodel import select

from prevenant.clock import Clock, Wakeup
from prevenant.crm.lease import Lease
from prevenant.crm.source import CrmSource, Feed, Page
from prevenant.crm.tables import CrmSync
from prevenant.crm.taking import AT_ONCE, Announce, Outcome, Taker, slices_of
from prevenant.domain import Severity
from prevenant.errors import CrmBusy, CrmUnavailable, StoreUnavailable, mask_addresses
from prevenant.store import Store
from prevenant.tables import add_timeline

log = structlog.get_logger()

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 15.0, 3600.0
_STORE_PAUSE = timedelta(seconds=5)
_BUSY_PAUSE = timedelta(seconds=30)
_URGENCY = Severity.INFO
"""Rows of a CRM come by the thousand: everything else is written first."""

_REST_S = 0.12
"""Whoever waits for a SQLite file in another process looks every 0.1 s, and has to find it free."""

Wait = Callable[[float], bool]
"""Waits for so many seconds of the clock, 0 too; returns whether to go on."""


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
                due = self.sync_once(unless_read=True)
        self.source.close()

    def stop(self) -> None:
        """End `run` after the page under way."""
        self._stopping.set()
        self._wakeup.ring()

    def sync_once(self, *, unless_read: bool = False) -> datetime:
        """Read what has changed, unless another process has done so lately; return when to read again."""
        is_due = self._is_due if unless_read else None
        try:
            outcomes = sync_source(
                self._store, self._clock, self.source, self._announce, self._wait, is_due
            )
        except CrmBusy as error:
            log.info("another process reads the CRM", reason=str(error))
            return self._clock.now() + _BUSY_PAUSE
        except StoreUnavailable as error:
            log.error("the CRM's rows wait", source=self.source.name, reason=str(error))
            return self._clock.now() + _STORE_PAUSE
        if not any(outcome.error for outcome in outcomes.values()):
            self._failures = 0
            return self._first_due()
        self._failures += 1
        longest = max(_LONGEST_PAUSE_S, self.source.every_s)
        pause_s = min(longest, _FIRST_PAUSE_S * 2 ** min(self._failures - 1, 20))
        pause_s = max(pause_s, *(outcome.retry_after_s for outcome in outcomes.values()))
        return self._clock.now() + timedelta(seconds=pause_s)

    def _wait(self, seconds: float) -> bool:
        until = self._clock.now() + timedelta(seconds=seconds)
        while not self._stopping.is_set() and self._clock.now() < until:
            self._wakeup.wait(self._clock, until)
        return not self._stopping.is_set()

    def _is_due(self) -> bool:
        return self._clock.now() >= self._first_due()

    def _first_due(self) -> datetime:
        """Return when it is to be read first: neither a restart nor a second process hastens that."""
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
    store: Store,
    clock: Clock,
    source: CrmSource,
    announce: Announce,
    wait: Wait | None = None,
    is_due: Callable[[], bool] | None = None,
) -> dict[str, Outcome]:
    """Read all that has changed and write it; return what came of each kind of row.

    Nothing is read where `is_due`, asked once nobody else can read, says so. Raises CrmBusy while
    another process reads the same.
    """
    return _Reading(store, clock, source, announce, wait or _waiting_by(clock)).run(is_due)


def rehearse_source(
    store: Store, clock: Clock, source: CrmSource, announce: Announce
) -> dict[str, Outcome]:
    """Return what reading would bring, and write nothing."""
    outcomes: dict[str, Outcome] = {}
    read: list[tuple[Taker, Page, list[Page]]] = []
    wait, now = _waiting_by(clock), clock.now()
    for name, feed in source.feeds.items():
        outcomes[name] = Outcome()
        taker = Taker(source, feed, announce, outcomes[name], now)
        with store.read() as session, session.no_autoflush:
            cursor, kept = taker.begin(session), taker.waiting(session)
        try:
            pages = [page for page in source.read(feed, cursor) if wait(page.wait_s)]
        except CrmUnavailable as error:
            outcomes[name].error = str(error)
            if error.whole:
                break
        else:
            read.append((taker, kept, pages))
    with _aside(store) as copy, copy.write(_URGENCY) as session:
        for taker, kept, pages in read:
            for page in (kept, *pages):
                for some in slices_of(page):
                    taker.take(session, some, now)
            try:
                taker.finish(session, now)
            except CrmUnavailable as error:
                outcomes[taker.kind].error = str(error)
        session.rollback()
    return outcomes


@contextmanager
def _aside(store: Store) -> Iterator[Store]:
    """Yield a copy of a SQLite file, in which a rehearsal may write for long and nobody waits for it."""
    url = store.engine.url
    if store.is_shared or not url.database or not Path(url.database).is_file():
        yield store
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rehearsal.db"
        with closing(sqlite3.connect(url.database)) as ours, closing(sqlite3.connect(path)) as copy:
            ours.backup(copy)
        aside = Store(f"sqlite:///{path}", is_durable=False)
        try:
            yield aside
        finally:
            aside.close()


class _Reading:
    """One reading of all kinds of rows of an outside CRM."""

    def __init__(
        self, store: Store, clock: Clock, source: CrmSource, announce: Announce, wait: Wait
    ) -> None:
        self._store = store
        self._clock = clock
        self._source = source
        self._announce = announce
        self._wait = wait
        self._lease = Lease(source.name, source.timeout_s)

    def run(self, is_due: Callable[[], bool] | None = None) -> dict[str, Outcome]:
        """Read everything while the lease is ours."""
        with self._store.write(_URGENCY) as session:
            self._lease.take(session, self._clock.now())
        try:
            return {} if is_due and not is_due() else self._read_all()
        finally:
            with suppress(StoreUnavailable), self._store.write(_URGENCY) as session:
                self._lease.give_back(session, self._clock.now())

    def _read_all(self) -> dict[str, Outcome]:
        outcomes: dict[str, Outcome] = {}
        for name, feed in self._source.feeds.items():
            outcome = outcomes[name] = Outcome()
            try:
                self._read(feed, outcome)
            except _Stopped:
                break
            except CrmUnavailable as error:
                outcome.error, outcome.retry_after_s = str(error), error.retry_after_s
                self._note_failure(feed, outcome.error)
                if error.whole:
                    break
            except (StoreUnavailable, CrmBusy):
                raise
            except Exception as error:
                # What another system says must not be able to end the engine.
                log.exception("rows cannot be taken", source=self._source.name, rows=name)
                outcome.error = mask_addresses(repr(error).splitlines()[0])[:500]
                self._note_failure(feed, outcome.error)
        return outcomes

    def _read(self, feed: Feed, outcome: Outcome) -> None:
        taker = Taker(self._source, feed, self._announce, outcome, self._clock.now())
        with self._store.write(_URGENCY) as session:
            self._lease.hold(session, self._clock.now())
            cursor, kept = taker.begin(session), taker.waiting(session)
        if kept.rows:
            self._take(taker, kept)
        with closing(self._source.read(feed, cursor)) as pages:
            for page in pages:
                self._take(taker, page)
        with self._store.write(_URGENCY) as session:
            self._lease.hold(session, self._clock.now())
            taker.finish(session, self._clock.now())

    def _take(self, taker: Taker, page: Page) -> None:
        for some in slices_of(page):
            with self._store.write(_URGENCY) as session:
                self._lease.hold(session, self._clock.now(), page.wait_s)
                taker.take(session, some, self._clock.now())
            if len(some.rows) == AT_ONCE and not self._store.is_shared:
                time.sleep(_REST_S)
            if not self._wait(0.0):
                raise _Stopped
        if page.wait_s and not self._wait(page.wait_s):
            raise _Stopped

    def _note_failure(self, feed: Feed, reason: str) -> None:
        """Say once that a CRM cannot be read, and how old what we have is."""
        now = self._clock.now()
        with self._store.write(_URGENCY) as session:
            key = (self._source.name, feed.entity.name)
            sync = session.get(CrmSync, key) or CrmSync(source=key[0], entity=key[1])
            if sync.failed_at is None:
                age = f"of {sync.synced_at:%Y-%m-%d %H:%M} UTC" if sync.synced_at else "none so far"
                log.warning(
                    "the CRM cannot be read, so what we have serves on",
                    source=self._source.name,
                    rows=feed.entity.name,
                    reason=reason,
                    have=age,
                )
                summary = f"{self._source.name} cannot be read: {reason}; {feed.entity.name}: {age}"
                add_timeline(session, now, "crm.away", summary)
                sync.failed_at = now
            sync.error = reason
            session.add(sync)


class _Stopped(Exception):
    """The engine ends; what was read so far stays."""


def _waiting_by(clock: Clock) -> Wait:
    def wait(seconds: float) -> bool:
        until = clock.now() + timedelta(seconds=seconds)
        wakeup = Wakeup()
        while clock.now() < until:
            wakeup.wait(clock, until)
        return True

    return wait
