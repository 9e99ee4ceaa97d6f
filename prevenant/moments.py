"""How users name a time, on the command line and in the console."""

from contextlib import suppress
from datetime import UTC, datetime

from prevenant.durations import parse_duration
from prevenant.errors import ConfigurationError


def read_moment(text: str, now: datetime) -> float:
    """Return the time that a user named, in seconds since 1970: in ISO 8601, or how long ago."""
    with suppress(ValueError):
        return now.timestamp() - parse_duration(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        message = f"{text!r} is no time: write one such as 2026-11-23T08:00, or how long ago: 24h"
        raise ConfigurationError(message) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def read_time(text: str) -> datetime:
    """Return the time that a user named in ISO 8601; without an offset it is in UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        message = f"{text!r} is no time: write one such as 2026-05-04T08:00+02:00"
        raise ConfigurationError(message) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
