"""What stands in the cells of an outside database, of every type: taken, or refused with its place."""

from collections.abc import Generator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlmodel import select

from prevenant.crm.importing import import_files
from prevenant.crm.source import Column, Feed, Page
from prevenant.crm.source_book import load_sources
from prevenant.crm.syncing import sync_source
from prevenant.crm.tables import Contact, CrmSkipped, Customer, Leave, RoleHolder, Technician
from prevenant.errors import CrmImportError, SourcesError
from prevenant.store import Store
from tests.moved_clock import MovedClock
from tests.their_database import (
    DATABASE,
    TABLES,
    Theirs,
    running_database,
    sources_of,
    sync,
)

NOW = datetime(2026, 5, 4, 8, tzinfo=UTC)
MORE = (
    DATABASE
    + """
      leave:
        table: absences
        columns: {id: no, technician: staff, starts_at: begins, ends_at: ends, reason: why}
        deleted: gone
"""
)


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """Keep our own on SQLite: what differs here is the other side."""
    return f"sqlite:///{tmp_path / 'ours.db'}"


def skipped(
    store: Store, clock: MovedClock, tmp_path: Path, text: str, url: str
) -> dict[str, dict[str, str]]:
    """Read everything; return what could not be taken."""
    (source,) = sources_of(tmp_path, text, ERP=url)
    outcomes = sync_source(store, clock, source, lambda _session, _now: None)
    assert not any(one.error for one in outcomes.values()), outcomes
    return {name: one.skipped for name, one in outcomes.items()}


def test_a_leave_ends_when_its_column_says_and_no_day_later(
    store: Store, clock: MovedClock, theirs: Theirs, tmp_path: Path
) -> None:
    theirs.run(
        "CREATE TABLE absences (no TEXT, staff INTEGER, begins TIMESTAMP, ends TIMESTAMP,"
        " why TEXT, gone INTEGER);"
        "INSERT INTO absences VALUES"
        " ('l1', 7, '2026-05-04 00:00:00', '2026-05-05 00:00:00', 'course', 0);"
    )
    assert not any(skipped(store, clock, tmp_path, MORE, theirs.url).values())
    with store.read() as session:
        (leave,) = session.exec(select(Leave))
    assert leave.starts_at == datetime(2026, 5, 4, tzinfo=UTC)
    assert leave.ends_at == datetime(2026, 5, 5, tzinfo=UTC)


def test_midnight_somewhere_else_keeps_its_zone(
    store: Store, clock: MovedClock, theirs: Theirs, tmp_path: Path
) -> None:
    is_lite = theirs.url.startswith("sqlite")
    zoned = "TEXT" if is_lite else "TIMESTAMPTZ"
    theirs.run(
        f"CREATE TABLE absences (no TEXT, staff INTEGER, begins {zoned}, ends {zoned},"
        " why TEXT, gone INTEGER);"
        "INSERT INTO absences VALUES"
        " ('l1', 7, '2026-05-04 00:00:00+02:00', '2026-05-05 00:00:00+02:00', 'course', 0);"
    )
    if not is_lite:
        name = theirs.url.rpartition("/")[2]
        theirs.run(f"ALTER DATABASE {name} SET timezone TO 'Europe/Paris'")
    assert not any(skipped(store, clock, tmp_path, MORE, theirs.url).values())
    with store.read() as session:
        (leave,) = session.exec(select(Leave))
    assert leave.starts_at == datetime(2026, 5, 3, 22, tzinfo=UTC)
    assert leave.ends_at == datetime(2026, 5, 4, 22, tzinfo=UTC)


def test_a_day_alone_is_a_whole_day(
    store: Store, clock: MovedClock, theirs: Theirs, tmp_path: Path
) -> None:
    theirs.run(
        "CREATE TABLE absences (no CHAR(9), staff INTEGER, begins DATE, ends DATE,"
        " why TEXT, gone INTEGER);"
        "INSERT INTO absences VALUES ('l1', 7, '2026-05-04', '2026-05-05', NULL, NULL);"
    )
    assert not any(skipped(store, clock, tmp_path, MORE, theirs.url).values())
    with store.read() as session:
        (leave,) = session.exec(select(Leave))
    assert leave.ends_at == datetime(2026, 5, 5, 23, 59, 59, 999999, tzinfo=UTC)
    theirs.run("UPDATE absences SET gone = 1")
    clock.advance(minutes=5)
    skipped(store, clock, tmp_path, MORE, theirs.url)
    with store.read() as session:
        assert all(one.ends_at <= clock.now() for one in session.exec(select(Leave)))


