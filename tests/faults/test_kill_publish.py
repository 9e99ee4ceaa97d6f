"""Killed while it takes another version of the rule book, started again: each alarm once, on time."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from sqlmodel import select

from prevenant.store import Store
from prevenant.tables import Alarm, TimelineEntry
from simulators.broker import free_port
from simulators.carrier import Carrier
from simulators.engine_process import EngineProcess
from simulators.fleet import connect, take_leave
from simulators.mailbox import Mailbox
from tests.faults.killed_engine import PUBLISHING
from tests.nursery import ForkedEngine
from tests.servers import Broker, wait_until

Row = TypeVar("Row", Alarm, TimelineEntry)
DEVICES = "devices:\n  door: {topic: 'a/{site}/doors/{device}', fields: {open: bool}}\n"
LAMP = "  lamp: {topic: 'a/{site}/lamps/{device}', fields: {lit: bool}}\n"
HELD = "  held: {on: door, when: open, for: 6s, severity: minor}\n"
FIRST = f"""{DEVICES}{LAMP}rules:
{HELD}  wide-open: {{on: door, when: open}}
  lit: {{on: lamp, when: lit}}
"""
SECOND = f"{DEVICES}rules:\n{HELD}  ajar: {{on: door, when: open, for: 1s}}\n"


@pytest.fixture
def engine(tmp_path: Path, broker: Broker, mailbox: Mailbox) -> Iterator[EngineProcess]:
    """Prepare an engine process with the first book; the test starts it."""
    book = tmp_path / "first.yaml"
    book.write_text(FIRST, "utf-8")
    carrier = Carrier().start()
    folder = tmp_path / "engine"
    engine = ForkedEngine(folder, book, broker.url, carrier, mailbox, free_port(), "admin")
    yield engine
    engine.kill()
    carrier.stop()


@pytest.mark.parametrize("moment", PUBLISHING)
def test_each_alarm_is_raised_and_cleared_once(
    moment: str, engine: EngineProcess, broker: Broker, tmp_path: Path
) -> None:
    engine.start(["-m", "tests.faults.killed_engine", moment, str(tmp_path)])
    engine.wait_until_ready()
    _publish(broker.url, "a/s/doors/d1", open=True)
    _publish(broker.url, "a/s/lamps/l1", lit=True)
    wait_until(lambda: {"wide-open", "lit"} <= _alarms(engine).keys(), "first alarms")
    second = tmp_path / "second.yaml"
    second.write_text(SECOND, "utf-8")
    (tmp_path / "published").touch()
    assert "version 2, and active" in engine.run("rules", "publish", str(second))
    wait_until(lambda: not engine.is_running(), f"death: {moment}")
    assert engine.process is not None
    assert engine.process.returncode == -9

    engine.start()
    engine.wait_until_ready()
    assert "Rule book: version 2" in engine.log.read_text("utf-8")
    expected = {"wide-open": "cleared", "lit": "cleared", "held": "active", "ajar": "active"}
    wait_until(
        lambda: {name: alarm.state for name, alarm in _alarms(engine).items()} == expected,
        "alarms of the second book",
    )
    alarms = _alarms(engine)
    assert alarms["held"].onset_at == alarms["wide-open"].onset_at
    assert (alarms["held"].raised_at - alarms["held"].onset_at).total_seconds() == pytest.approx(
        6, abs=0.001
    )
    told = Counter(
        (line.kind, line.alarm_id or line.detail["version"])
        for line in _rows(engine, TimelineEntry)
        if line.kind.startswith(("alarm.", "book."))
    )
    assert set(told.values()) == {1}, told
    assert ("book.in_force", 2) in told


def _alarms(engine: EngineProcess) -> dict[str, Alarm]:
    rows = _rows(engine, Alarm)
    assert len({row.rule for row in rows}) == len(rows)
    return {row.rule: row for row in rows}


def _rows(engine: EngineProcess, table: type[Row]) -> list[Row]:
    store = Store(engine.environment()["PREVENANT_DATABASE_URL"])
    with store.read() as session:
        rows = list(session.exec(select(table)))
    store.close()
    return rows


def _publish(url: str, topic: str, **values: object) -> None:
    client = connect(url)
    client.publish(topic, json.dumps(values), qos=1).wait_for_publish(60)
    take_leave(client)
