"""`near` is about one moment of one rule, and no other rule, reading or publish moves it."""

from collections.abc import Sequence

from prevenant.domain import Transition
from rules.nearby import _KEPT_S
from rules.processor import Processor
from tests.rules.books import make_book, reading

FORCED = "  forced: {on: door, when: 'open and not near(reader, granted, 5s)', flapping: never}\n"
FORCED_LOW = "  low: {on: door, when: 'battery < 20 and not near(reader, granted, 5s)'}\n"
BOOK = make_book(FORCED)


def seen(transitions: Sequence[Transition]) -> list[tuple[str, str, float]]:
    return [(one.rule, one.kind, one.at) for one in transitions]


def opened_with_a_badge(processor: Processor) -> None:
    processor.process([reading(BOOK, "reader", "t/R1", 0.0, door="1", granted=True)], 0.0)
    processor.process([reading(BOOK, "door", "t/1", 1.0, open=True, battery=50.0)], 1.0)
    assert processor.advance(100.0) == []


def test_what_another_rule_asks_does_not_move_the_moment() -> None:
    processor = Processor(make_book(FORCED + FORCED_LOW))
    opened_with_a_badge(processor)
    processor.process([reading(BOOK, "door", "t/1", 200.0, open=True, battery=10.0)], 200.0)
    assert seen(processor.advance(300.0)) == [("low", "raised", 205.0)]


def test_publishing_a_book_with_another_near_moves_no_moment_and_judges_none() -> None:
    first = Processor(BOOK)
    opened_with_a_badge(first)
    second = Processor(make_book(FORCED + FORCED_LOW.replace("battery < 20", "battery < 60")))
    assert second.restore(first.snapshot(), 200.0) == []
    assert second.advance(300.0) == []
    shut = reading(BOOK, "door", "t/1", 400.0, open=False, battery=90.0)
    again = reading(BOOK, "door", "t/1", 410.0, open=True, battery=50.0)
    second.process([shut, again], 410.0)
    assert seen(second.advance(500.0)) == [("forced", "raised", 415.0), ("low", "raised", 415.0)]


def test_a_deadline_of_near_is_kept_through_a_publish() -> None:
    first = Processor(BOOK)
    first.process([reading(BOOK, "door", "t/1", 0.0, open=True)], 0.0)
    second = Processor(make_book(FORCED + FORCED_LOW))
    assert second.restore(first.snapshot(), 3.0) == []
    assert seen(second.advance(100.0)) == [("forced", "raised", 5.0)]


def test_a_device_is_no_neighbour_of_its_own() -> None:
    book = make_book("  pair: {on: room, when: 'humidity > 50 and near(room, humidity > 50, 5s)'}")
    processor = Processor(book)
    alone = [reading(book, "room", "t/1", at, humidity=60.0) for at in (0.0, 2.0)]
    assert processor.process(alone, 2.0) == []
    other = reading(book, "room", "t/2", 4.0, humidity=70.0)
    assert {t.device_id for t in processor.process([other], 4.0)} == {"t/1", "t/2"}


def test_a_device_of_another_type_may_have_the_same_name() -> None:
    processor = Processor(BOOK)
    processor.process([reading(BOOK, "reader", "t/1", 0.0, granted=True)], 0.0)
    processor.process([reading(BOOK, "door", "t/1", 1.0, open=True)], 1.0)
    assert processor.advance(100.0) == []


def test_what_follows_came_about_at_the_moment_asked_about() -> None:
    book = make_book(FORCED.replace("flapping: never", "flapping: never, for: 10s"))
    processor = Processor(book)
    opened = [reading(book, "door", "t/1", at, open=True) for at in (0.0, 2.0, 4.0)]
    processor.process(opened, 4.0)
    (raised,) = processor.advance(100.0)
    assert (raised.at, raised.onset_at) == (10.0, 0.0)


def test_a_repetition_delays_no_hold_that_near_began() -> None:
    book = make_book(FORCED.replace("flapping: never", "flapping: never, for: 10s"))
    processor = Processor(book)
    again = [reading(book, "door", "t/1", 0.0, received, open=True) for received in (0.0, 3.0)]
    processor.process(again, 3.0)
    assert seen(processor.advance(100.0)) == [("forced", "raised", 10.0)]


def test_a_late_burst_finds_the_neighbours_of_the_last_hour() -> None:
    processor = Processor(BOOK)
    processor.process([reading(BOOK, "reader", "t/R1", 1_000.0, door="1", granted=True)], 1_000.0)
    for minute in range(30):
        at = 1_060.0 + 60 * minute
        processor.process([reading(BOOK, "reader", "t/R1", at, door="2", granted=False)], at)
    late = reading(BOOK, "door", "t/1", 1_002.0, 3_000.0, open=True)
    assert processor.process([late], 3_000.0) == []
    assert processor.advance(4_000.0) == []


def test_about_a_moment_that_nobody_remembers_nothing_is_known() -> None:
    processor = Processor(BOOK)
    processor.process([reading(BOOK, "reader", "t/R1", 1_000.0, door="1", granted=True)], 1_000.0)
    later = 1_000.0 + _KEPT_S + 100
    processor.process([reading(BOOK, "reader", "t/R1", later, granted=False)], later)
    restored = Processor(BOOK)
    restored.restore(processor.snapshot(), later)
    late = reading(BOOK, "door", "t/1", 1_002.0, later, open=True)
    assert restored.process([late], later) == []
    assert restored.advance(later + 100) == []


def test_a_list_of_values_is_one_condition() -> None:
    when = "mode in ['eco', 'off'] and not near(reader, granted, 5s)"
    processor = Processor(make_book(f'  x: {{on: room, when: "{when}"}}'))
    book = BOOK
    processor.process([reading(book, "room", "t/1", 0.0, mode="eco")], 0.0)
    assert seen(processor.advance(5.0)) == [("x", "raised", 5.0)]
    assert processor.process([reading(book, "room", "t/1", 60.0, mode="off")], 60.0) == []