def test_numbers_are_the_same_id_whatever_type_they_have(
    store: Store, clock: MovedClock, theirs: Theirs, tmp_path: Path
) -> None:
    theirs.run(
        "CREATE TABLE pupils (number NUMERIC(12, 2), full_name TEXT, tel TEXT, lang INTEGER,"
        " client_no NUMERIC(12, 2), updated_at NUMERIC(20, 4));"
        "INSERT INTO pupils VALUES (7.00, 'Ann', '33639980001', 1.0, 1.00, 10.1234);"
        "INSERT INTO pupils VALUES (8.00, 'Bob', '33639980002', 2.0, 2.00, 11);"
    )
    found = skipped(
        store, clock, tmp_path, DATABASE.replace("FROM people c", "FROM pupils c"), theirs.url
    )
    assert not any(found.values()), found
    with store.read() as session:
        assert session.get_one(Contact, "7").customer_id == "1"
        assert session.get_one(Technician, "8").contact_id == "8"


@pytest.mark.parametrize("bad", ["7\n8", "7\t8", "\x1b[31m7", "7\u20288", "7\u202e8"])
def test_an_id_is_one_line_that_can_be_read(
    store: Store, clock: MovedClock, theirs: Theirs, tmp_path: Path, bad: str
) -> None:
    theirs.run(
        "CREATE TABLE firms (client_no TEXT, client_name TEXT, updated_at TEXT, is_deleted INTEGER);"
    )
    theirs.run(
        f"INSERT INTO firms VALUES ('{bad}', 'ACME', '2026-05-01', 0), ('2', 'B', '2026-05-02', 0);"
    )
    text = DATABASE.replace("table: clients", "table: firms")
    (reason,) = skipped(store, clock, tmp_path, text, theirs.url)["customers"].values()
    assert reason.startswith("id: it holds")
    with store.read() as session:
        assert [one.id for one in session.exec(select(Customer))] == ["2"]
        rows = session.exec(select(CrmSkipped).where(CrmSkipped.entity == "customers"))
        assert all(one.record_id.isprintable() for one in rows)


@pytest.mark.parametrize("bad", ["7\n8", "\x1b[31m7", "7\x7f", "7\u20288"])
def test_a_file_with_such_an_id_is_refused_with_its_place(
    store: Store, tmp_path: Path, bad: str
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "customers.csv").write_text(f'id,name\nc1,C\n"{bad}",ACME\n', "utf-8")
    (folder / "contacts.csv").write_text(f'id,name,roles\na,Ann,"{bad}"\n', "utf-8")
    with pytest.raises(CrmImportError) as caught, store.write() as session:
        import_files(session, folder, NOW)
    lines = str(caught.value).splitlines()
    assert any("customers.csv:3:1: id: it holds" in one for one in lines), lines
    assert any("contacts.csv:2:3: roles: it holds" in one for one in lines), lines


