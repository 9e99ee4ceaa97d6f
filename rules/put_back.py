"""Clocks that are put back: a device whose readings all come equally late sends no old ones.

After a clock was put back by an hour, all that the device says for an hour seems older than what it
said before. What was really stored comes in a burst or between readings of now, not as late each time.
"""

import msgspec

from prevenant.domain import Reading

STEADY_S = 60.0
"""Readings have to come equally late for so long, and none in time, before the clock counts as wrong."""
JITTER_S = 10.0
"""Readings that are late by as much as this more or less are equally late."""


class Behind(msgspec.Struct, array_like=True, gc=False):
    """A device that sends nothing but readings older than its newest. Times are seconds since 1970."""

    lag_s: float
    """By how much the first of them was late."""
    since: float
    """When the first of them was received."""
    newest_at: float
    """When the device's newest reading was received."""


def take_behind(
    behind: Behind | None, reading: Reading, newest: Reading
) -> tuple[Behind, Reading | None]:
    """Take a reading older than the device's newest; return what counts of it, if anything.

    Where the device's clock was put back, the reading counts from its arrival.
    """
    received = reading.received_at
    lag_s = received - reading.observed_at
    if (
        behind is None
        or behind.newest_at != newest.received_at
        or abs(lag_s - behind.lag_s) > JITTER_S
    ):
        return Behind(lag_s, received, newest.received_at), None
    if received - behind.since < STEADY_S:
        return behind, None
    counted = max(received, newest.observed_at)
    return Behind(behind.lag_s, behind.since, received), msgspec.structs.replace(
        reading, observed_at=counted
    )
