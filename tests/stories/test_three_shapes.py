"""The same devices say the same, and people are told the same at the same time, in every shape.

In one process on SQLite, in a process for each role on PostgreSQL, and on Kafka with two that decide.
"""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session, select

from notify.message import Delivery, Message
from prevenant import auditing
from prevenant.tables import Alarm, TimelineEntry
from simulators.carrier import Carrier
from tests.kafka.server import Kafka, running_kafka
from tests.moved_clock import MovedClock
from tests.servers import Broker
from tests.stories.shapes import in_one_process, in_roles, make_settings, on_kafka, running
from workflows.tables import Candidate, Case, DispatchRound, Offer

Facts = dict[str, set[tuple[Any, ...]]]

_LINK = re.compile(r"https?://[^\s\"\\<]+")
"""Each is another, so that nobody can guess it."""

DAY: list[tuple[str, dict[str, Any]] | timedelta] = [
    ("airport/t2/badges/B14", {"door": "D14", "granted": True}),
    ("airport/t2/doors/D14", {"open": True, "battery": 80.0}),
    timedelta(seconds=59),
    ("airport/t2/thermometers/T1", {"temperature": 27.0}),
    timedelta(seconds=2),
    ("airport/t2/doors/D15", {"open": True, "battery": 80.0}),
    timedelta(seconds=11),
    ("homes/h01/fridges/fridge", {"cabinet": 9.3, "setpoint": 4.0, "door_open": False}),
    timedelta(minutes=3),
    ("airport/t2/thermometers/T1", {"temperature": 27.5}),
    ("airport/t2/doors/D14", {"open": False, "battery": 80.0}),
    timedelta(minutes=7),
    ("homes/h01/fridges/fridge", {"cabinet": 9.6, "setpoint": 4.0, "door_open": False}),
    timedelta(minutes=1),
    ("airport/t2/defibrillators/AED1", {"in_cabinet": False, "battery": 90.0}),
    timedelta(minutes=6),
    timedelta(minutes=3),
    ("homes/h01/fridges/fridge", {"cabinet": 9.9, "setpoint": 4.0, "door_open": False}),
    timedelta(minutes=4),
    ("airport/t2/thermometers/T1", {"temperature": 21.0}),
    timedelta(minutes=5, seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=4, seconds=30),
    ("airport/t2/defibrillators/AED1", {"in_cabinet": True, "battery": 90.0}),
    timedelta(minutes=31),
]
"""What devices say, and how much time passes then.

No two cases that could send the same people have to choose at the same moment: who chooses first would
be anybody's guess, and the other one counts it as a job.
"""


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a clock that leaps make nothing lost, and the broker keep nothing back."""
    monkeypatch.setattr("prevenant.stream.hearing._BACKLOG_S", 0.0)
    monkeypatch.setattr(auditing, "LATE", timedelta(days=1))


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[Kafka]:
    """Run a Kafka."""
    with running_kafka(tmp_path / "kafka") as kafka:
        yield kafka


def find_facts(session: Session) -> Facts:
    """Return alarms, choices and messages, with their times."""
    cases = {case.id: (case.rule, case.device_id) for case in session.exec(select(Case))}
    messages = {one.id: (one.contact_id, one.template) for one in session.exec(select(Message))}
    return {
        "alarms": {
            (
                *(one.rule, one.device_id, one.severity, one.state, one.held_by, one.reason),
                *(one.onset_at, one.raised_at, one.cleared_at),
            )
            for one in session.exec(select(Alarm))
        },
        "changes": {
            (one.at, one.kind, one.summary)
            for one in session.exec(select(TimelineEntry))
            if one.kind.startswith("alarm.")
        },
        "cases": {
            (one.rule, one.device_id, one.workflow, one.state, one.opened_at, one.closed_at)
            for one in session.exec(select(Case))
        },
        "choices": {
            (cases[one.case_id], one.round, one.technician_id, one.rank, one.score, one.reason)
            for one in session.exec(select(Candidate))
        },
        "rounds": {
            (cases[one.case_id], one.round, one.at, one.summary)
            for one in session.exec(select(DispatchRound))
        },
        "offers": {
            (cases[one.case_id], one.technician_id, one.state)
            for one in session.exec(select(Offer))
        },
        "messages": {
            (
                *(one.contact_id, one.role, one.template, one.severity, one.state),
                *(one.created_at, _LINK.sub("a link", json.dumps(one.texts, sort_keys=True))),
            )
            for one in session.exec(select(Message))
        },
        "deliveries": {
            (messages[one.message_id], one.channel, one.state, one.started_at)
            for one in session.exec(select(Delivery))
        },
    }


def live(folder: Path, broker: Broker, database_url: str, make: Any, kafka_url: str = "") -> Facts:
    """Let the day pass in a shape; return what came of it."""
    clock = MovedClock()
    carrier = Carrier(clock).start()
    try:
        settings = make_settings(folder, broker, carrier, database_url, kafka_url)
        with running(settings, clock, broker, make) as shape:
            shape.settle()
            for one in DAY:
                if isinstance(one, timedelta):
                    shape.let_pass(one)
                else:
                    shape.say(one[0], json.dumps(one[1]).encode())
            with shape.store.read() as session:
                return find_facts(session)
    finally:
        carrier.stop()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("shape", ["roles", "kafka"])
def test_every_shape_tells_the_same_people_the_same(
    tmp_path: Path,
    broker: Broker,
    sqlite_url: str,
    database_url: str,
    shape: str,
    request: pytest.FixtureRequest,
) -> None:
    expected = live(tmp_path / "one-process", broker, sqlite_url, in_one_process)
    assert {one[0] for one in expected["alarms"]} >= {
        "door-held-open",
        "door-without-badge",
        "terminal-temperature",
        "defibrillator-removed",
        "refrigerator-warming",
    }
    assert all(expected.values()), {name: len(found) for name, found in expected.items()}
    if shape == "roles":
        found = live(tmp_path / "roles", broker, database_url, in_roles)
    else:
        kafka: Kafka = request.getfixturevalue("kafka")
        found = live(tmp_path / "kafka", broker, database_url, on_kafka, kafka.url)
    for name, facts in expected.items():
        assert found[name] == facts, name
