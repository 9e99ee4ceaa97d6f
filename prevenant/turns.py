"""Who goes first: turns at what one at a time may have, and a gate for the most urgent."""

import heapq
import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Order(Protocol):
    """Says who goes first."""

    def taken(self, urgency: int) -> AbstractContextManager[None]:
        """Wait until it is ours, and have it as long as the block lasts."""

    def is_wanted(self, urgency: int) -> bool:
        """Return whether somebody is there whose work is more urgent than `urgency`."""


class Turns:
    """A lock that is passed on by urgency, then by who came first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_taken = False
        self._waiting: list[tuple[int, int, threading.Event]] = []
        self._numbers = itertools.count()

    @contextmanager
    def taken(self, urgency: int) -> Iterator[None]:
        """Wait for a turn, and have it as long as the block lasts."""
        self._take(urgency)
        try:
            yield
        finally:
            self._pass_on()

    def is_wanted(self, urgency: int) -> bool:
        """Return whether somebody waits whose work is more urgent than `urgency`."""
        with self._lock:
            return bool(self._waiting) and -self._waiting[0][0] > urgency

    def _take(self, urgency: int) -> None:
        with self._lock:
            if not self._is_taken:
                self._is_taken = True
                return
            ours = threading.Event()
            heapq.heappush(self._waiting, (-urgency, next(self._numbers), ours))
        ours.wait()

    def _pass_on(self) -> None:
        with self._lock:
            if self._waiting:
                # Still taken: nobody who comes now goes before who has waited.
                heapq.heappop(self._waiting)[2].set()
            else:
                self._is_taken = False


class Gate:
    """Lets any number through beside each other, but nobody while somebody more urgent is there."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._present: Counter[int] = Counter()
        """How many wait or are inside, by urgency."""

    @contextmanager
    def taken(self, urgency: int) -> Iterator[None]:
        """Wait until nobody more urgent is there; who is inside already is not waited for."""
        with self._changed:
            self._present[urgency] += 1
            while max(self._present) > urgency:
                self._changed.wait()
        try:
            yield
        finally:
            with self._changed:
                self._present[urgency] -= 1
                if not self._present[urgency]:
                    del self._present[urgency]
                    self._changed.notify_all()

    def is_wanted(self, urgency: int) -> bool:
        """Return whether somebody more urgent than `urgency` is there."""
        with self._changed:
            return max(self._present, default=0) > urgency
