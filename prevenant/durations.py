"""Lengths of time as people write them: `90s`, `5m`, `1h30m`, `3d`."""

import re

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")
_WHOLE = re.compile(rf"\s*(?:{_PART.pattern}\s*)+")
LONGEST_S = 36_500 * 86_400.0
"""A hundred years: what is later than that, counted from now, is a slip, and may be no date at all."""
EXAMPLES = "write a length of time such as 90s, 5m, 1h30m or 3d"


def parse_duration(text: str) -> float:
    """Return the length of time that `text` names, in seconds, of a hundred years at most.

    Raises ValueError with what to write instead.
    """
    if not _WHOLE.fullmatch(text):
        message = f"{text!r} is no length of time: {EXAMPLES}"
        raise ValueError(message)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    if seconds > LONGEST_S:
        message = f"{text[:40]!r} is longer than a hundred years: write a shorter time"
        raise ValueError(message)
    return seconds


def format_duration(seconds: float) -> str:
    """Return `seconds` as a person would write them, in at most two units: `1h30m`, `45s`, `0s`."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms" if seconds > 0 else "0s"
    rest = round(seconds)
    parts = []
    for unit in ("d", "h", "m", "s"):
        count, rest = divmod(rest, int(_UNITS[unit]))
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts[:2])
