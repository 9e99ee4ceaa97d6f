"""Outside CRMs: real databases and a real server, with all that goes wrong there."""

import json
import re
import sqlite3
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from sqlmodel import col, select

from prevenant.consent import Consent
from prevenant.crm.ages import find_age, view_crm
from prevenant.crm.source import CrmSource, Feed, Page, decode_cursor, encode_cursor
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
from prevenant.store import Store
from prevenant.tables import TimelineEntry
from tests.moved_clock import MovedClock
from tests.servers import make_database, wait_until

DATABASE = """
sources:
  erp:
    database: env:ERP
    every: 5m
    rows:
      customers:
        table: clients
        columns: {id: client_no, name: client_name}
        cursor: updated_at
        deleted: is_deleted
      contacts:
        query: SELECT c.*, '+' || c.tel AS phone FROM people c
        columns:
          id: number
          name: full_name
          phone: phone
          language: {from: lang, words: {1: fr, 2: en}}
          timezone: {constant: Europe/Paris}
          customer: client_no
        cursor: updated_at
      technicians:
        table: field_staff
        columns:
          {id: number, contact: number, latitude: lat, longitude: lon, skills: skills, shifts: shifts}
        missing: remove
"""
TABLES = """
CREATE TABLE clients
    (client_no INTEGER, client_name TEXT, updated_at TIMESTAMP, is_deleted INTEGER, secret TEXT);
CREATE TABLE people
    (number INTEGER, full_name TEXT, tel TEXT, lang INTEGER, client_no INTEGER, updated_at INTEGER);
CREATE TABLE field_staff (number INTEGER, lat REAL, lon REAL, skills TEXT, shifts TEXT);
INSERT INTO clients VALUES (1, 'ACME', '2026-05-01 08:00:00', 0, 'x');
INSERT INTO clients VALUES (2, 'Bolt', '2026-05-01 09:00:00', 0, 'x');
INSERT INTO people VALUES (7, 'Ann', '33639980001', 1, 1, 10);
INSERT INTO people VALUES (8, 'Bob', '33639980002', 2, 2, 11);
INSERT INTO field_staff VALUES (7, 47.3, 5.0, 'gas:2', 'always');
INSERT INTO field_staff VALUES (8, 47.4, 5.1, 'gas', 'mon-fri 08:00-18:00');
"""


@dataclass
class Theirs:
    """Somebody else's database."""

    url: str
    connection: Any

    def run(self, script: str) -> None:
        """Change it."""
        if isinstance(self.connection, sqlite3.Connection):
            self.connection.executescript(script)
        else:
            self.connection.execute(script)
        self.connection.commit()


@pytest.fixture(params=["sqlite", "postgresql"])
def theirs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Theirs]:
    """Return an outside CRM's database, of each kind."""
    connection: Any
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'erp.db'}"
        connection = sqlite3.connect(tmp_path / "erp.db")
    else:
        name = f"erp_{abs(hash(str(tmp_path)))}"
        url = make_database(request.getfixturevalue("postgres"), name)
        connection = psycopg.connect(url.replace("+psycopg", ""))
    found = Theirs(url, connection)
    found.run(TABLES)
    yield found
    connection.close()


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """Keep our own on SQLite: what differs here is the other side."""
    return f"sqlite:///{tmp_path / 'ours.db'}"


_OPENED: list[CrmSource] = []


@pytest.fixture(autouse=True)
def _closing() -> Iterator[None]:
    """Close what a test has opened."""
    yield
    while _OPENED:
        _OPENED.pop().close()


def sources_of(tmp_path: Path, text: str, **environment: str) -> list[CrmSource]:
    """Read a file of sources."""
    path = tmp_path / "crm.yaml"
    path.write_text(text, "utf-8")
    found = load_sources(path, environment)
    _OPENED.extend(found)
    return found


def sync(store: Store, clock: MovedClock, source: CrmSource) -> dict[str, tuple[int, int, int]]:
    """Read an outside CRM; return new, changed and removed rows by kind."""
    outcomes = sync_source(store, clock, source, lambda _session, _now: None)
    assert not any(one.error for one in outcomes.values()), outcomes
    return {n: (o.tally.new, o.tally.changed, o.tally.removed) for n, o in outcomes.items()}


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

        name, every_s, feeds = source.name, source.every_s, source.feeds

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
    thread.join(10)
    assert not thread.is_alive()
    # After a restart it is not read at once: five minutes from the last time.
    later = Syncer(store, clock, source, lambda _session, _now: None)
    assert (later._first_due() - clock.now()).total_seconds() == 300.0
    theirs.run("DROP TABLE people; DROP TABLE clients; DROP TABLE field_staff;")
    pauses = [(later.sync_once() - clock.now()).total_seconds() for _ in range(10)]
    assert pauses[:4] == [15.0, 30.0, 60.0, 120.0]
    assert pauses[-1] == 3_600.0


