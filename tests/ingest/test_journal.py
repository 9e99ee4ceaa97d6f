import random
import shutil
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ingest.export import Exported, _batches, examine_journal
from ingest.journal import Journal
from ingest.journal_file import Batch, Damage, Snapshot, connect_read_only
from ingest.mqtt import Frame
from prevenant.errors import JournalError

_PAGE = 16_384
"""Of the file."""
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
    batches = [one for one in again.read(0) if isinstance(one, Batch)]
    assert [(b.seq, b.received_at, b.timers_until) for b in batches] == [
        (1, 100.0, 100.0),
        (2, 101.0, 90.0),
    ]
    assert batches[0].frames == FRAMES
    assert [one.seq for one in again.read(1) if isinstance(one, Batch)] == [2]
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


def test_changes_of_the_book_are_kept_with_their_place(journal: Journal, tmp_path: Path) -> None:
    journal.append(FRAMES, 100.0)
    first = journal.change_book(1, "one", 90.0, 95.0)
    second = journal.change_book(2, "two", 110.0, 110.0)
    assert (first.after_seq, first.at, first.timers_until) == (1, 100.0, 95.0)
    journal.close()
    again = Journal(tmp_path / "deep" / "journal.db")
    assert again.changes() == [first, second]
    assert first.id < second.id == again.last_change
    assert again.left_off_at == 110.0
    again.close()


def test_changes_of_the_book_outlive_a_damaged_file(journal: Journal, tmp_path: Path) -> None:
    assert journal.claim()
    journal.append(FRAMES, 1.0)
    changes = [journal.change_book(n, f"{n}", float(n), float(n)) for n in (1, 2)]
    journal._set_aside(sqlite3.DatabaseError("broken"))
    assert (journal.changes(), journal.last_change) == (changes, changes[-1].id)
    write_to(tmp_path / "deep" / "journal.db", "DELETE FROM book_change")
    journal._set_aside(sqlite3.DatabaseError("broken again"))
    assert (journal.changes(), journal.last_change) == ([], changes[-1].id)
    assert journal.change_book(3, "3", 3.0, 3.0).id > changes[-1].id


def test_changes_of_the_book_outlive_what_is_lost_of_models(
    journal: Journal, tmp_path: Path
) -> None:
    assert journal.claim()
    first = journal.change_book(1, "one", 1.0, 1.0)
    journal.change_model("worn", 3, "seal", 2.0, 2.0, is_shadow=False)
    write_to(tmp_path / "deep" / "journal.db", "ALTER TABLE model_change RENAME COLUMN at TO gone")
    journal._set_aside(sqlite3.DatabaseError("broken"))
    assert journal.changes() == [first]


