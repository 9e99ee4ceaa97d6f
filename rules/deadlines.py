"""What is due when: one timer for each thing that time alone can change."""

import heapq
from typing import NamedTuple

HOLD, NEAR, HELD, SILENT, DERIVED = "hold", "near", "held", "silent", "derived"


class Timer(NamedTuple):
    """Whose timer it is, and what for: a rule's hold, a `near`, a held reading, silence or windows."""

    type: str
    device_id: str
    kind: str
    rule: str = ""


class Deadlines:
    """Timers by the time at which they are due, in seconds since 1970."""

    def __init__(self) -> None:
        self.heap: list[tuple[float, Timer]] = []
        """The earliest first. Entries that were replaced by an earlier one are passed when they come."""
        self._due: dict[Timer, float] = {}

    def set(self, due: float, timer: Timer) -> None:
        """Let `timer` end at `due`, unless it ends earlier anyway."""
        earlier = self._due.get(timer)
        if earlier is None or due < earlier:
            self._due[timer] = due
            heapq.heappush(self.heap, (due, timer))

    def pop(self, now: float) -> tuple[float, Timer] | None:
        """Take out the next timer that is due at `now`, with its time; None where there is none."""
        while self.heap and self.heap[0][0] <= now:
            due, timer = heapq.heappop(self.heap)
            if self._due.get(timer) == due:
                del self._due[timer]
                return due, timer
        return None

    def next_due(self) -> float | None:
        """Return when a timer may next be due, or None."""
        return self.heap[0][0] if self.heap else None
