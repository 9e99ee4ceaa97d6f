"""Both databases behave the same: migrations, instants, transactions, bells."""

import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import alembic.autogenerate
import alembic.migration
import pytest
from sqlmodel import SQLModel, select

import ingest.quarantine
import notify.consent
import notify.message
import notify.replies
import prevenant.access.tables
import prevenant.consent
import prevenant.crm.tables
import prevenant.publishing
import workflows.tables
from prevenant.access.tables import ApiToken
from prevenant.clock import SystemClock
from prevenant.errors import StoreUnavailable
from prevenant.store import Store, wake
from prevenant.tables import TimelineEntry, add_timeline
from tests.servers import wait_until

ALL_TABLES = [
    ingest.quarantine,
    notify.consent,
    notify.message,
    notify.replies,
    prevenant.access.tables,
    prevenant.consent,
    prevenant.crm.tables,
    prevenant.publishing,
    workflows.tables,
]
AT = datetime(2026, 5, 4, 12, 0, 0, 123456, tzinfo=UTC)


def token(name: str, at: datetime = AT) -> ApiToken:
    """Return a row to write."""
    return ApiToken(name=name, digest=name, created_at=at)


def test_the_migrations_make_the_tables_that_the_code_declares(store: Store) -> None:
    with store.engine.connect() as connection:
        context = alembic.migration.MigrationContext.configure(connection)
        assert alembic.autogenerate.compare_metadata(context, SQLModel.metadata) == []


def test_upgrading_again_changes_nothing(store: Store) -> None:
    with store.write() as session:
        session.add(token("a"))
    store.upgrade()
    with store.read() as session:
        assert session.get(ApiToken, "a")


def test_instants_keep_their_microsecond_and_come_back_in_utc(store: Store) -> None:
    paris = timezone(timedelta(hours=2))
    with store.write() as session:
        session.add(token("a", AT.astimezone(paris)))
    with store.read() as session:
        assert session.get_one(ApiToken, "a").created_at == AT
        assert session.get_one(ApiToken, "a").created_at.tzinfo == UTC
        later = select(ApiToken).where(ApiToken.created_at <= AT.astimezone(paris))
        assert session.exec(later).one().name == "a"


def test_an_instant_without_a_zone_is_refused(store: Store) -> None:
    with pytest.raises(Exception, match="has no time zone"), store.write() as session:  # noqa: PT012
        session.add(token("a", datetime(2026, 5, 4)))  # noqa: DTZ001  the point of this test
        session.flush()


def test_a_failed_transaction_leaves_nothing_and_rings_nothing(store: Store) -> None:
    rung: list[str] = []
    store.call("bell", lambda: rung.append("bell"))
    if store.is_shared:
        # What rings once listening begins is what may have been missed before.
        wait_until(lambda: store.hears_others and rung, "the bells of others")
        rung.clear()
    with pytest.raises(ZeroDivisionError), store.write() as session:  # noqa: PT012
        session.add(token("a"))
        wake(session, "bell")
        session.flush()
        raise ZeroDivisionError
    with store.read() as session:
        assert session.get(ApiToken, "a") is None
    assert rung == []


def test_a_bell_rings_after_the_commit_and_is_kept_until_heard(store: Store) -> None:
    bell = store.listen("bell")
    with store.write() as session:
        session.add(token("a"))
        wake(session, "bell")
    bell.wait(SystemClock(), None)


def test_writers_wait_for_each_other(store: Store) -> None:
    def add(number: int) -> None:
        with store.write() as session:
            session.add(token(f"n{number}"))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.read() as session:
        assert len(session.exec(select(ApiToken)).all()) == 20


def test_a_database_that_is_away_says_what_to_do(tmp_path: Path) -> None:
    away = Store("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    with pytest.raises(StoreUnavailable, match="PREVENANT_DATABASE_URL"):
        away.upgrade()
    away.close()
    (tmp_path / "x.db").write_bytes(b"no database at all" * 100)
    broken = Store(f"sqlite:///{tmp_path / 'x.db'}")
    with pytest.raises(StoreUnavailable, match=r"not a database; check PREVENANT_DATABASE_URL"):
        broken.upgrade()
    broken.close()


def test_sqlite_commits_to_the_disk(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'deep' / 'x.db'}")
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    store.close()


def test_a_dry_run_writes_nothing_and_fails_nothing(store: Store) -> None:
    with store.write() as session:
        add_timeline(session, datetime(2026, 5, 4, tzinfo=UTC), "note", "nothing of this stays")
        session.rollback()
    with store.read() as session:
        assert session.exec(select(TimelineEntry)).all() == []
