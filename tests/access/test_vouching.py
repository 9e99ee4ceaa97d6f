"""Two browsers in which somebody signs in for the first time at the same moment."""

import threading

import psycopg
import pytest
from sqlmodel import Session, select

from prevenant.access.openid import Vouched
from prevenant.access.tables import Account
from prevenant.access.vouching import Groups, welcome
from prevenant.store import Store
from tests.moved_clock import MovedClock
from tests.servers import wait_until

ADA = Vouched("https://id.example", "ada", {"name": "Ada", "preferred_username": "ada"})
NAMESAKE = Vouched("https://id.example", "ada-2", {"name": "Ada", "preferred_username": "ada"})


def count_waiting(database_url: str) -> int:
    """Return how many sessions of this database wait for a lock of another one."""
    with psycopg.connect(database_url.replace("+psycopg", "")) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ).fetchone()
    return int(row[0]) if row else 0


@pytest.mark.parametrize(("second", "names"), [(ADA, ["ada"]), (NAMESAKE, ["ada", "ada-2"])])
def test_two_first_sign_ins_at_once_both_get_in(
    store: Store, clock: MovedClock, database_url: str, second: Vouched, names: list[str]
) -> None:
    now, wrong = clock.now(), []

    def enter(session: Session, vouched: Vouched) -> None:
        welcome(session, vouched, Groups("groups", []), now)

    def enter_later() -> None:
        try:
            with store.write() as session:
                enter(session, second)
        except Exception as error:  # noqa: BLE001  whatever it is, the test tells it
            wrong.append(error)

    other = threading.Thread(target=enter_later)
    with store.write() as session:
        enter(session, ADA)
        other.start()
        if database_url.startswith("postgresql"):
            wait_until(lambda: count_waiting(database_url) > 0, "second sign-in that waits")
    other.join(30)
    assert not other.is_alive()
    assert not wrong
    with store.read() as session:
        assert sorted(session.exec(select(Account.name))) == names
