"""Outside CRMs that are databases, real ones, and the file that names them."""

import re
import sqlite3
import threading
from collections.abc import Generator, Mapping
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import requests
from pydantic import SecretStr
from sqlmodel import col, select

from prevenant.app import Engine
from prevenant.consent import Consent
from prevenant.crm.ages import find_age, view_crm
from prevenant.crm.entities import ENTITIES
from prevenant.crm.source import Column, Feed, Page, is_deleted
from prevenant.crm.source_book import load_sources
from prevenant.crm.syncing import Syncer, rehearse_source, sync_source
from prevenant.crm.tables import (
    Contact,
    CrmRecord,
    CrmSkipped,
    CrmSync,
    Customer,
    Site,
    Technician,
)
from prevenant.errors import SourcesError
from prevenant.settings import Settings
from prevenant.store import Store
from prevenant.tables import TimelineEntry
from tests.moved_clock import MovedClock
from tests.servers import Broker, wait_until
from tests.their_database import (
    DATABASE,
    TABLES,
    Theirs,
    sources_of,
    sync,
)


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """Keep our own on SQLite: what differs here is the other side."""
    return f"sqlite:///{tmp_path / 'ours.db'}"


def test_a_database_is_read_once_and_then_what_has_changed(
    store: Store, clock: MovedClock, theirs: Theirs, tmp_path: Path
) -> None:
    (source,) = sources_of(tmp_path, DATABASE, ERP=theirs.url)
    assert sync(store, clock, source) == {
        "customers": (2, 0, 0),
        "contacts": (2, 0, 0),
        "technicians": (2, 0, 0),
    }
    with store.read() as session:
        ann = session.get_one(Contact, "7")
        assert (ann.phone, ann.language, ann.customer_id) == ("+33639980001", "fr", "1")
        assert ann.timezone == "Europe/Paris"
        assert session.get_one(Technician, "7").skills == {"gas": 2}
        read = {one.entity: one.rows for one in session.exec(select(CrmSync))}
    clock.advance(minutes=5)
    assert set(sync(store, clock, source).values()) == {(0, 0, 0)}
    with store.read() as session:
        again = {one.entity: one.rows for one in session.exec(select(CrmSync))}
    # The last row is read again, for another of its moment may have come; the first is not.
    assert again["customers"] == read["customers"] + 1
    assert again["technicians"] == read["technicians"] + 2
    theirs.run(
        "INSERT INTO clients VALUES (3, 'Cog', '2026-05-01 09:00:00', 0, 'x');"
        "UPDATE clients SET is_deleted = 1, updated_at = '2026-05-02 08:00:00' WHERE client_no = 1;"
        "UPDATE people SET full_name = 'Anne', updated_at = 12 WHERE number = 7;"
        "DELETE FROM field_staff WHERE number = 8;"
    )
    assert sync(store, clock, source) == {
        "customers": (1, 0, 1),
        "contacts": (0, 1, 0),
        "technicians": (0, 0, 1),
    }
    with store.read() as session:
        assert session.get_one(CrmRecord, ("customers", "1")).removed_at == clock.now()
        assert session.get_one(Customer, "1").name == "ACME"
        assert session.get_one(Contact, "7").name == "Anne"
        assert not session.get_one(Technician, "8").is_active
    theirs.run("INSERT INTO field_staff VALUES (8, 47.4, 5.1, 'gas', 'always');")
    sync(store, clock, source)
    with store.read() as session:
        assert session.get_one(Technician, "8").is_active


def test_a_row_that_cannot_be_taken_waits_with_its_reason_and_the_rest_goes_on(
    store: Store, clock: MovedClock, theirs: Theirs, tmp_path: Path
) -> None:
    theirs.run(
        "INSERT INTO people VALUES (9, 'Cid', '12', 1, 1, 12);"
        "INSERT INTO people VALUES (10, 'Dee', '33639980004', 1, 44, 13);"
        "INSERT INTO people VALUES (11, 'Eve', '33639980005', 1, 1, 14);"
    )
    (source,) = sources_of(tmp_path, DATABASE, ERP=theirs.url)
    outcomes = sync_source(store, clock, source, lambda _session, _now: None)
    assert outcomes["contacts"].tally.new == 3
    skipped = outcomes["contacts"].skipped
    assert skipped["9"].startswith("phone: this is no phone number")
    assert skipped["10"].startswith("customer: there is no '44' in customers")
    # What is wrong with the customer of one is mended in another table, and nothing of the row changes.
    theirs.run("INSERT INTO clients VALUES (44, 'Dot', '2026-05-03 08:00:00', 0, 'x');")
    assert sync(store, clock, source)["contacts"] == (1, 0, 0)
    with store.read() as session:
        (left,) = session.exec(select(CrmSkipped))
        assert (left.record_id, left.entity) == ("9", "contacts")
        (shown,) = view_crm(session, clock.now())["skipped"]
        assert "values" not in shown
    theirs.run("UPDATE people SET tel = '33639980003', updated_at = 15 WHERE number = 9;")
    assert sync(store, clock, source)["contacts"] == (1, 0, 0)
    with store.read() as session:
        assert session.exec(select(CrmSkipped)).all() == []