@dataclass
class Api:
    """Somebody else's REST API."""

    url: str = ""
    items: list[dict[str, Any]] = field(default_factory=list)
    style: str = "page"
    trouble: list[str] = field(default_factory=list)
    """What the next requests are answered with instead."""
    asked: list[dict[str, str]] = field(default_factory=list)

    def answer(self, query: dict[str, str]) -> tuple[Any, dict[str, str]]:
        """Return a page and headers."""
        found = [x for x in self.items if x["changed"] >= query.get("since", "")]
        size = int(query.get("size", "2"))
        match self.style:
            case "page":
                start = (int(query["page"]) - 1) * size
                return {"data": {"items": found[start : start + size]}}, {}
            case "offset":
                start = int(query["offset"])
                return {"data": {"items": found[start : start + size]}}, {}
            case "cursor":
                start = int(query.get("cursor", "0"))
                more = str(start + size) if start + size < len(found) else None
                return {"data": {"items": found[start : start + size]}, "next": more}, {}
            case "link":
                start = int(query.get("from", "0"))
                more = f'<{self.url}/customers?from={start + size}>; rel="next"'
                headers = {"Link": more} if start + size < len(found) else {}
                return {"data": {"items": found[start : start + size]}}, headers
            case "same":
                return {"data": {"items": found[:size]}}, {}
        return {"data": {"items": found}}, {}


@contextmanager
def running(api: Api) -> Iterator[Api]:
    """Serve an API."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = {k: v[-1] for k, v in parse_qs(urlsplit(self.path).query).items()}
            api.asked.append(query)
            trouble = api.trouble.pop(0) if api.trouble else ""
            if self.headers.get("Authorization") != "Bearer secret":
                trouble = "401"
            if trouble == "slow":
                time.sleep(1.0)
            body, headers = api.answer(query) if trouble != "401" else ({}, {})
            data = json.dumps(body).encode()
            if trouble == "broken":
                data = data[: len(data) // 2]
            self.send_response(int(trouble) if trouble.isdigit() else 200)
            if trouble == "302":
                self.send_header("Location", "http://elsewhere.example/")
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@pytest.fixture
def api() -> Iterator[Api]:
    """Return an outside CRM's REST API with five customers."""
    names = ("ACME", "Bolt", "Cog", "Dot", "Eon")
    items = [
        {"ref": {"id": n}, "name": name, "changed": f"2026-05-0{n}T08:00:00Z"}
        for n, name in enumerate(names, 1)
    ]
    with running(Api(items=items)) as server:
        yield server


PAGES = {
    "page": "{style: page, parameter: page, size_parameter: size, size: 2}",
    "offset": "{style: offset, parameter: offset, size_parameter: size, size: 2}",
    "cursor": "{style: cursor, parameter: cursor, next: next}",
    "link": "{style: link}",
    "same": "{style: page}",
    "none": "{style: none}",
}


def rest(api: Api, tmp_path: Path, timeout: str = "10s") -> CrmSource:
    """Return the source for an API."""
    text = f"""
sources:
  desk:
    api: {api.url}
    auth: {{bearer: env:TOKEN}}
    timeout: {timeout}
    rows:
      customers:
        path: /customers
        items: data.items
        columns: {{id: ref.id, name: name}}
        pages: {PAGES[api.style]}
        cursor: changed
        since: since
        deleted: gone
"""
    (source,) = sources_of(tmp_path, text, TOKEN="secret")
    return source


@pytest.mark.parametrize("style", ["page", "offset", "cursor", "link", "none"])
def test_an_api_is_read_page_by_page_and_then_what_has_changed(
    store: Store, clock: MovedClock, api: Api, tmp_path: Path, style: str
) -> None:
    api.style = style
    source = rest(api, tmp_path)
    assert sync(store, clock, source) == {"customers": (5, 0, 0)}
    assert "since" not in api.asked[0]
    api.asked.clear()
    api.items[0] |= {"name": "ACME & Co", "changed": "2026-05-06T08:00:00Z"}
    api.items[1] |= {"gone": True, "changed": "2026-05-06T09:00:00Z"}
    assert sync(store, clock, source) == {"customers": (0, 1, 1)}
    assert api.asked[0]["since"] == "2026-05-05T08:00:00Z"


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ("500", "it answers with 500: trying again later"),
        ("429", "it answers with 429"),
        ("404", "it answers with 404: check the path"),
        ("302", "it sends us elsewhere (302)"),
        ("slow", "it did not answer within 0.2 s"),
        ("broken", "something that is no JSON"),
    ],
)
def test_whatever_an_api_does_instead_is_said_and_read_again_later(
    store: Store, clock: MovedClock, api: Api, tmp_path: Path, trouble: str, reason: str
) -> None:
    source = rest(api, tmp_path, timeout="200ms" if trouble == "slow" else "10s")
    api.trouble = ["", "", trouble]
    outcomes = sync_source(store, clock, source, lambda _session, _now: None)
    assert reason in outcomes["customers"].error
    with store.read() as session:
        # What came before the trouble serves; the next time begins again, for the order is not known.
        assert len(session.exec(select(Customer)).all()) == 2
        assert session.get_one(CrmSync, ("desk", "customers")).cursor == ""
    source = rest(api, tmp_path)
    assert sync(store, clock, source)["customers"] == (3, 0, 0)


