"""How users name a time, on the command line and in the console."""

from contextlib import suppress
from datetime import UTC, datetime

from prevenant.durations import parse_duration
from prevenant.errors import ConfigurationError

FIRST_AT, LAST_AT = datetime(1900, 1, 1, tzinfo=UTC), datetime(9990, 1, 1, tzinfo=UTC)
"""Between these a time can be told in every time zone, and reckoned with."""


def read_moment(text: str, now: datetime) -> float:
    """Return the time that a user named, in seconds since 1970: in ISO 8601, or how long ago."""
    with suppress(ValueError):
        return now.timestamp() - parse_duration(text)
    try:
        return _read_utc(text).timestamp()
    except (ValueError, OverflowError):
        message = f"{text!r} is no time: write one such as 2026-11-23T08:00, or how long ago: 24h"
        raise ConfigurationError(message) from None


def read_time(text: str) -> datetime:
    """Return the time that a user named in ISO 8601; without an offset it is in UTC."""
    try:
        return _read_utc(text)
    except (ValueError, OverflowError):
        message = f"{text!r} is no time: write one such as 2026-05-04T08:00+02:00"
        raise ConfigurationError(message) from None


def _read_utc(text: str) -> datetime:
    """Return a time of ISO 8601. Raises ValueError for one at the ends of the calendar, too."""
    at = datetime.fromisoformat(text)
    at = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    if not FIRST_AT <= at <= LAST_AT:
        raise ValueError(text)
    return at
