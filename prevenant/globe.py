"""The Earth as a ball: how far apart two positions are."""

import math

EARTH_KM = 6371.0088
"""The mean radius."""


def distance_km(first: tuple[float, float], second: tuple[float, float]) -> float:
    """Return the great-circle distance of two positions in degrees (haversine)."""
    lat1, lon1, lat2, lon2 = (math.radians(x) for x in (*first, *second))
    half = (
        math.sin((lat2 - lat1) / 2) ** 2
        + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    )
    return 2 * EARTH_KM * math.asin(math.sqrt(min(1.0, half)))
