"""Killed at any moment around a change of the rule book: the same alarms as if nothing had happened."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import col, select

from ingest.journal import Journal
from ingest.journal_file import Batch
from prevenant.book_switch import BookSwitch, version_of
from prevenant.publishing import find_active, publish_edition, read_edition, roll_back
from prevenant.store import Store
from prevenant.stream.embedded import EmbeddedHost, _Successor
from prevenant.tables import Alarm, TimelineEntry
from tests.moved_clock import MovedClock
from tests.servers import Files

FIRST = """
devices:
  door: {topic: 'a/{site}/doors/{device}', fields: {open: bool}}
  lamp: {topic: 'a/{site}/lamps/{device}', fields: {watts: watt}}
rules:
  held: {on: door, when: open, for: 60s}
  wide-open: {on: door, when: open}
  bright: {on: lamp, when: watts > 10}
"""
SECOND = """
devices:
  door: {topic: 'a/{site}/doors/{device}', fields: {open: bool}}
rules:
  held: {on: door, when: open, for: 60s}
  long-held: {on: door, when: open, for: 20s}
"""
Step = Callable[["Life"], None]


class Life:
    """An engine's deciding part, which a test drives by hand and may end at any moment."""

    def __init__(self, folder: Path, url: str) -> None:
        folder.mkdir()
        self.folder = folder
        self.url = url
        self.clock = MovedClock()
        self._open()
        self.publish(FIRST)
        self._begin()

    def _open(self) -> None:
        self.journal = Journal(self.folder / "journal.db")
        self.store = Store(self.url)
        self.store.upgrade()

    def _begin(self) -> None:
        with self.store.read() as session:
            active = find_active(session)
        assert active is not None
        book = active.load()
        self.books = BookSwitch(self.store, self.clock, active, book, lambda _book: None)
        self.host = EmbeddedHost(
            self.store, self.clock, self.journal, book.rules, version_of(active), self.books
        )
        self.host._hearing._until = 0.0
        self.host.recover()

    def crash(self) -> None:
        """End without another word, and begin again with what the files hold."""
        self.close()
        self._open()
        self._begin()

    def close(self) -> None:
        """Close the files."""
        self.journal.close()
        self.store.close()

    def publish(self, text: str) -> None:
        """Publish a book."""
        edition = read_edition(Path("rules.yaml"), {"rules.yaml": text})
        with self.store.write() as session:
            publish_edition(session, edition, self.clock.now(), by="ana", origin="test")

    def roll_back(self, number: int) -> None:
        """Put an earlier version in force."""
        with self.store.write() as session:
            roll_back(session, number, self.clock.now(), by="ana")

    def look(self) -> None:
        """See whether another version is active, and have it queued."""
        self.books._change_if_due(self.host.change_book)

    def say(self, topic: str, **values: object) -> None:
        """Let a device speak; the batch is queued."""
        self.host.accept([(topic.encode(), json.dumps(values).encode(), 0)])

    def decide(self) -> None:
        """Take all that is queued."""
        while not self.host._batches.empty():
            one = self.host._batches.get_nowait()
            assert one is not None
            if isinstance(one, Batch):
                self.host._decide(one)
            elif isinstance(one, _Successor):
                self.host._succeed(one.change, one.rules)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(round(seconds / 5)):
            self.clock.advance(seconds=5)
            self.host._let_time_pass()

    def alarms(self) -> list[tuple[Any, ...]]:
        """Return every alarm with all that identifies it and its end."""
        with self.store.read() as session:
            rows = session.exec(select(Alarm).order_by(col(Alarm.onset_at), col(Alarm.rule)))
            return [(r.rule, r.device_id, r.onset_at, r.raised_at, r.cleared_at) for r in rows]

    def story(self) -> list[tuple[str, str]]:
        """Return the story's lines, sorted."""
        with self.store.read() as session:
            lines = session.exec(select(TimelineEntry))
            return sorted((line.kind, line.summary) for line in lines)


def door(number: int, *, is_open: bool) -> Step:
    return lambda life: life.say(f"a/s/doors/d{number}", open=is_open)


def shut_all(life: Life) -> None:
    """Shut every door that is open."""
    for number in (1, 3, 4, 5):
        door(number, is_open=False)(life)


