"""Several processes on one store, and one outside CRM: one reads it, the others look later."""

import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from prevenant.crm.ages import find_age, forget_unread, view_crm
from prevenant.crm.source import CrmSource, Feed, Page
from prevenant.crm.syncing import Syncer, rehearse_source, sync_source
from prevenant.crm.tables import CrmLease, CrmSkipped, CrmSync, Customer
from prevenant.errors import CrmBusy
from prevenant.store import Store
from tests.moved_clock import MovedClock
from tests.servers import wait_until
from tests.their_database import (
    DATABASE,
    TABLES,
    Theirs,
    running_database,
    sources_of,
    sync,
)


@pytest.fixture(params=["sqlite"])
def theirs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Theirs]:
    """Return an outside CRM's database with a few rows."""
    with running_database(request, tmp_path) as found:
        found.run(TABLES)
        yield found


@pytest.fixture
def other(database_url: str, store: Store) -> Iterator[Store]:
    """Return the same store as another process has it."""
    del store
    found = Store(database_url)
    yield found
    found.close()


class Halting:
    """Reads as another does, and waits before each page until it may go on."""

    def __init__(self, source: CrmSource) -> None:
        self.name, self.every_s, self.timeout_s = source.name, source.every_s, source.timeout_s
        self.feeds = source.feeds
        self._source = source
        self.halted, self.go_on = threading.Event(), threading.Event()

    def read(self, feed: Feed, cursor: str) -> Generator[Page, None, None]:
        """Yield its pages."""
        with closing(self._source.read(feed, cursor)) as pages:
            for page in pages:
                self.halted.set()
                self.go_on.wait(60)
                yield page

    def close(self) -> None:
        """Leave it to whoever opened it."""


def announce_nothing(*_: Any) -> None:
    """Take note of nobody's absence."""