def test_no_row_of_theirs_can_stop_us(
    store: Store, clock: MovedClock, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.style = "none"
    hostile: list[Any] = ["\0", "\ud800", {"a": 1}, [], 1e308, None, "x" * 100_000, True]
    for number, name in enumerate(hostile, 10):
        api.items.append({"ref": {"id": number}, "name": name, "changed": "2026-05-06T08:00:00Z"})
    outcomes = sync_source(store, clock, rest(api, tmp_path), lambda _session, _now: None)
    assert not outcomes["customers"].error
    assert {"10", "11", "12", "13", "15"} <= set(outcomes["customers"].skipped)
    assert outcomes["customers"].tally.new == 5 + 3
    # What is no list of objects at all is said of the whole.
    api.style = "none"
    source = rest(api, tmp_path)
    monkeypatch.setattr(api, "answer", lambda _query: ([1], {}))
    outcomes = sync_source(store, clock, source, lambda _session, _now: None)
    assert "there is no list of objects at `items`" in outcomes["customers"].error


def test_an_api_that_repeats_its_page_is_found_out(
    store: Store, clock: MovedClock, api: Api, tmp_path: Path
) -> None:
    api.style = "same"
    source = rest(api, tmp_path)
    outcomes = sync_source(store, clock, source, lambda _session, _now: None)
    assert "every page is the same: 'page' is not how it is paged" in outcomes["customers"].error


def test_secrets_go_nowhere_else(store: Store, clock: MovedClock, api: Api, tmp_path: Path) -> None:
    api.style = "link"
    source = rest(api, tmp_path)
    api.url = "http://elsewhere.example"
    outcomes = sync_source(store, clock, source, lambda _session, _now: None)
    assert "our secrets do not go there" in outcomes["customers"].error


def test_an_api_that_refuses_us_is_named_without_the_secret(
    store: Store, clock: MovedClock, api: Api, tmp_path: Path
) -> None:
    text = f"""
sources:
  desk:
    api: {api.url}
    auth: {{user: me, password: hush}}
    rows:
      customers: {{path: customers, items: data.items, columns: {{id: ref.id, name: name}}}}
"""
    (source,) = sources_of(tmp_path, text)
    outcomes = sync_source(store, clock, source, lambda _session, _now: None)
    assert outcomes["customers"].error == "it refuses us with 401: check `auth`"


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
    ):
        assert words in said, said


def test_the_example_of_the_documents_is_good(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", Path("docs/crm.md").read_text("utf-8"), re.DOTALL)
    environment = {"ERP_URL": "sqlite:///erp.db", "DESK_TOKEN": "x"}
    erp, desk = sources_of(tmp_path, text, **environment)
    assert (list(erp.feeds), list(desk.feeds)) == (["customers", "technicians"], ["contacts"])
    assert erp.feeds["customers"].overlap_s == 60.0


def test_no_file_of_sources_is_no_source(tmp_path: Path) -> None:
    assert load_sources(tmp_path / "crm.yaml") == []


@pytest.mark.parametrize(
    ("value", "overlap_s", "expected"),
    [
        (7, 0, 7),
        (7, 2, 5),
        ("abc", 60, "abc"),
        ("2026-05-04T08:00:00Z", 60, "2026-05-04T07:59:00Z"),
        ("2026-05-04 08:00:00", 60, "2026-05-04 07:59:00"),
        (datetime(2026, 5, 4, 8, tzinfo=UTC), 60, datetime(2026, 5, 4, 7, 59, tzinfo=UTC)),
    ],
)
def test_a_cursor_goes_back_by_the_overlap(value: Any, overlap_s: float, expected: Any) -> None:
    assert decode_cursor(encode_cursor(value), overlap_s) == expected


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
