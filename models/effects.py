"""By how much each sensor moved a prediction: what changes where the sensor is put back to normal.

Any estimator will do: it is only asked. Each group of features (those of one sensor) is put back to its
reference in the row, and put into a row that is all reference; half of both differences is the group's
effect. One way alone would call nothing of two sensors that say the same, or both wholly. For a model
that adds its features up, the effects are exact and their sum is the whole difference.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Predict = Callable[[Floats], NDArray[Any]]


def measure_effects(
    predict: Predict, row: Floats, reference: Floats, groups: Sequence[Sequence[int]]
) -> Floats:
    """Return the effect of each group of columns on the prediction for `row`, in the prediction's unit.

    `predict` takes rows of features and returns a number for each; it is called once.
    """
    count = len(groups)
    batch = np.empty((2 * count + 2, len(row)))
    batch[: count + 1] = row
    batch[count + 1 :] = reference
    for index, columns in enumerate(groups):
        chosen = list(columns)
        batch[1 + index, chosen] = reference[chosen]
        batch[2 + count + index, chosen] = row[chosen]
    said = np.asarray(predict(batch), dtype=np.float64)
    without, alone = said[1 : count + 1], said[count + 2 :]
    effects: Floats = (said[0] - without + alone - said[count + 1]) / 2
    return effects
