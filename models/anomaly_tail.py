"""How rare a value is among all that were seen, told from the few largest alone.

A tail keeps the largest peaks of a statistic: of values close together, the largest counts once. How far
the peaks lie over the smallest of them is taken for exponential, as extreme value theory has it for the
logarithm of nearly anything (B. M. Hill, 1975), with what is not known of so few allowed for: the
predictive distribution is a Lomax. So a value beyond all that were seen gets its due, and no shape is
assumed for the values in the middle.
"""

from bisect import bisect_left, insort
from math import log10

from models.anomaly_state import Remembered

MEMORY = 20_000
"""For how many values a peak is remembered."""
PEAKS = 16
"""Enough to tell the tail's steepness to a quarter of it, few enough to be the tail."""
_FEWEST = 3
"""From fewer peaks nothing is said."""
_FIRST_EXCESS = 0.3
"""What is taken for the excess of one more peak before any is known, in natural logarithms."""
_LEAST_EXCESS = 0.05
"""Peaks that are alike still differ by so much: a twentieth more is not out of all proportion."""
_ALIKE = 0.1
"""A peak this share of the excess lower is as large: what was seen before is not new."""


class Tail(Remembered):
    """The largest peaks of one statistic of one series, smallest first."""

    __slots__ = ("born", "gap", "last", "last_at", "oldest", "peaks")

    def __init__(self, gap: int) -> None:
        """Take values less than `gap` apart for one peak."""
        self.gap = gap
        self.peaks: list[float] = []
        self.born: list[int] = []
        self.last = 0.0
        self.last_at = -gap
        self.oldest = 0

    def see(self, value: float, now: int) -> float:
        """Take in the value of row `now`, and return its evidence.

        Evidence is the logarithm to base 10 of `PEAKS` over the number of peaks as large that are to be
        expected in a history as long as the one remembered; 0 for all that is not among the largest.
        """
        peaks = self.peaks
        count = len(peaks)
        if count and now - self.oldest > MEMORY:
            self._forget(now)
            count = len(peaks)
        if count == PEAKS and value <= peaks[0]:
            return 0.0
        same = now - self.last_at < self.gap and count > 0
        evidence = 0.0
        # Half a gap after a peak, a mean holds next to nothing of it: what goes on is no further evidence.
        known = same and value <= self.last and 2 * (now - self.last_at) >= self.gap
        if count - same >= _FEWEST and not known:
            evidence = self._judge(value, same)
        if not same:
            self._keep(value, now)
        elif value > self.last:
            self._drop(bisect_left(peaks, self.last))
            self._keep(value, now)
        return evidence

    def _judge(self, value: float, same: bool) -> float:  # noqa: FBT001
        peaks = self.peaks
        if same:
            peaks = peaks.copy()
            del peaks[bisect_left(peaks, self.last)]
        least = peaks[0]
        excess = value - least
        if excess <= 0:
            return 0.0
        count = len(peaks)
        beyond = max(sum(peaks) - count * least, _LEAST_EXCESS * count)
        evidence = count * log10(1 + excess / (_FIRST_EXCESS + beyond))
        as_large = count - bisect_left(peaks, value - _ALIKE * excess)
        if as_large:
            evidence = min(evidence, log10(count / as_large))
        return evidence

    def _keep(self, value: float, now: int) -> None:
        place = bisect_left(self.peaks, value)
        insort(self.peaks, value)
        self.born.insert(place, now)
        self.last, self.last_at = value, now
        if len(self.peaks) > PEAKS:
            self._drop(0)
        self.oldest = min(self.born)

    def _drop(self, place: int) -> None:
        del self.peaks[place], self.born[place]

    def _forget(self, now: int) -> None:
        kept = [i for i, born in enumerate(self.born) if now - born <= MEMORY]
        self.peaks[:] = [self.peaks[i] for i in kept]
        self.born[:] = [self.born[i] for i in kept]
        self.oldest = min(self.born, default=now)
