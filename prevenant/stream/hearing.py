"""Whether the broker can be heard: while it cannot, the silence of devices proves nothing."""

import time
from collections.abc import Callable

_BACKLOG_S = 2.0
"""How long after the broker is back the messages that it kept are waited for, in real seconds."""
_DEAF_AT_MOST_S = 60.0
"""After so many real seconds without the broker, timers run all the same."""


class Hearing:
    """Whether the silence of devices proves anything: not without the broker, nor just after."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._connected = False
        self._since = monotonic()
        """Since when we could not hear the broker, or not for long enough."""
        self._until = self._since + _DEAF_AT_MOST_S

    def change(self, *, connected: bool) -> None:
        """Take note of a connection made or lost."""
        if connected != self._connected:
            now = self._monotonic()
            # One that comes and goes is waited for no longer than one that stays away.
            if not connected and now >= self._until:
                self._since = now
            self._connected = connected
            self._until = now + _BACKLOG_S if connected else self._since + _DEAF_AT_MOST_S

    def is_deaf(self) -> bool:
        """Return whether messages may be on their way that tell of the past."""
        return self._monotonic() < self._until

    def deaf_for_s(self) -> float:
        """Return for how many more real seconds."""
        return max(0.001, self._until - self._monotonic())
