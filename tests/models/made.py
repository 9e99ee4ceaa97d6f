"""Models made for tests in no time: a card, and whatever estimator a test needs."""

from typing import Any

from sklearn.ensemble import GradientBoostingRegressor

from models.base import Card, Fingerprint
from models.features import Channel, Definition, Input, Regimes
from models.training import Model
from prevenant.target import REMAINING_LIFE, Target


def made_model(name: str, estimator: Any, kind: str = REMAINING_LIFE) -> Model:
    """Return a model that nothing was learned from, of as many fields as its estimator wants."""
    count = getattr(estimator, "n_features_in_", 1)
    names = ["x", *(f"x{number}" for number in range(2, count + 1))]
    zeros, ones = [0.0] * count, [1.0] * count
    channels = tuple(Channel(one, number) for number, one in enumerate(names))
    inputs = tuple(Input(one) for one in names)
    definition = Definition(inputs, channels, Regimes([zeros], [zeros], [ones]), zeros, ones)
    data = Fingerprint(rows=100, devices=2, failures=2, first=1.0, last=50.0, sha256="0" * 64)
    return Model(Card(name, Target(kind), definition, data, 1_780_056_000.0), estimator)


def small_trees(rows: Any, wanted: Any) -> Any:
    """Return an estimator that is fitted in no time, and that a scorer can ask."""
    return GradientBoostingRegressor(n_estimators=3, random_state=0).fit(rows, wanted)
