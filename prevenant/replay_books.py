"""Two rule books on the same history: what each makes of it, and what differs. Nothing is sent."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from math import inf
from pathlib import Path

from sqlmodel import Session

from ingest.journal_file import Batch, connect_read_only, find_last_seq
from prevenant.book import Book
from prevenant.crm.directory import SiteZones
from prevenant.rehearsal import Answering, Nobody, Obliging, people_of, rehearse
from prevenant.replay import (
    FIRST_CASE,
    Difference,
    History,
    Outcome,
    alarms_alone,
    compare,
    decide_again,
    follow,
)
from prevenant.store import Store
from prevenant.stream.voices import Voices

_DECIDING = 0.7
"""This part of the time that a book takes goes into reading the journal, the rest into its cases."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of a history under the book before, and under the changed one."""

    before: tuple[History, Outcome]
    after: tuple[History, Outcome]
    differences: Sequence[Difference]


@dataclass(frozen=True, slots=True)
class Questions:
    """What is asked of a replay. Times are seconds since 1970."""

    since: float = 0.0
    until: float = inf
    alarms_only: bool = False
    """No cases, offers and messages: much faster."""
    nobody_answers: bool = False
    """As if nobody took a job or replied."""


def replay_books(
    before: Book,
    after: Book,
    journal: Path,
    store: Store,
    voices: Voices,
    questions: Questions,
    people: Callable[[Session], None] | None = None,
    tell: Callable[[float, str], None] = lambda _done, _doing: None,
) -> Replayed:
    """Read a journal by two books, with the people of the store, or others.

    `tell` hears how far it is, from 0 to 1, and what is being done. Raises JournalError.
    """
    with closing(connect_read_only(journal)) as connection:
        last = max(1, find_last_seq(connection))
    answering: Answering = Nobody() if questions.nobody_answers else Obliging()
    results = []
    for number, (book, name) in enumerate(
        ((before, "the book before"), (after, "the changed book"))
    ):
        begin = number / 2

        def read(batch: Batch, begin: float = begin, name: str = name) -> None:
            tell(begin + batch.seq / last * _DECIDING / 2, f"reading the journal by {name}")

        if questions.alarms_only:
            history = decide_again(
                book.rules, journal, questions.until, SiteZones(store).zone_of, read, voices
            )
            results.append((history, alarms_alone(history, questions.since)))
            continue
        with rehearse(book, people or people_of(store), answering, FIRST_CASE) as rehearsal:
            history = decide_again(
                book.rules, journal, questions.until, rehearsal.zone_of, read, voices
            )
            tell(begin + _DECIDING / 2, f"following the cases of {name}")
            results.append((history, follow(rehearsal, history, questions.since)))
    return Replayed(results[0], results[1], compare(results[0][1], results[1][1]))
