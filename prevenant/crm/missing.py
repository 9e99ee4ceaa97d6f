"""How many rows may go at once because a list has them no more, before the list is doubted."""

import re

MOST_REMOVED = 0.5
"""An empty answer, or half of one, says more of who gave it than of the rows that it lacks."""

_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:%|percent)", re.ASCII)


def read_share(text: str) -> float:
    """Return a share as a number up to 1. Raises ValueError with the remedy."""
    found = _SHARE.fullmatch(text.strip())
    share = float(found[1]) / 100 if found else -1.0
    if not 0 <= share <= 1:
        message = f"{text!r} is no share: write one from 0% to 100%, such as 20%"
        raise ValueError(message)
    return share
