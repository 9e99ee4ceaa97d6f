"""Time alone: silence again and again, clocks that stand still, and holds whose rule is published anew."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from prevenant.domain import Transition
from rules.processor import Processor
from tests.rules.books import make_book, reading

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC).timestamp()
HOUR = 3_600.0


def seen(transitions: Sequence[Transition]) -> list[tuple[str, str, float]]:
    return [(one.rule, one.kind, one.at) for one in transitions]


def test_a_device_falls_silent_again_and_again() -> None:
    book = make_book("  held: {on: door, when: open}", silent_after="10m")
    processor = Processor(book)
    told = []
    for at in (0.0, 2_000.0, 4_000.0):
        told += processor.process([reading(book, "door", "t/1", at, open=False)], at)
    told += processor.advance(6_000.0)
    assert [(kind, at) for _, kind, at in seen(told)] == [
        ("raised", 600.0),
        ("cleared", 2_000.0),
        ("raised", 2_600.0),
        ("cleared", 4_000.0),
        ("raised", 4_600.0),
    ]


def test_a_device_with_a_slow_clock_is_silent_as_soon_as_any_other() -> None:
    book = make_book("  held: {on: door, when: open}", silent_after="10m")
    processor = Processor(book)
    processor.process([reading(book, "door", "t/1", 970.0, 1_000.0, open=False)], 1_000.0)
    (silent,) = processor.advance(3_000.0)
    assert (silent.at, silent.onset_at) == (1_600.0, 1_600.0)


def test_a_repetition_counts_once_and_does_not_put_the_clock_back() -> None:
    book = make_book("""
  much: {on: door, when: "sum(battery, 10m) > 15"}
  stuck: {on: door, when: "age(battery) >= 10m"}
""")
    processor = Processor(book)
    for received in (0.0, 30.0, 500.0):
        one = reading(book, "door", "t/1", 0.0, received, battery=10.0)
        assert processor.process([one], received) == []
    assert seen(processor.advance(1_000.0)) == [("stuck", "raised", 600.0)]


def test_minus_nothing_is_nothing() -> None:
    book = make_book("  zero: {on: room, when: 'changed_to(temperature, 0, 10m)'}")
    processor = Processor(book)
    processor.process([reading(book, "room", "t/1", 0.0, temperature=5.0)], 0.0)
    one = reading(book, "room", "t/1", 1.0, temperature=-0.0)
    assert seen(processor.process([one], 1.0)) == [("zero", "raised", 1.0)]


@pytest.mark.parametrize(
    ("before", "after", "raised_at"),
    [
        ("for: 1h, when_open: {hours: '22:00-06:00'}", "for: 1h", NOON + 11 * HOUR),
        ("for: 1h, when_open: {hours: '22:00-06:00'}", "for: 10h", NOON + 20 * HOUR),
        ("for: 20h", "for: 1h, when_open: {hours: '23:00-06:00'}", NOON + 12 * HOUR),
        (
            "for: 1h, when_open: {hours: '22:00-06:00'}",
            "for: 1h, when_open: {hours: '20:00-06:00'}",
            NOON + 11 * HOUR,
        ),
        ("for: 30m, repeat: 3 in 20h", "for: 30m", NOON + 10 * HOUR),
        ("for: 20h", "for: 11h", NOON + 11 * HOUR),
    ],
)
def test_a_hold_goes_on_under_the_published_rule(before: str, after: str, raised_at: float) -> None:
    first = Processor(make_book(f"  held: {{on: door, when: open, {before}}}"))
    book = make_book(f"  held: {{on: door, when: open, {after}}}")
    first.process([reading(book, "door", "t/1", NOON, open=True)], NOON)
    assert first.advance(NOON + 10 * HOUR) == []
    second = Processor(book)
    told = second.restore(first.snapshot(), NOON + 10 * HOUR) + second.advance(NOON + 40 * HOUR)
    assert seen(told) == [("held", "raised", raised_at)]


def test_a_burst_that_passes_a_closing_is_not_told_before_its_end() -> None:
    book = make_book(
        "  held: {on: door, when: open, for: 30m, when_open: {hours: '12:00-13:00'}}\n"
    )
    processor = Processor(book)
    arrival = NOON + 8 * HOUR
    burst = [
        reading(book, "door", "t/1", NOON + minutes * 60, arrival, open=minutes < 100)
        for minutes in (0, 40, 90, 120)
    ]
    told = processor.process(burst, arrival) + processor.advance(arrival + HOUR)
    assert seen(told) == [("held", "passed", arrival)]


def test_a_burst_that_covers_a_whole_night_counts_the_hours_between() -> None:
    book = make_book(
        "  held: {on: door, when: open, for: 30m, when_open: {hours: '22:00-23:00'}}\n"
    )
    processor = Processor(book)
    arrival = NOON + 24 * HOUR
    burst = [
        reading(book, "door", "t/1", NOON + hours * HOUR, arrival, open=True) for hours in (0, 20)
    ]
    told = processor.process(burst, arrival) + processor.advance(arrival + HOUR)
    assert [(t.kind, t.at, t.onset_at) for t in told] == [
        ("raised", arrival + 5.0, NOON + 10 * HOUR)
    ]


def test_the_end_of_another_inhibition_does_not_put_off_a_release() -> None:
    book = make_book("""
  power: {on: room, when: temperature > 30}
  other: {on: room, when: humidity > 50}
  held: {on: door, when: open, for: 2m, inhibited_by: power}
  low: {on: door, when: battery < 20, inhibited_by: other}
