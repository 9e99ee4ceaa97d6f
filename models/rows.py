"""Makes the rows that an estimator learns from: reading after reading of a device, as the stream does."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.base import History
from models.features import Definition, States
from models.inputs import Floats

Progress = Callable[[float, str], None]
"""Is told how much is done, 0 to 1, and what is being done."""

_TOLD_EVERY = 2_000
_LONG_GAP = 3.0


def make_rows(
    definition: Definition, history: History, tell: Callable[[float], None] = lambda _done: None
) -> Floats:
    """Return the features of each row of `history` (rows, features), each made of what was known then."""
    rows = history.rows
    channels = definition.read_columns({name: rows[name].to_numpy() for name in definition.fields})
    at = rows["at"].to_numpy(float)
    slots = pd.factorize(rows["device"])[0].astype(np.intp)
    states = States(definition)
    if not definition.time_constants:
        return states.update(slots, at, channels)
    features = np.empty((len(rows), len(definition.features)))
    order, bounds = _ticks(slots)
    for tick in range(len(bounds) - 1):
        one = order[bounds[tick] : bounds[tick + 1]]
        features[one] = states.update(slots[one], at[one], channels[one])
        if tick % _TOLD_EVERY == 0:
            tell(bounds[tick] / len(rows))
    return features


def _ticks(slots: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows in such an order, and cut so, that each piece has every device at most once."""
    turn = pd.Series(slots).groupby(slots).cumcount().to_numpy()
    order = np.argsort(turn, kind="stable").astype(np.intp)
    bounds = np.searchsorted(turn[order], np.arange(int(turn.max(initial=-1)) + 2))
    return order, bounds.astype(np.intp)


def thin(history: History, most: int) -> tuple[History, float]:
    """Return at most about `most` rows, and how far apart they are at least; 0 where all are kept."""
    rows = history.rows
    if len(rows) <= most:
        return history, 0.0
    gaps = rows["at"].diff()[rows["device"].eq(rows["device"].shift())].to_numpy(float)
    # Where a device says nothing for long, there are no rows to pass over.
    usual = _LONG_GAP * float(np.median(gaps)) if len(gaps) else 0.0
    least = float(np.minimum(gaps, usual).sum()) / most
    kept = np.concatenate(
        [
            where[counted_readings(group.to_numpy(float), least)]
            for where, (_, group) in zip(
                rows.groupby("device", sort=False).indices.values(),
                rows.groupby("device", sort=False)["at"],
                strict=True,
            )
        ]
    )
    return History(
        rows.iloc[np.sort(kept)].reset_index(drop=True), history.failures, history.unit
    ), least


def counted_readings(at: Floats, least: float) -> NDArray[np.intp]:
    """Return which of a device's readings count, where the next has to be `least` later."""
    kept, place = [], 0
    while place < len(at):
        kept.append(place)
        place = max(place + 1, int(np.searchsorted(at, at[place] + least, side="left")))
    return np.array(kept, np.intp)
