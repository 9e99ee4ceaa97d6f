"""A stream that is divided by device meets a rule book that asks about whole sites."""

from pathlib import Path

import pytest
from sqlmodel import col, select

from prevenant.errors import ConfigurationError
from prevenant.on_kafka import make_process_on_kafka
from prevenant.publishing import BookVersion, publish_edition, read_edition
from prevenant.roles import ROUTE
from prevenant.settings import Settings
from prevenant.store import Store
from prevenant.tables import Stream, TimelineEntry
from prevenant.worker import Worker
from tests.moved_clock import MovedClock

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

BOOK = """
devices:
  door: {topic: 'airport/{site}/doors/{device}', fields: {open: bool}}
rules:
  left-open: {on: door, when: CONDITION}
"""
ABOUT_SITES = '"open and site_count(door, open) > 2"'


class House:
    """A store, and processes on it."""

    def __init__(self, store: Store, database_url: str, clock: MovedClock, folder: Path) -> None:
        self.store, self.clock, self._folder = store, clock, folder
        self.settings = Settings(database_url=database_url, kafka_url="kafka://127.0.0.1:1")
        self._workers: list[Worker] = []

    def divide(self) -> None:
        """Let the stream be divided by device."""
        with self.store.write() as session:
            session.add(Stream(topic="prevenant", partitions=12, keyed_by="device"))

    def publish(self, condition: str) -> None:
        """Make a book with this condition the active version."""
        path = self._folder / "rules.yaml"
        path.write_text(BOOK.replace("CONDITION", condition), "utf-8")
        with self.store.write() as session:
            edition = read_edition(path)
            publish_edition(session, edition, self.clock.now(), by="Ana", origin="here")

    def begin(self) -> Worker:
        """Return a process on the stream; it needs no Kafka before it listens or decides."""
        worker = make_process_on_kafka(self.settings, frozenset({ROUTE}), self.clock)
        self._workers.append(worker)
        return worker

    def refusals(self) -> list[str]:
        """Return why versions were refused."""
        with self.store.read() as session:
            rows = session.exec(select(BookVersion.refused).order_by(col(BookVersion.id)))
            return list(rows)

    def close(self) -> None:
        """Give back what the processes hold."""
        for one in self._workers:
            one.store.close()


@pytest.fixture
def house(store: Store, database_url: str, clock: MovedClock, tmp_path: Path) -> House:
    """Prepare a store."""
    return House(store, database_url, clock, tmp_path)


def test_a_book_about_sites_is_refused_and_the_one_before_stays(house: House) -> None:
    house.divide()
    house.publish("open")
    worker = house.begin()
    house.publish(ABOUT_SITES)
    worker.books._change_if_due(worker._change_book)
    assert not worker.book.rules.is_about_sites
    assert worker.books.in_force.number == 1
    (first, second) = house.refusals()
    assert first == ""
    assert "divided by device: name a new topic with PREVENANT_KAFKA_TOPIC" in second
    with house.store.read() as session:
        kinds = [one.kind for one in session.exec(select(TimelineEntry))]
    assert kinds.count("book.refused") == 1

    # Whoever is started now has to go by the same, and takes the next one that fits.
    again = house.begin()
    assert again.books.in_force.number == 1
    again.books._change_if_due(again._change_book)
    assert again.books.in_force.number == 1
    house.publish("not open")
    for one in (worker, again):
        one.books._change_if_due(one._change_book)
        assert one.books.in_force.number == 3
    house.close()


def test_a_new_topic_is_divided_as_the_book_needs(house: House) -> None:
    house.divide()
    house.publish("open")
    house.publish(ABOUT_SITES)
    house.settings.kafka_topic = "sites"
    assert house.begin().books.in_force.number == 2
    house.close()


def test_where_no_version_fits_it_says_so(house: House) -> None:
    house.divide()
    house.publish(ABOUT_SITES)
    with pytest.raises(ConfigurationError, match="asks about whole sites"):
        house.begin()