def test_an_answer_that_lacks_most_rows_takes_nobody_out_unless_that_is_allowed(
    store: Store, clock: MovedClock, theirs: Theirs, tmp_path: Path
) -> None:
    (source,) = sources_of(tmp_path, DATABASE, ERP=theirs.url)
    sync(store, clock, source)
    theirs.run("DELETE FROM field_staff;")
    for read in (rehearse_source, sync_source):
        error = read(store, clock, source, lambda _session, _now: None)["technicians"].error
        assert error.startswith("of the 2 technicians that we have from there, 0 are listed")
        assert "`most_removed: 100%` beside `missing`" in error
        assert "`prevenant crm sync erp --most-removed 100%`" in error
    with store.read() as session:
        assert all(one.is_active for one in session.exec(select(Technician)))
        seen = {one["entity"]: one for one in view_crm(session, clock.now())["sources"]}
    assert seen["technicians"]["error"]
    assert not seen["customers"]["error"]
    allowed = DATABASE + "        most_removed: 100%\n"
    (source,) = sources_of(tmp_path, allowed, ERP=theirs.url)
    assert sync(store, clock, source)["technicians"] == (0, 0, 2)
    theirs.run("INSERT INTO field_staff VALUES (7, 47.3, 5.0, 'gas:2', 'always');")
    theirs.run("INSERT INTO field_staff VALUES (8, 47.4, 5.1, 'gas', 'always');")
    sync(store, clock, source)
    theirs.run("DELETE FROM field_staff WHERE number = 7;")
    (source,) = sources_of(
        tmp_path, DATABASE + "        most_removed: 20 percent\n", ERP=theirs.url
    )
    outcome = sync_source(store, clock, source, lambda _session, _now: None)["technicians"]
    assert "1 is listed, so that 1 would be taken out, more than 20 percent" in outcome.error


def test_a_row_that_could_not_be_taken_and_is_gone_is_forgotten(
    store: Store, clock: MovedClock, theirs: Theirs, tmp_path: Path
) -> None:
    theirs.run("INSERT INTO field_staff VALUES (9, 47.4, 5.1, 'gas', 'always');")
    (source,) = sources_of(tmp_path, DATABASE, ERP=theirs.url)
    outcomes = sync_source(store, clock, source, lambda _session, _now: None)
    assert outcomes["technicians"].skipped["9"].startswith("contact: there is no '9' in contacts")
    theirs.run("DELETE FROM field_staff WHERE number = 9;")
    # Now its contact comes, and would let it be taken: but it is there no more.
    theirs.run("INSERT INTO people VALUES (9, 'Cid', '33639980009', 1, 1, 12);")
    assert sync(store, clock, source)["technicians"] == (0, 0, 0)
    with store.read() as session:
        assert session.exec(select(CrmSkipped)).all() == []
        assert session.get(Technician, "9") is None


def test_another_mapping_is_of_all_rows(
    store: Store, clock: MovedClock, theirs: Theirs, tmp_path: Path
) -> None:
    theirs.run("INSERT INTO people VALUES (9, 'Cid', '33639980009', 3, 1, 12);")
    (source,) = sources_of(tmp_path, DATABASE, ERP=theirs.url)
    outcomes = sync_source(store, clock, source, lambda _session, _now: None)
    assert "9" in outcomes["contacts"].skipped, "there is no language 3 yet"
    text = DATABASE.replace("2: en}}", "2: en, 3: de}}").replace(
        "timezone: {constant: Europe/Paris}", "timezone: {constant: Europe/Berlin}"
    )
    (source,) = sources_of(tmp_path, text, ERP=theirs.url)
    assert sync(store, clock, source)["contacts"] == (1, 2, 0)
    with store.read() as session:
        assert session.get_one(Contact, "9").language == "de"
        assert session.get_one(Contact, "7").timezone == "Europe/Berlin"
        assert session.exec(select(CrmSkipped)).all() == []
        read = {one.entity: one.rows for one in session.exec(select(CrmSync))}
    # What says how it is read, and not what, changes nothing.
    (source,) = sources_of(tmp_path, text.replace("every: 5m", "every: 6m"), ERP=theirs.url)
    sync(store, clock, source)
    with store.read() as session:
        again = {one.entity: one.rows for one in session.exec(select(CrmSync))}
    assert again["contacts"] == read["contacts"] + 1


