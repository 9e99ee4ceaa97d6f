"""A topic is brought into a journal: what that decides is what the partitions decided."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from textwrap import dedent

import pytest

from ingest.journal import Journal
from ingest.journal_file import BookChange, ModelChange
from ingest.records import BookTaken, Heard, ModelTaken, Record, TimePassed
from prevenant.book import load_book
from prevenant.errors import ConfigurationError
from prevenant.replay import decide_again
from prevenant.stream.fetching import fetch_topic

BOOK = """
devices:
  door: {topic: 'airport/{site}/doors/{device}', fields: {open: bool}}
rules:
  left-open: {on: door, when: open, for: 60s}
"""
BEGIN = 1_700_000_000.0


class Kept:
    """A topic that keeps its records in memory."""

    def __init__(self, *partitions: list[Record]) -> None:
        self._partitions = partitions

    def read(self, partition: int) -> Iterator[Record]:
        """Yield what stands in a partition."""
        yield from self._partitions[partition]


def heard(number: int, after_s: float, *doors: str, is_open: bool = True) -> Heard:
    """Return what one who listens says at a time."""
    payload = b'{"open": true}' if is_open else b'{"open": false}'
    frames = [(f"airport/t2/doors/{one}".encode(), payload, 0) for one in doors]
    return Heard("a", number, BEGIN + after_s, BEGIN + after_s, frames)


TOPIC = Kept(
    [
        BookTaken("a", 1, BEGIN, BEGIN, 1, "one"),
        heard(3, 1, "d1"),
        heard(3, 1, "d1"),
        ModelTaken(BEGIN + 2, "engine", 4, "print", is_shadow=False),
        heard(7, 40),
        TimePassed(BEGIN + 200),
    ],
    [
        BookTaken("a", 2, BEGIN, BEGIN, 1, "one"),
        ModelTaken(BEGIN + 3, "engine", 4, "print", is_shadow=False),
        heard(4, 10, "d2", "d3"),
        heard(5, 30, "d2", is_open=False),
        heard(8, 41),
    ],
)


def test_a_journal_that_was_fetched_decides_the_same(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(dedent(BOOK), "utf-8")
    with closing(Journal(tmp_path / "fetched.db")) as journal:
        assert list(fetch_topic(TOPIC, 2, journal))[-1] == 4  # type: ignore[arg-type]
        changes = journal.changes()
    assert [one.version for one in changes if not isinstance(one, ModelChange)] == [1]
    assert [one.version for one in changes if isinstance(one, ModelChange)] == [4]
    assert all(isinstance(one, BookChange) for one in changes)
    history = decide_again(load_book(path).rules, tmp_path / "fetched.db")
    assert history.readings == 4
    raised = [(one.device_id, one.at - BEGIN) for one in history.transitions]
    assert sorted(raised) == [("t2/d1", 61.0), ("t2/d3", 70.0)]


def test_it_is_never_mixed_with_what_is_there(tmp_path: Path) -> None:
    with closing(Journal(tmp_path / "fetched.db")) as journal:
        list(fetch_topic(TOPIC, 2, journal))  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="name a new file with --to"):
            list(fetch_topic(TOPIC, 2, journal))  # type: ignore[arg-type]
