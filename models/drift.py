"""Whether what a model hears is still what it was trained on: per input, and for what it says.

A fleet is seldom spread over its life as its training data is: new machines stand at one end of most
sensors, worn ones at the other. So it is no drift where some of what was seen in training is seen more
often, where the usual distances between distributions rise. It is
drift where most of what comes lies beyond or at the very ends of what was seen, or does not come at all.

Counts of the last rows alone are kept: memory does not grow, whatever comes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

SCORE = ""
"""Stands for what the model says, among the names of its inputs."""

_LEAST = 500
"""So many rows are looked at before anything is said."""
_MOST = 4_000
"""Beyond so many rows, what was counted before counts half."""
_TAIL = 0.02
"""The share of the training data that lies at each of the two ends."""
_BEYOND = 0.3
"""Beyond what was ever seen in training lies at most this share of what comes."""
_AT_END = 0.6
"""At the ends, or beyond, lies at most this share."""
_MISSING = 0.5
"""So much more than in training may be missing."""
_HEALED = 0.7
"""What was found is over where the shares have fallen to this part of their limits."""
_MARGIN = 0.05
"""Beyond begins so far outside the least and the greatest of training, in parts of their distance."""


class Finding(msgspec.Struct, frozen=True):
    """One input that is not as it was in training, or the model's own word; `name` is empty for that."""

    name: str
    what: str
    """`beyond`, `at_end` or `missing`."""
    share: float
    """Of the last rows."""

    @property
    def words(self) -> str:
        """What is found."""
        found = {
            "beyond": "lies outside of everything that was seen in training",
            "at_end": "lies at the very ends of what was seen in training",
            "missing": "is missing",
        }[self.what]
        return f"{self.name or 'what it says'} {found}"

    @property
    def reason(self) -> str:
        """What is found, and how much of it."""
        return f"{self.words} in {self.share:.0%} of the latest readings"


class _Counts(msgspec.Struct):
    """What was counted of one input: all by place among the quantiles, and those that were missing."""

    bins: list[float]
    missing: float = 0.0
    is_drifting: bool = False


class Drift:
    """Compares rows with the quantiles of a model's training data.

    `reference` has, for each input and for `SCORE`, the quantiles of the training data at equal steps
    from the least to the greatest; `missing` the share of the rows that had none, 0 where not given.
    """

    def __init__(
        self,
        reference: Mapping[str, Sequence[float]],
        missing: Mapping[str, float] | None = None,
    ) -> None:
        self._edges = {
            name: edges for name, one in reference.items() if (edges := _edges_of(one)) is not None
        }
        self._reference = {name: np.asarray(reference[name], float) for name in self._edges}
        self._missing = missing or {}
        self._counts = {name: _Counts([0.0] * 5) for name in self._edges}

    @property
    def names(self) -> list[str]:
        """The inputs that can be watched."""
        return [name for name in self._edges if name != SCORE]

    def take(self, rows: Mapping[str, Sequence[float | None] | NDArray[np.float64]]) -> None:
        """Count values by input; NaN or None is missing."""
        for name, values in rows.items():
            edges, counts = self._edges.get(name), self._counts.get(name)
            if edges is None or counts is None or not len(values):
                continue
            numbers = np.asarray(values, float)
            known = numbers[np.isfinite(numbers)]
            places = np.searchsorted(edges, known, side="left")
            found = np.bincount(places, minlength=5)
            total = sum(counts.bins) + counts.missing
            kept = 0.5 if total >= _MOST else 1.0
            counts.bins = [
                kept * before + int(new) for before, new in zip(counts.bins, found, strict=True)
            ]
            counts.missing = kept * counts.missing + (len(numbers) - len(known))
            self._judge(name, counts)

    def findings(self) -> list[Finding]:
        """Return what is not as it was in training, the worst first."""
        found = [
            max(self._shares(name, counts), key=lambda one: one[1] / one[2])
            for name, counts in self._counts.items()
            if counts.is_drifting
        ]
        names = [name for name, counts in self._counts.items() if counts.is_drifting]
        findings = [
            Finding(n, what, share) for n, (what, share, _) in zip(names, found, strict=True)
        ]
        return sorted(findings, key=lambda one: (-one.share, one.name))

    def snapshot(self) -> dict[str, Any]:
        """Return the counts as plain values."""
        return {
            name: [*one.bins, one.missing, one.is_drifting] for name, one in self._counts.items()
        }

    def restore(self, state: Mapping[str, Sequence[Any]]) -> None:
        """Take over the counts of an earlier one; of inputs that are not watched now nothing."""
        for name, kept in state.items():
            if name in self._counts:
                bins = [float(one) for one in kept[:5]]
                self._counts[name] = _Counts(bins, float(kept[5]), bool(kept[6]))

    def _judge(self, name: str, counts: _Counts) -> None:
        if sum(counts.bins) + counts.missing < _LEAST:
            return
        part = _HEALED if counts.is_drifting else 1.0
        counts.is_drifting = any(
            share > part * limit for _, share, limit in self._shares(name, counts)
        )

    def _shares(self, name: str, counts: _Counts) -> list[tuple[str, float, float]]:
        """Return each share with the limit that it is held to."""
        known = sum(counts.bins)
        total = known + counts.missing
        if not total:
            return [("missing", 0.0, 1.0)]
        below, low, _, high, above = counts.bins
        allowed = min(1.0, self._missing.get(name, 0.0) + _MISSING)
        shares = [("missing", counts.missing / total, allowed)]
        if known:
            # The two ends apart: machines that are new and machines that are worn do not add up.
            shares += [("beyond", max(below, above) / known, _BEYOND)]
            shares += [("at_end", max(below + low, above + high) / known, _AT_END)]
        return shares


def _edges_of(quantiles: Sequence[float]) -> NDArray[np.float64] | None:
    """Return the four places between beyond, the lower end, the middle, the upper end and beyond.

    None where an input never changed in training, or is no number: nothing can be said of it.
    """
    numbers = np.asarray(quantiles, float)
    if numbers.size < 2 or not np.isfinite(numbers).all() or numbers[0] == numbers[-1]:  # noqa: PLR2004
        return None
    steps = np.linspace(0.0, 1.0, numbers.size)
    margin = _MARGIN * (numbers[-1] - numbers[0])
    low, high = np.interp([_TAIL, 1.0 - _TAIL], steps, numbers)
    # A value that many rows share is no end: what is equal to it lies in the middle.
    begin, low = np.nextafter([numbers[0] - margin, low], -np.inf)
    return np.array([begin, low, high, numbers[-1] + margin])
