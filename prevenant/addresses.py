"""Which texts are addresses of the web."""

from urllib.parse import urlsplit


def is_web_address(text: str) -> bool:
    """Return whether a text is an address that can be asked: https:// or http://, and a host."""
    try:
        parts = urlsplit(text)
        # To read the port is to judge it.
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
