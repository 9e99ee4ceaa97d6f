"""Killed at any moment around a change of a model: the same alarms, and the same where it is replayed."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import col, select

from ingest.journal import Journal
from ingest.journal_file import Batch
from prevenant.book import load_book
from prevenant.book_switch import BookSwitch, version_of
from prevenant.model_switch import ModelSwitch
from prevenant.publishing import find_active, publish_edition, read_edition
from prevenant.replay import decide_again
from prevenant.store import Store
from prevenant.stream.embedded import EmbeddedHost, _NewVoice
from prevenant.tables import Alarm, ModelState, TimelineEntry
from rules.models import BookModel
from tests.moved_clock import MovedClock
from tests.voices import FakeVoice, FakeVoices

BOOK = """
devices:
  fridge: {topic: 'a/{site}/fridges/{device}', fields: {amps: ampere}}
models:
  worn:
    on: fridge
    predicts: remaining life in cycles
    causes: {amps: {text: Worn out, parts: [compressor]}}
rules:
  ends: {on: fridge, when: worn.remaining_life > 20, for: 30s}
  high: {on: fridge, when: amps > 50}
"""
SECOND = BOOK.replace("> 20", "> 25") + "  low: {on: fridge, when: worn.low > 9}\n"
Step = Callable[["Life"], None]


def make_voices() -> FakeVoices:
    """Return three versions: the sum, twice the sum, and one that fails at a high current."""
    model = BookModel("worn", "fridge", "remaining_life", "cycles")

    def fail(reading: Any, total: float) -> float:
        if reading.values.amps > 30:
            message = "no such current"
            raise ArithmeticError(message)
        return total

    voices = FakeVoices(
        FakeVoice(model, 1),
        FakeVoice(model, 2, formula=lambda _, total: 2 * total),
        FakeVoice(model, 3, formula=fail),
    )
    voices.active["worn"] = 1
    return voices


class Life:
    """An engine's deciding part with its models, which a test drives by hand and may end at any moment."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.clock = MovedClock()
        self.voices = make_voices()
        self._open()
        self.publish(BOOK)
        self._begin()

    def _open(self) -> None:
        self.journal = Journal(self.folder / "journal.db")
        self.store = Store(f"sqlite:///{self.folder / 'store.db'}")
        self.store.upgrade()

    def _begin(self) -> None:
        with self.store.read() as session:
            active = find_active(session)
        assert active is not None
        book = active.load()
        self.books = BookSwitch(
            self.store, self.clock, active, book, lambda one: self.models.change_book(one.rules)
        )
        self.models = ModelSwitch(self.store, self.voices, book.rules)
        self.host = EmbeddedHost(
            self.store,
            self.clock,
            self.journal,
            book.rules,
            version_of(active),
            self.books,
            voices=self.voices,
        )
        self.host._hearing._until = 0.0
        self.host.recover()
        self.models.begin(lambda: self.host.voices_in_force, self.host.change_model)

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

    def look(self) -> None:
        """See whether another version of the book or of a model is active, and have it queued."""
        self.books._change_if_due(self.host.change_book)
        self.models._look(self.host.change_model)

    def say(self, number: int, amps: float) -> None:
        """Let a refrigerator speak; the batch is queued."""
        payload = json.dumps({"amps": amps}).encode()
        self.host.accept([(f"a/s/fridges/f{number}".encode(), payload, 0)])

    def decide(self) -> None:
        """Take all that is queued."""
        while not self.host._batches.empty():
            one = self.host._batches.get_nowait()
            assert one is not None
            if isinstance(one, Batch):
                self.host._decide(one)
            elif isinstance(one, _NewVoice):
                self.host._change_model(one.change, one.voice)
            else:
                self.host._succeed(one.change, one.rules)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(round(seconds / 5)):
            self.clock.advance(seconds=5)
            self.host._let_time_pass()

    def alarms(self) -> list[tuple[Any, ...]]:
        """Return every alarm with all that identifies it, its end, and what was said of it."""
        with self.store.read() as session:
            rows = session.exec(select(Alarm).order_by(col(Alarm.onset_at), col(Alarm.rule)))
            return [
                (r.rule, r.device_id, r.onset_at, r.raised_at, r.cleared_at, r.values) for r in rows
            ]

    def health(self) -> list[tuple[Any, ...]]:
        """Return how the models are, and what the story says of them."""
        with self.store.read() as session:
            states = [
                (one.name, one.version, one.state) for one in session.exec(select(ModelState))
            ]
            lines = session.exec(select(TimelineEntry))
            return [*states, *sorted((one.kind, one.summary) for one in lines)]


def say(number: int, amps: float) -> Step:
    return lambda life: life.say(number, amps)


