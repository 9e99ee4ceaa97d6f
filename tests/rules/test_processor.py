"""The processor's guarantees: any split into batches, any crash point, the same alarms."""

import random
from collections.abc import Sequence
from math import isfinite
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prevenant.domain import Reading, Transition
from rules.alarm import Truths
from rules.book import RuleBook
from rules.processor import Processor
from rules.signature import Signature
from tests.rules.books import make_book, reading

BOOK = make_book("""
  held: {on: door, when: open, for: 60s}
  forced: {on: door, when: "open and not near(reader, granted and door == this.device, 5s)"}
  low: {on: door, when: battery < 20, clear: battery > 30, clear_for: 30s}
  warm: {on: room, when: temperature > wanted + 4, for: 2m, clear: temperature < wanted + 2}
""")

END = 2_000.0


def test_a_reason_names_the_values_that_decided_and_no_others() -> None:
    door = reading(BOOK, "door", "t/1", 0.0, 0.0, open=False, battery=10.0)
    (low,) = Processor(BOOK).process([door], 0.0)
    assert low.reason == "`battery < 20` holds (battery = 10)"
    assert low.values == {"open": False, "battery": 10.0}, "the alarm keeps them all"


@pytest.mark.parametrize("ask", ["avg", "sum", "stddev", "delta", "rate"])
@pytest.mark.parametrize("sign", [">", "<"])
def test_a_number_beyond_all_numbers_is_unknown(ask: str, sign: str) -> None:
    """It could be written neither to PostgreSQL nor into an answer of the API."""
    book = make_book(f"  odd: {{on: room, when: '{ask}(temperature, 5m) {sign} 5'}}")
    processor, told = Processor(book), list[Transition]()
    for number in range(20):
        value = 1.7e308 * (-1) ** (number // 7)
        at = 40.0 * number
        told += processor.process(
            [reading(book, "room", "t/1", at, at, temperature=value, wanted=4.0)], at
        )
    for transition in told:
        for line in transition.trace:
            assert isinstance(line.value, float)
            assert isfinite(line.value)


@st.composite
def streams(draw: st.DrawFn) -> list[Reading]:
    """Draw readings of a few devices, with gaps, bursts, late ones and duplicates."""
    count = draw(st.integers(1, 25))
    now, readings = 0.0, []
    for _ in range(count):
        now += draw(st.sampled_from([0.0, 1.0, 4.0, 5.0, 10.0, 59.0, 60.0, 130.0]))
        late = draw(st.sampled_from([0.0, 0.0, 0.0, 3.0, 50.0, 200.0]))
        kind = draw(st.sampled_from(["door", "door", "reader", "room"]))
        name = draw(st.sampled_from(["1", "2"]))
        at = max(0.0, now - late)
        if kind == "door":
            values: dict[str, Any] = {
                "open": draw(st.sampled_from([True, False, None])),
                "battery": draw(st.sampled_from([10.0, 25.0, 50.0, None])),
            }
        elif kind == "reader":
            values = {"door": draw(st.sampled_from(["1", "2"])), "granted": draw(st.booleans())}
        else:
            values = {"temperature": draw(st.sampled_from([4.0, 7.0, 9.0, None])), "wanted": 4.0}
        made = reading(BOOK, kind, f"t/{name}", at, now, **values)
        readings += [made] * draw(st.sampled_from([1, 1, 1, 2]))
    return readings


def decide(readings: Sequence[Reading], cuts: Sequence[int], crashes: bool) -> list[Transition]:
    """Process readings in batches cut at `cuts`; with `crashes`, each by a processor restored anew."""
    processor, transitions = Processor(BOOK), []
    for start, end in zip([0, *cuts], [*cuts, len(readings)], strict=True):
        batch = readings[start:end]
        if batch:
            transitions += processor.process(batch, batch[-1].received_at)
        if crashes:
            restored = Processor(BOOK)
            assert (
                restored.restore(processor.snapshot(), batch[-1].received_at if batch else 0) == []
            )
            processor = restored
    return transitions + processor.advance(END)


@settings(max_examples=300)
@given(streams(), st.data())
def test_any_split_and_any_crash_give_the_same_transitions(
    readings: list[Reading], data: st.DataObject
) -> None:
    whole = decide(readings, [], crashes=False)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(readings)), max_size=5)))
    assert decide(readings, cuts, crashes=False) == whole
    assert decide(readings, cuts, crashes=True) == whole
    one_by_one = list(range(1, len(readings)))
    assert decide(readings, one_by_one, crashes=True) == whole


MANY = make_book(
    """
  held: {on: door, when: open, for: 60s}
  forced: {on: door, when: "open and not near(reader, granted and door == this.device, 5s)"}
  odd: {on: door, when: "battery < 30 or open", clear: "battery > 40 and not open", for: 5s}
  shut: {on: door, when: "not open and battery == 25"}
  cold: {on: room, when: "temperature < wanted + 1 or 7 <= temperature < 9", clear_for: 10s}
"""
    + "".join(
        f"  low{n}: {{on: door, when: battery < {n}, clear: battery > {n + 7}}}\n"
        for n in range(0, 60, 5)
    )
)


class Thorough(Processor):
    """Weighs every rule for every reading."""

    def __init__(self, book: RuleBook) -> None:
        super().__init__(book)
        for lane in self._lanes.values():
            every_rule = range(len(lane.rules))
            lane.plan.touched = lambda *_, all_=every_rule: all_  # type: ignore[method-assign]


@settings(max_examples=300)
@given(streams())
def test_weighing_only_the_rules_between_two_signatures_changes_nothing(
    readings: list[Reading],
) -> None:
    quick, thorough = Processor(MANY), Thorough(MANY)
    for one in readings:
        now = one.received_at
        assert quick.process([one], now) == thorough.process([one], now)
    assert quick.advance(END) == thorough.advance(END)


