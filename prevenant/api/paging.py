"""Lists a page at a time: how many are wanted, from where on, and the address of the next page.

An answer is the list itself. Where there is more, its header `Link` (RFC 8288) names the next page with
`rel="next"`; the cursor in it is opaque, and says behind which row the page begins, so that rows that come
meanwhile move nothing.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NoBase64
from collections.abc import Callable, Iterable
from typing import Annotated, TypeVar
from urllib.parse import parse_qsl, urlencode

from fastapi import Depends, Path, Query, Request, Response, status

from prevenant.api.problems import Refusal

Key = int | str | float
"""What tells a row from those before and behind it, in the order of its list."""

_MOST = 1_000
_LONGEST = 1_000
_LARGEST = 2**63 - 1

T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=_MOST, description="How many rows at most.")]
Cursor = Annotated[
    str,
    Query(
        max_length=_LONGEST,
        description="Where the page begins, as the `Link` of the page before says it.",
    ),
]


class Page:
    """One page of a list."""

    def __init__(
        self, request: Request, response: Response, limit: Limit = 100, cursor: Cursor = ""
    ) -> None:
        self._request, self._response = request, response
        self.limit = limit
        self.key = self._read(cursor) if cursor else None
        """The key of the row behind which the page begins; None: it is the first."""

    @property
    def fetched(self) -> int:
        """How many rows to look for: one more than are given tells whether there are more."""
        return self.limit + 1

    @property
    def number(self) -> int | None:
        """The key, of a list whose rows have numbers."""
        return self._checked(int)

    @property
    def text(self) -> str | None:
        """The key, of a list whose rows have names."""
        return self._checked(str)

    def give(self, found: Iterable[T], key_of: Callable[[T], Key | None]) -> list[T]:
        """Return what of `found` is on this page, and name the next one where there is more."""
        rows = list(found)
        if len(rows) > self.limit:
            rows = rows[: self.limit]
            self.name_next(key_of(rows[-1]))
        return rows

    def name_next(self, key: Key | None) -> None:
        """Name the page that begins behind a key."""
        self._response.headers["Link"] = f'<{self._address(key)}>; rel="next"'

    def _checked(self, kind: type[T]) -> T | None:
        if self.key is None or type(self.key) is kind:
            return self.key
        raise _no_cursor()

    def _address(self, key: Key | None) -> str:
        url = self._request.url
        kept = [(name, value) for name, value in parse_qsl(url.query) if name != "cursor"]
        query = urlencode([*kept, ("cursor", _write(self._request.url.path, key))])
        # Without a host: whoever asks knows better under which name we were reached.
        return f"{url.path}?{query}"

    def _read(self, cursor: str) -> Key:
        try:
            path, key = json.loads(urlsafe_b64decode(cursor.encode()))
        except (NoBase64, ValueError, TypeError):
            raise _no_cursor() from None
        is_number = isinstance(key, int | float) and not isinstance(key, bool)
        is_key = isinstance(key, str) or (is_number and abs(key) <= _LARGEST)
        if path != self._request.url.path or not is_key:
            raise _no_cursor()
        found: Key = key
        return found


Paged = Annotated[Page, Depends()]

RowId = Annotated[int, Path(ge=1, le=2**31 - 1, description="The number of a row.")]


def _write(path: str, key: Key | None) -> str:
    return urlsafe_b64encode(json.dumps([path, key]).encode()).decode()


def _no_cursor() -> Refusal:
    return Refusal(
        status.HTTP_422_UNPROCESSABLE_CONTENT,
        "invalid",
        "this cursor belongs to no page of this list: begin without one",
    )
