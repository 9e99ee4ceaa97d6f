"""One partition of a stream: what is decided once stays so, whoever reads its records again."""

from pathlib import Path
from textwrap import dedent

import pytest
from sqlmodel import Session, select

from ingest.quarantine import Quarantined, RefusedCount
from ingest.records import BookTaken, Heard, Record, TimePassed, encode_record
from prevenant.book import Book, load_book
from prevenant.clock import epoch_seconds
from prevenant.errors import JournalError, PartitionLost
from prevenant.store import Store
from prevenant.stream.changing import Version
from prevenant.stream.partition import Partition, Surroundings
from prevenant.stream.partition_rows import still_holds, take_over
from prevenant.stream.voices import NoVoices
from prevenant.tables import Alarm, PartitionState, Stream, TimelineEntry
from tests.moved_clock import MovedClock

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

BOOK = """
devices:
  door: {topic: 'airport/{site}/doors/{device}', fields: {open: bool}}
rules:
  left-open: {on: door, when: open, for: 60s}
"""
TOPIC = "stream"


class Books:
    """One version of a rule book, and what was noted of others."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.taken: list[int] = []

    def find_rules(self, version: Version) -> object:
        """Return the book, whatever the version."""
        del version
        return self.book.rules

    def follow(self, version: Version) -> None:
        """Do nothing."""

    def note_taken(self, session: Session, change: object) -> None:
        """Remember the version."""
        del session
        self.taken.append(change.version)  # type: ignore[attr-defined]

    def note_refused(self, session: Session, change: object, reason: str) -> None:
        """Fail: none of these versions can be refused."""
        pytest.fail(f"{session} {change} {reason}")


class Bench:
    """A partition's surroundings, and the records that stand in it."""

    def __init__(self, store: Store, clock: MovedClock, folder: Path) -> None:
        path = folder / "rules.yaml"
        path.write_text(dedent(BOOK), "utf-8")
        self.store, self.clock = store, clock
        self.books = Books(load_book(path))
        self.records: list[bytes] = []
        self.begin = epoch_seconds(clock.now())
        self.number = 0
        self.earliest = 0

    def take_up(self) -> Partition:
        """Become who decides the partition."""
        around = Surroundings(
            self.store,
            self.clock,
            Stream(topic=TOPIC, partitions=1, keyed_by="device"),
            self.books,  # type: ignore[arg-type]
            lambda _site: "UTC",
            NoVoices(),
            earliest=lambda _partition: self.earliest,
        )
        with self.store.write() as session:
            kept = take_over(session, TOPIC, 0, self.store.name)
        return Partition(around, kept, self.books.book.rules, Version(1, "print"))

    def write(self, record: Record) -> None:
        """Let a record stand behind the others."""
        self.records.append(encode_record(record))

    def hear(
        self, after_s: float, *devices: str, is_open: bool = True, until_s: float = -1
    ) -> None:
        """Let a process that listens say what it heard at a time."""
        self.number += 1
        at = self.begin + after_s
        until = at if until_s < 0 else self.begin + until_s
        payload = b'{"open": true}' if is_open else b'{"open": false}'
        frames = [(f"airport/t2/doors/{one}".encode(), payload, 0) for one in devices]
        self.write(Heard("a", self.number, at, until, frames))

    def read(self, partition: Partition, first: int = 0) -> int:
        """Give a partition its records, from one on; return how many frames were decided on."""
        count = sum(
            partition.take(offset, value)
            for offset, value in enumerate(self.records)
            if offset >= first
        )
        if not partition._writer._failure:
            partition._writer.wait_until_written()
        return count

    def alarms(self) -> list[tuple[str, float]]:
        """Return each alarm's device, and when it was raised after the beginning."""
        with self.store.read() as session:
            return sorted(
                (one.device_id, epoch_seconds(one.raised_at) - self.begin)
                for one in session.exec(select(Alarm))
            )

    def stories(self) -> list[str]:
        """Return the kinds of all lines of the story."""
        with self.store.read() as session:
            return sorted(one.kind for one in session.exec(select(TimelineEntry)))


