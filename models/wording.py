"""What moved a prediction, as a sentence that a technician reads: in English and French, without jargon.

compressor current 34 % above this unit's own normal
courant du compresseur 34 % au-dessus de sa normale
"""

import math
from dataclasses import dataclass

from models.vocabulary import name_sensor
from prevenant.durations import format_duration
from prevenant.units import UNITS

LEVEL, TREND, VARIABILITY, WORD, AGE = "level", "trend", "variability", "word", "age"
"""How a sensor can have moved a prediction."""

_SYMBOLS = {
    "celsius": "°C",
    "fahrenheit": "°F",
    "kelvin": "K",
    "percent": "%",
    "decibel": "dB",
    "dbm": "dBm",
    "ampere": "A",
    "milliampere": "mA",
    "volt": "V",
    "watt": "W",
    "kilowatt": "kW",
    "bar": "bar",
    "rpm": "rpm",
    "hertz": "Hz",
    "newton_metre": "Nm",
}
_BY_DIFFERENCE = {"temperature", "share", "sound", "signal", "angle"}
"""Dimensions without a zero of their own: 34 % warmer means nothing."""
_MOST_PERCENT = 500.0


@dataclass(frozen=True, slots=True)
class Moved:
    """How one sensor stands beside what is normal for it."""

    field: str
    kind: str
    """`level`, `trend`, `variability` or `age`; of a text `word`."""
    value: float | str
    """The level, the change in a second or a cycle, the spread, the word, or the age."""
    normal: float = math.nan
    """The same where all is well; NaN where it is not known."""
    unit: str | None = None
    is_own: bool = True
    """Whether `normal` is this device's own; else that of healthy ones."""
    in_cycles: bool = False
    """Whether the model counts cycles; else seconds."""


def describe(moved: Moved, language: str) -> str:
    """Return what is unusual about a sensor; in English for any language but French."""
    name = name_sensor(moved.field, UNITS.get(moved.unit or ""), language)
    if isinstance(moved.value, str):
        return f"{name} : {moved.value}" if language == "fr" else f"{name}: {moved.value}"
    if not math.isfinite(moved.value):
        return f"{name} inhabituel" if language == "fr" else f"{name} unusual"
    words = {TREND: _trend, VARIABILITY: _variability, AGE: _age}.get(moved.kind, _level)
    return words(moved, name, moved.value, language)


def _level(moved: Moved, name: str, value: float, language: str) -> str:
    difference = value - moved.normal
    if not math.isfinite(difference):
        return f"{name} inhabituel" if language == "fr" else f"{name} unusual"
    if abs(difference) <= 1e-9 * max(abs(value), 1.0):
        return f"{name} {_sides(moved, language)[2]}"
    amount = _amount(moved, difference, language)
    side = _sides(moved, language)[0 if difference > 0 else 1]
    return f"{name} {amount} {side}"


def _trend(moved: Moved, name: str, value: float, language: str) -> str:
    per = {"en": ("an hour", "a cycle"), "fr": ("par heure", "par cycle")}[_known(language)][
        moved.in_cycles
    ]
    change = value if moved.in_cycles else value * 3600.0
    amount = _number(abs(change), moved.unit, language)
    if language == "fr":
        return f"{name} en {'hausse' if value > 0 else 'baisse'} de {amount} {per}"
    return f"{name} {'rising' if value > 0 else 'falling'} by {amount} {per}"


def _variability(moved: Moved, name: str, value: float, language: str) -> str:
    ratio = value / moved.normal if moved.normal > 0 else math.inf
    own = moved.is_own
    if language == "fr":
        whose = "d'habitude" if own else "sur un appareil sain"
        if 1.5 <= ratio < 100:  # noqa: PLR2004  a factor that says something
            return f"{name} : variations {_digits(ratio, language)} fois plus fortes que {whose}"
        return f"{name} : variations plus {'fortes' if ratio >= 1 else 'faibles'} que {whose}"
    whose = "is usual for this unit" if own else "healthy units do"
    if 1.5 <= ratio < 100:  # noqa: PLR2004  as above
        return f"{name} varies {_digits(ratio, language)} times as much as {whose}"
    return f"{name} varies {'more' if ratio >= 1 else 'less'} than {whose}"


def _age(moved: Moved, name: str, value: float, language: str) -> str:
    del name
    if moved.in_cycles:
        count = f"{round(value)}"
        return f"{count} cycles de service" if language == "fr" else f"{count} cycles in service"
    length = format_duration(value)
    return f"en service depuis {length}" if language == "fr" else f"in service for {length}"


def _sides(moved: Moved, language: str) -> tuple[str, str, str]:
    """Return the words for above, below and at what is normal."""
    if language == "fr":
        whose = "de sa normale" if moved.is_own else "de la normale"
        at = "à sa valeur habituelle" if moved.is_own else "à sa valeur normale"
        return f"au-dessus {whose}", f"au-dessous {whose}", at
    whose = "this unit's own normal" if moved.is_own else "what is normal"
    return f"above {whose}", f"below {whose}", f"at {whose}"


def _amount(moved: Moved, difference: float, language: str) -> str:
    """Return by how much: in percent where that means something, else in the sensor's own unit."""
    percent = abs(difference / moved.normal) * 100 if moved.normal else math.inf
    if UNITS.get(moved.unit or "") in _BY_DIFFERENCE or percent > _MOST_PERCENT:
        return _number(abs(difference), moved.unit, language)
    return f"{_digits(percent, language)} %"


def _number(value: float, unit: str | None, language: str) -> str:
    symbol = _SYMBOLS.get(unit or "", (unit or "").replace("_", " "))
    if symbol == "%":
        symbol = "points"
    return f"{_digits(value, language)} {symbol}".strip()


def _digits(value: float, language: str) -> str:
    """Return two digits that count, as the language writes them."""
    if value == 0 or not math.isfinite(value):
        return "0"
    places = max(0, 1 - math.floor(math.log10(abs(value))))
    text = f"{value:.{min(places, 9)}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text.replace(".", ",") if language == "fr" else text


def _known(language: str) -> str:
    return "fr" if language == "fr" else "en"