""")
    processor = Processor(book)
    told = []
    for at, temperature, humidity in ((0.0, 40.0, 60.0), (300.0, 20.0, 60.0), (360.0, 20.0, 10.0)):
        room = reading(book, "room", "t/1", at, temperature=temperature, humidity=humidity)
        door = reading(book, "door", "t/1", at, open=True, battery=50.0)
        told += processor.process([room, door], at)
    told += processor.advance(1_000.0)
    assert ("held", "released", 420.0) in seen(told)


def test_a_clock_that_is_put_back_silences_its_device_for_a_minute_and_no_longer() -> None:
    book = make_book("  held: {on: door, when: open, for: 60s}")
    processor = Processor(book)
    processor.process([reading(book, "door", "t/1", NOON, open=False)], NOON)
    told: list[Transition] = []
    for passed in range(30, 240, 30):
        now = NOON + passed
        # An hour behind from now on, and the door is open.
        one = reading(book, "door", "t/1", now - HOUR, now, open=True)
        told += processor.process([one], now)
        restored = Processor(book)
        restored.restore(processor.snapshot(), now)
        processor = restored
    assert seen(told) == [("held", "raised", NOON + 90 + 60)]
    told = processor.process([reading(book, "door", "t/1", NOON + 240, open=False)], NOON + 240)
    assert seen(told) == [("held", "cleared", NOON + 240)]


def test_a_clock_that_was_ahead_and_is_right_again_is_believed_after_a_minute() -> None:
    book = make_book("  held: {on: door, when: open, for: 60s}")
    processor = Processor(book)
    processor.process([reading(book, "door", "t/1", NOON + HOUR, NOON, open=False)], NOON)
    told: list[Transition] = []
    for passed in range(10, 210, 10):
        now = NOON + passed
        told += processor.process([reading(book, "door", "t/1", now, now, open=True)], now)
    assert [(rule, kind, at - NOON) for rule, kind, at in seen(told)] == [
        ("held", "raised", 10 + 60 + 60)
    ]


@pytest.mark.parametrize(
    "late",
    [
        pytest.param([(60.0 * n - HOUR, 5.0 + 0.1 * n) for n in range(59)], id="in one burst"),
        pytest.param([(2.0 * n - HOUR, 5.0 + n) for n in range(100)], id="at twice the speed"),
    ],
)
def test_what_was_stored_stays_old(late: list[tuple[float, float]]) -> None:
    book = make_book("  held: {on: door, when: open}")
    processor = Processor(book)
    processor.process([reading(book, "door", "t/1", NOON, open=False)], NOON)
    for at, received in late:
        now = NOON + received
        assert (
            processor.process([reading(book, "door", "t/1", NOON + at, now, open=True)], now) == []
        )


def test_a_slower_path_beside_a_quick_one_stays_late() -> None:
    book = make_book("  held: {on: door, when: open}")
    processor = Processor(book)
    for passed in range(0, 600, 15):
        now = NOON + passed
        assert processor.process([reading(book, "door", "t/1", now, now, open=False)], now) == []
        slow = reading(book, "door", "t/1", now - 60, now + 1, open=True)
        assert processor.process([slow], now + 1) == []