STEPS: list[tuple[str, Step]] = [
    ("door 1 opens", door(1, is_open=True)),
    ("a lamp is bright", lambda life: life.say("a/s/lamps/l1", watts=20)),
    ("decided", Life.decide),
    ("40 s", lambda life: life.wait(40)),
    ("door 2 opens", door(2, is_open=True)),
    ("decided 2", Life.decide),
    ("snapshot", lambda life: life.host._keep_snapshot()),
    ("10 s", lambda life: life.wait(10)),
    ("door 3 opens, undecided", door(3, is_open=True)),
    ("published", lambda life: life.publish(SECOND)),
    ("queued", Life.look),
    ("door 4 opens behind it", door(4, is_open=True)),
    ("time would pass", lambda life: life.host._let_time_pass()),
    ("taken", Life.decide),
    ("15 s", lambda life: life.wait(15)),
    ("door 2 shuts", door(2, is_open=False)),
    ("decided 3", Life.decide),
    ("snapshot 2", lambda life: life.host._keep_snapshot()),
    ("30 s", lambda life: life.wait(30)),
    ("rolled back", lambda life: life.roll_back(1)),
    ("queued 2", Life.look),
    ("taken 2", Life.decide),
    ("lamp is bright again", lambda life: life.say("a/s/lamps/l1", watts=30)),
    ("decided 4", Life.decide),
    ("60 s", lambda life: life.wait(60)),
    ("published again", lambda life: life.publish(SECOND)),
    ("queued 3", Life.look),
    ("taken 3", Life.decide),
    ("door 5 opens", door(5, is_open=True)),
    ("decided 6", Life.decide),
    ("15 s 2", lambda life: life.wait(15)),
    ("rolled back 2", lambda life: life.roll_back(1)),
    ("queued 4", Life.look),
    ("a hold would end", lambda life: life.wait(10)),
    ("taken 4", Life.decide),
    ("all shut", shut_all),
    ("lamp 2 is bright", lambda life: life.say("a/s/lamps/l2", watts=30)),
    ("decided 5", Life.decide),
]


def run(life: Life, crash_after: str = "", *, snapshots: bool = True) -> Life:
    """Let everything happen, with a crash behind one of the steps."""
    for name, step in STEPS:
        if snapshots or not name.startswith("snapshot"):
            step(life)
        if name == crash_after:
            life.crash()
    return life


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, files: Files) -> Iterator[Life]:
    """Return a life in which nothing crashed."""
    with files.lent() as path:
        life = run(Life(tmp_path_factory.mktemp("lives") / "undisturbed", f"sqlite:///{path}"))
        yield life
        life.close()


def test_the_whole_goes_as_it_should(undisturbed: Life) -> None:
    alarms = undisturbed.alarms()
    assert len([one for one in alarms if one[0] == "bright"]) == 3
    assert {one[0] for one in alarms} == {"held", "wide-open", "bright", "long-held"}
    assert [one[:2] for one in alarms if one[4] is None] == [("bright", "s/l2")]
    assert ("long-held", "s/d5") not in {one[:2] for one in alarms}
    (held, *_) = [one for one in alarms if one[:2] == ("held", "s/d1")]
    assert (held[3] - held[2]).total_seconds() == 60
    kinds = [kind for kind, _ in undisturbed.story()]
    assert kinds.count("book.in_force") == 5


@pytest.mark.parametrize("snapshots", [True, False], ids=["snapshots", "none"])
@pytest.mark.parametrize("step", [name for name, _ in STEPS])
def test_a_crash_changes_nothing(
    step: str, tmp_path: Path, sqlite_url: str, undisturbed: Life, *, snapshots: bool
) -> None:
    life = run(Life(tmp_path / "crashed", sqlite_url), step, snapshots=snapshots)
    assert life.alarms() == undisturbed.alarms()
    assert life.story() == undisturbed.story()
    life.close()


def test_it_is_the_same_with_a_crash_behind_every_step(
    tmp_path: Path, sqlite_url: str, undisturbed: Life
) -> None:
    life = Life(tmp_path / "crashed", sqlite_url)
    for _, step in STEPS:
        step(life)
        life.crash()
    assert life.alarms() == undisturbed.alarms()
    assert life.story() == undisturbed.story()
    life.close()
