"""Units that a field of a device can have, each with the dimension that it measures."""

_BY_DIMENSION = {
    "temperature": "celsius fahrenheit kelvin",
    "share": "percent ratio ppm",
    "current": "ampere milliampere",
    "voltage": "volt millivolt",
    "power": "watt kilowatt voltampere",
    "energy": "joule kilojoule watthour kilowatthour",
    "resistance": "ohm",
    "frequency": "hertz kilohertz rpm",
    "pressure": "pascal hectopascal kilopascal bar millibar psi",
    "length": "metre kilometre centimetre millimetre foot inch mile",
    "speed": "metre_per_second kilometre_per_hour mile_per_hour knot",
    "acceleration": "metre_per_second_squared g_force",
    "mass": "kilogram gram tonne pound",
    "volume": "litre millilitre cubic_metre gallon",
    "flow": "litre_per_minute litre_per_hour cubic_metre_per_hour",
    "force": "newton",
    "torque": "newton_metre",
    "light": "lux lumen",
    "sound": "decibel",
    "signal": "dbm",
    "angle": "degree radian",
    "time": "second millisecond minute hour day",
    "count": "cycle count piece person",
    "data": "byte kilobyte megabyte",
}

UNITS = {unit: dimension for dimension, units in _BY_DIMENSION.items() for unit in units.split()}
"""Unit to dimension."""

_IN_BASE = {
    "celsius": (1.0, 0.0),
    "fahrenheit": (1 / 1.8, -32 / 1.8),
    "kelvin": (1.0, -273.15),
    "percent": (1.0, 0.0),
    "ratio": (100.0, 0.0),
    "ppm": (1e-4, 0.0),
    "ampere": (1.0, 0.0),
    "milliampere": (1e-3, 0.0),
    "volt": (1.0, 0.0),
    "millivolt": (1e-3, 0.0),
    "watt": (1.0, 0.0),
    "kilowatt": (1e3, 0.0),
    "joule": (1.0, 0.0),
    "kilojoule": (1e3, 0.0),
    "watthour": (3.6e3, 0.0),
    "kilowatthour": (3.6e6, 0.0),
    "hertz": (1.0, 0.0),
    "kilohertz": (1e3, 0.0),
    "rpm": (1 / 60, 0.0),
    "pascal": (1.0, 0.0),
    "hectopascal": (1e2, 0.0),
    "kilopascal": (1e3, 0.0),
    "bar": (1e5, 0.0),
    "millibar": (1e2, 0.0),
    "psi": (6894.757293168, 0.0),
    "metre": (1.0, 0.0),
    "kilometre": (1e3, 0.0),
    "centimetre": (1e-2, 0.0),
    "millimetre": (1e-3, 0.0),
    "foot": (0.3048, 0.0),
    "inch": (0.0254, 0.0),
    "mile": (1609.344, 0.0),
    "metre_per_second": (1.0, 0.0),
    "kilometre_per_hour": (1 / 3.6, 0.0),
    "mile_per_hour": (0.44704, 0.0),
    "knot": (1852 / 3600, 0.0),
    "metre_per_second_squared": (1.0, 0.0),
    "g_force": (9.80665, 0.0),
    "kilogram": (1.0, 0.0),
    "gram": (1e-3, 0.0),
    "tonne": (1e3, 0.0),
    "pound": (0.45359237, 0.0),
    "litre": (1.0, 0.0),
    "millilitre": (1e-3, 0.0),
    "cubic_metre": (1e3, 0.0),
    "gallon": (3.785411784, 0.0),
    "litre_per_minute": (1.0, 0.0),
    "litre_per_hour": (1 / 60, 0.0),
    "cubic_metre_per_hour": (1e3 / 60, 0.0),
    "degree": (1.0, 0.0),
    "radian": (57.29577951308232, 0.0),
    "second": (1.0, 0.0),
    "millisecond": (1e-3, 0.0),
    "minute": (60.0, 0.0),
    "hour": (3600.0, 0.0),
    "day": (86_400.0, 0.0),
    "byte": (1.0, 0.0),
    "kilobyte": (1e3, 0.0),
    "megabyte": (1e6, 0.0),
}
"""Unit to the factor and the offset that bring it to the first unit of its dimension."""


def conversion(sent: str, unit: str) -> tuple[float, float] | None:
    """Return the factor and the offset that turn a number in `sent` into one in `unit`.

    None where there is no such way: they measure different things, or not on one scale.
    """
    if sent == unit:
        return 1.0, 0.0
    if UNITS[sent] != UNITS[unit] or sent not in _IN_BASE or unit not in _IN_BASE:
        return None
    (factor, offset), (wanted_factor, wanted_offset) = _IN_BASE[sent], _IN_BASE[unit]
    return factor / wanted_factor, (offset - wanted_offset) / wanted_factor
