"""What the answers of a provider over HTTP say besides their content."""

import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import requests

from prevenant.clock import wall_time


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return how many seconds `Retry-After` asks for, or None where it asks for none.

    A date counts from the answer's own `Date`, so that two machines' clocks are not compared; where there
    is none, from our own clock. Whoever says "at once" is asked again after the usual pause.
    """
    named = {name.lower(): str(value).strip() for name, value in headers.items()}
    advice = named.get("retry-after", "")
    if advice.isdecimal():
        return float(advice) or None
    until, now = _read_date(advice), _read_date(named.get("date", "")) or wall_time()
    seconds = (until - now).total_seconds() if until is not None else 0.0
    return seconds if seconds > 0.0 else None


def _read_date(text: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    # `-0000` says that it is UTC, without a word on where that was.
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def never_connected(error: requests.ConnectionError) -> bool:
    """Return whether a request was certainly not taken: nobody was there, or somebody not trusted."""
    cause = error.args[0] if error.args else None
    reason = getattr(cause, "reason", cause)
    if any(isinstance(one, ssl.SSLCertVerificationError) for one in getattr(reason, "args", ())):
        return True
    return type(reason).__name__ in {"NewConnectionError", "NameResolutionError"}
