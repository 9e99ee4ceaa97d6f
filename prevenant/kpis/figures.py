"""What many single values come to: a time, a share, or the score of a survey."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from workflows.surveys import score

NINE_TENTHS = 0.9


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of one group in one period."""

    value: float | None
    """Seconds, percent, points or a mean, as the KPI's unit says; None where there is nothing to count."""
    count: int = 0
    """Of how many it is made."""
    high: float | None = None
    """Of times: nine of ten are at most this."""
    missing: int = 0
    """How many count that have no value: not told, not acknowledged, not answered."""


def of_times(seconds: Sequence[float], missing: int = 0) -> Figure:
    """Return the median of times, and the time within which nine of ten are (by nearest rank)."""
    if not seconds:
        return Figure(None, missing=missing)
    ordered = sorted(seconds)
    high = ordered[math.ceil(NINE_TENTHS * len(ordered)) - 1]
    return Figure(round(median(ordered), 3), len(ordered), round(high, 3), missing)


def of_share(truths: Sequence[bool], missing: int = 0) -> Figure:
    """Return the percentage of what is true."""
    if not truths:
        return Figure(None, missing=missing)
    return Figure(round(100.0 * sum(truths) / len(truths), 1), len(truths), missing=missing)


def of_survey(kind: str, ratings: Sequence[int | None]) -> Figure:
    """Return the score of a survey; None among the ratings is a survey without an answer."""
    found = score(kind, ratings)
    return Figure(found.score, found.answered, missing=found.sent - found.answered)