@pytest.mark.parametrize(
    ("value", "is_gone"),
    [
        (True, True),
        (b"\x01", True),
        (b"\x00", False),
        ("Y", True),
        (0, False),
        (None, False),
        (datetime(2026, 5, 4, tzinfo=UTC), True),
        ("0000-00-00 00:00:00", False),
    ],
)
def test_there_are_many_ways_to_say_that_a_row_is_gone(value: Any, is_gone: bool) -> None:
    feed = Feed(ENTITIES["customers"], {}, {}, deleted=Column("gone"))
    assert is_deleted(feed, {"gone": value}) == is_gone


def test_a_long_page_is_written_in_short_transactions(
    store: Store, clock: MovedClock, theirs: Theirs, tmp_path: Path
) -> None:
    (source,) = sources_of(tmp_path, DATABASE, ERP=theirs.url)
    taken: list[int] = []

    class Long:
        """Gives all customers on one page, the last of them twice."""

        name, every_s, timeout_s = source.name, source.every_s, source.timeout_s
        feeds: Mapping[str, Feed] = MappingProxyType({"customers": source.feeds["customers"]})

        def read(self, feed: Feed, cursor: str) -> Generator[Page, None, None]:
            del feed, cursor
            rows = [{"client_no": n, "client_name": f"N{n}"} for n in [*range(1_250), 1_249]]
            yield Page(rows, '{"number": 7}')

        def close(self) -> None:
            """Leave nothing open."""

    def count(_seconds: float) -> bool:
        with store.read() as session:
            taken.append(len(session.exec(select(Customer)).all()))
        return True

    sync_source(store, clock, Long(), lambda _session, _now: None, count)
    assert taken == [500, 1_000, 1_250]


def test_a_dry_run_says_what_would_come_and_writes_nothing(
    store: Store, clock: MovedClock, theirs: Theirs, tmp_path: Path
) -> None:
    (source,) = sources_of(tmp_path, DATABASE, ERP=theirs.url)
    outcomes = rehearse_source(store, clock, source, lambda _session, _now: None)
    assert {n: o.tally.new for n, o in outcomes.items()} == {
        "customers": 2,
        "contacts": 2,
        "technicians": 2,
    }
    with store.read() as session:
        assert session.exec(select(Customer)).all() == []
        assert session.exec(select(CrmSync)).all() == []


def test_many_pages_are_taken_and_a_crash_costs_one(
    store: Store, clock: MovedClock, theirs: Theirs, tmp_path: Path
) -> None:
    values = ",".join(
        f"({n}, 'N{n}', '2026-05-02 {n // 3600 % 24:02}:{n // 60 % 60:02}:{n % 60:02}', 0, 'x')"
        for n in range(100, 2_100)
    )
    theirs.run(f"INSERT INTO clients VALUES {values};")
    (source,) = sources_of(tmp_path, DATABASE, ERP=theirs.url)
    pages = 0

    class Crashing:
        """Reads as the other does, and is killed before its third page."""

        name, every_s, timeout_s = source.name, source.every_s, source.timeout_s
        feeds = source.feeds

        def read(self, feed: Feed, cursor: str) -> Generator[Page, None, None]:
            nonlocal pages
            with closing(source.read(feed, cursor)) as found:
                for page in found:
                    pages += 1
                    if pages == 3:
                        raise KeyboardInterrupt
                    yield page

        def close(self) -> None:
            source.close()

    with pytest.raises(KeyboardInterrupt):
        sync_source(store, clock, Crashing(), lambda _session, _now: None)
    with store.read() as session:
        kept = len(session.exec(select(Customer)).all())
        assert kept == 1_000, "the page under way is not there, those before are"
    assert sync(store, clock, source)["customers"] == (1_002, 0, 0)