def test_composite_ids_views_and_long_texts_are_taken(
    store: Store, clock: MovedClock, theirs: Theirs, tmp_path: Path
) -> None:
    theirs.run(
        "CREATE VIEW duties AS SELECT number AS who, 'field-manager' AS what FROM people;"
        f"UPDATE clients SET client_name = '{'n' * 100_000}' WHERE client_no = 1;"
    )
    text = (
        DATABASE
        + "      roles: {table: duties, columns: {contact: who, role: what}, missing: remove}\n"
    )
    assert not any(skipped(store, clock, tmp_path, text, theirs.url).values())
    with store.read() as session:
        assert len(session.exec(select(RoleHolder)).all()) == 2
        assert len(session.get_one(Customer, "1").name) == 100_000
    theirs.run("DELETE FROM people WHERE number = 8;")
    theirs.run("DELETE FROM field_staff WHERE number = 8;")
    (source,) = sources_of(tmp_path, text, ERP=theirs.url)
    assert sync(store, clock, source)["roles"] == (0, 0, 1)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("table: clients", "table: nothing", "nothing"),
        ("client_name}", "no_such_name}", "no_such_name"),
        (
            "cursor: updated_at\n        deleted",
            "cursor: changed_on\n        deleted",
            "changed_on",
        ),
        ("table: clients", "table: no.such.clients", "such"),
        ("table: clients", "query: SELEC 1", "syntax error"),
        ("table: clients", "query: SELECT 1; DROP TABLE clients", ""),
        ("table: clients", "query: DELETE FROM clients RETURNING *", ""),
    ],
)
def test_a_mapping_that_does_not_fit_is_told_in_one_line(
    store: Store, clock: MovedClock, theirs: Theirs, tmp_path: Path, old: str, new: str, words: str
) -> None:
    assert old in DATABASE
    (source,) = sources_of(tmp_path, DATABASE.replace(old, new, 1), ERP=theirs.url)
    outcome = sync_source(store, clock, source, lambda _session, _now: None)["customers"]
    assert words in outcome.error
    assert "check `table` or `query`" in outcome.error
    assert len(outcome.error.splitlines()) == 1
    theirs.run("INSERT INTO clients VALUES (9, 'still there', NULL, 0, 'x')")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("every: 5m", "every: 0s", "every: this is too short: write at least 1s"),
        ("every: 5m", "timeout: 0s", "timeout: this is too short: write at least 100ms"),
        ("erp:", "'':", "this is no name of a source"),
        ("erp:", '"a\\nb":', "this is no name of a source"),
        ("erp:", "n" * 101 + ":", "this is no name of a source"),
    ],
)
def test_a_source_has_a_name_and_is_left_some_rest(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    (tmp_path / "crm.yaml").write_text(DATABASE.replace(old, new, 1), "utf-8")
    with pytest.raises(SourcesError, match=words) as caught:
        load_sources(tmp_path / "crm.yaml", {"ERP": "sqlite:///x.db"})
    assert len(str(caught.value).splitlines()) == 1


def test_a_database_that_goes_away_in_the_middle_costs_what_was_not_read(
    request: pytest.FixtureRequest, store: Store, clock: MovedClock, tmp_path: Path
) -> None:
    request.param = "postgresql"
    with running_database(request, tmp_path) as theirs:
        theirs.run(TABLES)
        theirs.run(
            "INSERT INTO clients SELECT n, repeat('x', 20000), '2026-05-02', 0, 'x'"
            " FROM generate_series(100, 3000) n;"
        )
        (source,) = sources_of(tmp_path, DATABASE, ERP=theirs.url)

        class Ended:
            """Reads as the other does, until their database ends its connections."""

            name, every_s, timeout_s = source.name, source.every_s, source.timeout_s
            feeds = source.feeds

            def read(self, feed: Feed, cursor: str) -> Generator[Page, None, None]:
                with closing(source.read(feed, cursor)) as found:
                    for number, page in enumerate(found):
                        yield page
                        if number == 0:
                            theirs.run(
                                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                            )

            def close(self) -> None:
                source.close()

        outcome = sync_source(store, clock, Ended(), lambda _session, _now: None)["customers"]
        assert "the database" in outcome.error
        assert len(outcome.error.splitlines()) == 1
        assert outcome.tally.new >= 500
        assert sync(store, clock, source)["contacts"] == (2, 0, 0)
    with store.read() as session:
        assert len(session.exec(select(Customer)).all()) == 2_903


def test_types_that_only_postgresql_has_are_taken_or_refused(
    request: pytest.FixtureRequest, store: Store, clock: MovedClock, tmp_path: Path
) -> None:
    request.param = "postgresql"
    with running_database(request, tmp_path) as theirs:
        theirs.run(
            TABLES
            + "ALTER TABLE field_staff ADD areas UUID[], ADD parts JSONB, ADD since INTERVAL;"
            "UPDATE field_staff SET areas = ARRAY['0b2c9f6e-1111-4222-8333-444455556666'::uuid],"
            " parts = '{\"seal\": 1.5}' WHERE number = 7;"
            "UPDATE field_staff SET parts = '{\"seal\": 2}' WHERE number = 8;"
        )
        text = DATABASE.replace("shifts: shifts}", "shifts: shifts, areas: areas, parts: parts}")
        found = skipped(store, clock, tmp_path, text, theirs.url)
    assert list(found["technicians"]) == ["7"], found
    with store.read() as session:
        assert session.get_one(Technician, "8").parts == {"seal": 2}


def test_a_moment_is_no_day() -> None:
    assert Column("at").find({"at": datetime(2026, 5, 4)}) == "2026-05-04T00:00:00"  # noqa: DTZ001
