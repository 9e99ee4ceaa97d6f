"""By how much each sensor moved a prediction: what changes where the sensor is put back to normal.

Any estimator will do: it is only asked. Each sensor is put back to its reference in the row, and put
into a row that is all reference; half of both differences is its effect. One way alone would call nothing
of two sensors that say the same, or both wholly. For a model that adds its features up, the effects are
exact and their sum is the whole difference.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ask = Callable[[Floats], NDArray[Any]]
Swap = Callable[[Floats, Floats, int], Floats]
"""Rows of one kind, those of the other, and which group: the first with the group's part of the second."""


def measure_effects(ask: Ask, rows: Floats, reference: Floats, swap: Swap, groups: int) -> Floats:
    """Return the effect of each group of features on each prediction, in the prediction's own unit.

    `rows` (n, features), `reference` (features,) -> (n, groups). `ask` is called once.
    """
    count = len(rows)
    normal = np.broadcast_to(reference, rows.shape)
    parts = [rows, normal]
    parts += [swap(rows, normal, group) for group in range(groups)]
    parts += [swap(normal, rows, group) for group in range(groups)]
    said = np.asarray(ask(np.concatenate(parts)), dtype=np.float64).reshape(-1, count)
    whole, none = said[0], said[1]
    without, alone = said[2 : groups + 2], said[groups + 2 :]
    effects: Floats = ((whole - without) + (alone - none)).T / 2
    return effects
