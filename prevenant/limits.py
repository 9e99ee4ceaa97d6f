"""How many messages somebody gets in how long, by severity: `info 3/1d, minor 2/15m 6/1d`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from prevenant.domain import Severity
from prevenant.durations import format_duration, parse_duration

LONGEST = timedelta(days=7)
_ONE = re.compile(r"([1-9]\d*)/(\S+)")
_FORM = "write severities with their limits, as in info 3/1d, minor 2/15m 6/1d"
_FORM_OF_ONE = "write how many in how long, as in 6000/1m"


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` messages within `window`."""

    count: int
    window: timedelta

    def __str__(self) -> str:
        return f"{self.count} in {format_duration(self.window.total_seconds())}"


Limits = Mapping[int, tuple[Limit, ...]]
"""By severity; one that is missing has none."""


def parse_limits(text: str) -> Limits:
    """Return the limits that a text names. Raises ValueError with the form."""
    found: dict[int, tuple[Limit, ...]] = {}
    for part in filter(None, (one.strip() for one in text.split(","))):
        word, *limits = part.split()
        known = {one.word: one for one in Severity}
        if word not in known:
            message = f"{word!r} is no severity: {_FORM}"
            raise ValueError(message)
        if known[word] == Severity.LIFE_SAFETY:
            message = "life_safety has no limit: it always goes at once"
            raise ValueError(message)
        if not limits or known[word] in found:
            message = f"{part!r} is no list of limits, or stands twice: {_FORM}"
            raise ValueError(message)
        found[known[word]] = tuple(parse_limit(one, _FORM) for one in limits)
    return found


def parse_limit(text: str, form: str = _FORM_OF_ONE) -> Limit:
    """Return the limit that a text such as `6000/1m` names. Raises ValueError with the form."""
    match = _ONE.fullmatch(text)
    if match is None:
        message = f"{text!r} is no limit: {form}"
        raise ValueError(message)
    window = timedelta(seconds=parse_duration(match[2]))
    if not timedelta(seconds=1) <= window <= LONGEST:
        message = f"{text!r}: a limit is for 1s to 7d"
        raise ValueError(message)
    return Limit(int(match[1]), window)