def activate(version: int) -> Step:
    def step(life: Life) -> None:
        life.voices.active["worn"] = version

    return step


STEPS: list[tuple[str, Step]] = [
    ("begun", Life.decide),
    ("1 says 15", say(1, 15)),
    ("2 says 21", say(2, 21)),
    ("decided", Life.decide),
    ("20 s", lambda life: life.wait(20)),
    ("1 says 7", say(1, 7)),
    ("decided 2", Life.decide),
    ("snapshot", lambda life: life.host._keep_snapshot()),
    ("35 s", lambda life: life.wait(35)),
    ("3 says 5, undecided", say(3, 5)),
    ("version 2 active", activate(2)),
    ("queued", Life.look),
    ("3 says 6 behind it", say(3, 6)),
    ("time would pass", lambda life: life.host._let_time_pass()),
    ("taken", Life.decide),
    ("3 says 6 again", say(3, 6)),
    ("decided 3", Life.decide),
    ("40 s", lambda life: life.wait(40)),
    ("version 3 active", activate(3)),
    ("queued 2", Life.look),
    ("2 says 31 behind it", say(2, 31)),
    ("taken 2", Life.decide),
    ("snapshot 2", lambda life: life.host._keep_snapshot()),
    ("1 says 22", say(1, 22)),
    ("decided 4", Life.decide),
    ("published", lambda life: life.publish(SECOND)),
    ("queued 3", Life.look),
    ("3 says 60", say(3, 60)),
    ("taken 3", Life.decide),
    ("queued 4", Life.look),
    ("70 s", lambda life: life.wait(70)),
    ("1 says 23", say(1, 23)),
    ("2 says 27", say(2, 27)),
    ("decided 5", Life.decide),
    ("rolled back", activate(1)),
    ("queued 5", Life.look),
    ("taken 5", Life.decide),
    ("1 says 26", say(1, 26)),
    ("decided 6", Life.decide),
    ("40 s 2", lambda life: life.wait(40)),
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
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    """Return a life in which nothing crashed."""
    life = run(Life(tmp_path_factory.mktemp("lives") / "undisturbed"))
    yield life
    life.close()


def test_the_whole_goes_as_it_should(undisturbed: Life) -> None:
    alarms = undisturbed.alarms()
    assert {one[0] for one in alarms} == {"ends", "high", "low"}
    (first, *_) = [one for one in alarms if one[:2] == ("ends", "s/f1")]
    assert first[5]["worn.remaining_life"] == 22.0
    assert first[5]["worn.why"] == {
        "en": "its current adds up to 22",
        "fr": "son courant fait 22",
    }
    assert (first[5]["worn.parts"], first[5]["worn.cause"]) == ("compressor", "amps")
    kinds = [one[0] for one in undisturbed.health()]
    assert ("worn", 1, "speaking") in undisturbed.health()
    assert kinds.count("model.out") == kinds.count("model.back") == 1
    high = [one for one in alarms if one[0] == "high"]
    assert len(high) == 1, "a threshold is judged although the model has failed"


@pytest.mark.parametrize(("number", "step"), [*enumerate(name for name, _ in STEPS)])
def test_a_crash_changes_nothing(number: int, step: str, tmp_path: Path, undisturbed: Life) -> None:
    life = run(Life(tmp_path / "crashed"), step, snapshots=number % 3 > 0)
    assert life.alarms() == undisturbed.alarms()
    assert life.health() == undisturbed.health()
    life.close()


def test_it_is_the_same_with_a_crash_behind_every_step(tmp_path: Path, undisturbed: Life) -> None:
    life = Life(tmp_path / "crashed")
    for _, step in STEPS:
        step(life)
        life.crash()
    assert life.alarms() == undisturbed.alarms()
    life.close()


def test_the_journal_replayed_gives_the_same_alarms(tmp_path: Path) -> None:
    life = Life(tmp_path / "live")
    for name, step in STEPS:
        if name == "published":
            break
        step(life)
    life.wait(5)
    (tmp_path / "rules.yaml").write_text(BOOK)
    again = decide_again(
        load_book(tmp_path / "rules.yaml").rules,
        life.folder / "journal.db",
        until=life.clock.now().timestamp(),
        voices=make_voices(),
    )
    raised = [
        (one.rule, one.device_id, one.onset_at, one.at, one.values)
        for one in again.transitions
        if one.kind == "raised"
    ]
    live = [
        (rule, device, onset_at.timestamp(), at.timestamp(), values)
        for rule, device, onset_at, at, _, values in life.alarms()
    ]
    assert sorted(raised, key=str) == sorted(live, key=str) != []
    life.close()
