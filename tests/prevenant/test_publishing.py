"""Versions of the rule book: in the store, at start-up, by commands and over the API."""

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlmodel import Session, select
from typer.testing import CliRunner, Result

from prevenant.app import Engine
from prevenant.book_switch import BookSwitch
from prevenant.book_texts import compare_texts, describe_differences, fingerprint_texts
from prevenant.cli import app
from prevenant.cli.rules_publish import describe_version
from prevenant.errors import BookError, ConfigurationError
from prevenant.publishing import (
    BookVersion,
    find_active,
    find_version,
    list_versions,
    publish_edition,
    read_edition,
    roll_back,
    settle_book,
)
from prevenant.settings import Settings
from prevenant.store import Store
from prevenant.tables import TimelineEntry
from tests.moved_clock import MovedClock
from tests.servers import wait_until

AT = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
DOOR = "devices:\n  door: {topic: 'a/{site}/{device}', fields: {open: bool}}\n"
BOOK = f"{DOOR}rules:\n  held: {{on: door, when: open, for: 60s}}\n"
SHORTER = BOOK.replace("60s", "30s")
BAD = BOOK.replace("when: open", "when: opeen")


def publish(store: Store, text: str, by: str = "ana", note: str = "") -> BookVersion:
    """Publish a book; return the active version."""
    edition = read_edition(Path("rules.yaml"), {"rules.yaml": text})
    with store.write() as session:
        done = publish_edition(session, edition, AT, by=by, origin="test", note=note)
    return done.version


def numbers(session: Session) -> list[tuple[int | None, str]]:
    """Return the versions with their states, the newest first."""
    return [(one.id, one.state) for one in list_versions(session, 100)]


def test_exactly_one_version_is_active(store: Store) -> None:
    for text in (BOOK, SHORTER, SHORTER, BOOK):
        publish(store, text)
    with store.read() as session:
        assert numbers(session) == [(3, "active"), (2, "earlier"), (1, "earlier")]
        active = find_active(session)
        assert active is not None
        assert active.load().rules.rules["held"].for_s == 60
        kinds = [one.kind for one in session.exec(select(TimelineEntry))]
    assert kinds == ["book.published"] * 3


def test_many_publish_at_once(store: Store) -> None:
    def work(number: int) -> None:
        publish(store, BOOK.replace("60s", f"{number}s"))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.read() as session:
        states = [state for _, state in numbers(session)]
    assert sorted(states) == ["active", *["earlier"] * 7]
    assert states[0] == "active"


def test_the_bell_rings_for_a_new_version_alone(store: Store) -> None:
    rung: list[str] = []
    store.call("book", lambda: rung.append("book"))
    # What rings once others are heard is what may have been missed before.
    wait_until(lambda: rung or not store.is_shared, "the bells of other processes")
    rung.clear()
    publish(store, BOOK)
    publish(store, BOOK)
    assert rung == ["book"]


def test_the_story_hides_what_a_note_should_not_say(store: Store) -> None:
    publish(store, BOOK, note="asked for by +33 6 39 98 00 01")
    with store.read() as session:
        (line,) = session.exec(select(TimelineEntry))
    assert "39 98" not in line.summary


def test_a_rollback_is_a_new_line_of_the_history(store: Store) -> None:
    publish(store, BOOK)
    publish(store, SHORTER)
    with store.write() as session:
        done = roll_back(session, 1, AT, by="tom", note="too soon")
    assert (done.version.id, done.version.by, done.version.origin) == (3, "tom", "version 1")
    assert done.version.files == {"rules.yaml": BOOK}
    with store.write() as session:
        assert roll_back(session, 1, AT, by="tom").is_new is False
        with pytest.raises(ConfigurationError, match="no version 9 of the rule book: see"):
            roll_back(session, 9, AT, by="tom")


