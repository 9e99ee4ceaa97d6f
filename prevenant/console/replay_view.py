"""Differences of a replay as a picture: for alarms, offers and messages, what came and went when."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from prevenant.clock import from_epoch

_BARS = 60
_HALF = 26.0
"""Points from a lane's middle to its edge."""
_LEAST = 4.0
"""What is there at all is at least so high."""
_KINDS = ("alarm", "offer", "message")


@dataclass(frozen=True, slots=True)
class Bar:
    """What differs within one stretch of time; places in percent of the width, heights in points."""

    x: float
    width: float
    new: int
    gone: int
    changed: int
    up: float
    down: float
    begins_at: datetime

    @property
    def top(self) -> float:
        """Where the upper bar begins."""
        return _HALF - self.up


@dataclass(frozen=True, slots=True)
class Lane:
    """What differs of one kind of thing."""

    what: str
    bars: Sequence[Bar]
    middle: float = _HALF
    height: float = 2 * _HALF


def draw_differences(
    differences: Sequence[Mapping[str, Any]], begins_at: float, ends_at: float
) -> list[Lane]:
    """Return a lane for each kind of thing that differs. Times are seconds since 1970."""
    first = min([begins_at, *(one["at"] for one in differences)])
    last = max([ends_at, first + 1.0, *(one["at"] for one in differences)])
    step = (last - first) / _BARS
    counts: dict[str, Counter[tuple[int, str]]] = {what: Counter() for what in _KINDS}
    for one in differences:
        place = min(_BARS - 1, int((one["at"] - first) / step))
        counts[one["what"]][place, one["change"]] += 1
    return [Lane(what, list(_bars(found, first, step))) for what, found in counts.items() if found]


def _bars(found: Counter[tuple[int, str]], first: float, step: float) -> Iterator[Bar]:
    most = max((n for (_, change), n in found.items() if change != "changed"), default=1)
    width = 100.0 / _BARS
    for place in sorted({place for place, _ in found}):
        new, gone, changed = (found[place, word] for word in ("new", "gone", "changed"))
        yield Bar(
            round(place * width, 3),
            round(width * 0.8, 3),
            new,
            gone,
            changed,
            _height(new, most),
            _height(gone, most),
            from_epoch(first + place * step),
        )


def _height(count: int, most: int) -> float:
    return round(max(_LEAST, count / most * (_HALF - 2.0)), 1) if count else 0.0
