"""Models made for tests in no time: a card, and whatever estimator a test needs."""

from typing import Any

from models.base import REMAINING_LIFE, Card, Fingerprint, Target
from models.features import Channel, Definition, Input, Regimes
from models.training import Model


def made_model(name: str, estimator: Any) -> Model:
    """Return a model of one field that nothing was learned from."""
    regimes = Regimes([[0.0]], [[0.0]], [[1.0]])
    definition = Definition((Input("x"),), (Channel("x", 0),), regimes, [0.0], [1.0])
    data = Fingerprint(rows=100, devices=2, failures=2, first=1.0, last=50.0, sha256="0" * 64)
    return Model(Card(name, Target(REMAINING_LIFE), definition, data, 1_780_056_000.0), estimator)
