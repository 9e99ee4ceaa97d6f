"""What is to be predicted, row by row: how long until the device's next failure, where that is known."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.base import History
from models.inputs import Floats
from prevenant.target import FAILURE, REMAINING_LIFE, Target

_NEAR, _FAR = 0.05, 0.4
"""Parts of a life: so near its end wear shows, and so far from it, it does not yet."""
_RUN_TO_FAILURE, _FEWEST = 0.9, 5


@dataclass(frozen=True, slots=True)
class Labels:
    """Of each row of a history, in its order."""

    remaining: Floats
    """Until the next failure of the device, in the history's unit; NaN where none is known to follow."""
    censored: Floats
    """At least so long the device did not fail, where no failure is known to follow; else NaN."""
    lives: NDArray[np.intp]
    """Number of the life: a device's rows between two failures are one."""
    life: float
    """How long a life is, in the median of those that ended, else of all that was seen."""
    is_run_to_failure: bool
    """Whether devices are seen from their beginning to their one failure."""
    near: NDArray[np.bool_]
    far: NDArray[np.bool_]

    def fails_within(self, horizon: float) -> Floats:
        """Return 1 where a device fails within `horizon`, 0 where it does not, NaN where nobody knows."""
        fails = np.where(self.remaining <= horizon, 1.0, 0.0)
        return np.where(np.isnan(self.remaining) & (self.censored < horizon), np.nan, fails)

    def wanted(self, target: Target, cap: float) -> Floats:
        """Return what is to be predicted, by row; NaN where nobody knows. `cap` is of remaining life."""
        if target.kind != REMAINING_LIFE:
            return self.fails_within(target.horizon)
        capped = np.minimum(self.remaining, cap)
        return np.where(np.isnan(capped) & (self.censored >= cap), cap, capped)


def label_rows(history: History, target: Target) -> Labels:
    """Return what is known of each row's future."""
    rows, failures = history.rows, history.failures
    remaining = np.full(len(rows), np.nan)
    censored = np.full(len(rows), np.nan)
    before = np.zeros(len(rows), np.intp)
    at = rows["at"].to_numpy(float)
    failed_at = {
        str(device): np.sort(group["failed_at"].to_numpy(float))
        for device, group in failures.groupby("device", sort=False)
    }
    nothing = np.empty(0)
    spans, ends, is_whole = [], 0, 0
    places = rows.groupby("device", sort=False).indices
    for device, where in places.items():
        ends_at = failed_at.get(str(device), nothing)
        own = at[where]
        following = np.searchsorted(ends_at, own, side="left")
        before[where] = following
        has_next = following < len(ends_at)
        if has_next.any():
            remaining[where[has_next]] = ends_at[following[has_next]] - own[has_next]
        censored[where[~has_next]] = own[-1] - own[~has_next]
        begins = np.concatenate([own[:1], ends_at])
        spans += [end - begin for begin, end in zip(begins, ends_at, strict=False) if end > begin]
        ends += len(ends_at)
        is_whole += len(ends_at) == 1 and following[-1] == 0
    codes = pd.factorize(rows["device"])[0].astype(np.intp)
    lives = pd.factorize(codes * (int(before.max(initial=0)) + 1) + before)[0].astype(np.intp)
    stretches = rows.groupby("device", sort=False)["at"]
    seen = stretches.last() - stretches.first()
    life = float(np.median(spans)) if spans else float(seen.median()) if len(seen) else 0.0
    if target.kind == FAILURE:
        known = Labels(remaining, censored, lives, life, False, before > 0, before > 0)  # noqa: FBT003
        fails = known.fails_within(target.horizon)
        near, far = fails == 1, fails == 0
    else:
        near, far = remaining <= _NEAR * life, remaining > _FAR * life
    whole = len(places) > 0 and is_whole >= _RUN_TO_FAILURE * len(places) and ends >= _FEWEST
    return Labels(remaining, censored, lives, life, whole, near, far)
