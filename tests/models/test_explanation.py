"""A prediction is explained by the sensors that moved it, in their own units, in words."""

import math

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from models.base import Card, Fingerprint
from models.effects import Ask, Floats
from models.explanation import explain, measure_importance
from models.features import Channel, Definition, Input, Regimes
from models.training import Model
from prevenant.target import CYCLES, FAILURE, REMAINING_LIFE, Target

DATA = Fingerprint(10, 1, 1, 0.0, 9.0, "")
MEAN, SCALE = [1.5, 5.0, 0.5, 0.5], [0.1, 2.0, 0.5, 0.5]


def definition(*, has_past: bool = True, wear: bool = False) -> Definition:
    """Return two sensors and a word: amps at 1.5 ± 0.1, cabinet at 5 ± 2, mode."""
    inputs = (Input("compressor_amps"), Input("cabinet"), Input("mode", ("boost", "eco")))
    channels = (
        Channel("compressor_amps", 0),
        Channel("cabinet", 1),
        Channel("mode=boost", 2, "boost"),
        Channel("mode=eco", 2, "eco"),
    )
    return Definition(
        inputs,
        channels,
        Regimes([[0.0] * 4], [MEAN], [SCALE]),
        MEAN,
        SCALE,
        time_constants=(3.0, 6.0, 12.0, 24.0) if has_past else (),
        wear=[[0.5, 0.5, 0.0, 0.0]] if wear else [],
        has_age=has_past,
    )


def model(made: Definition, kind: str = REMAINING_LIFE) -> Model:
    normal = [0.0] * len(made.features)
    card = Card("m", Target(kind, CYCLES, 30.0), made, DATA, 0.0, cap=100.0, normal=normal)
    return Model(card, LinearRegression())


def row(made: Definition, **features: float) -> Floats:
    """Return a row of features that are 0 but for `channel__kind`."""
    names = [one.name for one in made.features]
    found = np.zeros(len(names))
    for name, value in features.items():
        found[names.index(name.replace("__", "."))] = value
    return found


def asked(made: Definition, **weights: float) -> Ask:
    """Return an estimator that adds up features by weight."""
    vector = row(made, **weights)
    return lambda rows: rows @ vector


def test_a_level_beside_the_units_own_normal() -> None:
    made = definition()
    # Its own normal is 1.5 + 1 * 0.1 = 1.6 A, and it stands at 1.5 + 6 * 0.1 = 2.1 A.
    features = row(
        made,
        compressor_amps__mean_2=6.0,
        compressor_amps__mean_3=5.0,
        compressor_amps__baseline=4.0,
        cabinet__mean_2=0.5,
    )
    ask = asked(made, compressor_amps__mean_2=-10.0, cabinet__mean_2=-4.0)
    first, second = explain(model(made), features, ask)
    assert (first.field, first.kind, first.is_own) == ("compressor_amps", "level", True)
    assert first.effect == pytest.approx(-60.0)
    assert first.share == pytest.approx(60 / 62)
    assert first.value == pytest.approx(2.1)
    assert first.normal == pytest.approx(1.6)
    units = {"compressor_amps": "ampere", "cabinet": "celsius"}
    assert first.words("en", units) == "compressor current 31 % above this unit's own normal"
    assert first.words("fr", units) == "courant du compresseur 31 % au-dessus de sa normale"
    assert second.words("en", units) == "cabinet temperature 1 °C above this unit's own normal"


def test_a_device_that_was_never_like_the_others_is_told_apart_from_them() -> None:
    made = definition()
    # Its own normal is where it stands: 2.1 A.
    features = row(made, compressor_amps__mean_2=6.0, compressor_amps__mean_3=6.0)
    ask = asked(made, compressor_amps__mean_2=-10.0)
    (found,) = explain(model(made), features, ask)
    assert not found.is_own
    assert found.normal == pytest.approx(1.5)
    assert found.words("en") == "compressor current 40 % above what is normal"


def test_a_trend_a_spread_a_word_and_an_age() -> None:
    made = definition()
    features = row(
        made,
        cabinet__slope_24=6.0,
        compressor_amps__deviation_2=4.0,
        **{"mode=boost__mean_1": 1.0, "mode=boost__last": 1.0, "mode=eco__last": -1.0},
        age=180.0,
    )
    ask = asked(
        made,
        cabinet__slope_24=5.0,
        compressor_amps__deviation_2=4.0,
        **{"mode=boost__mean_1": 10.0},
        age=0.02,
    )
    found = explain(model(made, FAILURE), features, ask)
    assert [one.kind for one in found] == ["trend", "variability", "word", "age"]
    trend, spread, word, age = found
    # Six spreads of 2 °C in a time constant of 24 cycles.
    assert trend.value == pytest.approx(0.5)
    assert (
        trend.words("en", {"cabinet": "celsius"}) == "cabinet temperature rising by 0.5 °C a cycle"
    )
    assert spread.value == pytest.approx(0.4)
    assert word.words("fr") == "« mode » : boost"
    assert age.words("en") == "180 cycles in service"


def test_what_joins_sensors_is_shared_by_its_parts() -> None:
    made = definition(wear=True)
    features = row(
        made, compressor_amps__mean_2=6.0, cabinet__mean_2=2.0, wear_1__mean_2=0.5 * 6 + 0.5 * 2
    )
    found = explain(model(made), features, asked(made, wear_1__mean_2=-10.0))
    assert {one.field: one.effect for one in found} == {
        "compressor_amps": pytest.approx(-30.0),
        "cabinet": pytest.approx(-10.0),
    }


def test_what_brings_failure_nearer_comes_first() -> None:
    made = definition()
    features = row(made, compressor_amps__mean_2=1.0, cabinet__mean_2=1.0)
    ask = asked(made, compressor_amps__mean_2=10.0, cabinet__mean_2=-5.0)
    life = explain(model(made), features, ask)
    chance = explain(model(made, FAILURE), features, ask)
    assert [one.field for one in life] == ["cabinet", "compressor_amps"]
    assert [one.field for one in chance] == ["compressor_amps", "cabinet"]


def test_rows_without_a_past_are_compared_with_healthy_ones() -> None:
    made = definition(has_past=False)
    features = row(made, compressor_amps__last=5.0)
    (found,) = explain(model(made), features, asked(made, compressor_amps__last=-2.0))
    assert found.value == pytest.approx(2.0)
    assert found.normal == pytest.approx(1.5)
    assert not found.is_own


def test_a_detector_explains_nothing_here() -> None:
    made = definition()
    detector = Model(model(made).card, None)
    assert explain(detector, row(made)) == []
    assert measure_importance(detector, np.zeros((2, len(made.features)))) == {}


def test_the_usual_is_moved_by_nothing() -> None:
    made = definition()
    found = explain(model(made), row(made), asked(made, cabinet__mean_2=-5.0))
    assert all(math.isclose(one.effect, 0.0) for one in found)
