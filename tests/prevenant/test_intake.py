"""The intake of a stream: what is published when, and what comes again where Kafka has refused."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import dedent

import pytest

from ingest.partitions import BY_DEVICE
from ingest.publishing import Addressed
from ingest.records import BookTaken, Heard, Marks, Record, decode_record
from prevenant.book import load_book
from prevenant.clock import epoch_seconds
from prevenant.errors import JournalError, RecordTooLarge
from prevenant.stream import intake as module
from prevenant.stream.changing import Version
from prevenant.stream.intake import Intake
from prevenant.tables import Stream
from rules.rule import RuleBook
from tests.moved_clock import MovedClock
from tests.servers import wait_until

BOOK = """
devices:
  door: {topic: 'airport/{site}/doors/{device}', fields: {open: bool}}
rules:
  left-open: {on: door, when: CONDITION}
"""
PARTITIONS = 3


class Topic:
    """Keeps what is published, or refuses it."""

    def __init__(self) -> None:
        self.records: list[tuple[int, Record]] = []
        self.together: list[Sequence[Addressed]] = []
        """Which records were published together."""
        self.refusals = 0
        self.asked = 0
        self.most_bytes = 1_000_000

    def publish(self, records: Sequence[Addressed]) -> None:
        """Keep records, in their order."""
        self.asked += 1
        if self.refusals:
            self.refusals -= 1
            raise JournalError("not now")
        large = [partition for partition, value in records if len(value) > self.most_bytes]
        if large:
            message = "too large"
            raise RecordTooLarge(message, large)
        self.together.append(records)
        self.records += [(partition, decode_record(value)) for partition, value in records]

    def close(self) -> None:
        """Do nothing."""

    def heard(self) -> list[Heard]:
        """Return the records with frames."""
        return [one for _, one in self.records if isinstance(one, Heard) and one.frames]

    def marks(self) -> list[tuple[int, Heard]]:
        """Return the records without."""
        return [
            (number, one)
            for number, one in self.records
            if isinstance(one, Heard) and not one.frames
        ]

    def books(self) -> list[tuple[int, int]]:
        """Return the partition and the version of each change of the book."""
        return [(number, one.version) for number, one in self.records if isinstance(one, BookTaken)]


class Bench:
    """An intake that runs, and the topic it publishes to."""

    def __init__(self, folder: Path, keyed_by: str) -> None:
        self.clock, self.topic, self._folder = MovedClock(), Topic(), folder
        stream = Stream(topic="stream", partitions=PARTITIONS, keyed_by=keyed_by)
        book = self.book("open")
        self.intake = Intake(self.topic, self.clock, stream, Version(1, "one"), book)  # type: ignore[arg-type]
        self.thread = threading.Thread(target=self.intake.run)

    def book(self, condition: str) -> RuleBook:
        """Return a book with this condition."""
        path = self._folder / "rules.yaml"
        path.write_text(dedent(BOOK).replace("CONDITION", condition), "utf-8")
        return load_book(path).rules

    def start(self) -> None:
        """Begin, and wait until every partition knows the book."""
        self.thread.start()
        wait_until(self.intake._begun.is_set, "begin")

    def now(self) -> float:
        """Return what the clock shows, in seconds since 1970."""
        return epoch_seconds(self.clock.now())


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE_S", 0.01)
    monkeypatch.setattr(module, "_MARK_EVERY_S", 0.02)
    monkeypatch.setattr("prevenant.stream.hearing._BACKLOG_S", 0.0)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Prepare an intake of a stream that is divided by device."""
    bench = Bench(tmp_path, BY_DEVICE)
    yield bench
    bench.intake.stop()
    if bench.thread.ident is not None:
        bench.thread.join()


def frames(*names: str) -> list[tuple[bytes, bytes, int]]:
    return [(f"airport/t2/doors/{name}".encode(), b'{"open": true}', 0) for name in names]


def test_every_partition_knows_the_book_before_any_reading(bench: Bench) -> None:
    accepting = threading.Thread(target=bench.intake.accept, args=(frames("d1", "d2", "d3"),))
    accepting.start()
    assert bench.topic.records == []
    bench.start()
    accepting.join()
    kinds = [type(one).__name__ for _, one in bench.topic.records][:PARTITIONS]
    assert kinds == ["BookTaken"] * PARTITIONS
    assert bench.topic.books() == [(number, 1) for number in range(PARTITIONS)]
    assert sum(len(one.frames) for one in bench.topic.heard()) == 3


def test_a_batch_that_was_refused_comes_again_under_its_numbers(bench: Bench) -> None:
    bench.start()
    bench.topic.refusals = 3
    bench.intake.accept(frames("d1"))
    bench.intake.accept(frames("d2"))
    first, second = bench.topic.heard()
    assert first.frames + second.frames == frames("d1", "d2")
    assert first.number < second.number
    assert not bench.intake.is_refused()