def test_a_database_that_is_away_delays_nothing_and_what_we_have_has_its_age(
    store: Store, clock: MovedClock, theirs: Theirs, tmp_path: Path
) -> None:
    (source,) = sources_of(tmp_path, DATABASE, ERP=theirs.url)
    sync(store, clock, source)
    then = clock.now()
    clock.advance(hours=2)
    theirs.run("ALTER TABLE people RENAME TO persons;")
    outcomes = sync_source(store, clock, source, lambda _session, _now: None)
    # One kind of row cannot be read; the others can.
    assert "people" in outcomes["contacts"].error
    assert not outcomes["technicians"].error
    (away,) = sources_of(
        tmp_path, DATABASE, ERP="postgresql+psycopg://nobody:secret@127.0.0.1:1/nothing"
    )
    outcomes = sync_source(store, clock, away, lambda _session, _now: None)
    assert list(outcomes) == ["customers"], "who does not answer is not asked again and again"
    assert "secret" not in outcomes["customers"].error
    with store.read() as session:
        assert session.get_one(Contact, "7").name == "Ann"
        seen = {one["entity"]: one for one in view_crm(session, clock.now())["sources"]}
        assert find_age(session) == then
        story = session.exec(select(TimelineEntry).where(TimelineEntry.kind == "crm.away")).all()
    assert seen["contacts"]["age_s"] == 7_200.0
    assert seen["contacts"]["failed_at"] == clock.now()
    assert len(story) == 2
    assert "of 2026-05-04 08:00 UTC" in story[0].summary
    theirs.run("ALTER TABLE persons RENAME TO people;")
    sync(store, clock, source)
    with store.read() as session:
        assert find_age(session) == clock.now()
        assert not any(one["error"] for one in view_crm(session, clock.now())["sources"])


def test_a_sqlite_file_that_is_not_there_is_not_made(
    store: Store, clock: MovedClock, tmp_path: Path
) -> None:
    (source,) = sources_of(tmp_path, DATABASE, ERP=f"sqlite:///{tmp_path / 'none.db'}")
    outcomes = sync_source(store, clock, source, lambda _session, _now: None)
    assert "unable to open" in outcomes["customers"].error
    assert not (tmp_path / "none.db").exists()


def test_the_engine_reads_again_when_it_is_time_and_waits_longer_after_a_failure(
    store: Store, clock: MovedClock, theirs: Theirs, tmp_path: Path
) -> None:
    (source,) = sources_of(tmp_path, DATABASE, ERP=theirs.url)
    syncer = Syncer(store, clock, source, lambda _session, _now: None)
    thread = threading.Thread(target=syncer.run)
    thread.start()

    def read_at() -> datetime | None:
        with store.read() as session:
            found = session.get(CrmSync, ("erp", "technicians"))
            return found.synced_at if found else None

    wait_until(lambda: read_at() == clock.now(), "first reading")
    theirs.run("INSERT INTO clients VALUES (5, 'Eon', '2026-05-05 09:00:00', 0, 'x');")
    clock.advance(minutes=4)
    assert read_at() != clock.now()
    clock.advance(minutes=1)
    wait_until(lambda: read_at() == clock.now(), "second reading")
    syncer.stop()
    thread.join(60)
    assert not thread.is_alive()
    # After a restart it is not read at once: five minutes from the last time.
    later = Syncer(store, clock, source, lambda _session, _now: None)
    assert (later._first_due() - clock.now()).total_seconds() == 300.0
    theirs.run("DROP TABLE people; DROP TABLE clients; DROP TABLE field_staff;")
    pauses = [(later.sync_once() - clock.now()).total_seconds() for _ in range(10)]
    assert pauses[:4] == [15.0, 30.0, 60.0, 120.0]
    assert pauses[-1] == 3_600.0


