"""When was it observed: the device's own timestamp where it is sane, else the time of arrival."""

from datetime import UTC, datetime
from typing import Any

from prevenant.domain import DeviceType

# A number's magnitude tells its unit: each bound is a date beyond the year 5000 in the smaller unit.
_MILLISECONDS, _MICROSECONDS, _NANOSECONDS = 1e11, 1e14, 1e17


def observed_at(stamp: Any, received_at: float, device_type: DeviceType) -> tuple[float, bool]:
    """Return when a reading was observed, in seconds since 1970, and whether the device said so.

    A stamp that is missing, unreadable, further ahead than the type's `max_skew` or further behind than
    its `max_late` is not believed; the reading then counts from its arrival.
    """
    # Nearly every reading passes here, and most carry seconds as they are.
    is_plain = type(stamp) is float and 0 < stamp < _MILLISECONDS
    seconds: float | None = stamp if is_plain else stamp_seconds(stamp)
    if (
        seconds is None
        or seconds - received_at > device_type.max_skew_s
        or received_at - seconds > device_type.max_late_s
    ):
        return received_at, False
    return seconds, True


def stamp_seconds(stamp: Any) -> float | None:
    """Return a timestamp as seconds since 1970, or None where it is no time.

    Numbers, also those sent as a text, count seconds, milli-, micro- or nanoseconds by their size; other
    texts are ISO 8601, in UTC where they name no zone.
    """
    if isinstance(stamp, (int, float)) and not isinstance(stamp, bool):
        try:
            return _number_seconds(float(stamp))
        except OverflowError:
            return None
    if isinstance(stamp, str):
        seconds = _iso_seconds(stamp)
        # Some numbers read as a date, of a year long before devices.
        return _written_seconds(stamp.strip()) if seconds is None or seconds < 0 else seconds
    return None


def _iso_seconds(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _written_seconds(text: str) -> float | None:
    """Return what a text with blanks around it says, or a number that is sent as a text."""
    try:
        return _number_seconds(float(text))
    except ValueError:
        return _iso_seconds(text)


def _number_seconds(number: float) -> float | None:
    if number >= _NANOSECONDS:
        return number / 1e9
    if number >= _MICROSECONDS:
        return number / 1e6
    if number >= _MILLISECONDS:
        return number / 1e3
    return number if number > 0 else None
