"""Public holidays of a country or a region, from the library `holidays`."""

from datetime import date
from functools import cache

import holidays

EXAMPLE = "write a country, perhaps with a region, such as FR or DE-BY"


def holiday_name(code: str, day: date) -> str:
    """Return what is celebrated on `day` where `code` (`FR`, `DE-BY`) says, or nothing."""
    return str(_calendar(code).get(day, "")) if code else ""


def judge_code(code: str) -> str:
    """Return `code` in capitals. Raises ValueError with the form that is expected."""
    try:
        _calendar(code.upper())
    except NotImplementedError:
        message = f"there are no public holidays for {code!r}: {EXAMPLE}"
        raise ValueError(message) from None
    return code.upper()


@cache
def _calendar(code: str) -> holidays.HolidayBase:
    country, _, region = code.partition("-")
    return holidays.country_holidays(country, subdiv=region or None)
