"""How often a model scores each device: always while it keeps up, else as seldom as it must.

It follows from when readings arrived and from what the model costs by its own card, never from how busy
this machine is: what is read again is scored again at the same readings.
"""

from collections.abc import Sequence
from typing import Any

SHARE = 0.25
"""The part of one core's time that one model may take."""
_WINDOW_S = 10.0
"""How much is coming is judged over so many seconds."""


class Pace:
    """The pace of one model. Times are seconds since 1970, of arrival."""

    def __init__(self, cost_s: float, score_every_s: float) -> None:
        self._cost_s, self._score_every_s = max(0.0, cost_s), score_every_s
        self._window, self._count = 0.0, 0
        self._before = 0.0
        """Readings a second in the window before."""

    def interval_s(self, received_at: float, count: int, devices: int) -> float:
        """Take note of `count` readings; return the seconds between two scorings of a device."""
        window = received_at // _WINDOW_S * _WINDOW_S
        if window != self._window:
            is_next = window == self._window + _WINDOW_S
            self._before = self._count / _WINDOW_S if is_next else 0.0
            self._window, self._count = window, 0
        self._count += count
        rate = max(self._before, self._count / _WINDOW_S)
        if rate * self._cost_s <= SHARE:
            return 0.0
        return min(self._score_every_s, self.needs_s(devices))

    def needs_s(self, devices: int) -> float:
        """Return how long one scoring of every device takes within the model's share."""
        return devices * self._cost_s / SHARE

    def is_too_slow(self, devices: int) -> bool:
        """Return whether the model takes more than its share although it scores as seldom as it may."""
        return self.needs_s(devices) > self._score_every_s > 0

    def snapshot(self) -> list[float]:
        """Return what was noted, as plain values."""
        return [self._window, self._count, self._before]

    def restore(self, state: Sequence[Any]) -> None:
        """Take over what an earlier one had noted."""
        self._window, self._count, self._before = float(state[0]), int(state[1]), float(state[2])
