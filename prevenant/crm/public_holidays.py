"""Public holidays of a country or a region, such as `FR` or `DE-BY`, from the library `holidays`."""

from datetime import date
from functools import cache, lru_cache

import holidays as calendars

EXAMPLE = "write a country, perhaps with a region, such as FR or DE-BY"


@lru_cache(maxsize=10_000)
def holiday_on(region: str, day: date) -> str:
    """Return the name of a region's public holiday, or nothing; an unknown region has none."""
    calendar = _calendar(region) if region else None
    return "" if calendar is None else str(calendar.get(day) or "")


def judge_region(text: str) -> str:
    """Return a region in capitals. Raises ValueError with the form that is expected."""
    region = text.strip().upper()
    if region and _calendar(region) is None:
        message = f"there are no public holidays for {text!r}: {EXAMPLE}"
        raise ValueError(message)
    return region


@cache
def _calendar(region: str) -> calendars.HolidayBase | None:
    country, _, part = region.partition("-")
    if not callable(getattr(calendars, country, None)):
        # The library looks the name up among all that it has: SAT is a number there.
        return None
    try:
        return calendars.country_holidays(country, subdiv=part or None, language="en_US")
    except NotImplementedError:
        return None