def test_a_reading_that_crosses_no_breakpoint_weighs_no_rule() -> None:
    rules = "".join(f"  r{n}: {{on: door, when: battery < {n}}}\n" for n in range(1_000))
    processor = Processor(make_book(rules))
    plan, weighed = processor._lanes["door"].plan, list[int]()
    truths = plan.truths

    def noted(rule: int, signature: Signature) -> Truths:
        weighed.append(rule)
        return truths(rule, signature)

    plan.truths = noted  # type: ignore[method-assign]
    for second, battery in enumerate([500.2, 500.7, 500.1, 502.5]):
        processor.process([reading(BOOK, "door", "t/1", second, battery=battery)], second)
        if second == 0:
            weighed.clear()
    assert weighed == [501, 502]


def test_readings_of_a_device_whose_alarm_is_shelved_weigh_no_rule() -> None:
    processor = Processor(
        make_book("  low: {on: door, when: battery < 20, flapping: '2 in 10m, shelve 1h'}\n")
    )
    plan, weighed = processor._lanes["door"].plan, list[int]()
    told = [
        one.kind
        for second, battery in enumerate([50, 10, 50, 10])
        for one in processor.process(
            [reading(BOOK, "door", "t/1", second, battery=battery)], second
        )
    ]
    assert told == ["raised", "cleared", "raised", "shelved"]
    truths = plan.truths

    def noted(rule: int, signature: Signature) -> Truths:
        weighed.append(rule)
        return truths(rule, signature)

    plan.truths = noted  # type: ignore[method-assign]
    for second in range(4, 10):
        processor.process([reading(BOOK, "door", "t/1", second, battery=11)], second)
    assert weighed == []
    assert [one.kind for one in processor.advance(3_603.0)] == ["released"]


@given(streams())
def test_there_is_one_open_alarm_for_each_rule_and_device(readings: list[Reading]) -> None:
    open_alarms = set()
    for one in decide(readings, [], crashes=False):
        key = (one.rule, one.device_id)
        if one.kind == "raised":
            assert key not in open_alarms
            open_alarms.add(key)
        elif one.kind == "cleared":
            open_alarms.remove(key)
        assert one.onset_at <= one.at
        assert one.reason


@given(streams(), st.data())
def test_reading_a_part_again_raises_nothing_twice(
    readings: list[Reading], data: st.DataObject
) -> None:
    """After a crash, the journal's end is read again by the processor restored from a snapshot."""
    cut = data.draw(st.integers(0, len(readings)))
    first = Processor(BOOK)
    head = readings[:cut]
    before = first.process(head, head[-1].received_at) if head else []
    snapshot = first.snapshot()
    tail = readings[cut:]
    live = first.process(tail, tail[-1].received_at) if tail else []
    again = Processor(BOOK)
    again.restore(snapshot, 0.0)
    assert (again.process(tail, tail[-1].received_at) if tail else []) == live
    begun = [one for one in before + live if one.kind != "cleared"]
    keys = [(one.rule, one.device_id, one.onset_at) for one in begun]
    assert len(keys) == len(set(keys))


def test_timers_wait_while_nothing_can_be_heard() -> None:
    processor = Processor(BOOK)
    processor.process([reading(BOOK, "door", "t/1", 0.0, open=True, battery=50.0)], 0.0)
    # The broker was away from 30 s on; what it kept says that the door was shut in time.
    late = reading(BOOK, "door", "t/1", 40.0, 300.0, open=False, battery=50.0)
    assert [t for t in processor.process([late], 30.0) if t.rule == "held"] == []
    assert [t for t in processor.advance(300.0) if t.rule == "held"] == []


def test_a_retained_reading_counts_only_for_a_device_not_heard_before() -> None:
    processor = Processor(make_book("  held: {on: door, when: open}"))
    old = reading(BOOK, "door", "t/1", 5.0, open=True)
    retained = Reading(*[*(getattr(old, n) for n in old.__struct_fields__[:-1]), True])
    assert [t.kind for t in processor.process([retained], 5.0)] == ["raised"]
    closed = reading(BOOK, "door", "t/1", 6.0, open=False)
    assert [t.kind for t in processor.process([closed], 6.0)] == ["cleared"]
    again = Reading(*[*(getattr(retained, n) for n in old.__struct_fields__)])
    assert processor.process([again], 7.0) == []


def test_a_rule_that_left_the_book_clears_its_alarms_and_a_new_one_judges_what_is_known() -> None:
    first = Processor(make_book("  held: {on: door, when: open}"))
    first.process([reading(BOOK, "door", "t/1", 0.0, open=True, battery=5.0)], 0.0)
    second = Processor(make_book("  low: {on: door, when: battery < 20}"))
    changes = second.restore(first.snapshot(), 10.0)
    assert [(t.kind, t.rule) for t in changes] == [("cleared", "held"), ("raised", "low")]
    assert "no longer in the book" in changes[0].reason


def test_deadlines_do_not_pile_up() -> None:
    processor = Processor(BOOK)
    noise = random.Random(7)
    for second in range(5_000):
        lag = noise.uniform(0, 0.2)
        one = reading(BOOK, "room", "t/1", second, second + lag, temperature=9.0, wanted=4.0)
        processor.process([one], second + lag)
    assert len(processor._timers.heap) < 10


@pytest.mark.parametrize("when", ["near(reader, granted, 5s)", "not near(reader, granted, 5s)"])
def test_near_needs_something_beside_it(when: str) -> None:
    with pytest.raises(Exception, match="write one beside it"):
        make_book(f"  x: {{on: door, when: '{when}'}}")