def test_every_mistake_in_the_file_of_sources_is_told_at_once(tmp_path: Path) -> None:
    text = """sources:
  erp:
    database: env:NOWHERE
    evry: 5m
    rows:
      clients: {table: a, columns: {id: a}}
      customers: {table: a, query: b, columns: {name: n}, cursor: c, missing: remove}
      sites: {columns: {id: a, nam: b}}
  desk:
    api: ftp://x
    auth: {bearer: a, user: b}
    rows:
      customers: {items: "[", columns: {id: {to: a}}, pages: {style: pages}}
  both:
    api: http://x
    database: sqlite:///x
    rows: {}
  odd:
    database: nonsense
    timeout: soon
    rows: {}
  more:
    api: http://x
    rows:
      customers: {path: a, columns: {id: a, name: b}, cursor: {constant: c}}
      sites: {path: a, columns: {id: a}, missing: remove, most_removed: most}
      areas: {path: a, columns: {id: a}, most_removed: 20%}
"""
    with pytest.raises(SourcesError) as refused:
        sources_of(tmp_path, text)
    said = str(refused.value).replace(f"{tmp_path}/", "")
    for words in (
        "crm.yaml:3:15: source 'erp': database: the environment has no NOWHERE: set it",
        "crm.yaml:4:5: source 'erp': 'evry' is not known here: did you mean 'every'?",
        "crm.yaml:6:7: source 'erp': rows: 'clients' is not known here",
        "crm.yaml:7:18: source 'erp': rows: customers: write either `table: NAME`",
        "crm.yaml:7:48: source 'erp': rows: customers: columns: 'id' is missing",
        "with a cursor only changes are read, so that nothing is missing",
        "crm.yaml:8:14: source 'erp': rows: sites: write either `table: NAME`",
        "'nam' is not known here: did you mean 'name'?",
        "this is no address: write https://…",
        "write `bearer`, or `user` and `password`, or `header` and `value`",
        "'path' is missing: write where it is behind the address",
        "is no path: write one such as data[0].t",
        "'to' is not known here",
        "'pages' is not known here: did you mean 'page'?",
        "write either `database: URL` or `api: URL`",
        "this is no database: write one such as postgresql+psycopg://user@host/name",
        "'soon' is no length of time",
        "rows: no kind of rows is named here: write such as customers: {…}",
        "crm.yaml:26:73: source 'more': rows: sites: most_removed: 'most' is no share: write one from",
        "nothing is taken out for being missing: write `missing: remove`, or drop it",
        "cursor: only a column of theirs grows with every change: write its name alone",
    ):
        assert words in said, said


def test_the_example_of_the_documents_is_good(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", Path("docs/crm.md").read_text("utf-8"), re.DOTALL)
    environment = {"ERP_URL": "sqlite:///erp.db", "DESK_TOKEN": "x"}
    erp, desk = sources_of(tmp_path, text, **environment)
    assert (list(erp.feeds), list(desk.feeds)) == (["customers", "technicians"], ["contacts"])
    assert erp.feeds["customers"].overlap_s == 60.0


def test_the_engine_reads_it_and_its_api_says_how_old_it_is(
    clock: MovedClock, broker: Broker, tmp_path: Path, database_url: str
) -> None:
    with closing(sqlite3.connect(tmp_path / "erp.db")) as theirs:
        theirs.executescript(TABLES)
    text = DATABASE.replace("env:ERP", f"sqlite:///{tmp_path / 'erp.db'}")
    (tmp_path / "crm.yaml").write_text(text, "utf-8")
    settings = Settings(
        mqtt_url=broker.url,
        database_url=database_url,
        journal=tmp_path / "journal.db",
        http="127.0.0.1:0",
        crm_sources=tmp_path / "crm.yaml",
        admin_token=SecretStr("admin"),
    )
    engine = Engine(settings, clock)
    engine.start()
    try:
        headers = {"Authorization": "Bearer admin"}

        def read() -> Any:
            with suppress(requests.ConnectionError):
                url = f"{engine.address}/api/v1/crm"
                found = requests.get(url, headers=headers, timeout=60).json()
                ages = [one["age_s"] for one in found["sources"]]
                return found if len(ages) == 3 and None not in ages else None
            return None

        found: Any = wait_until(read, "the CRM's rows")
        assert {one["entity"]: one["age_s"] for one in found["sources"]} == {
            "customers": 0.0,
            "contacts": 0.0,
            "technicians": 0.0,
        }
        assert found["rows"]["technicians"]["rows"] == 2
        assert datetime.fromisoformat(found["as_of"]) == clock.now()
    finally:
        engine.stop()
    assert not engine.failed


def test_no_file_of_sources_is_no_source(tmp_path: Path) -> None:
    assert load_sources(tmp_path / "crm.yaml") == []


def test_rows_that_only_one_source_has_are_its_own(
    store: Store, clock: MovedClock, theirs: Theirs, tmp_path: Path
) -> None:
    (source,) = sources_of(tmp_path, DATABASE, ERP=theirs.url)
    with store.write() as session:
        session.add(Customer(id="own", name="Own"))
        session.flush()
        session.add(Site(id="s", name="S", customer_id="own", latitude=47.0, longitude=5.0))
        session.add(Consent(contact_id="7", channel="sms", state="granted", at=clock.now()))
    sync(store, clock, source)
    with store.read() as session:
        records = session.exec(select(CrmRecord.record_id).order_by(col(CrmRecord.record_id)))
        assert set(records) == {"1", "2", "7", "8"}
