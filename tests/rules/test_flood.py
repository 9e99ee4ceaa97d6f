"""A device that changes all the time delays nobody, and what is not weighed of it is counted."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prevenant.domain import Reading, Transition
from prevenant.errors import BookError
from rules.book import RuleBook
from rules.flood import RELEASE_S
from rules.processor import Processor
from tests.rules.books import make_book, reading

RULES = """
  held: {on: door, when: open, flapping: never}
  long: {on: door, when: open, for: 3s, flapping: never}
  forced: {on: door, when: "open and not near(reader, granted, 2s)", flapping: never}
"""
BOOK = make_book(RULES)
LIMITED = make_book(RULES, max_rate="3/s")


def door(at: float, received: float, *, open_: bool, name: str = "t/1") -> Reading:
    return reading(LIMITED, "door", name, at, received, open=open_)


def kinds(transitions: Sequence[Transition], rule: str = "held") -> list[str]:
    return [one.kind for one in transitions if one.rule == rule]


def test_of_a_thousand_changes_in_a_second_a_hundred_are_weighed_and_the_last_one_counts() -> None:
    processor = Processor(BOOK)
    flood = [door(10 + n / 1_000, 10 + n / 1_000, open_=n % 2 == 0) for n in range(999)]
    changes = processor.process(flood, 11.0)
    assert len(kinds(changes)) == 100
    assert kinds(changes)[-1] == "cleared"
    assert processor.floods == {"t/1": 998 - 100}
    assert kinds(processor.advance(12.0)) == ["raised"]


def test_another_device_is_decided_on_at_once() -> None:
    processor = Processor(LIMITED)
    flood = [door(10.0, 10.0, open_=n % 2 == 0) for n in range(1_000)]
    changes = processor.process([*flood, door(10.0, 10.0, open_=True, name="t/2")], 10.0)
    assert ("raised", "t/2") in [(one.kind, one.device_id) for one in changes]


def test_readings_that_change_nothing_are_no_flood() -> None:
    processor = Processor(LIMITED)
    processor.process([door(10.0, 10.0, open_=True) for _ in range(1_000)], 10.0)
    assert processor.floods == {}


def test_a_burst_of_what_was_stored_for_hours_is_no_flood() -> None:
    processor = Processor(LIMITED)
    burst = [door(60.0 * n, 90_000.0, open_=n % 2 == 0) for n in range(1_000)]
    changes = processor.process(burst, 90_010.0)
    assert len(kinds(changes)) == 500
    assert processor.floods == {}


def test_a_newer_reading_takes_the_place_of_the_held_one() -> None:
    processor = Processor(LIMITED)
    processor.process([door(10.0, 10.0, open_=n % 2 == 0) for n in range(5)], 10.0)
    assert kinds(processor.process([door(10.5, 10.5, open_=False)], 10.5)) == []
    assert kinds(processor.advance(10.0 + RELEASE_S)) == ["cleared"]
    assert processor.floods == {"t/1": 2}


def test_a_clock_that_stands_still_only_slows_the_device_down() -> None:
    processor = Processor(LIMITED)
    changes = []
    for second in range(10):
        changes += processor.process(
            [door(10.0, 10.0 + second, open_=n % 2 == second % 2) for n in range(10)], 10.0 + second
        )
    assert len(kinds(changes)) > 20


@st.composite
def floods(draw: st.DrawFn) -> list[Reading]:
    """Draw readings of doors and a reader that come in heaps."""
    now, readings = 0.0, []
    for _ in range(draw(st.integers(1, 40))):
        now += draw(st.sampled_from([0.0, 0.0, 0.0, 0.1, 0.3, 1.0, 2.5]))
        late = draw(st.sampled_from([0.0, 0.0, 0.0, 0.4, 7.0]))
        name = draw(st.sampled_from(["t/1", "t/2"]))
        at = max(0.0, now - late)
        if draw(st.integers(0, 3)):
            readings.append(door(at, now, open_=draw(st.booleans()), name=name))
        else:
            readings.append(reading(LIMITED, "reader", name, at, now, granted=draw(st.booleans())))
    return readings


def decide(
    book: RuleBook, readings: Sequence[Reading], cuts: Sequence[int]
) -> tuple[list[Transition], dict[str, int]]:
    """Process readings in batches cut at `cuts`, each by a processor restored anew."""
    processor, transitions, floods = Processor(book), [], dict[str, int]()
    for start, end in zip([0, *cuts], [*cuts, len(readings)], strict=True):
        batch = readings[start:end]
        if batch:
            transitions += processor.process(batch, batch[-1].received_at)
        restored = Processor(book)
        assert restored.restore(processor.snapshot(), batch[-1].received_at if batch else 0) == []
        for name, count in processor.floods.items():
            floods[name] = floods.get(name, 0) + count
        processor = restored
    return transitions + processor.advance(1_000.0), floods


@given(floods(), st.data())
def test_any_split_and_any_crash_give_the_same(
    readings: list[Reading], data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(readings)), max_size=6)))
    assert decide(LIMITED, readings, cuts) == decide(LIMITED, readings, [])


@pytest.mark.parametrize("rate", ["100", "0/s", "many", "-3/s"])
def test_a_rate_is_so_many_a_second(rate: str) -> None:
    with pytest.raises(BookError, match="is no rate: write how many changes a second"):
        make_book(RULES, max_rate=rate)
