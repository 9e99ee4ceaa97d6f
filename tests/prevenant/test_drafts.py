"""Drafts of the rule book: each author's own, and nothing that is not a book's gets in."""

from pathlib import Path

import pytest

from prevenant.drafts import (
    MOST_BYTES,
    add_file,
    begin_draft,
    drop_draft,
    find_draft,
    remove_file,
    save_draft,
    take_version,
)
from prevenant.errors import ConfigurationError
from prevenant.publishing import Edition, find_active, publish_edition, read_edition
from prevenant.store import Store
from tests.moved_clock import MovedClock

BOOK = """
devices:
  door: {topic: 'doors/{site}/{device}', fields: {open: bool}}
rules:
  held: {on: door, when: open, for: 60s, severity: minor}
"""


def edition(text: str = BOOK) -> Edition:
    return read_edition(Path("rules.yaml"), {"rules.yaml": text})


@pytest.fixture
def published(store: Store, clock: MovedClock) -> Store:
    with store.write() as session:
        publish_edition(session, edition(), clock.now(), by="Noor", origin="test")
    return store


def test_a_draft_begins_as_the_version_in_force_and_is_ones_own(
    published: Store, clock: MovedClock
) -> None:
    with published.write() as session:
        begin_draft(session, "Camille", clock.now(), "tests: []")
    with published.write() as session:
        save_draft(session, "Camille", clock.now(), {"rules.yaml": "changed\r\ntwice\r"})
        assert find_draft(session, "Noor") is None
    with published.write() as session:
        kept = begin_draft(session, "Camille", clock.now(), "other")
        assert (kept.base, kept.files, kept.tests) == (
            1,
            {"rules.yaml": "changed\ntwice\n"},
            "tests: []",
        )
        active = find_active(session)
        assert active is not None
        assert active.files == {"rules.yaml": BOOK}


def test_without_a_version_there_is_nothing_to_begin_with(store: Store, clock: MovedClock) -> None:
    with store.write() as session, pytest.raises(ConfigurationError, match="publish one"):
        begin_draft(session, "Camille", clock.now())


@pytest.mark.parametrize(
    "name", ["", "  ", "/etc/passwd", "../other.yaml", "a/../../b", "rules.yaml"]
)
def test_no_file_is_added_outside_the_book(published: Store, clock: MovedClock, name: str) -> None:
    with published.write() as session, pytest.raises(ConfigurationError, match="cannot be added"):
        add_file(session, "Camille", clock.now(), name)


def test_files_come_and_go_but_the_main_one_stays(published: Store, clock: MovedClock) -> None:
    with published.write() as session:
        add_file(session, "Camille", clock.now(), " parts/doors.yaml ")
        draft = remove_file(session, "Camille", clock.now(), "parts/doors.yaml")
        assert [*draft.files] == ["rules.yaml"]
        with pytest.raises(ConfigurationError, match="cannot be removed"):
            remove_file(session, "Camille", clock.now(), "rules.yaml")
        with pytest.raises(ConfigurationError, match="no file"):
            save_draft(session, "Camille", clock.now(), {"other.yaml": ""})


def test_a_draft_has_bounds(published: Store, clock: MovedClock) -> None:
    with published.write() as session, pytest.raises(ConfigurationError, match="rules publish"):
        save_draft(session, "Camille", clock.now(), {"rules.yaml": "x" * (MOST_BYTES + 1)})


def test_a_draft_goes_on_from_a_version_or_is_dropped(published: Store, clock: MovedClock) -> None:
    with published.write() as session:
        save_draft(session, "Camille", clock.now(), {"rules.yaml": "changed"})
        active = find_active(session)
        assert active is not None
        assert take_version(session, "Camille", clock.now(), active).files == active.files
        drop_draft(session, "Camille")
    with published.read() as session:
        assert find_draft(session, "Camille") is None
