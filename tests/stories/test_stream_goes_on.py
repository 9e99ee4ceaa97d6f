"""A stream on Kafka goes on: through a rule book with other topics, and with what it could not read."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlmodel import select

from ingest.quarantine import REPLAYED, WAITING, Quarantined, ask_for_replay
from prevenant import auditing
from prevenant.on_kafka import Listening
from prevenant.publishing import BookVersion, publish_edition, read_edition
from prevenant.store import Store
from prevenant.tables import Alarm
from prevenant.worker import Worker
from simulators.carrier import Carrier
from tests.kafka.server import Kafka, running_kafka
from tests.moved_clock import MovedClock
from tests.servers import Broker, wait_until
from tests.stories.shapes import Shape, make_settings, on_kafka, running

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

BOOK = """
devices:
  door: {topic: 'airport/{site}/doors/{device}', fields: {open: OPEN}}
GATE
rules:
  left-open: {on: door, when: OPENED, for: 60s}
GATE_RULE
"""
FIRST = {"OPENED": "open", "OPEN": "bool", "GATE_RULE": "", "GATE": ""}
MENDED = {
    "OPENED": "open == 'yes'",
    "OPEN": "string",
    "GATE_RULE": "  gate-open: {on: gate, when: open}",
    "GATE": "  gate: {topic: 'yard/{site}/gates/{device}', fields: {open: bool}}",
}


def write_book(path: Path, words: dict[str, str]) -> None:
    text = BOOK
    for name, value in words.items():
        text = text.replace(name, value)
    path.write_text(text, "utf-8")


def alarms(store: Store) -> set[tuple[str, str]]:
    with store.read() as session:
        return {(one.rule, one.device_id) for one in session.exec(select(Alarm))}


def quarantined(store: Store) -> list[tuple[str, str]]:
    with store.read() as session:
        return [(one.topic, one.state) for one in session.exec(select(Quarantined))]


def confirmed_topics(shape: Shape) -> set[str]:
    """Return the topics that the brokers have confirmed."""
    found = [one.find(Listening) for one in shape.processes if isinstance(one, Worker)]
    each = [one for listening in found if listening for one in listening.listeners._each]
    return set.union(*(one.confirmed for one in each))


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prevenant.stream.hearing._BACKLOG_S", 0.0)
    monkeypatch.setattr(auditing, "LATE", timedelta(days=1))


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[Kafka]:
    with running_kafka(tmp_path / "kafka") as kafka:
        yield kafka


def test_another_book_takes_over_and_reads_what_waits(
    tmp_path: Path, broker: Broker, kafka: Kafka, carrier: Carrier, database_url: str
) -> None:
    clock, path = MovedClock(), tmp_path / "rules.yaml"
    write_book(path, FIRST)
    settings = make_settings(tmp_path / "kafka", broker, carrier, database_url, kafka.url)
    settings = settings.model_copy(update={"book": path})
    with running(settings, clock, broker, on_kafka) as shape:
        store = shape.store
        shape.say("airport/t2/doors/d1", b'{"open": true}')
        shape.say("airport/t2/doors/d2", b'{"open": "yes"}')
        assert quarantined(store) == [("airport/t2/doors/d2", WAITING)]
        shape.let_pass(timedelta(seconds=30))

        write_book(path, MENDED)
        edition = read_edition(path)
        with store.write() as session:
            publish_edition(session, edition, clock.now(), by="Zoe", origin=str(path))

        def is_in_force() -> bool:
            with store.read() as session:
                return None not in session.exec(select(BookVersion.in_force_at)).all()

        wait_until(is_in_force, "second version in force")
        wait_until(lambda: "yard/#" in confirmed_topics(shape), "subscription")
        shape.devices.publish("yard/y1/gates/g1", b'{"open": true}', qos=1)
        shape.published += 1
        wait_until(lambda: ("gate-open", "y1/g1") in alarms(store), "alarm on a new topic")

        with store.write() as session:
            assert ask_for_replay(session, None) == 1
        shape.published += 1
        wait_until(lambda: quarantined(store)[0][1] == REPLAYED, "what waited read again")
        wait_until(lambda: shape.frames() >= shape.published, "decision on it")
        shape.let_pass(timedelta(seconds=61))
        assert alarms(store) == {("gate-open", "y1/g1"), ("left-open", "t2/d2")}
