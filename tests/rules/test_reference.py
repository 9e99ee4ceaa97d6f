"""The processor decides as a slow, obvious reference does, on books and streams of every kind."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prevenant.domain import Reading, Transition
from rules.book import RuleBook
from rules.processor import Processor
from tests.rules.books import make_book
from tests.rules.generated import TYPES, Grid, books, streams
from tests.rules.reference import Reference
from tests.rules.reference_life import Happened

NIGHT_IN_SPRING = datetime(2026, 3, 28, 22, tzinfo=UTC).timestamp()
NIGHT_IN_AUTUMN = datetime(2026, 10, 24, 22, tzinfo=UTC).timestamp()
ZONE = "Europe/Paris"
SILENT_AFTER_STEPS = 24
AFTERWARDS_STEPS = 100


def book_of(rules: Mapping[str, Any], silent_after: int) -> RuleBook:
    """Return the book of drawn rules."""
    text = yaml.safe_dump(dict(rules), allow_unicode=True, sort_keys=False)
    indented = "".join(f"  {line}\n" for line in text.splitlines())
    return make_book(indented, max_rate="10000/s", silent_after=f"{silent_after}s")


def happened(transitions: Sequence[Transition]) -> list[Happened]:
    """Return transitions as the reference writes them."""
    return sorted(
        (round(t.at, 2), t.kind, t.rule, t.device_id, round(t.onset_at, 2), t.severity)
        for t in transitions
    )


def decide(
    book: RuleBook, readings: Sequence[Reading], until: float, cuts: Sequence[int] = ()
) -> list[Transition]:
    """Process readings in batches cut at `cuts`, each by a processor restored anew."""
    processor, transitions = Processor(book, lambda _: ZONE), list[Transition]()
    for start, end in zip([0, *cuts], [*cuts, len(readings)], strict=True):
        batch = readings[start:end]
        if not batch:
            continue
        transitions += processor.process(batch, batch[-1].received_at)
        snapshot = processor.snapshot()
        processor = Processor(book, lambda _: ZONE)
        assert processor.restore(snapshot, batch[-1].received_at) == []
    return transitions + processor.advance(until)


@pytest.mark.parametrize(
    ("step_s", "begin"),
    [(5, NIGHT_IN_SPRING), (300, NIGHT_IN_SPRING), (300, NIGHT_IN_AUTUMN)],
    ids=["seconds", "spring", "autumn"],
)
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_the_processor_decides_as_the_reference(
    step_s: int, begin: float, data: st.DataObject
) -> None:
    grid = Grid(step_s)
    rules = data.draw(books(grid), label="rules")
    book = book_of(rules, SILENT_AFTER_STEPS * step_s)
    readings = data.draw(streams(book, grid, begin), label="readings")
    types = deepcopy(TYPES)
    for one in types.values():
        one["silent_after"] = SILENT_AFTER_STEPS * step_s
    until = readings[-1].received_at + AFTERWARDS_STEPS * step_s
    processor = Processor(book, lambda _: ZONE)
    decided = processor.process(readings, readings[-1].received_at) + processor.advance(until)
    assert happened(decided) == Reference(types, rules, ZONE, step_s).run(readings, until)


@settings(max_examples=50, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_split_and_any_crash_give_the_same(data: st.DataObject) -> None:
    grid = Grid(5)
    book = book_of(data.draw(books(grid), label="rules"), 120)
    readings = data.draw(streams(book, grid, NIGHT_IN_SPRING), label="readings")
    until = readings[-1].received_at + 1_000.0
    whole = decide(book, readings, until)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(readings)), max_size=4), label="cuts"))
    assert decide(book, readings, until, cuts) == whole
    assert decide(book, readings, until, range(1, len(readings))) == whole
