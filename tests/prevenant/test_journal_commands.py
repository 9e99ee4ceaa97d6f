"""`prevenant journal`: what it holds and its readings as tables, also beside a live engine."""

import errno
import json
import random
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from ingest.journal import Journal
from ingest.journal_file import Snapshot
from ingest.mqtt import RETAINED
from prevenant.cli import app
from prevenant.errors import ConfigurationError, JournalError

NOON = 1_777_896_000.0
"""2026-05-04, 12:00 UTC."""

BOOK = """
devices:
  door: {topic: 'a/{site}/doors/{device}', fields: {open: bool, battery: percent, note: string?}}
  room: {topic: 'a/{site}/rooms/{device}', format: number, fields: {temperature: celsius}}
"""


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    """Return a live journal in the working directory, with two doors, a room and rubbish."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules.yaml").write_text(BOOK, "utf-8")
    monkeypatch.setenv("PREVENANT_JOURNAL", "journal.db")
    journal = Journal(Path("journal.db"))
    late = b'{"open": false, "battery": 50, "observed_at": %d}' % (NOON - 3600)
    journal.append([(b"a/t/doors/1", b'{"open": true, "battery": 51.5}', 0)], NOON)
    journal.append([(b"a/t/doors/2", late, 0), (b"a/t/rooms/1", b"21.5", RETAINED)], NOON + 1)
    journal.append([(b"a/t/doors/1", b'{"open": tr', 0), (b"b", b"\xff", 0)], NOON + 2)
    journal.save_snapshot(Snapshot(2, NOON + 1, b"x"))
    return journal


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["journal", *arguments], catch_exceptions=False)


def test_stat_tells_what_it_holds_beside_a_live_engine(journal: Journal) -> None:
    shown = run("stat", "--check")
    assert shown.exit_code == 0
    for words in ("batches    3, numbered 1 to 3", "readings   5", "after batch 2", "30d, 10GB"):
        assert words in shown.output
    assert "received   2026-05-04T12:00:00+00:00 to 2026-05-04T12:00:02+00:00" in shown.output
    assert "every batch is whole" in shown.output
    found = json.loads(run("stat", "--json").output)
    assert (found["batches"], found["readings"], found["found"]) == (3, 5, None)
    journal.close()


def test_stat_finds_damage(journal: Journal) -> None:
    journal._writer.execute("UPDATE batch SET frames = zeroblob(5) WHERE seq = 2")
    shown = run("stat", "--check")
    assert shown.exit_code == 1
    assert "batch 2 of the journal, 2 readings: its checksum does not match" in shown.output
    journal.close()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE snapshot SET state = zeroblob(9)",
        "UPDATE snapshot SET seq = 3",
        "UPDATE snapshot SET state = 'text'",
    ],
)
def test_check_finds_a_damaged_snapshot(journal: Journal, damage: str) -> None:
    journal._writer.execute(damage)
    assert run("stat").exit_code == 0
    shown = run("stat", "--check")
    assert shown.exit_code == 1
    assert "the snapshot is damaged: its checksum does not match" in shown.output
    assert "everything from batch 1 on again" in shown.output
    assert "every batch is whole" in shown.output
    assert "damaged" in json.loads(run("stat", "--check", "--json").output)["snapshot_damage"]
    journal.close()


def test_check_finds_a_snapshot_in_a_part_of_the_file_that_is_broken(
    journal: Journal, tmp_path: Path
) -> None:
    journal.save_snapshot(Snapshot(2, NOON + 1, b"x" * 100_000))
    journal.close()
    with closing(sqlite3.connect("journal.db")) as file:
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        page = file.execute("PRAGMA page_size").fetchone()[0]
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'snapshot'"
        root = file.execute(query).fetchone()[0]
    with (tmp_path / "journal.db").open("r+b") as broken:
        broken.seek((root - 1) * page)
        broken.write(random.Random(1).randbytes(page))
    shown = run("stat", "--check")
    assert shown.exit_code == 1
    assert "the snapshot is damaged: " in shown.output
    assert "every batch is whole" in shown.output


def test_check_finds_batches_that_the_snapshot_has_seen_and_the_journal_has_not(
    journal: Journal,
) -> None:
    journal.save_snapshot(Snapshot(7, NOON + 9, b"x"))
    shown = run("stat", "--check")
    assert shown.exit_code == 1
    assert "batches 4 to 7 of the journal, an unknown number of readings: " in shown.output
    assert "they are missing, and the snapshot has seen them" in shown.output
    journal.close()


def test_check_says_that_there_is_no_snapshot_yet(journal: Journal) -> None:
    journal._writer.execute("DELETE FROM snapshot")
    shown = run("stat", "--check")
    assert shown.exit_code == 0
    assert "every batch is whole" in shown.output
    journal.close()


@pytest.mark.parametrize("seed", range(8))
def test_a_file_that_is_broken_in_one_place_gives_all_the_rest(
    journal: Journal, tmp_path: Path, seed: int
) -> None:
    for number in range(60):
        rest = b"%d" % number + b" " * 20_000
        journal.append([(b"a/t/rooms/1", rest, 0)], NOON + 3 + number)
    journal.close()
    with closing(sqlite3.connect("journal.db")) as file:
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        page = file.execute("PRAGMA page_size").fetchone()[0]
        root = file.execute("SELECT rootpage FROM sqlite_master WHERE name = 'batch'").fetchone()[0]
    path = tmp_path / "journal.db"
    pages = [n for n in range(7, path.stat().st_size // page) if n != root]
    with path.open("r+b") as broken:
        for number in random.Random(seed).sample(pages, 3):
            broken.seek((number - 1) * page)
            broken.write(random.Random(seed).randbytes(512))
    shown = run("stat", "--check")
    assert shown.exit_code == 1
    assert "of the journal" in shown.output
    shown = run("export", "--to", "out", "--raw")
    assert "of the journal" in shown.output
    assert 30 < pd.read_parquet("out/frames.parquet").shape[0] < 65


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_readings_become_tables(journal: Journal, tmp_path: Path, form: str) -> None:
    shown = run("export", "--to", "out", "--format", form)
    assert f"out/door.{form}: 2 rows" in shown.output
    assert "2 messages could not be read" in shown.output
    read: Any = pd.read_parquet if form == "parquet" else pd.read_csv
    doors, rooms = (read(tmp_path / "out" / f"{name}.{form}") for name in ("door", "room"))
    assert list(doors.columns) == [
        "site",
        "device",
        "observed_at",
        "received_at",
        "retained",
        "open",
        "battery",
        "note",
    ]
    assert doors["device"].tolist() == ["t/1", "t/2"]
    assert doors["battery"].tolist() == [51.5, 50.0]
    at = pd.to_datetime(doors["observed_at"], utc=True)
    assert [moment.timestamp() for moment in at] == [NOON, NOON - 3600]
    assert (rooms["temperature"][0], bool(rooms["retained"][0])) == (21.5, True)
    assert sorted(one.name for one in Path("out").iterdir()) == [f"door.{form}", f"room.{form}"]
    journal.close()


@pytest.mark.parametrize(
    ("options", "devices"),
    [
        (["--type", "door"], ["t/1", "t/2"]),
        (["--device", "t/2"], ["t/2"]),
        (["--since", "2026-05-04T12:00:00"], ["t/1"]),
        (["--until", "2026-05-04T14:00:00+02:00"], ["t/2"]),
        (["--since", "2026-05-04T11:00", "--until", "2026-05-04T11:00:01"], ["t/2"]),
    ],
)
def test_a_selection(
    journal: Journal, tmp_path: Path, options: list[str], devices: list[str]
) -> None:
    run("export", "--to", "out", *options)
    found = pd.read_parquet(tmp_path / "out" / "door.parquet")
    assert found["device"].tolist() == devices
    journal.close()


def test_raw_is_what_arrived(journal: Journal, tmp_path: Path) -> None:
    assert "out/frames.parquet: 5 rows" in run("export", "--to", "out", "--raw").output
    frames = pd.read_parquet(tmp_path / "out" / "frames.parquet")
    assert frames["payload"].tolist()[-1] == b"\xff"
    assert frames["topic"].tolist()[0] == "a/t/doors/1"
    journal.close()


def test_a_selection_without_readings_writes_nothing(journal: Journal) -> None:
    assert "nothing was written" in run("export", "--to", "out", "--since", "1h").output
    assert not Path("out").exists()
    journal.close()


def test_a_copy_in_a_place_without_write_access(journal: Journal, tmp_path: Path) -> None:
    journal.close()
    place = tmp_path / "archive"
    place.mkdir()
    (tmp_path / "journal.db").rename(place / "copy.db")
    place.chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert "readings   5" in run("stat", "--journal", str(place / "copy.db")).output
    place.chmod(stat.S_IRWXU)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (["stat", "--journal", "none.db"], JournalError, "there is no journal none.db"),
        (["stat", "--journal", "rules.yaml"], JournalError, "is no journal that can be read"),
        (["stat", "--journal", "rules.yaml"], JournalError, "name another with --journal"),
        (["stat", "--journal", "."], JournalError, "is a folder: name a journal with --journal"),
        (["stat", "--journal", "other.db"], JournalError, "no such column.*name another with"),
        (["export", "--to", "out", "--type", "dor"], ConfigurationError, "did you mean 'door'"),
        (["export", "--to", "out", "--since", "soon"], ConfigurationError, "'soon' is no time"),
        (["export", "--to", "out", "--format", "xls"], ConfigurationError, "parquet or csv"),
        (["export", "--to", "rules.yaml"], ConfigurationError, "is a file: name a folder"),
    ],
)
def test_what_cannot_be_done_says_why(
    journal: Journal, arguments: list[str], error: type[Exception], words: str
) -> None:
    with closing(sqlite3.connect("other.db")) as theirs:
        theirs.execute("CREATE TABLE batch (seq)")
    with pytest.raises(error, match=words):
        run(*arguments)
    journal.close()


def test_a_folder_that_cannot_be_written_is_named_and_nothing_is_left_behind(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.close()
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match=r"cannot be written to file/there.*--to"):
        run("export", "--to", "file/there")

    def fill_the_disk(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pyarrow.parquet.ParquetWriter.write_table", fill_the_disk)
    with pytest.raises(JournalError, match="No space left on device; free its disk"):
        run("export", "--to", "tables")
    assert list((tmp_path / "tables").iterdir()) == []
