"""Small trees are asked quickly, and say what scikit-learn would say."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)

from models.trees import Trees

SEED = 7


def _made_up() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    random = np.random.default_rng(SEED)
    rows = random.normal(size=(600, 9)).round(1)
    return rows, rows[:, 0] * 3 + rows[:, 1] ** 2 + random.normal(size=600)


@pytest.mark.parametrize(
    "estimator",
    [
        HistGradientBoostingRegressor(max_iter=40, max_leaf_nodes=7),
        HistGradientBoostingRegressor(max_iter=3, max_leaf_nodes=8),
        GradientBoostingRegressor(n_estimators=40, max_depth=3),
    ],
)
def test_they_say_what_scikit_learn_says(estimator: Any) -> None:
    rows, wanted = _made_up()
    estimator.fit(rows, wanted)
    assert Trees(estimator).ask(rows) == pytest.approx(estimator.predict(rows), abs=1e-9)


@pytest.mark.parametrize(
    "estimator",
    [
        HistGradientBoostingClassifier(max_iter=40, max_leaf_nodes=7),
        GradientBoostingClassifier(n_estimators=40, max_depth=3),
    ],
)
def test_of_a_chance_they_say_the_log_odds(estimator: Any) -> None:
    rows, wanted = _made_up()
    estimator.fit(rows, wanted > 2)
    assert Trees(estimator).ask(rows) == pytest.approx(estimator.decision_function(rows), abs=1e-9)


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    rows, wanted = _made_up()
    trees = Trees(HistGradientBoostingRegressor(max_iter=60, max_leaf_nodes=7).fit(rows, wanted))
    together = trees.ask(rows)
    assert [
        float(trees.ask(rows[one : one + 1])[0]) for one in range(len(rows))
    ] == together.tolist()


def test_what_is_too_large_or_another_estimator_is_refused() -> None:
    rows, wanted = _made_up()
    with pytest.raises(ValueError, match="leaves, more than 8"):
        Trees(HistGradientBoostingRegressor(max_iter=2, max_leaf_nodes=31).fit(rows, wanted))
    with pytest.raises(ValueError, match="no estimator of boosted trees"):
        Trees(RandomForestRegressor(2).fit(rows, wanted))
