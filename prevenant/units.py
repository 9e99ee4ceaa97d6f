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