def test_a_version_holds_all_files(tmp_path: Path, store: Store) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "main.yaml").write_text("include: [../parts/types.yaml, held.yaml]\n")
    (tmp_path / "site" / "held.yaml").write_text(BOOK.removeprefix(DOOR))
    (tmp_path / "parts" / "types.yaml").write_text("include: ./door.yaml\n")
    (tmp_path / "parts" / "door.yaml").write_text(DOOR)
    edition = read_edition(tmp_path / "site" / "main.yaml")
    with store.write() as session:
        publish_edition(session, edition, AT, by="ana", origin="test")
    for file in tmp_path.rglob("*.yaml"):
        file.unlink()
    with store.read() as session:
        version = find_version(session, 1)
    assert list(version.files) == [
        "main.yaml",
        "../parts/types.yaml",
        "../parts/door.yaml",
        "held.yaml",
    ]
    assert list(version.load().rules.rules) == ["held"]


def test_problems_of_a_kept_version_name_it(store: Store) -> None:
    version = publish(store, BOOK)
    version.files = {"rules.yaml": BAD}
    with pytest.raises(BookError, match=r"^version 1/rules.yaml:4:26: "):
        version.load()


def test_what_differs_goes_by_names_not_by_layout() -> None:
    again = BOOK.replace(
        "{on: door, when: open, for: 60s}", "\n    on: door\n    when: open\n    for: 60s"
    )
    assert describe_differences(compare_texts({"a": BOOK}, {"b": again})) == (
        "nothing but comments and layout"
    )
    base = "{on: &t door, when: open}"
    found = compare_texts(
        {
            "a": f"rules:\n  b: {base}\n  c: {{on: *t, when: open}}\n  d: {base.replace('&t ', '')}\n"
        },
        {
            "a": f"rules:\n  b: {base.replace('door', 'gate')}\n  c: {{on: *t, when: open}}\n  e: {{}}\n"
        },
    )
    assert describe_differences(found) == "rules: added e; changed b, c; removed d"


