"""Turns at something that one at a time may have: the most urgent goes first, else whoever came first."""

import heapq
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """A lock that is passed on by urgency."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_taken = False
        self._waiting: list[tuple[int, int, threading.Event]] = []
        self._numbers = itertools.count()

    @contextmanager
    def taken(self, urgency: int = 0) -> Iterator[None]:
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
