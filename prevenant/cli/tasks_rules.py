"""Tasks about a rule book: its tests, and history against it."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import asdict
from math import inf
from pathlib import Path
from typing import Any

from prevenant.book import Book
from prevenant.book_tests import run_book_tests
from prevenant.clock import from_epoch
from prevenant.errors import ConfigurationError
from prevenant.garbage import collect_seldom
from prevenant.model_voices import RegistryVoices
from prevenant.publishing import find_active, find_version, read_edition
from prevenant.replay import Difference, History, Outcome
from prevenant.replay_books import Questions, replay_books
from prevenant.settings import Settings
from prevenant.store import Store, open_store
from prevenant.tasks.folder import Task
from prevenant.tasks.wanted import Replay, Trial

Tell = Callable[[float, str], None]

TESTS = "rules.test.yaml"
DIFFERENCES = "differences.csv"
_MOST_SHOWN = 5_000
"""Of more differences than these the page shows the first; the file has all of them."""
_COLUMNS = ("change", "what", "at", "rule", "device", "before", "after")


def do_of_rules(task: Task, wanted: Replay | Trial, settings: Settings, tell: Tell) -> Any:
    """Do a task about a rule book; return what came of it, as plain values."""
    collect_seldom()
    book = read_edition(Path(wanted.main), wanted.files).book
    if isinstance(wanted, Trial):
        return _test(task, wanted, book, settings.book.parent, tell)
    return _replay(task, wanted, book, settings, tell)


def _test(task: Task, wanted: Trial, book: Book, people: Path, tell: Tell) -> Any:
    tell(0.0, "running the tests")
    path = task.file(TESTS)
    path.write_text(wanted.tests, "utf-8")
    found = run_book_tests(path, book, wanted.pattern, people)
    if not found:
        shown = f" whose name holds {wanted.pattern!r}" if wanted.pattern else ""
        message = f"there is no test{shown}: write one, as in docs/rule-book.md"
        raise ConfigurationError(message)
    return {
        "tests": [
            {
                "name": one.name,
                "line": int(one.place.rsplit(":", 2)[1]),
                "differences": one.differences,
            }
            for one in found
        ]
    }


def _replay(task: Task, wanted: Replay, after: Book, settings: Settings, tell: Tell) -> Any:
    questions = Questions(
        wanted.since or 0.0,
        inf if wanted.until is None else wanted.until,
        alarms_only=wanted.alarms_only,
        nobody_answers=wanted.nobody_answers,
    )
    with open_store(settings) as store:
        before, number = _find_other(store, wanted.against)
        voices = RegistryVoices(settings.models)
        done = replay_books(before, after, settings.journal, store, voices, questions, tell=tell)
    tell(1.0, "comparing")
    _write_differences(task.file(DIFFERENCES), done.differences)
    history = done.after[0]
    return {
        "against": number,
        "readings": history.readings,
        "begins_at": max(history.begins_at or 0.0, questions.since),
        "ends_at": history.ends_at,
        "lost": [str(one) for one in history.damages],
        "before": _count(*done.before),
        "after": _count(*done.after),
        "count": len(done.differences),
        "differences": [asdict(one) for one in done.differences[:_MOST_SHOWN]],
    }


def _find_other(store: Store, against: int) -> tuple[Book, int]:
    with store.read() as session:
        version = find_version(session, against) if against else find_active(session)
    if version is None:
        message = "no rule book was published yet: publish one to compare with"
        raise ConfigurationError(message)
    return version.load(), version.number


def _count(history: History, outcome: Outcome) -> dict[str, int]:
    return {
        "alarm": len(outcome.alarms),
        "offer": len(outcome.offers),
        "message": len(outcome.messages),
        "refused": history.refused,
    }


def _write_differences(path: Path, differences: Sequence[Difference]) -> None:
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for one in differences:
            at = from_epoch(one.at).isoformat()
            row = (one.change, one.what, at, one.rule, one.device_id, one.before, one.after)
            writer.writerow(row)
    partial.replace(path)
