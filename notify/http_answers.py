"""What the answers of a provider over HTTP say besides their content."""

import ssl
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import requests


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return how many seconds `Retry-After` asks for, or None.

    A date counts from the answer's own `Date`, so that two machines' clocks are not compared.
    """
    named = {name.lower(): str(value).strip() for name, value in headers.items()}
    advice = named.get("retry-after", "")
    if advice.isdecimal():
        return float(advice)
    try:
        until, now = parsedate_to_datetime(advice), parsedate_to_datetime(named.get("date", ""))
        return max(0.0, (until - now).total_seconds())
    except (TypeError, ValueError):
        return None


def never_connected(error: requests.ConnectionError) -> bool:
    """Return whether a request was certainly not taken: nobody was there, or somebody not trusted."""
    cause = error.args[0] if error.args else None
    reason = getattr(cause, "reason", cause)
    if any(isinstance(one, ssl.SSLCertVerificationError) for one in getattr(reason, "args", ())):
        return True
    return type(reason).__name__ in {"NewConnectionError", "NameResolutionError"}