def test_marks_tell_up_to_when_all_is_heard(bench: Bench) -> None:
    bench.intake.hear(connected=True)
    bench.start()
    began = bench.now()
    wait_until(lambda: len(bench.topic.marks()) >= PARTITIONS, "marks")
    assert {number for number, _ in bench.topic.marks()} == set(range(PARTITIONS))
    assert {one.timers_until for _, one in bench.topic.marks()} == {began}
    bench.clock.advance(seconds=10)
    bench.intake.hear(connected=False)
    bench.clock.advance(seconds=10)
    later = bench.now()
    wait_until(lambda: any(one.at == later for _, one in bench.topic.marks()), "later marks")
    deaf = [one for _, one in bench.topic.marks() if one.at == later]
    assert {one.timers_until for one in deaf} == {began + 10}


def test_numbers_rise_whoever_publishes(bench: Bench) -> None:
    bench.start()
    several = [
        threading.Thread(target=bench.intake.accept, args=(frames(f"d{number}"),))
        for number in range(20)
    ]
    for one in several:
        one.start()
    for one in several:
        one.join()
    numbers = [one.number for _, one in bench.topic.records if isinstance(one, Heard | BookTaken)]
    assert numbers == sorted(set(numbers))
    assert bench.intake.frames == 20


def test_another_book_goes_to_every_partition_before_its_readings(bench: Bench) -> None:
    bench.start()
    bench.intake.change_book(Version(2, "two"), bench.book("open == false"))
    bench.intake.accept(frames("d1"))
    assert bench.topic.books()[PARTITIONS:] == [(number, 2) for number in range(PARTITIONS)]
    last = max(
        place for place, (_, one) in enumerate(bench.topic.records) if isinstance(one, BookTaken)
    )
    heard = [
        place for place, (_, one) in enumerate(bench.topic.records) if one in bench.topic.heard()
    ]
    assert min(heard) > last


def test_of_a_partition_nothing_is_published_behind_what_was_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 200)
    bench.start()
    bench.topic.refusals = 2
    bench.intake.accept(frames(*["d1"] * 7, *["d2"] * 5))
    assert len(bench.topic.heard()) > PARTITIONS
    assert sum(len(one.frames) for one in bench.topic.heard()) == 12
    for records in bench.topic.together:
        assert len({number for number, _ in records}) == len(records)
    numbers = [one.number for one in bench.topic.heard()]
    assert numbers == sorted(numbers)


def test_a_message_that_kafka_never_takes_is_cut_off(bench: Bench) -> None:
    bench.start()
    bench.topic.most_bytes = 20_000
    large = b"airport/t2/doors/d1", b"x" * 100_000, 0
    bench.intake.accept([large, *frames("d1", "d2")])
    kept = [frame for one in bench.topic.heard() for frame in one.frames]
    sizes = [len(payload) for _, payload, _ in kept]
    assert sorted(sizes) == [14, 14, 12_500]
    assert not bench.intake.is_refused()


def test_what_is_divided_again_and_again_is_read_whole_and_in_order(bench: Bench) -> None:
    bench.start()
    bench.topic.most_bytes = 200
    sent = [
        (b"airport/t2/doors/d1", b'{"open": true, "n": %d}' % number, 0) for number in range(64)
    ]
    bench.intake.accept(sent)
    assert len(bench.topic.heard()) > 8
    # As whoever decides reads it: what has no higher number than the last is taken for a repetition.
    marks = Marks()
    taken = [
        frame
        for one in bench.topic.heard()
        if marks.take(one.origin, one.number, one.at, one.timers_until)
        for frame in one.frames
    ]
    assert taken == sent


def test_a_seat_lasts_and_whoever_has_it_is_another_after_each_start(tmp_path: Path) -> None:
    origins = set()
    for seat in ("north", "north", ""):
        stream = Stream(topic="stream", partitions=PARTITIONS, keyed_by=BY_DEVICE)
        bench = Bench(tmp_path, BY_DEVICE)
        book = bench.book("open")
        origins.add(
            Intake(bench.topic, bench.clock, stream, Version(1, "one"), book, seat)._origin  # type: ignore[arg-type]
        )
    assert len(origins) == 3
    assert sorted(one.startswith("north.") for one in origins) == [False, True, True]


def test_while_kafka_never_answers_nothing_is_confirmed(bench: Bench) -> None:
    bench.topic.refusals = 1_000_000
    bench.thread.start()
    refused: list[BaseException] = []

    def accept() -> None:
        try:
            bench.intake.accept(frames("d1"))
        except JournalError as error:
            refused.append(error)

    accepting = threading.Thread(target=accept)
    accepting.start()
    wait_until(lambda: bench.topic.asked > 3, "several tries")
    assert bench.intake.is_refused()
    assert bench.topic.records == []
    bench.intake.stop()
    accepting.join()
    assert len(refused) == 1
