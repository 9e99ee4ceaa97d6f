"""The alarm machine: holds are covered by evidence, and unknown neither raises nor clears."""

from collections.abc import Sequence
from math import inf

import pytest

from rules.alarm import (
    SETTLE_S,
    AlarmState,
    Change,
    Evidence,
    Holds,
    Truths,
    take_evidence,
    take_time,
)
from rules.expression import Truth

Event = tuple[float, Truth] | tuple[float, Truth, float]
"""Observed time and truth of `when`; where it differs, the time of arrival."""


def live(holds: Holds, events: Sequence[Event], until: float) -> list[tuple[str, float]]:
    """Return what becomes of an alarm: each change and when, timers included."""
    state: AlarmState | None = None
    changes: list[tuple[str, float]] = []

    def keep(step: tuple[AlarmState | None, Change | None]) -> AlarmState | None:
        if step[1]:
            changes.append((step[1].kind, step[1].at))
        return step[0]

    def pass_time(now: float) -> None:
        nonlocal state
        due = state.ends_at(holds) if state else inf
        if state and due <= now:
            state = keep(take_time(state, due, holds))

    for observed, truth, *arrival in events:
        received = arrival[0] if arrival else observed
        pass_time(received)
        clear = None if truth is None else not truth
        evidence = Evidence(observed, received, received)
        state = keep(take_evidence(state, Truths(truth, clear), evidence, holds))
    pass_time(until)
    return changes


MINUTE = Holds(for_s=60.0, clear_for_s=0.0)


@pytest.mark.parametrize(
    ("what", "events", "expected"),
    [
        ("one reading and silence", [(0, True)], [("raised", 60)]),
        ("readings that agree", [(0, True), (30, True), (59, True)], [("raised", 60)]),
        ("one that disagrees", [(0, True), (30, False), (40, True)], [("raised", 100)]),
        ("over in time", [(0, True), (59, False)], []),
        ("raised and cleared", [(0, True), (90, False)], [("raised", 60), ("cleared", 90)]),
        ("one that comes again", [(0, True), (0, True, 50)], [("raised", 60)]),
        (
            "a device whose clock stands still",
            [(0, True, n) for n in range(0, 60, 9)],
            [("raised", 60)],
        ),
        ("unknown stops the timer", [(0, True), (30, None)], []),
        ("unknown forgets nothing", [(0, True), (30, None), (70, True)], [("raised", 70)]),
        ("unknown does not clear", [(0, True), (90, None)], [("raised", 60)]),
        ("a late reading alone holds from its arrival", [(0, True, 600)], [("raised", 660)]),
        (
            "a burst that covers the hold settles first",
            [(0, True, 600), (90, True, 600)],
            [("raised", 600 + SETTLE_S)],
        ),
        (
            "a burst that ended is recorded and nobody is paged",
            [(0, True, 600), (90, True, 600), (120, False, 600)],
            [("passed", 600)],
        ),
        (
            "a burst that did not hold is nothing",
            [(0, True, 600), (30, True, 600), (40, False, 600)],
            [],
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_hold_is_covered_by_evidence(
    what: str, events: list[Event], expected: list[tuple[str, float]]
) -> None:
    assert what
    assert live(MINUTE, events, until=2_000) == expected


def test_clearing_can_wait_and_start_again() -> None:
    holds = Holds(for_s=0.0, clear_for_s=60.0)
    events: list[Event] = [(0, True), (10, False), (40, True), (50, False)]
    assert live(holds, events, until=500) == [("raised", 0), ("cleared", 110)]


def test_an_alarm_without_a_hold_is_raised_at_once() -> None:
    assert live(Holds(0.0, 0.0), [(5, True)], until=5) == [("raised", 5)]


def follow(holds: Holds, steps: Sequence[tuple[float, Truths]]) -> list[tuple[str, float, int]]:
    """Return what becomes of an alarm whose conditions are these at these times, and its levels."""
    state: AlarmState | None = None
    changes = []
    for at, truths in steps:
        due = state.ends_at(holds) if state else inf
        if state is not None and due <= at:
            state, change = take_time(state, due, holds)
            changes += [change] if change else []
        state, change = take_evidence(state, truths, Evidence(at, at, at), holds)
        changes += [change] if change else []
    return [(one.kind, one.at, one.level) for one in changes]


def test_what_is_surely_not_clear_interrupts_clearing_though_when_is_unknown() -> None:
    raised, clear, neither = Truths(True, False), Truths(False, True), Truths(None, False)
    steps = [(0.0, raised), (10.0, clear), (40.0, neither), (50.0, clear), (80.0, clear)]
    assert follow(Holds(0.0, 60.0), [*steps, (111.0, clear)]) == [
        ("raised", 0.0, 0),
        ("cleared", 110.0, 0),
    ]


def test_what_holds_interrupts_clearing_though_clear_is_unknown() -> None:
    raised, clear, holding = Truths(True, False), Truths(False, True), Truths(True, None)
    steps = [(0.0, raised), (10.0, clear), (40.0, holding), (50.0, clear), (111.0, clear)]
    assert follow(Holds(0.0, 60.0), steps)[1:] == [("cleared", 110.0, 0)]


def test_a_higher_level_is_taken_at_once_though_clear_is_unknown() -> None:
    steps = [(0.0, Truths(True, False, (True, False))), (5.0, Truths(True, None, (True, True)))]
    assert follow(Holds(0.0, 60.0), steps)[1:] == [("levelled", 5.0, 1)]


def test_a_lower_level_waits_while_the_higher_one_is_unknown_and_is_not_forgotten() -> None:
    high, low = Truths(True, False, (True, True)), Truths(True, False, (True, False))
    unsure = Truths(True, False, (True, None))
    steps = [(0.0, high), (10.0, low), (40.0, unsure), (75.0, unsure), (80.0, low)]
    assert follow(Holds(0.0, 60.0), steps)[1:] == [("levelled", 80.0, 0)]


def test_a_lower_level_begins_anew_after_a_time_in_which_none_held() -> None:
    high, low = Truths(True, False, (True, True)), Truths(True, False, (True, False))
    none = Truths(False, True, (False, False))
    steps = [(0.0, high), (10.0, low), (40.0, none), (50.0, low), (80.0, low), (120.0, low)]
    assert follow(Holds(0.0, 60.0), steps)[1:] == [("levelled", 110.0, 0)]
