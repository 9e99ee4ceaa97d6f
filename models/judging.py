"""What a report is made of: predictions beside the truth, of training out of fold, or of other data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.base import History
from models.evaluation import Evaluation, evaluate_predictions
from models.explanation import measure_importance
from models.labels import label_rows
from models.rows import make_rows, thin
from models.scoring import judge_on
from models.training import MOST_ROWS, Model

_ROWS_MADE = 20_000
_ROWS_ASKED = 150
OUT_OF_FOLD = {
    "device": "out of fold: each device was judged by a model that had seen nothing of it",
    "life": (
        "out of fold: each life, up to a failure, was judged by a model that had seen nothing of it, "
        "but other lives of the device, since few devices failed"
    ),
}


@dataclass(frozen=True, slots=True)
class Costs:
    """What a visit and a failure in service cost the user, in any unit."""

    visit: float = 1.0
    failure: float = 10.0


@dataclass(frozen=True, slots=True)
class Judged:
    """Everything that a report shows beside the card."""

    evaluation: Evaluation | None
    """None for a detector, which learns in the stream alone."""
    said: pd.DataFrame | None
    """`truth` and `prediction` of the rows that were judged."""
    importance: Mapping[str, float]
    """By input: how far it moves predictions, in the mean."""
    costs: Costs
    notes: Sequence[str] = ()
    """What was said while the data was read."""
    where: str = OUT_OF_FOLD["device"]
    """What the figures are of."""


def judge_training(model: Model, history: History, costs: Costs, notes: Sequence[str]) -> Judged:
    """Return how a model fared while it was trained on `history`."""
    said = model.out_of_fold
    if said is None:
        return Judged(None, None, {}, costs, notes, "none: a detector learns in the stream")
    evaluation = evaluate_predictions(model.card, said, model.chosen)
    where = OUT_OF_FOLD[model.card.judged_by]
    return Judged(evaluation, said, _weigh_inputs(model, history), costs, notes, where)


def judge_data(
    model: Model, history: History, costs: Costs, notes: Sequence[str], where: str
) -> Judged:
    """Return how a model fares on data that it was not trained on. Raises ConfigurationError."""
    said = judge_on(model, history)
    evaluation = evaluate_predictions(model.card, said)
    return Judged(evaluation, said, _weigh_inputs(model, history), costs, notes, where)


def _weigh_inputs(model: Model, history: History) -> dict[str, float]:
    """Return by input how far it moves predictions: half before failures, half anywhere."""
    history, _ = thin(history, MOST_ROWS)
    rows = history.rows
    failed = set(history.failures["device"])
    counts = rows.groupby("device", sort=False).size()
    first = sorted(counts.index, key=lambda device: device not in failed)
    enough = counts[first].cumsum() <= max(_ROWS_MADE, int(counts.max()))
    chosen = rows["device"].isin(
        [device for device, take in zip(first, enough, strict=True) if take]
    )
    part = History(rows[chosen].reset_index(drop=True), history.failures, history.unit)
    labels = label_rows(part, model.card.target)
    features = make_rows(model.card.definition, part)
    near, every = np.flatnonzero(labels.near), np.arange(len(features))
    asked = [one[:: max(1, len(one) // _ROWS_ASKED)] for one in (near, every)]
    return measure_importance(model, features[np.concatenate(asked)])