def test_the_fingerprint_is_of_the_texts() -> None:
    assert fingerprint_texts("a", {"a": "x"}) == fingerprint_texts("b", {"b": "x"})
    assert fingerprint_texts("a", {"a": "x"}) != fingerprint_texts("a", {"a": "y"})
    both = {"a": "x", "b": "y"}
    assert fingerprint_texts("a", both) == fingerprint_texts("a", dict(reversed(both.items())))
    assert fingerprint_texts("a", both) != fingerprint_texts("a", {"a": "x", "c": "y"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file with a book."""
    file = tmp_path / "rules.yaml"
    file.write_text(BOOK, "utf-8")
    return file


def test_the_file_is_published_at_start_up_once(store: Store, path: Path) -> None:
    assert settle_book(store, path, AT)[0].id == 1
    assert settle_book(store, path, AT)[0].id == 1
    path.write_text(SHORTER, "utf-8")
    version, book = settle_book(store, path, AT)
    assert (version.id, version.origin, version.note) == (2, str(path), "found at start-up")
    assert book.rules.rules["held"].for_s == 30


def test_what_was_rolled_back_stays_so_until_the_file_changes(store: Store, path: Path) -> None:
    settle_book(store, path, AT)
    path.write_text(SHORTER, "utf-8")
    settle_book(store, path, AT)
    with store.write() as session:
        roll_back(session, 1, AT, by="ana")
    version, book = settle_book(store, path, AT)
    assert (version.id, book.rules.rules["held"].for_s) == (3, 60)
    path.write_text(BOOK.replace("60s", "10s"), "utf-8")
    assert settle_book(store, path, AT)[0].id == 4


@pytest.mark.parametrize("spoil", ["bad", "gone"])
def test_a_bad_file_leaves_the_active_version_in_force(
    store: Store, path: Path, spoil: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[dict[str, object]] = []
    monkeypatch.setattr("prevenant.publishing.log.error", lambda _, **words: said.append(words))
    settle_book(store, path, AT)
    if spoil == "bad":
        path.write_text(BAD, "utf-8")
    else:
        path.unlink()
    version, book = settle_book(store, path, AT)
    assert (version.id, list(book.rules.rules)) == (1, ["held"])
    (words,) = said
    assert words["version"] == 1
    assert str(words["problems"]).startswith(f"{path}:")


def test_a_bad_file_with_nothing_published_refuses_to_start(store: Store, path: Path) -> None:
    path.write_text(BAD, "utf-8")
    with pytest.raises(BookError, match="opeen"):
        settle_book(store, path, AT)
    with store.read() as session:
        assert numbers(session) == []


def test_an_engine_that_refuses_gives_everything_back(tmp_path: Path, path: Path) -> None:
    path.write_text(BAD, "utf-8")
    settings = Settings(
        book=path,
        database_url=f"sqlite:///{tmp_path / 'store.db'}",
        journal=tmp_path / "journal.db",
        http="127.0.0.1:0",
    )
    with pytest.raises(BookError):
        Engine(settings, MovedClock())
    path.write_text(BOOK, "utf-8")
    engine = Engine(settings, MovedClock())
    assert engine.books.version.number == 1
    assert describe_version(engine.books.published).startswith(
        "Rule book: version 1, published 2026-05-04 08:00:00 by "
    )
    engine._give_back()


def test_a_version_that_this_release_cannot_read_is_refused_and_said_once(store: Store) -> None:
    first = publish(store, BOOK)
    switch = BookSwitch(store, MovedClock(), first, first.load(), lambda _: None)
    later = publish(store, SHORTER)
    with store.write() as session:
        row = session.get_one(BookVersion, later.id)
        row.files = {"rules.yaml": BAD}
        session.add(row)
    for _ in range(3):
        switch._change_if_due(lambda *_: pytest.fail("taken"))
    with store.read() as session:
        assert numbers(session) == [(2, "refused"), (1, "earlier")]
        lines = session.exec(select(TimelineEntry).where(TimelineEntry.kind == "book.refused"))
        (line,) = lines
    assert "opeen" in line.summary


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: Path) -> object:
    """Return how to run `prevenant rules …` on a store of its own."""
    monkeypatch.setenv("PREVENANT_DATABASE_URL", f"sqlite:///{tmp_path / 'commands.db'}")
    monkeypatch.setenv("PREVENANT_BOOK", str(path))

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["rules", *arguments])

    return run


def test_the_commands(run: object, path: Path) -> None:
    assert callable(run)
    first = run("publish", "--note", "to begin with")
    assert (
        first.output == f"{path} is version 1, and active\nrules: added held. devices: added door\n"
    )
    again = run("publish", str(path))
    assert again.output == f"{path} equals version 1, which is active: nothing to do\n"
    path.write_text(f"# :door:\n{SHORTER}", "utf-8")
    assert "rules: changed held" in run("publish").output
    path.write_text(BAD + "  more: {on: dor, when: x}\n", "utf-8")
    wrong = run("publish")
    assert wrong.exit_code == 1
    assert isinstance(wrong.exception, BookError)
    assert len(wrong.exception.problems) == 2
    assert run("rollback", "1").output.startswith("version 1 is version 3, and active\n")
    listed = run("versions").output
    assert [line.split()[:2] for line in listed.splitlines()[1:]] == [
        ["3", "active"],
        ["2", "earlier"],
        ["1", "earlier"],
    ]
    assert "to begin with" in listed
    assert '"origin": "version 1"' in run("versions", "--json").output
    assert run("show", "2").output == f"# :door:\n{SHORTER}"
    assert "there is no version 9" in str(run("show", "9").exception)


def test_several_files_are_shown_under_their_names(run: object, path: Path) -> None:
    assert callable(run)
    (path.parent / "more.yaml").write_text(DOOR, "utf-8")
    path.write_text(BOOK.replace(DOOR, "include: more.yaml\n"), "utf-8")
    run("publish")
    shown = run("show", "1").output
    assert shown.startswith("# file: rules.yaml\ninclude: more.yaml\n")
    assert shown.endswith(f"# file: more.yaml\n{DOOR}")
