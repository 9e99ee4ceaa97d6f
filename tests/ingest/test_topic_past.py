"""What a device has sent is found in a topic as it is in a journal: the same, where both have the same."""

import json
import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ingest import topic, topic_past, topic_reader
from ingest.history import Coverage, DeviceFrames, Span
from ingest.history_pages import Arrived, Place
from ingest.journal import Journal
from ingest.mqtt import Frame
from ingest.partitions import BY_DEVICE, BY_SITE, Partitioner
from ingest.past import JournalPast, Past
from ingest.publishing import Publisher
from ingest.records import BookTaken, Heard, Record, TimePassed, encode_record
from ingest.sparkplug import SPARKPLUG
from ingest.topic import Topic
from ingest.topic_past import Divided, TopicPast
from prevenant.domain import DeviceType, FieldType, Reading
from prevenant.errors import ConfigurationError, JournalError
from prevenant.kafka_address import KafkaAddress
from tests.kafka.server import Kafka, running_kafka

NOW = 1_700_000_000.0
TYPE = DeviceType(
    "thermometer", "airport/{site}/thermometers/{device}", (FieldType("temperature", float),)
)
ALWAYS = Arrived(0.0, 2 * NOW)
PARTITIONS = 3


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """Run one Kafka for all of this."""
    with running_kafka(tmp_path_factory.mktemp("kafka")) as running:
        yield running


@dataclass
class Both:
    """The same readings in a journal and in a topic."""

    kafka: Kafka
    folder: Path
    name: str
    keyed_by: str = BY_DEVICE
    pasts: list[Past] = field(default_factory=list)
    _number: int = 0

    def __post_init__(self) -> None:
        self.address = KafkaAddress.parse(self.kafka.url)
        self.topic = Topic(self.address, self.name)
        self.topic.find_or_make(PARTITIONS, 0.0, 0)
        self._publisher = Publisher(self.address, self.name)
        self._partitioner = Partitioner([TYPE], PARTITIONS, self.keyed_by)
        self._journal = Journal(self.folder / f"{self.name}.db")
        divided = Divided(PARTITIONS, self.keyed_by)
        of_topic = TopicPast(self.topic, lambda: divided)
        self.pasts = [JournalPast(self.folder / f"{self.name}.db"), of_topic]

    def hear(self, at: float, frames: Sequence[Frame]) -> None:
        """Take a batch, as who listens does: marks for the partitions that have nothing of it."""
        self._journal.append(frames, at)
        parts = self._partitioner.split(frames, at)
        for number in range(PARTITIONS):
            self._number += 1
            self.publish(number, Heard("a", self._number, at, at, parts.get(number, [])))

    def publish(self, number: int, record: Record) -> None:
        self._publisher.publish([(number, encode_record(record))])

    def close(self) -> None:
        self._journal.close()
        self._publisher.close()
        for past in self.pasts:
            past.close()


@pytest.fixture
def both(
    kafka: Kafka, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Both]:
    """Return a journal and a topic of one's own; Kafka may take longer than somebody looks at a page."""
    for module in (topic, topic_reader):
        monkeypatch.setattr(module, "_PATIENCE_S", 60.0)
    name = f"past-{random.randrange(10**9)}"
    with closing(Both(kafka, tmp_path, name, getattr(request, "param", BY_DEVICE))) as made:
        yield made


def frame(device: str, temperature: float) -> Frame:
    topic = f"airport/t2/thermometers/{device}".encode()
    return topic, json.dumps({"temperature": temperature}).encode(), 0


def said(readings: Sequence[Reading]) -> list[tuple[float, float]]:
    return [(one.observed_at - NOW, one.values.temperature) for one in readings]


def pages(past: Past, device: str, limit: int) -> list[tuple[float, float]]:
    """Return all that a device has sent, read page by page."""
    found: list[Reading] = []
    before: Place | None = None
    while True:
        page = past.page(TYPE, device, ALWAYS, limit, before)
        found += [reading for _, reading in page.readings]
        before = page.following
        if before is None:
            return said(found)


