"""How a figure is written for a person: `4 min 30 s`, `87.5 %`, `+42`, `6.1 of 7`."""

from babel.numbers import format_decimal
from babel.units import format_unit

from prevenant.kpis.definitions import GRADE, PERCENT, POINTS, SECONDS, Kpi

_NOTHING = "\u2013"
_DAY_S, _HOUR_S, _MINUTE_S = 86_400, 3_600, 60
_STEPS = (("day", _DAY_S), ("hour", _HOUR_S), ("minute", _MINUTE_S), ("second", 1))
_FEW_S = 10
_AFTER = {PERCENT: "\u00a0%", GRADE: "\u00a0/\u00a07"}


def show_value(kpi: Kpi, value: float | None, language: str) -> str:
    """Return a value in a KPI's unit; a dash where there is none."""
    if value is None:
        return _NOTHING
    if kpi.unit == SECONDS:
        return show_seconds(value, language)
    number: str = format_decimal(value, format="#,##0.#", locale=language)
    sign = "+" if kpi.unit == POINTS and value > 0 else ""
    return f"{sign}{number}{_AFTER.get(kpi.unit, '')}"


def show_seconds(seconds: float, language: str) -> str:
    """Return a time by its two largest units; a short one by tenths of a second."""
    if seconds < _FEW_S:
        return _unit(round(seconds, 1), "second", language)
    rest, said = round(seconds), []
    for unit, size in _STEPS:
        count, rest = divmod(rest, size)
        if count:
            said.append(_unit(count, unit, language))
        elif said:
            break
    return " ".join(said[:2])


def _unit(count: float, unit: str, language: str) -> str:
    text: str = format_unit(count, f"duration-{unit}", length="short", locale=language)
    return text
