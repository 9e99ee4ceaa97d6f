"""An outside CRM that is a database for tests, of each kind, and how it is read."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from prevenant.crm.source import CrmSource
from prevenant.crm.source_book import load_sources
from prevenant.crm.syncing import sync_source
from prevenant.store import Store
from tests.moved_clock import MovedClock
from tests.servers import make_database

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


@contextmanager
def running_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Theirs]:
    """Return an outside CRM's database of the kind that the fixture's parameter says."""
    connection: Any
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'erp.db'}"
        connection = sqlite3.connect(tmp_path / "erp.db")
    else:
        name = f"erp_{abs(hash(str(tmp_path)))}"
        url = make_database(request.getfixturevalue("postgres"), name)
        connection = psycopg.connect(url.replace("+psycopg", ""))
    try:
        yield Theirs(url, connection)
    finally:
        connection.close()


_OPENED: list[CrmSource] = []


def close_sources() -> None:
    """Close what a test has opened."""
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
