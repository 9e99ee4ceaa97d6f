"""Turns go by urgency, then by who came first, and one at a time."""

import threading

import pytest

from prevenant.turns import Gate, Turns
from tests.servers import wait_until


def test_the_most_urgent_goes_first_and_equals_in_the_order_of_coming() -> None:
    turns = Turns()
    order: list[str] = []
    threads = []

    def come(name: str, urgency: int) -> None:
        with turns.taken(urgency):
            order.append(name)

    with turns.taken(0):
        for name, urgency in (("a", 1), ("b", 3), ("c", 1), ("d", 5), ("e", 3)):
            thread = threading.Thread(target=come, args=(name, urgency))
            thread.start()
            threads.append(thread)
            wait_until(lambda: len(turns._waiting) == len(threads), "who waits")
        assert turns.is_wanted(4)
        assert not turns.is_wanted(5)
    for thread in threads:
        thread.join()
    assert order == ["d", "b", "e", "a", "c"]
    assert not turns.is_wanted(0)


def test_a_turn_is_passed_on_by_whoever_fails() -> None:
    turns = Turns()
    with pytest.raises(ZeroDivisionError), turns.taken(0):
        raise ZeroDivisionError
    with turns.taken(0):
        pass


def test_nobody_has_a_turn_beside_another() -> None:
    turns = Turns()
    inside, most = 0, 0

    def work(urgency: int) -> None:
        nonlocal inside, most
        for _ in range(200):
            with turns.taken(urgency):
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=work, args=(number % 3,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_the_gate_lets_equals_through_together_and_nobody_beside_the_more_urgent() -> None:
    gate = Gate()
    passed: list[str] = []

    def come(name: str, urgency: int) -> None:
        with gate.taken(urgency):
            passed.append(name)

    with gate.taken(3), gate.taken(3):
        assert not gate.is_wanted(3)
        with gate.taken(5):
            assert gate.is_wanted(3)
            late = threading.Thread(target=come, args=("late", 4))
            late.start()
            wait_until(lambda: gate._present[4], "who waits")
            come("urgent", 5)
            assert passed == ["urgent"]
        late.join()
    assert passed == ["urgent", "late"]
    assert not gate.is_wanted(0)