def in_thread(work: Any) -> tuple[threading.Thread, list[Any]]:
    """Run something beside us; return its thread, and what came of it."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(work())
        except CrmBusy as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, results


def test_of_two_processes_one_reads_and_the_other_looks_later(
    store: Store, other: Store, clock: MovedClock, theirs: Theirs, tmp_path: Path
) -> None:
    (source,) = sources_of(tmp_path, DATABASE, ERP=theirs.url)
    first = Halting(source)
    thread, results = in_thread(lambda: sync_source(store, clock, first, announce_nothing))
    assert first.halted.wait(60)
    with pytest.raises(
        CrmBusy, match="erp is read by another process just now: it is free by 08:01:20"
    ):
        sync_source(other, clock, source, announce_nothing)
    second = Syncer(other, clock, source, announce_nothing)
    assert (second.sync_once() - clock.now()).total_seconds() == 30.0
    first.go_on.set()
    thread.join(60)
    assert results[0]["customers"].tally.new == 2
    # What one has read is not read again by the other before it is time.
    assert (second._first_due() - clock.now()).total_seconds() == 300.0
    assert set(sync(other, clock, source).values()) == {(0, 0, 0)}


def test_both_at_once_collide_nowhere(
    store: Store, other: Store, clock: MovedClock, theirs: Theirs, tmp_path: Path
) -> None:
    values = ",".join(f"({n}, 'N{n}', '2026-05-02 08:00:00', 0, 'x')" for n in range(100, 1_500))
    theirs.run(f"INSERT INTO clients VALUES {values};")
    sources = [sources_of(tmp_path, DATABASE, ERP=theirs.url)[0] for _ in range(2)]
    stores = (store, other)
    started = [
        in_thread(lambda s=s, one=one: sync_source(s, clock, one, announce_nothing))
        for s, one in zip(stores, sources, strict=True)
    ]
    for thread, _ in started:
        thread.join(60)
    outcomes = [one for _, results in started for one in results]
    assert len(outcomes) == 2
    done = [one for one in outcomes if not isinstance(one, CrmBusy)]
    assert done
    assert not any(kind.error for one in done for kind in one.values()), done
    assert sum(one["customers"].tally.new for one in done) == 1_402


def test_one_that_was_killed_is_out_of_the_way_soon(
    store: Store, other: Store, clock: MovedClock, theirs: Theirs, tmp_path: Path
) -> None:
    (source,) = sources_of(tmp_path, DATABASE, ERP=theirs.url)

    class Killed(Halting):
        """Is gone before its first page, without a word."""

        def read(self, feed: Feed, cursor: str) -> Generator[Page, None, None]:
            yield from self._source.read(feed, cursor)
            with other.write() as session:
                # What a process leaves that was killed: nobody gives its lease back.
                lease = session.get_one(CrmLease, "erp")
                self.left = (lease.holder, lease.until)
            raise KeyboardInterrupt

    killed = Killed(source)
    with pytest.raises(KeyboardInterrupt):
        sync_source(store, clock, killed, announce_nothing)
    with store.write() as session:
        lease = session.get_one(CrmLease, "erp")
        lease.holder, lease.until = killed.left
    with pytest.raises(CrmBusy):
        sync_source(other, clock, source, announce_nothing)
    clock.advance(seconds=80)
    sync(other, clock, source)


def test_one_that_stood_still_too_long_writes_nothing_more(
    store: Store, other: Store, clock: MovedClock, theirs: Theirs, tmp_path: Path
) -> None:
    (source,) = sources_of(tmp_path, DATABASE, ERP=theirs.url)
    stood = Halting(source)
    thread, results = in_thread(lambda: sync_source(store, clock, stood, announce_nothing))
    assert stood.halted.wait(60)
    clock.advance(minutes=10)
    sync(other, clock, source)
    theirs.run(
        "UPDATE clients SET client_name = 'Newer', updated_at = '2026-05-03 08:00:00' WHERE client_no = 1;"
    )
    sync(other, clock, source)
    stood.go_on.set()
    thread.join(60)
    assert isinstance(results[0], CrmBusy)
    with store.read() as session:
        assert session.get_one(Customer, "1").name == "Newer"
        assert session.get_one(CrmLease, "erp").holder == ""
    sync(store, clock, source)


def test_a_dry_run_keeps_nobody_from_writing(
    store: Store, other: Store, clock: MovedClock, theirs: Theirs, tmp_path: Path
) -> None:
    (source,) = sources_of(tmp_path, DATABASE, ERP=theirs.url)

    def write_beside(*_: Any) -> None:
        with other.write() as session:
            session.merge(Customer(id="own", name="Own"))

    outcomes = rehearse_source(store, clock, source, write_beside)
    assert outcomes["technicians"].tally.new == 2
    with store.read() as session:
        assert [one.id for one in session.exec(select(Customer))] == ["own"]
        assert session.exec(select(CrmSync)).all() == []


def test_an_engine_that_stops_waits_for_a_page_alone(
    store: Store, clock: MovedClock, theirs: Theirs, tmp_path: Path
) -> None:
    (source,) = sources_of(tmp_path, DATABASE, ERP=theirs.url)
    halting = Halting(source)
    syncer = Syncer(store, clock, halting, announce_nothing)
    thread = threading.Thread(target=syncer.run)
    thread.start()
    assert halting.halted.wait(60)
    syncer.stop()
    halting.go_on.set()
    thread.join(60)
    assert not thread.is_alive()
    with store.read() as session:
        assert session.get(CrmSync, ("erp", "technicians")) is None
        assert session.get_one(CrmSync, ("erp", "customers")).synced_at is None
        assert session.get_one(CrmSync, ("erp", "customers")).error == ""
        assert session.get_one(CrmLease, "erp").holder == ""


def test_two_engines_read_it_as_often_as_one(
    store: Store, other: Store, clock: MovedClock, theirs: Theirs, tmp_path: Path
) -> None:
    sources = [sources_of(tmp_path, DATABASE, ERP=theirs.url)[0] for _ in range(2)]
    syncers = [
        Syncer(s, clock, one, announce_nothing)
        for s, one in zip((store, other), sources, strict=True)
    ]
    threads = [threading.Thread(target=one.run) for one in syncers]

    def rows() -> int:
        with store.read() as session:
            found = session.get(CrmSync, ("erp", "technicians"))
            return found.rows if found and found.synced_at == clock.now() else 0

    for thread in threads:
        thread.start()
    wait_until(lambda: rows() == 2, "first reading")
    for number in (2, 3):
        # The one that found it taken looks again after half a minute, and finds that it was read.
        clock.advance(seconds=30)
        clock.advance(seconds=270)
        wait_until(lambda count=2 * number: rows() == count, "next reading")
    for one in syncers:
        one.stop()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)


def test_what_a_source_had_that_is_read_no_more_is_forgotten(
    store: Store, clock: MovedClock, theirs: Theirs, tmp_path: Path
) -> None:
    theirs.run("INSERT INTO people VALUES (9, 'Cid', '12', 1, 1, 12);")
    (source,) = sources_of(tmp_path, DATABASE, ERP=theirs.url)
    sync_source(store, clock, source, announce_nothing)
    clock.advance(days=9)
    renamed = DATABASE.replace("erp:", "books:", 1).partition("      technicians:")[0]
    (source,) = sources_of(tmp_path, renamed, ERP=theirs.url)
    with store.write() as session:
        forget_unread(session, [source])
    sync_source(store, clock, source, announce_nothing)
    with store.read() as session:
        assert find_age(session) == clock.now()
        kinds = {
            (one["source"], one["entity"]) for one in view_crm(session, clock.now())["sources"]
        }
        assert kinds == {("books", "customers"), ("books", "contacts")}
        assert {one.source for one in session.exec(select(CrmSkipped))} == {"books"}
        assert session.get(Customer, "1") is not None, "the rows stay"
    with store.write() as session:
        forget_unread(session, [])
        assert find_age(session) is None
        assert view_crm(session, clock.now())["skipped"] == []
