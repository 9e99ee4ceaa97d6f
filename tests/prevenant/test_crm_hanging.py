"""Outside databases that say nothing: whoever reads them goes on."""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import cast

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError, OperationalError

from prevenant.crm.patience import Hanging, Patience
from prevenant.crm.source_database import DatabaseSource, _said
from prevenant.crm.syncing import sync_source
from prevenant.store import Store
from tests.moved_clock import MovedClock
from tests.servers import make_database, wait_until
from tests.their_database import TABLES, sources_of, sync

MAPPING = """
sources:
  erp:
    database: env:ERP
    timeout: {timeout}
    rows:
      customers: {{{place}, columns: {{id: client_no, name: client_name}}}}
"""


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """Keep our own on SQLite: what differs here is the other side."""
    return f"sqlite:///{tmp_path / 'ours.db'}"


class Line:
    """A line to a server, over which from some moment on no answer comes."""

    def __init__(self, port: int) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._there = port
        self._ends: list[socket.socket] = []
        self.is_silent = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                ours, _ = self._listening.accept()
                theirs = socket.create_connection(("127.0.0.1", self._there))
                self._ends += [ours, theirs]
                for one, other in ((ours, theirs), (theirs, ours)):
                    threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65_536):
                if not self.is_silent.is_set():
                    other.sendall(data)

    def close(self) -> None:
        """End every connection."""
        for one in (self._listening, *self._ends):
            one.close()


@contextmanager
def line_to(url: str) -> Iterator[tuple[Line, str]]:
    """Return a line to a database, and the address at its beginning."""
    port = psycopg.conninfo.conninfo_to_dict(url.replace("+psycopg", ""))["port"]
    with closing(Line(int(str(port)))) as line:
        yield line, url.replace(f":{port}/", f":{line.port}/")


def test_a_database_that_falls_silent_holds_up_nobody(
    store: Store, clock: MovedClock, postgres: str, tmp_path: Path
) -> None:
    url = make_database(postgres, "erp_silent")
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute(TABLES)
        connection.execute(
            "INSERT INTO clients SELECT n, 'N' FROM generate_series(100, 2000) AS one(n)"
        )
    with line_to(url) as (line, address):
        text = MAPPING.format(timeout="60s", place="table: clients")
        (source,) = sources_of(tmp_path, text, ERP=address)
        patience = cast("DatabaseSource", source)._patience

        def silence(seconds: float) -> bool:
            del seconds
            line.is_silent.set()
            patience._seconds = 0.5
            return True

        outcomes = sync_source(store, clock, source, lambda *_: None, silence)
        assert outcomes["customers"].tally.new == 500
        assert "did not answer within 60 s" in outcomes["customers"].error
        # Nor does one that says nothing from the first word on.
        text = MAPPING.format(timeout="500ms", place="table: clients")
        (other,) = sources_of(tmp_path, text, ERP=address)
        outcomes = sync_source(store, clock, other, lambda *_: None)
        assert "not answer" in outcomes["customers"].error
        line.is_silent.clear()
        wait_until(lambda: not patience.is_hanging, "the end of what hung")
        patience._seconds = 60.0
        sync(store, clock, source)


def test_a_query_without_an_end_is_ended(
    store: Store, clock: MovedClock, postgres: str, tmp_path: Path
) -> None:
    endless = {
        make_database(
            postgres, "erp_endless"
        ): "SELECT 1 AS client_no, 'x' AS client_name, pg_sleep(60)",
        f"sqlite:///{tmp_path / 'erp.db'}": "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1"
        " FROM t) SELECT n AS client_no, 'x' AS client_name FROM t WHERE n < 0",
    }
    (tmp_path / "erp.db").touch()
    for url, query in endless.items():
        text = MAPPING.format(timeout="300ms", place=f'query: "{query}"')
        (source,) = sources_of(tmp_path, text, ERP=url)
        outcomes = sync_source(store, clock, source, lambda *_: None)
        assert "0.3 s" in outcomes["customers"].error, outcomes
        # It is asked again, and nothing of before is in the way.
        outcomes = sync_source(store, clock, source, lambda *_: None)
        assert "0.3 s" in outcomes["customers"].error, outcomes


def test_what_cannot_be_broken_off_is_not_called_twice_at_once() -> None:
    patience = Patience(0.05)
    done, calls = threading.Event(), []

    def hang() -> None:
        calls.append(1)
        done.wait(60)

    for _ in range(3):
        with pytest.raises(Hanging):
            patience.call(hang, done.is_set)
    wait_until(lambda: calls, "the call")
    assert len(calls) == 1
    done.set()
    wait_until(lambda: not patience.is_hanging, "the end of what hung")
    patience._seconds = 60.0
    assert patience.call(lambda: 7) == 7


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OperationalError("SELECT 1", {}, Exception("")), "Exception"),
        (OperationalError("SELECT 1", {}, Exception("\n\n  gone\nDETAIL: x")), "gone"),
        (DBAPIError("SELECT 1", {}, ValueError("  ")), "ValueError"),
    ],
)
def test_a_driver_without_a_word_is_named(error: DBAPIError, said: str) -> None:
    assert _said(error) == said


def test_wrong_credentials_are_said_once_and_without_the_secret(
    store: Store, clock: MovedClock, postgres: str, tmp_path: Path
) -> None:
    url = make_database(postgres, "erp_closed")
    address = re.sub("//[^/]*@", "//stranger:hush@", url)
    assert address != url
    text = MAPPING.format(timeout="60s", place="table: clients")
    (source,) = sources_of(tmp_path, text, ERP=address)
    outcomes = sync_source(store, clock, source, lambda *_: None)
    assert "stranger" in outcomes["customers"].error
    assert outcomes["customers"].error.endswith("check `database`")
    assert "hush" not in outcomes["customers"].error