def test_every_commit_waits_for_the_disk(journal: Journal) -> None:
    assert journal._writer.execute("PRAGMA synchronous").fetchone() == (2,)
    assert journal._writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def write_to(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute(statement)
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def test_a_damaged_batch_is_reported_with_what_is_lost_and_the_next_is_read(
    journal: Journal, tmp_path: Path
) -> None:
    for second in (100.0, 101.0, 102.0):
        journal.append(FRAMES, second)
    write_to(
        tmp_path / "deep" / "journal.db", "UPDATE batch SET frames = zeroblob(9) WHERE seq = 2"
    )
    found = list(journal.read(0))
    assert [one.seq for one in found if isinstance(one, Batch)] == [1, 3]
    assert found[1] == Damage(2, 2, 2, 101.0, 101.0, "its checksum does not match")
    assert str(found[1]) == "batch 2 of the journal, 2 readings: its checksum does not match"


def test_missing_batches_are_reported(journal: Journal, tmp_path: Path) -> None:
    for second in range(5):
        journal.append(FRAMES, float(second))
    write_to(tmp_path / "deep" / "journal.db", "DELETE FROM batch WHERE seq IN (2, 3)")
    assert [one for one in journal.read(1) if isinstance(one, Damage)] == [
        Damage(2, 3, None, None, 3.0, "they are missing")
    ]
    assert [one for one in journal.read(0) if isinstance(one, Damage)] == [
        Damage(2, 3, None, 0.0, 3.0, "they are missing")
    ]


def test_a_damaged_snapshot_is_reported_and_not_used(journal: Journal, tmp_path: Path) -> None:
    journal.save_snapshot(Snapshot(1, 100.0, b"one"))
    write_to(tmp_path / "deep" / "journal.db", "UPDATE snapshot SET state = x'00'")
    assert journal.load_snapshot() is None
    (damage,) = journal.take_damages()
    assert "all that the journal holds is decided again" in str(damage)
    assert journal.take_damages() == []


def fill(path: Path, batches: int = 60) -> None:
    """Write a journal with a snapshot after batch 20, all of it in its main file."""
    journal = Journal(path)
    journal.claim()
    for number in range(1, batches + 1):
        journal.append([(b"a/b", b"%06d" % number * 500, 0)], float(number))
    journal.save_snapshot(Snapshot(20, 20.0, b"state"))
    journal.close()


def numbers(journal: Journal, after: int) -> tuple[list[int], list[Damage]]:
    batches, damages = [], []
    for one in journal.read(after):
        if isinstance(one, Batch):
            assert one.frames[0][1] == b"%06d" % one.seq * 500
            batches.append(one.seq)
        else:
            damages.append(one)
    return batches, damages


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_file_is_set_aside_and_everything_readable_is_kept(
    tmp_path: Path, seed: int
) -> None:
    path = tmp_path / "journal.db"
    fill(path)
    noise = random.Random(seed)
    data = bytearray(path.read_bytes())
    for _ in range(3):
        # One page, but not the first: that is another test.
        page = noise.randrange(1, len(data) // _PAGE)
        data[page * _PAGE : (page + 1) * _PAGE] = noise.randbytes(_PAGE)
    path.write_bytes(data)

    journal = Journal(path)
    assert journal.claim()
    snapshot = journal.load_snapshot()
    batches, damages = numbers(journal, 20 if snapshot else 0)
    damages += journal.take_damages()
    added = journal.append([(b"a/b", b"new", 0)], 1_000.0)
    assert added.seq > 60
    first = 21 if snapshot else 1
    lost = {n for one in damages for n in range(one.first_seq, one.last_seq + 1)}
    missing = set(range(first, 61)) - set(batches)
    is_known = not any("is not known" in one.reason for one in damages)
    assert missing <= lost if is_known else lost, f"seed {seed}"
    journal.close()


@pytest.mark.parametrize("kept", [0, 100, 4096, _PAGE, 2 * _PAGE])
def test_a_file_cut_short_is_set_aside_and_the_engine_goes_on(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "journal.db"
    fill(path)
    path.write_bytes(path.read_bytes()[:kept])
    journal = Journal(path)
    assert journal.claim()
    list(journal.read(0))
    added = journal.append([(b"a/b", b"new", 0)], 1_000.0)
    assert [one for one in journal.read(added.seq - 1) if isinstance(one, Batch)] == [added]
    if kept:
        assert journal.take_damages() != []
        assert (tmp_path / "journal.db.damaged-1").exists()
    journal.close()


def test_a_file_is_damaged_again_after_it_was_lost_how_many_batches_there_were(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal.db"
    fill(path)
    path.write_bytes(path.read_bytes()[:100])
    journal = Journal(path)
    assert journal.claim()
    added = [journal.append([(b"a/b", b"new", 0)], 1_000.0).seq for _ in range(3)]
    assert added == list(range(added[0], added[0] + 3))
    assert [one.frames for one in journal.take_damages()] == [None]
    journal.close()
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM batch WHERE seq = ?", (added[1],))
    connection.commit()
    connection.close()
    data = bytearray(path.read_bytes())
    data[-_PAGE:] = b"\xff" * _PAGE
    path.write_bytes(data)

    journal = Journal(path)
    assert journal.claim()
    read = list(journal.read(0))
    damages = [one for one in read if isinstance(one, Damage)] + journal.take_damages()
    assert {one.seq for one in read if isinstance(one, Batch)} <= {added[0], added[2]}
    assert sum(one.last_seq - one.first_seq + 1 for one in damages) < 10
    assert journal.append([(b"a/b", b"newer", 0)], 1_001.0).seq > added[2]
    journal.close()


def test_damage_found_while_appending_stops_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    fill(path)
    journal = Journal(path, max_bytes=1)
    journal.claim()
    data = bytearray(path.read_bytes())
    data[_PAGE:] = b"\xff" * (len(data) - _PAGE)
    path.write_bytes(data)
    added = journal.append([(b"a/b", b"new", 0)], 1_000.0)
    assert added.seq == 61
    found = [one for one in journal.read(0) if isinstance(one, Damage)] + journal.take_damages()
    assert found != []
    journal.close()


def test_what_is_too_old_leaves_when_something_comes(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db", keep_s=60.0)
    for second in range(100):
        journal.append(FRAMES, float(second))
    for number in range(100, 200):
        journal.save_snapshot(Snapshot(number, float(number), b""))
        journal.append(FRAMES, float(number))
    oldest = next(iter(journal.read(0)))
    assert isinstance(oldest, Batch)
    assert oldest.received_at == 199 - 60
    journal.close()


def test_what_is_too_old_leaves_also_when_nothing_comes(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db", keep_s=60.0)
    journal.append(FRAMES, 0.0)
    journal.save_snapshot(Snapshot(1, 0.0, b""))
    journal.drop_old(61.0)
    assert list(journal.read(0)) == []
    journal.close()


def test_the_file_does_not_outgrow_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = Journal(path, max_bytes=2_000_000)
    for number in range(1, 601):
        journal.append([(b"a/b", b"x" * 20_000, 0)], float(number))
        journal.save_snapshot(Snapshot(number, float(number), b""))
    journal.close()
    assert path.stat().st_size < 2_500_000
    assert path.stat().st_size > 1_500_000


def test_what_is_not_decided_on_yet_is_kept_beyond_every_limit(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db", keep_s=1.0, max_bytes=10_000)
    for number in range(1, 101):
        journal.append([(b"a/b", b"x" * 20_000, 0)], float(number))
    assert len(list(journal.read(0))) == 100
    journal.close()


def test_a_long_reader_lets_the_log_shrink_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = Journal(path)
    journal.append(FRAMES, 0.0)
    with closing(connect_read_only(path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM batch").fetchone()
        for number in range(60):
            journal.append([(b"a/b", b"x" * 2_000_000, 0)], float(number))
        assert path.with_name("journal.db-wal").stat().st_size > 100_000_000
    for number in range(60, 70):
        journal.append([(b"a/b", b"x" * 2_000_000, 0)], float(number))
    assert path.with_name("journal.db-wal").stat().st_size <= 70_000_000
    journal.close()


def test_a_file_that_is_no_journal_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_text("this is a text and no database " * 100)
    with pytest.raises(JournalError, match="PREVENANT_JOURNAL"):
        Journal(tmp_path / "journal.db")


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with closing(sqlite3.connect(path)) as theirs:
        theirs.execute("CREATE TABLE snapshot (what)")
        theirs.execute("INSERT INTO snapshot VALUES ('dear')")
        theirs.commit()
    before = path.read_bytes()
    with pytest.raises(JournalError, match="another program's database, and no journal"):
        Journal(path)
    assert path.read_bytes() == before


def test_one_process_at_a_time_has_the_journal(journal: Journal, tmp_path: Path) -> None:
    other = Journal(tmp_path / "deep" / "journal.db")
    assert journal.claim()
    assert not other.claim()
    journal.close()
    assert other.claim()
    other.close()


def test_numbers_are_used_once_also_where_every_batch_has_left(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = Journal(path, keep_s=60.0)
    for second in range(3):
        journal.append(FRAMES, float(second))
    journal.save_snapshot(Snapshot(3, 3.0, b""))
    journal.drop_old(1_000.0)
    assert list(journal.read(0)) == []
    journal.close()
    journal = Journal(path)
    assert journal.append(FRAMES, 1_001.0).seq == 4
    # As after a crash, before another snapshot was kept.
    (batch,) = journal.read(3)
    assert isinstance(batch, Batch)
    journal.close()


def flip(path: Path, at: int, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)


@pytest.mark.parametrize("seed", range(12))
def test_a_bit_that_flips_beside_the_frames_is_found(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "journal.db"
    journal = Journal(path)
    for number in range(1, 61):
        journal.append([(b"a/b", b"%06d" % number * 500, 0)], number + 0.25)
    journal.close()
    (tmp_path / "journal.db.lock").touch()
    noise = random.Random(seed)
    number = noise.randint(1, 60)
    at = path.read_bytes().index(struct.pack(">d", number + 0.25))
    flip(path, at + noise.randrange(-1, 8), noise.randrange(8))

    journal = Journal(path)
    assert journal.claim()
    batches, damages = {}, journal.take_damages()
    for one in journal.read(0):
        if isinstance(one, Batch):
            batches[one.seq] = one
        else:
            damages.append(one)
    assert all(one.received_at == seq + 0.25 for seq, one in batches.items()), f"seed {seed}"
    assert number in batches or any(d.first_seq <= number <= d.last_seq for d in damages)
    assert journal.append(FRAMES, 100.0).received_at == 100.0
    journal.close()


@pytest.mark.parametrize("offset", [-8, -1, 0, 3, 7, 8])
def test_a_snapshot_whose_place_or_time_is_damaged_is_not_taken(
    tmp_path: Path, offset: int
) -> None:
    path = tmp_path / "journal.db"
    journal = Journal(path)
    journal.claim()
    for second in range(1, 4):
        journal.append(FRAMES, float(second))
    journal.save_snapshot(Snapshot(2, 2.5, b"state"))
    journal.keep_time(7.5)
    assert journal.load_snapshot() == Snapshot(2, 7.5, b"state")
    journal.close()
    flip(path, path.read_bytes().index(struct.pack(">d", 7.5)) + offset, 1)
    journal = Journal(path)
    assert journal.claim()
    assert journal.left_off_at in {3.0, 7.5}
    found = journal.load_snapshot()
    damages = journal.take_damages()
    assert found == Snapshot(2, 7.5, b"state") or (found is None and damages)
    assert journal.append(FRAMES, 8.0).seq == 4
    journal.close()


def copy_of_a_killed_one(folder: Path, batches: int) -> Path:
    """Return a journal whose log was never taken into the file, as a kill leaves it."""
    journal = Journal(folder / "alive.db")
    for number in range(1, batches + 1):
        journal.append([(b"a/b", b"%06d" % number * 5_000, 0)], float(number))
    path = folder / "journal.db"
    for suffix in ("", "-wal"):
        shutil.copyfile(f"{folder / 'alive.db'}{suffix}", f"{path}{suffix}")
    journal.close()
    (folder / "journal.db.lock").touch()
    return path


def test_a_log_that_is_whole_is_no_damage(tmp_path: Path) -> None:
    journal = Journal(copy_of_a_killed_one(tmp_path, 10))
    assert journal.last_seq == 10
    assert journal.take_damages() == []
    journal.close()


def test_a_commit_that_a_kill_cut_off_is_no_damage(tmp_path: Path) -> None:
    path = copy_of_a_killed_one(tmp_path, 10)
    log = path.with_name("journal.db-wal")
    log.write_bytes(log.read_bytes()[:-5_000])
    journal = Journal(path)
    assert journal.last_seq == 9
    assert journal.take_damages() == []
    journal.close()


@pytest.mark.parametrize("seed", range(8))
def test_damage_in_the_log_is_told_and_its_numbers_are_not_used_again(
    tmp_path: Path, seed: int
) -> None:
    path = copy_of_a_killed_one(tmp_path, 10)
    log = path.with_name("journal.db-wal")
    noise = random.Random(seed)
    at = noise.choice([12, noise.randrange(32, log.stat().st_size)])
    flip(log, at, noise.randrange(8))
    before = log.read_bytes()
    journal = Journal(path)
    kept = [one.seq for one in journal.read(0) if isinstance(one, Batch)]
    (damage,) = journal.take_damages()
    assert kept == list(range(1, damage.first_seq)), f"seed {seed}"
    assert damage.last_seq >= 10
    assert (tmp_path / "journal.db-wal.damaged-1").read_bytes() == before
    assert "journal.db-wal.damaged-1" in str(damage)
    added = journal.append(FRAMES, 100.0)
    assert added.seq > 10
    journal.close()
    journal = Journal(path)
    assert journal.take_damages() == []
    # What was told once is not told at each start.
    assert [one for one in journal.read(0) if isinstance(one, Damage)] == []
    assert journal.last_seq == added.seq
    journal.close()


def test_what_retention_takes_from_under_an_export_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = Journal(path, keep_s=100.0)
    for number in range(1, 201):
        journal.append([(b"a/b", b"%d" % number, 0)], float(number))
    journal.save_snapshot(Snapshot(200, 200.0, b""))
    exported = Exported()
    reading = _batches(path, exported)
    first = [next(reading).seq for _ in range(64)]
    for _ in range(40):
        journal.drop_old(250.0)
    rest = [one.seq for one in reading]
    assert first + rest == [*range(1, 65), *range(150, 201)]
    assert len(exported.damages) == 1
    assert "batches 65 to 149" in exported.damages[0]
    assert "limits" in exported.damages[0]
    journal.append(FRAMES, 201.0)
    assert examine_journal(path, check=True).found == []
    journal.close()