@pytest.fixture
def bench(store: Store, clock: MovedClock, tmp_path: Path) -> Bench:
    """Prepare the surroundings of a partition."""
    return Bench(store, clock, tmp_path)


def test_time_comes_with_the_records(bench: Bench) -> None:
    bench.hear(0, "d1")
    bench.hear(59)
    partition = bench.take_up()
    assert bench.read(partition) == 1
    assert bench.alarms() == []
    bench.hear(61)
    bench.read(partition, 2)
    assert bench.alarms() == [("t2/d1", 60.0)]
    partition.close()


def test_time_has_not_come_before_all_that_it_brings_is_on_its_way_to_the_store(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.hear(0, "d1")
    partition = bench.take_up()
    bench.read(partition)
    before, advance = partition.decided_until, partition.decider.advance
    seen: list[float] = []

    def look_and_advance(until: float) -> None:
        seen.append(partition.decided_until)
        advance(until)

    monkeypatch.setattr(partition.decider, "advance", look_and_advance)
    bench.hear(61)
    bench.read(partition, 1)
    assert seen == [before]
    assert partition.decided_until == bench.begin + 61
    assert bench.alarms() == [("t2/d1", 60.0)]
    partition.close()


def test_whoever_has_not_heard_holds_timers_back(bench: Bench) -> None:
    bench.hear(0, "d1")
    bench.hear(70, until_s=30)
    bench.hear(71, "d1", is_open=False, until_s=30)
    bench.hear(72)
    partition = bench.take_up()
    bench.read(partition)
    assert bench.alarms() == []
    partition.close()


def test_where_nobody_listens_any_more_timers_run_after_a_minute(bench: Bench) -> None:
    bench.hear(0, "d1")
    bench.hear(30, until_s=30)
    bench.write(TimePassed(bench.begin + 89))
    partition = bench.take_up()
    bench.read(partition)
    assert bench.alarms() == []
    bench.write(TimePassed(bench.begin + 91))
    bench.read(partition, 3)
    assert bench.alarms() == [("t2/d1", 60.0)]
    partition.close()


@pytest.mark.parametrize("snapshot_after", range(6))
def test_a_crash_after_any_record_changes_nothing(bench: Bench, snapshot_after: int) -> None:
    bench.hear(0, "d1", "d2")
    bench.hear(30, "d2", is_open=False)
    bench.hear(61)
    bench.hear(65, "d1", is_open=False)
    bench.hear(70, "d1", "d3")
    bench.hear(140)
    before = bench.take_up()
    for offset, value in enumerate(bench.records):
        before.take(offset, value)
        if offset == snapshot_after:
            before._writer.wait_until_written()
            assert before.keep_snapshot()
    before._writer.wait_until_written()
    alarms, stories = bench.alarms(), bench.stories()
    assert alarms == [("t2/d1", 60.0), ("t2/d1", 130.0), ("t2/d3", 130.0)]
    before.close()
    after = bench.take_up()
    assert after.offset == snapshot_after
    bench.read(after)
    assert (bench.alarms(), bench.stories()) == (alarms, stories)
    after.close()


def test_who_stood_still_writes_nothing_once_another_decides(bench: Bench) -> None:
    bench.hear(0, "d1")
    bench.hear(61)
    slow = bench.take_up()
    slow.take(0, bench.records[0])
    quick = bench.take_up()
    bench.read(quick)
    assert quick.keep_snapshot()
    slow.take(1, bench.records[1])
    with pytest.raises(PartitionLost):
        slow._writer.wait_until_written()
    with pytest.raises(PartitionLost):
        slow.keep_snapshot()
    with bench.store.read() as session:
        assert not still_holds(session, slow.lease)
        assert still_holds(session, quick.lease)
        assert session.exec(select(PartitionState.offset)).one() == 1
    assert bench.alarms() == [("t2/d1", 60.0)]
    assert bench.stories() == ["alarm.raised"]
    for one in (slow, quick):
        one.close()


def test_records_that_are_gone_are_named_and_others_are_read_again(bench: Bench) -> None:
    bench.hear(0, "d1")
    partition = bench.take_up()
    bench.read(partition)
    bench.hear(1, "d2")
    later = bench.records[-1]
    with pytest.raises(JournalError, match="4 records of partition 0 were passed over"):
        partition.take(5, later)
    bench.earliest = 5
    assert partition.take(5, later) == 1
    with bench.store.read() as session:
        lines = [one.summary for one in session.exec(select(TimelineEntry))]
    assert "has dropped 4 records of partition 0" in "".join(lines)
    partition.close()


def test_a_topic_that_was_made_anew_is_decided_on_from_its_beginning(bench: Bench) -> None:
    for after_s in range(10):
        bench.hear(after_s)
    partition = bench.take_up()
    bench.read(partition)
    assert partition.keep_snapshot()
    partition.close()
    bench.records.clear()
    bench.hear(20, "d1")
    bench.hear(81)
    partition = bench.take_up()
    assert bench.read(partition) == 1
    assert bench.alarms() == [("t2/d1", 80.0)]
    assert partition.keep_snapshot()
    assert partition.saved == 1
    with bench.store.read() as session:
        lines = [one.summary for one in session.exec(select(TimelineEntry))]
    assert sum("was made anew" in line for line in lines) == 1
    partition.close()


def test_what_a_topic_made_anew_has_already_is_read_first(bench: Bench) -> None:
    for after_s in range(3):
        bench.hear(after_s)
    partition = bench.take_up()
    bench.read(partition)
    assert partition.keep_snapshot()
    partition.close()
    bench.records.clear()
    for after_s, door in [(20, "d1"), (21, "d2"), (22, "d3"), (90, "d4")]:
        bench.hear(after_s, door)
    partition = bench.take_up()
    assert partition.saved == 2
    with pytest.raises(JournalError, match="from its beginning after a restart"):
        partition.take(2, bench.records[2])
    partition.close()
    partition = bench.take_up()
    assert partition.saved == -1
    assert bench.read(partition) == 4
    assert bench.alarms() == [("t2/d1", 80.0), ("t2/d2", 81.0), ("t2/d3", 82.0)]
    partition.close()


def test_rubbish_and_repeated_records_are_passed_over(bench: Bench) -> None:
    bench.hear(0, "d1")
    bench.records.append(b"rubbish")
    bench.records.append(bench.records[0])
    bench.hear(1, "d2")
    partition = bench.take_up()
    assert bench.read(partition) == 2
    assert partition.offset == 3
    partition.close()


def test_what_cannot_be_read_is_counted_once(bench: Bench) -> None:
    for number, payload in enumerate([b"rubbish", b'{"open": 7}'], 1):
        frames = [(b"airport/t2/doors/d1", payload, 0)]
        bench.write(Heard("a", number, bench.begin, bench.begin, frames))
    for _ in range(2):
        partition = bench.take_up()
        bench.read(partition)
        partition.close()
    with bench.store.read() as session:
        assert len(session.exec(select(Quarantined)).all()) == 2
        assert sum(one.count for one in session.exec(select(RefusedCount))) == 2


def test_an_earlier_version_of_the_book_never_comes_back(bench: Bench) -> None:
    bench.write(BookTaken("a", 101, bench.begin, bench.begin, 3, "three"))
    bench.write(BookTaken("b", 1, bench.begin, bench.begin, 2, "two"))
    bench.write(BookTaken("b", 2, bench.begin, bench.begin, 3, "three"))
    partition = bench.take_up()
    bench.read(partition)
    assert partition.decider.version == Version(3, "three")
    assert bench.books.taken == [3, 3]
    partition.close()
