"""A site burns down after its backup: elsewhere alarms, cases and timers go on as they stood."""

import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from pydantic import SecretStr
from sqlmodel import select
from typer.testing import CliRunner

from prevenant import auditing
from prevenant.app import Engine
from prevenant.backup import back_up
from prevenant.cli import app
from prevenant.errors import ConfigurationError
from prevenant.settings import Settings
from prevenant.tables import Alarm
from simulators.fleet import connect
from tests.moved_clock import MovedClock
from tests.servers import Broker, make_database, wait_until
from tests.world import end
from workflows.tables import Case

BOOK = """
devices:
  door: {topic: 'airport/{site}/doors/{device}', fields: {open: bool}}
rules:
  left-open: {on: door, when: open, for: 10m, workflow: look}
  opened: {on: door, when: open, workflow: look}
workflows:
  look:
    - wait: acknowledged
      within: 1h
      otherwise: {hand_off: desk}
"""


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prevenant.stream.hearing._BACKLOG_S", 0.0)
    monkeypatch.setattr(auditing, "LATE", timedelta(days=1))


class Sites:
    """Engines one after another, each with files and a database of its own, and one clock."""

    def __init__(self, folder: Path, broker: Broker) -> None:
        self.folder, self.broker, self.clock = folder, broker, MovedClock()
        self.devices: paho.Client = connect(broker.url)
        self.book = folder / "rules.yaml"
        self.book.write_text(BOOK, "utf-8")

    def settings(self, name: str, database_url: str) -> Settings:
        """Return the settings of a site."""
        here = self.folder / name
        return Settings(
            book=self.book,
            mqtt_url=f"{self.broker.url}?client_id={name}",
            database_url=database_url,
            journal=here / "journal.db",
            models=here / "models",
            http="127.0.0.1:0",
            admin_token=SecretStr("admin"),
        )

    def start(self, settings: Settings) -> Engine:
        """Start an engine."""
        engine = Engine(settings, self.clock)
        engine.start()
        wait_until(engine.listening.is_set, "subscription")
        return engine

    def open_door(self, engine: Engine, name: str) -> None:
        """Let a door open, and wait for the first of its alarms."""
        self.devices.publish(f"airport/t2/doors/{name}", b'{"open": true}', qos=1)
        wait_until(lambda: (f"t2/{name}", "opened") in alarms(engine), "alarm")


def alarms(engine: Engine) -> dict[tuple[str, str], tuple[datetime, datetime]]:
    """Return each alarm, by device and rule, with when it began and was raised."""
    with engine.store.read() as session:
        return {
            (one.device_id, one.rule): (one.onset_at, one.raised_at)
            for one in session.exec(select(Alarm))
        }


def cases(engine: Engine) -> list[tuple[str, str, object]]:
    """Return the cases, each with when it is due."""
    with engine.store.read() as session:
        return sorted((one.device_id, one.state, one.due_at) for one in session.exec(select(Case)))


def dump(source: str, target: str, folder: Path) -> None:
    """Take a PostgreSQL's own backup, and restore it as another database."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"))
    file = str(folder / "prevenant.dump")
    plain = [url.replace("+psycopg", "") for url in (source, target)]
    for program, *options in (
        ["pg_dump", "--format", "custom", "--file", file, plain[0]],
        ["pg_restore", "--clean", "--if-exists", "--dbname", plain[1], file],
    ):
        subprocess.run([str(programs / program), *options], check=True, capture_output=True)


@pytest.fixture
def sites(tmp_path: Path, broker: Broker) -> Sites:
    """Prepare the sites; the test starts their engines."""
    return Sites(tmp_path, broker)


def test_all_goes_on_elsewhere(
    sites: Sites, database_url: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    settings = sites.settings("here", database_url)
    engine = sites.start(settings)
    sites.open_door(engine, "d1")
    wait_until(lambda: cases(engine), "case")
    sites.clock.advance(minutes=4)
    copies = tmp_path / "backup"
    # While devices go on, and before the next snapshot.
    found = list(back_up(settings, copies))
    is_sqlite = database_url.startswith("sqlite")
    assert [one.name for one in found] == ["journal.db"] + ["prevenant.db"] * is_sqlite
    there = f"sqlite:///{copies / 'prevenant.db'}"
    if not is_sqlite:
        there = make_database(request.getfixturevalue("postgres"), "restored")
        dump(database_url, there, tmp_path)
    before, due = alarms(engine), cases(engine)
    sites.open_door(engine, "d2")
    end(engine)

    sites.clock.advance(minutes=1)
    elsewhere = sites.settings("elsewhere", there)
    elsewhere.journal.parent.mkdir(parents=True)
    (copies / "journal.db").rename(elsewhere.journal)
    engine = sites.start(elsewhere)
    assert alarms(engine) == before
    assert cases(engine) == due
    sites.clock.advance(minutes=6)
    wait_until(lambda: ("t2/d1", "left-open") in alarms(engine), "the alarm that was under way")
    onset, raised = alarms(engine)["t2/d1", "left-open"]
    assert raised - onset == timedelta(minutes=10)
    sites.clock.advance(hours=1)
    wait_until(lambda: cases(engine) != due, "the deadline that was under way")
    end(engine)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_backup_is_never_written_over(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PREVENANT_DATABASE_URL", database_url)
    run: Callable[..., object] = CliRunner().invoke
    first = CliRunner().invoke(app, ["backup", "--to", "copies"])
    assert first.exit_code == 0, first.output
    assert "prevenant.db" in first.output.replace("\n", "")
    again = run(app, ["backup", "--to", "copies"])
    assert isinstance(again.exception, ConfigurationError)  # type: ignore[attr-defined]
    assert "name a new folder" in str(again.exception)  # type: ignore[attr-defined]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_is_no_store_is_refused(database_url: str, tmp_path: Path) -> None:
    del database_url
    rubbish = tmp_path / "rubbish.db"
    rubbish.write_bytes(b"rubbish" * 1_000)
    settings = Settings(database_url=f"sqlite:///{rubbish}", journal=tmp_path / "journal.db")
    with pytest.raises(ConfigurationError, match="cannot be copied"):
        list(back_up(settings, tmp_path / "copies"))
    assert list((tmp_path / "copies").iterdir()) == []
