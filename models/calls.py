"""When a prediction sends somebody, and what came of it: in time, too early, too late, for nothing."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.base import Calls
from models.inputs import Floats
from prevenant.target import REMAINING_LIFE, Target

MISS_OVER_FALSE = 10.0
"""What a missed failure costs, in needless visits, where nobody says."""


@dataclass(frozen=True, slots=True)
class Lives:
    """Rows by device and time, cut into lives: up to a failure, or to the end of what is known."""

    at: Floats
    value: Floats
    ends_at: Floats
    """By row: when its life ends; NaN where no failure ends it."""
    starts: NDArray[np.intp]
    """The first row of each life."""
    numbers: NDArray[np.intp]
    """By life, what it is called."""

    @classmethod
    def cut(
        cls, at: Floats, value: Floats, remaining: Floats, numbers: NDArray[np.intp]
    ) -> "Lives":
        """Return the lives of rows; `numbers` says by row which life it is of."""
        first = np.ones(len(at), bool)
        first[1:] = numbers[1:] != numbers[:-1]
        starts = np.flatnonzero(first)
        return cls(at, value, at + remaining, starts, numbers[starts])

    def of(self, numbers: NDArray[np.intp]) -> "Lives":
        """Return some of the lives, by what they are called."""
        kept = np.isin(self.numbers, numbers)
        rows = np.repeat(kept, np.diff([*self.starts, len(self.at)]))
        called = np.repeat(self.numbers, np.diff([*self.starts, len(self.at)]))[rows]
        at = self.at[rows]
        return Lives.cut(at, self.value[rows], self.ends_at[rows] - at, called)

    def fail_within(self, earliest: float) -> NDArray[np.bool_]:
        """Return by life whether a failure ends it, so soon after its rows that a call can catch it."""
        ends = np.array([*(self.starts[1:] - 1), len(self.at) - 1], np.intp)
        return np.asarray(self.ends_at[ends] - self.at[ends] <= earliest, bool)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What calls led to."""

    failures: int
    leads: tuple[float, ...]
    """Of the failures that were caught: how long before them the call came."""
    premature: int
    """Calls longer before a failure than is of use, or with none after them."""
    late: int
    """Failures whose only call came too late."""
    exposure: float
    """How long devices were watched, in the model's unit."""

    @property
    def caught(self) -> float:
        """Share of the failures that were caught."""
        return len(self.leads) / self.failures if self.failures else 0.0

    @property
    def premature_per_1000(self) -> float:
        """Premature calls in 1,000 units of time of one device."""
        return 1000.0 * self.premature / self.exposure if self.exposure else 0.0

    @property
    def median_lead(self) -> float | None:
        """How long before a failure its call came, in the median."""
        return float(np.median(self.leads)) if self.leads else None

    def cost(self, visit: float = 1.0, failure: float = MISS_OVER_FALSE) -> float:
        """Return what visits and failures cost together."""
        missed = self.failures - len(self.leads)
        return visit * (len(self.leads) + self.premature) + failure * missed


def judge(target: Target, calls: Calls, lives: Lives) -> Outcome:
    """Return what `calls` would have led to: one call a life, or at most one a horizon."""
    if not len(lives.starts):
        return Outcome(0, (), 0, 0, 0.0)
    called = call_rows(target, calls, lives)
    life = np.searchsorted(lives.starts, called, side="right") - 1
    lead = lives.ends_at[called] - lives.at[called]
    in_time = (lead <= calls.earliest) & (lead >= calls.latest)
    premature = int((~(lead <= calls.earliest)).sum())
    caught, first = np.unique(life[in_time], return_index=True)
    late = np.setdiff1d(life[lead < calls.latest], caught)
    ends = np.array([*(lives.starts[1:] - 1), len(lives.at) - 1])
    return Outcome(
        int(lives.fail_within(calls.earliest).sum()),
        tuple(lead[in_time][first].tolist()),
        premature,
        len(late),
        float((lives.at[ends] - lives.at[lives.starts]).sum()),
    )


def call_rows(target: Target, calls: Calls, lives: Lives) -> NDArray[np.intp]:
    """Return the rows at which somebody would have been sent."""
    is_over = target.kind == REMAINING_LIFE
    holds = lives.value <= calls.threshold if is_over else lives.value >= calls.threshold
    place = np.arange(len(holds))
    begin = np.repeat(lives.starts, np.diff([*lives.starts, len(holds)]))
    # How many rows in a row hold, up to each: the distance from the last that does not.
    broken = np.maximum.accumulate(np.where(holds, begin - 1, place))
    hits = place[place - broken >= calls.debounce]
    if not len(hits):
        return hits
    life = np.searchsorted(lives.starts, hits, side="right") - 1
    _, first = np.unique(life, return_index=True)
    if is_over:
        return np.asarray(hits[first], np.intp)
    ends = np.array([*first[1:], len(hits)])
    is_lone = ends - first == 1
    found: list[int] = hits[first[is_lone]].tolist()
    for begins, over in zip(first[~is_lone], ends[~is_lone], strict=True):
        times, here = lives.at[hits[begins:over]], 0
        while here < len(times):
            found.append(int(hits[begins + here]))
            here = int(np.searchsorted(times, times[here] + calls.earliest, side="right"))
    return np.array(sorted(found), np.intp)
