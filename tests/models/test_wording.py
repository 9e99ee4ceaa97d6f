"""Why a model says what it says, as a technician reads it."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.vocabulary import LANGUAGES, name_sensor
from models.wording import AGE, LEVEL, TREND, VARIABILITY, WORD, Moved, describe
from prevenant.units import UNITS


@pytest.mark.parametrize(
    ("field", "dimension", "english", "french"),
    [
        ("compressor_amps", "current", "compressor current", "courant du compresseur"),
        ("compressor_current", None, "compressor current", "courant du compresseur"),
        ("cabinet", "temperature", "cabinet temperature", "température de l'enceinte"),
        ("setpoint", "temperature", "setpoint", "consigne"),
        ("temperature", "temperature", "temperature", "température"),
        ("Air temperature [K]", None, "air temperature", "température de l'air"),
        ("Rotational speed [rpm]", None, "rotational speed", "vitesse de rotation"),
        ("Torque [Nm]", None, "torque", "couple"),
        ("Tool wear [min]", None, "tool wear", "usure de l'outil"),
        (
            "pump_bearing_temp",
            None,
            "pump bearing temperature",
            "température du palier de la pompe",
        ),
        ("torque * speed_rpm", None, "torque × speed", "couple × vitesse"),  # noqa: RUF001  as it is said
        (
            "process_temperature_K - air_temperature_K",
            None,
            "process temperature − air temperature",  # noqa: RUF001  as above
            "température du procédé − température de l'air",  # noqa: RUF001  as above
        ),
        ("abs(s11 - s4) / 2", None, "abs(s11 − s4) / 2", "abs(s11 − s4) / 2"),  # noqa: RUF001  as above
        ("oilPressure", None, "oil pressure", "pression de l'huile"),
        ("DoorOpen", None, "door open", "« door open »"),
        ("widget_bar", None, "widget pressure", "pression « widget »"),
        ("s11", None, "s11", "s11"),
        ("x", None, "x", "x"),
        ("??", None, "??", "??"),
    ],
)
def test_a_sensor_has_a_name(field: str, dimension: str | None, english: str, french: str) -> None:
    assert name_sensor(field, dimension, "en") == english
    assert name_sensor(field, dimension, "fr") == french


@pytest.mark.parametrize(
    ("moved", "english", "french"),
    [
        (
            Moved("compressor_amps", LEVEL, 2.01, 1.5, "ampere"),
            "compressor current 34 % above this unit's own normal",
            "courant du compresseur 34 % au-dessus de sa normale",
        ),
        (
            Moved("oil_pressure", LEVEL, 1.53, 1.6, "bar", is_own=False),
            "oil pressure 4.4 % below what is normal",
            "pression de l'huile 4,4 % au-dessous de la normale",
        ),
        (
            Moved("cabinet", LEVEL, 8.4, 5.0, "celsius"),
            "cabinet temperature 3.4 °C above this unit's own normal",
            "température de l'enceinte 3,4 °C au-dessus de sa normale",
        ),
        (
            Moved("battery", LEVEL, 20.0, 85.0, "percent"),
            "battery 65 points below this unit's own normal",
            "« battery » 65 points au-dessous de sa normale",
        ),
        (
            Moved("vibration", LEVEL, 0.5, 0.0, "g_force"),
            "vibration 0.5 g force above this unit's own normal",
            "vibration 0,5 g force au-dessus de sa normale",
        ),
        (
            Moved("oil_temperature", TREND, 0.0004, 0.0, "celsius"),
            "oil temperature rising by 1.4 °C an hour",
            "température de l'huile en hausse de 1,4 °C par heure",
        ),
        (
            Moved("s7", TREND, -0.021, 0.0, in_cycles=True),
            "s7 falling by 0.021 a cycle",
            "s7 en baisse de 0,021 par cycle",
        ),
        (
            Moved("motor_vibration", VARIABILITY, 0.9, 0.3),
            "motor vibration varies 3 times as much as is usual for this unit",
            "vibration du moteur : variations 3 fois plus fortes que d'habitude",
        ),
        (
            Moved("torque", VARIABILITY, 0.1, 0.3, is_own=False),
            "torque varies less than healthy units do",
            "couple : variations plus faibles que sur un appareil sain",
        ),
        (Moved("mode", WORD, "boost"), "mode: boost", "« mode » : boost"),
        (
            Moved("", AGE, 187.0, in_cycles=True),
            "187 cycles in service",
            "187 cycles de service",
        ),
        (Moved("", AGE, 90_000.0), "in service for 1d1h", "en service depuis 1d1h"),
        (Moved("s3", LEVEL, math.nan, 1.0), "s3 unusual", "s3 inhabituel"),
    ],
    ids=lambda one: one.field if isinstance(one, Moved) else "",
)
def test_what_is_said_of_it(moved: Moved, english: str, french: str) -> None:
    assert describe(moved, "en") == english
    assert describe(moved, "fr") == french
    assert describe(moved, "de") == english


numbers = st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from([0.0, -0.0, 1e-300])


@given(
    st.text(alphabet="abcé_[]( )AB1°", max_size=30),
    st.sampled_from([LEVEL, TREND, VARIABILITY, WORD]),
    numbers | st.text(alphabet="bc ", max_size=5),
    numbers,
    st.sampled_from([None, *UNITS]),
    st.booleans(),
    st.sampled_from(LANGUAGES),
)
def test_anything_can_be_said(
    field: str, kind: str, value: Any, normal: float, unit: str | None, own: bool, language: str
) -> None:
    said = describe(Moved(field, kind, value, normal, unit, own), language)
    assert said == describe(Moved(field, kind, value, normal, unit, own), language)
    assert "nan" not in said
