"""Up to where an outside CRM was read: every kind of column that grows, kept to its last digit."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import select

from prevenant.crm.cursors import cap_cursor, cursor_order, decode_cursor, encode_cursor
from prevenant.crm.tables import CrmSync, Customer
from prevenant.store import Store
from tests.moved_clock import MovedClock
from tests.their_database import Theirs, running_database, sources_of, sync

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
MAPPING = """
sources:
  erp:
    database: env:ERP
    rows:
      customers:
        table: clients
        columns: {id: client_no, name: client_name}
        cursor: changed
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def theirs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Theirs]:
    """Return an outside CRM's empty database, of each kind."""
    with running_database(request, tmp_path) as found:
        yield found


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """Keep our own on SQLite: what differs here is the other side."""
    return f"sqlite:///{tmp_path / 'ours.db'}"


MOMENTS = st.datetimes(timezones=st.sampled_from([None, UTC]))
KEPT = st.one_of(
    st.integers(-(2**63), 2**64), st.dates(), MOMENTS, st.binary(max_size=8), st.text(max_size=12)
)


@given(KEPT)
def test_a_cursor_comes_back_as_it_was(value: Any) -> None:
    assert decode_cursor(encode_cursor(value)) == value


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_number_of_any_length_comes_back_to_its_last_digit(value: Decimal) -> None:
    assert decode_cursor(encode_cursor(value)) == value


@pytest.mark.parametrize(
    ("value", "overlap_s", "expected"),
    [
        (7, 0, 7),
        (7, 2, 5),
        (2**53 + 1, 60.0, 2**53 - 59),
        ("abc", 60, "abc"),
        ("20260504", 60, "20260504"),
        ("2026-05-04", 60, "2026-05-03"),
        ("2026-05-04T08:00:00Z", 60, "2026-05-04T07:59:00Z"),
        ("2026-05-04 08:00:00", 60, "2026-05-04 07:59:00"),
        (date(2026, 5, 4), 60, date(2026, 5, 3)),
        (date(2026, 5, 4), 0, date(2026, 5, 4)),
        (datetime.min, 60, datetime.min),  # noqa: DTZ901  as a database may have it
        (datetime(2026, 5, 4, 8, tzinfo=UTC), 60, datetime(2026, 5, 4, 7, 59, tzinfo=UTC)),
    ],
)
def test_a_cursor_goes_back_by_the_overlap(value: Any, overlap_s: float, expected: Any) -> None:
    assert decode_cursor(encode_cursor(value), overlap_s) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (datetime(2099, 1, 1, tzinfo=UTC), NOW),
        (datetime(2099, 1, 1), NOW.replace(tzinfo=None)),  # noqa: DTZ001  as a database may have it
        (date(2099, 1, 1), NOW.date()),
        ("2099-01-01", "2026-05-04"),
        ("2099-01-01T00:00:00Z", "2026-05-04T08:00:00Z"),
        ("2099-01-01 00:00:00.5+02:00", "2026-05-04 10:00:00+02:00"),
        ("2026-05-04T08:00:00Z", "2026-05-04T08:00:00Z"),
        ("2026-05-04T07:59:59.123Z", "2026-05-04T07:59:59.123Z"),
        ("zzz", "zzz"),
        (2**62, 2**62),
    ],
)
def test_a_cursor_is_never_in_the_future(value: Any, expected: Any) -> None:
    assert decode_cursor(cap_cursor(encode_cursor(value), NOW)) == expected


@given(MOMENTS, MOMENTS.map(lambda at: at.replace(tzinfo=UTC)))
def test_what_is_capped_is_the_earlier_to_the_second(value: datetime, at: datetime) -> None:
    capped = decode_cursor(cap_cursor(encode_cursor(value), at))
    order = cursor_order(capped.isoformat())[1]
    given_at = value if value.tzinfo else value.replace(tzinfo=UTC)
    assert order <= min(given_at, at)
    assert min(given_at, at) - order < timedelta(seconds=1)


def columns_of(theirs: Theirs) -> list[tuple[str, str, str, str]]:
    """Return kinds of columns with an earlier, a later and a last value."""
    found = [
        ("DATE", "'2026-05-01'", "'2026-05-02'", "'2026-05-03'"),
        ("BIGINT", "9007199254740992", "9007199254740993", "9007199254740994"),
        ("TEXT", "'a'", "'b'", "'c'"),
        ("TIMESTAMP", "'2026-05-01 08:00:00'", "'2026-05-01 08:00:01'", "'2026-05-02 00:00:00'"),
    ]
    if theirs.url.startswith("postgresql"):
        day = "2026-05-01T08:00:0"
        found += [
            ("TIMESTAMPTZ", f"'{day}0+02:00'", f"'{day}1+02:00'", f"'{day}2+02:00'"),
            ("NUMERIC(30)", "90071992547409920000", "90071992547409920001", "90071992547409920002"),
            ("BYTEA", r"'\x00'", r"'\x01'", r"'\xff'"),
        ]
    return found


