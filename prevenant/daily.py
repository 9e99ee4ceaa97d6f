"""A part of every day as people write it: `22:00-07:00`, which goes over midnight."""

import re
from datetime import time

_FORM = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


def parse_daily(text: str) -> tuple[time, time]:
    """Return from when to when, by the clock. Raises ValueError with the form."""
    match = _FORM.fullmatch(text.strip())
    if match is None:
        message = f"{text!r} is no part of a day: write 22:00-07:00"
        raise ValueError(message)
    start, end = time(int(match[1]), int(match[2])), time(int(match[3]), int(match[4]))
    if start == end:
        message = f"{text!r} is a whole day: write when it begins and when it ends"
        raise ValueError(message)
    return start, end
