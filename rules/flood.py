"""Floods: how many changes of one device are weighed in a second, so that it delays nobody else.

Seconds are those of the readings' own time: what a device has stored for hours and sends in one burst is
no flood. Of what comes beyond the limit the newest reading is held, and weighed a second later; those
that it replaced are counted.
"""

from math import floor

import msgspec

from prevenant.domain import Reading

RELEASE_S = 1.0
"""How long after it was received a held reading is weighed, if no newer one came."""


class Flood(msgspec.Struct, gc=False):
    """What one device changed in the second under way."""

    second: int = 0
    """The second of observed time, since 1970."""
    weighed: int = 0
    held: Reading | None = None
    due: float = 0.0
    """When the held reading is weighed."""
    shed: int = 0
    """How many readings were never weighed, since the device was first heard."""

    def admits(self, reading: Reading, limit: int) -> bool:
        """Return whether `reading` is to be weighed now; otherwise hold it."""
        second = floor(reading.observed_at)
        if second != self.second:
            self.second, self.weighed = second, 0
        if self.held is not None:
            self.shed += 1
        if self.weighed < limit:
            self.weighed += 1
            self.held = None
            return True
        if self.held is None:
            self.due = reading.received_at + RELEASE_S
        self.held = reading
        return False

    def release(self) -> Reading | None:
        """Return the reading that was held, and let the next ones be weighed."""
        held, self.held, self.weighed = self.held, None, 1
        return held