def test_every_kind_of_column_can_say_what_has_changed(
    store: Store, clock: MovedClock, theirs: Theirs, tmp_path: Path
) -> None:
    for kind, first, later, last in columns_of(theirs):
        theirs.run("DROP TABLE IF EXISTS clients;")
        theirs.run(
            f"CREATE TABLE clients (client_no INTEGER, client_name TEXT, changed {kind});"
            f"INSERT INTO clients VALUES (1, '{kind}', {first});"
            f"INSERT INTO clients VALUES (2, '{kind}', {later});"
        )
        (source,) = sources_of(
            tmp_path, MAPPING.replace("erp:", f"s{abs(hash(kind))}:"), ERP=theirs.url
        )
        sync(store, clock, source)
        with store.read() as session:
            before = session.get_one(CrmSync, (source.name, "customers")).rows
        assert before == 2, kind
        theirs.run(f"INSERT INTO clients VALUES (3, 'New {kind}', {last});")
        sync(store, clock, source)
        with store.read() as session:
            # The last of before is read again with the new one, and the first is not.
            assert session.get_one(CrmSync, (source.name, "customers")).rows == before + 2, kind
            assert session.get_one(Customer, "3").name == f"New {kind}"


def test_a_day_that_was_kept_as_a_text_goes_on(
    store: Store, clock: MovedClock, theirs: Theirs, tmp_path: Path
) -> None:
    theirs.run(
        "CREATE TABLE clients (client_no INTEGER, client_name TEXT, changed DATE);"
        "INSERT INTO clients VALUES (1, 'ACME', '2026-05-01');"
        "INSERT INTO clients VALUES (2, 'Bolt', '2026-05-03');"
    )
    (source,) = sources_of(tmp_path, MAPPING, ERP=theirs.url)
    mapping = source.feeds["customers"].mapping
    with store.write() as session:
        kept = CrmSync(source="erp", entity="customers", mapping=mapping)
        kept.cursor = '{"text": "2026-05-02"}'
        session.add(kept)
    assert sync(store, clock, source) == {"customers": (1, 0, 0)}


def test_a_row_from_the_future_hides_no_change(
    store: Store, clock: MovedClock, theirs: Theirs, tmp_path: Path
) -> None:
    theirs.run(
        "CREATE TABLE clients (client_no INTEGER, client_name TEXT, changed TIMESTAMP);"
        "INSERT INTO clients VALUES (1, 'ACME', '2026-05-01 08:00:00');"
        "INSERT INTO clients VALUES (2, 'Bolt', '2099-12-31 23:59:59');"
    )
    (source,) = sources_of(tmp_path, MAPPING, ERP=theirs.url)
    assert sync(store, clock, source) == {"customers": (2, 0, 0)}
    clock.advance(minutes=5)
    theirs.run("INSERT INTO clients VALUES (3, 'Cog', '2026-05-04 08:03:00');")
    assert sync(store, clock, source) == {"customers": (1, 0, 0)}
    # One that an earlier release let go ahead is read anew.
    with store.write() as session:
        session.get_one(CrmSync, ("erp", "customers")).cursor = '{"text": "2099-12-31 23:59:59"}'
    theirs.run("INSERT INTO clients VALUES (4, 'Dot', '2026-05-04 08:01:00');")
    assert sync(store, clock, source) == {"customers": (1, 0, 0)}


def test_a_row_without_a_moment_is_read_every_time(
    store: Store, clock: MovedClock, theirs: Theirs, tmp_path: Path
) -> None:
    theirs.run(
        "CREATE TABLE clients (client_no INTEGER, client_name TEXT, changed TIMESTAMP);"
        "INSERT INTO clients VALUES (1, 'ACME', '2026-05-01 08:00:00');"
        "INSERT INTO clients VALUES (2, 'Bolt', NULL);"
    )
    (source,) = sources_of(tmp_path, MAPPING, ERP=theirs.url)
    assert sync(store, clock, source) == {"customers": (2, 0, 0)}
    theirs.run("UPDATE clients SET client_name = 'Bolts' WHERE client_no = 2;")
    assert sync(store, clock, source) == {"customers": (0, 1, 0)}
    with store.read() as session:
        assert {one.name for one in session.exec(select(Customer))} == {"ACME", "Bolts"}
        assert "2026-05-01" in session.get_one(CrmSync, ("erp", "customers")).cursor


def test_a_query_may_have_colons_and_end_as_others_do(
    store: Store, clock: MovedClock, theirs: Theirs, tmp_path: Path
) -> None:
    theirs.run(
        "CREATE TABLE clients (client_no INTEGER, client_name TEXT, changed INTEGER);"
        "INSERT INTO clients VALUES (1, 'ACME', 1);"
    )
    shown = "client_name || ' :x 100%'"
    if theirs.url.startswith("postgresql"):
        shown = "(client_name || ' :x 100%')::text"
    query = f'query: "SELECT client_no, {shown} AS client_name, changed FROM clients;"'
    (source,) = sources_of(tmp_path, MAPPING.replace("table: clients", query), ERP=theirs.url)
    sync(store, clock, source)
    with store.read() as session:
        assert session.get_one(Customer, "1").name == "ACME :x 100%"
