import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.journal import Journal, Snapshot
from ingest.mqtt import Frame
from prevenant.errors import JournalError

FRAMES: list[Frame] = [(b"a/b", b'{"x": 1}', 0), (b"a/c", b"\x00\xff", 1)]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """Return an empty journal."""
    journal = Journal(tmp_path / "deep" / "journal.db")
    yield journal
    journal.close()


def test_what_is_appended_is_read_again_in_order(journal: Journal, tmp_path: Path) -> None:
    journal.append(FRAMES, 100.0)
    journal.append(FRAMES[:1], 101.0, timers_until=90.0)
    journal.close()
    again = Journal(tmp_path / "deep" / "journal.db")
    batches = list(again.read(0))
    assert [(b.seq, b.received_at, b.timers_until) for b in batches] == [
        (1, 100.0, 100.0),
        (2, 101.0, 90.0),
    ]
    assert batches[0].frames == FRAMES
    assert [batch.seq for batch in again.read(1)] == [2]
    assert again.last_seq == 2
    again.close()


def test_arrival_times_never_run_backwards(journal: Journal) -> None:
    journal.append(FRAMES, 100.0)
    assert journal.append(FRAMES, 50.0).received_at == 100.0


def test_the_latest_snapshot_replaces_the_one_before(journal: Journal) -> None:
    assert journal.load_snapshot() is None
    journal.save_snapshot(Snapshot(1, 100.0, b"one"))
    journal.save_snapshot(Snapshot(2, 200.0, b"two"))
    assert journal.load_snapshot() == Snapshot(2, 200.0, b"two")


def test_every_commit_waits_for_the_disk(journal: Journal) -> None:
    assert journal._writer.execute("PRAGMA synchronous").fetchone() == (2,)
    assert journal._writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_damaged_batch_is_reported_and_not_passed_over(journal: Journal, tmp_path: Path) -> None:
    journal.append(FRAMES, 100.0)
    with sqlite3.connect(tmp_path / "deep" / "journal.db") as other:
        other.execute("UPDATE batch SET frames = zeroblob(20)")
    other.close()
    with pytest.raises(JournalError, match=r"batch 1 .* is damaged"):
        list(journal.read(0))


def test_a_file_that_is_no_journal_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_text("this is a text and no database " * 100)
    with pytest.raises(JournalError, match="PREVENANT_JOURNAL"):
        Journal(tmp_path / "journal.db")


def test_one_process_at_a_time_has_the_journal(journal: Journal, tmp_path: Path) -> None:
    other = Journal(tmp_path / "deep" / "journal.db")
    assert journal.claim()
    assert not other.claim()
    journal.close()
    assert other.claim()
    other.close()
