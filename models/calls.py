"""When a prediction sends somebody, and what came of it: in time, too early, too late, for nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from models.base import REMAINING_LIFE, Calls, Target
from models.inputs import Floats

_DEBOUNCES = (1, 2, 3, 5, 8, 12)
_THRESHOLDS = 60
_MISS_OVER_FALSE = 10.0
"""What a missed failure costs, in needless visits, where nobody says."""


@dataclass(frozen=True, slots=True)
class Life:
    """A device's rows up to one failure, or up to the end of what is known of it."""

    at: Floats
    value: Floats
    ends_at: float
    """NaN where no failure ends it."""


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

    def cost(self, visit: float = 1.0, failure: float = _MISS_OVER_FALSE) -> float:
        """Return what visits and failures cost together."""
        missed = self.failures - len(self.leads)
        return visit * (len(self.leads) + self.premature) + failure * missed


def split_lives(
    at: Floats, value: Floats, remaining: Floats, lives: NDArray[np.intp]
) -> list[Life]:
    """Return the lives of rows that are ordered by device and time."""
    cuts = np.flatnonzero(np.diff(lives)) + 1
    bounds = [0, *cuts.tolist(), len(lives)]
    return [
        Life(at[a:b], value[a:b], float(at[a] + remaining[a])) for a, b in pairwise(bounds) if b > a
    ]


def judge(target: Target, calls: Calls, lives: Sequence[Life]) -> Outcome:
    """Return what `calls` would have led to."""
    leads: list[float] = []
    premature = late = failures = 0
    exposure = 0.0
    for life in lives:
        fails = not np.isnan(life.ends_at)
        failures += fails
        exposure += float(life.at[-1] - life.at[0]) if len(life.at) > 1 else 0.0
        is_caught = is_late = False
        for call_at in _call_times(target, calls, life):
            lead = life.ends_at - call_at
            if not fails or lead > calls.earliest:
                premature += 1
            elif lead >= calls.latest and not is_caught:
                leads.append(float(lead))
                is_caught = True
            elif not is_caught:
                is_late = True
        late += is_late and not is_caught
    return Outcome(failures, tuple(leads), premature, late, exposure)


def _call_times(target: Target, calls: Calls, life: Life) -> Iterator[float]:
    """Yield when somebody would have been sent: once for a remaining life, else at most once a horizon."""
    is_over = target.kind == REMAINING_LIFE
    holds = life.value <= calls.threshold if is_over else life.value >= calls.threshold
    if calls.debounce > 1:
        summed = np.cumsum(holds)
        summed[calls.debounce :] = summed[calls.debounce :] - summed[: -calls.debounce].copy()
        holds = summed >= calls.debounce
    times = life.at[np.flatnonzero(holds)]
    if is_over:
        yield from times[:1].tolist()
        return
    place = 0
    while place < len(times):
        yield float(times[place])
        place = max(
            place + 1, int(np.searchsorted(times, times[place] + calls.earliest, side="right"))
        )


def choose_calls(target: Target, window: tuple[float, float], lives: Sequence[Life]) -> Calls:
    """Return the threshold and debounce that cost least on `lives`; `window` is (latest, earliest)."""
    latest, earliest = window
    values = np.concatenate([life.value for life in lives])
    if target.kind == REMAINING_LIFE:
        thresholds = np.linspace(latest, earliest * 1.2, _THRESHOLDS)
    else:
        thresholds = np.unique(np.quantile(values, 1.0 - np.geomspace(1e-4, 0.5, _THRESHOLDS)))
    best, least = Calls(float(thresholds[0]), 1, earliest, latest), np.inf
    for debounce in _DEBOUNCES:
        costs = []
        for threshold in thresholds:
            outcome = judge(target, Calls(float(threshold), debounce, earliest, latest), lives)
            costs.append(outcome.cost())
        # The middle of a valley is as good on what is not seen as on this.
        steady = np.convolve(np.pad(costs, 1, mode="edge"), np.ones(3) / 3, mode="valid")
        place = int(np.argmin(steady))
        if steady[place] < least - 1e-9:
            least = float(steady[place])
            best = Calls(float(thresholds[place]), debounce, earliest, latest)
    return best