@pytest.mark.parametrize(("both", "seed"), [(BY_DEVICE, 0), (BY_SITE, 1)], indirect=["both"])
def test_the_same_is_found_in_both(both: Both, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Small enough for several looks.
    monkeypatch.setattr(topic_past, "_FEW", 5)
    monkeypatch.setattr(topic_past, "_MANY", 17)
    chance = random.Random(seed)
    for second in range(120):
        names = [f"T{chance.randint(1, 6)}" for _ in range(chance.randint(0, 4))]
        both.hear(NOW + second, [frame(one, chance.uniform(0, 40)) for one in names])
    of_journal, of_topic = both.pasts
    for device in ("t2/T1", "t2/T4", "t2/T9"):
        for _ in range(3):
            since = NOW + chance.uniform(-20, 130)
            until = since + chance.uniform(0, 90)
            span = Span(since, until, chance.uniform(since, until))
            coverages = Coverage(), Coverage()
            found = [
                said(list(past.read(TYPE, device, span, coverage)))
                for past, coverage in zip(both.pasts, coverages, strict=True)
            ]
            assert found[0] == found[1]
            assert not coverages[1].is_cut
        for limit in (7, 1_000):
            assert pages(of_topic, device, limit) == pages(of_journal, device, limit)


def test_what_comes_is_found_after_what_is_known(both: Both) -> None:
    _, past = both.pasts
    assert past.newer(TYPE, "t2/T1", past.last(TYPE, "t2/T1"))[1] == []
    both.hear(NOW, [frame("T1", 1.0)])
    known = past.last(TYPE, "t2/T1")
    both.hear(NOW + 1, [frame("T1", 2.0), frame("T2", 9.0)])
    last, batches = past.newer(TYPE, "t2/T1", known)
    frames = DeviceFrames(TYPE, "t2/T1")
    assert said([one for batch in batches for one in frames.readings(batch)]) == [(1.0, 2.0)]
    # Marks alone are something new, and no reading.
    both.hear(NOW + 2, [])
    later, nothing = past.newer(TYPE, "t2/T1", last)
    assert (later > last, nothing) == (True, [])
    assert past.last(TYPE, "t2/T1") == later


def test_what_was_published_twice_is_there_once(both: Both) -> None:
    _, past = both.pasts
    number = Partitioner([TYPE], PARTITIONS, BY_DEVICE).of_device("t2/T1")
    one = Heard("a", 7, NOW, NOW, [frame("T1", 1.0)])
    for record in (BookTaken("a", 6, NOW, NOW, 1, "x"), one, one, TimePassed(NOW + 1)):
        both.publish(number, record)
    assert pages(past, "t2/T1", 10) == [(0.0, 1.0)]


def test_of_more_than_is_read_what_is_nearest_to_the_focus_is(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topic_past, "_FEW", 5)
    monkeypatch.setattr(topic_past, "_MANY", 5)
    for second in range(60):
        both.hear(NOW + second, [frame("T1", float(second))])
    past = TopicPast(both.topic, lambda: Divided(PARTITIONS, BY_DEVICE), most=20)
    for focus, has in ((NOW + 30, 30.0), (NOW, 0.0), (float("inf"), 59.0)):
        coverage = Coverage()
        found = said(list(past.read(TYPE, "t2/T1", Span(NOW, NOW + 59, focus), coverage)))
        assert coverage.is_cut
        assert has in {value for _, value in found}
        assert found == sorted(found)
        assert 10 <= len(found) <= 20
    assert pages(past, "t2/T1", 7) == [(float(n), float(n)) for n in range(59, -1, -1)]
    past.close()


def test_what_cannot_be_found_is_said(both: Both) -> None:
    _, past = both.pasts
    span = Span(NOW, NOW + 1)
    sparkplug = DeviceType("press", "spBv1.0/#", (FieldType("t", float),), format=SPARKPLUG)
    with pytest.raises(JournalError, match="prevenant journal fetch"):
        list(past.read(sparkplug, "t2/T1", span, Coverage()))
    with pytest.raises(ConfigurationError, match="prevenant journal fetch"):
        past.page(sparkplug, "t2/T1", ALWAYS, 5)
    nobody = TopicPast(both.topic, lambda: None)
    with pytest.raises(JournalError, match="start a process with the role"):
        list(nobody.read(TYPE, "t2/T1", span, Coverage()))
    assert past.explain("Kafka does not answer") == "Kafka does not answer"


def test_a_kafka_that_is_away_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.topic_reader._PATIENCE_S", 0.2)
    away = Topic(KafkaAddress.parse("kafka://127.0.0.1:1"), "nothing")
    past = TopicPast(away, lambda: Divided(1, BY_DEVICE))
    with pytest.raises(JournalError, match="does not answer"):
        past.last(TYPE, "t2/T1")
    past.close()
