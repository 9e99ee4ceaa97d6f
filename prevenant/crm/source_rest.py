"""An outside CRM that is a REST API: pages of items as JSON, those that changed since the last time."""

import json
import re
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import requests
from urllib3.exceptions import HTTPError, ReadTimeoutError

from prevenant.crm.cursors import cap_cursor, cursor_order, decode_cursor, encode_cursor
from prevenant.crm.source import Feed, Page
from prevenant.domain import PayloadPath
from prevenant.errors import CrmUnavailable

_MAX_BYTES = 64 * 1024 * 1024
_MAX_PAGES = 100_000
_CHUNK = 64 * 1024
_REDIRECT, _REFUSED, _THROTTLED, _BROKEN = 300, 400, 429, 500
_UNAUTHORISED, _MISSING, _NO_CONTENT = (401, 403), 404, 204
_COUNTED = ("page", "offset")
_PAUSES_S = (1.0, 4.0, 15.0)
"""How long is waited before a page is asked for again, where the API does not say."""
_LONGEST_WAIT_S, _A_DAY_S = 300.0, 86_400.0
"""Whoever lets us wait for longer is left alone until then."""
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Paging:
    """How an API gives its pages."""

    style: str = "none"
    """`none`, `page`, `offset`, `cursor` or `link`."""
    parameter: str = ""
    """The name of the page's number, of the offset, or of the cursor."""
    size_parameter: str = ""
    size: int = 100
    first: int = 1
    """The number of the first page."""
    next: PayloadPath | None = None
    """Where the next cursor or link stands; None with `link`: in the header Link."""


@dataclass(frozen=True, slots=True)
class Login:
    """How we say who we are."""

    headers: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    password: str = field(default="", repr=False)


class RestSource:
    """Reads with GET, and follows no redirection: it would carry our secrets elsewhere."""

    def __init__(
        self,
        name: str,
        url: str,
        every_s: float,
        timeout_s: float,
        feeds: Mapping[str, Feed],
        login: Login,
    ) -> None:
        self.name = name
        self.every_s = every_s
        self.timeout_s = timeout_s
        self.feeds = feeds
        self._url = url.rstrip("/") + "/"
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers.update({"Accept": "application/json", **login.headers})
        if login.user:
            self._session.auth = (login.user, login.password)

    def read(self, feed: Feed, cursor: str) -> Generator[Page, None, None]:
        """Yield items page by page; the last page has the new cursor. Raises CrmUnavailable."""
        newest = decode_cursor(cursor) if cursor else None
        began_at: datetime | None = None
        waiting: list[Any] | None = None
        for one in self._pages(feed, cursor):
            if isinstance(one, float):
                yield Page([], wait_s=one)
                continue
            began_at = began_at or one.at
            if waiting is not None:
                yield Page(waiting)
            waiting = one.items
            for item in one.items if feed.cursor else ():
                value = _number(feed.cursor.find(item)) if feed.cursor else ""
                if value != "" and (newest is None or cursor_order(value) > cursor_order(newest)):
                    newest = value
        kept = "" if newest is None else encode_cursor(newest)
        if kept and began_at is not None:
            # What changed after its page was read may be older than what was read last.
            kept = cap_cursor(kept, began_at)
        yield Page(waiting or [], kept)

    def close(self) -> None:
        """Give back all connections."""
        self._session.close()

    def _pages(self, feed: Feed, cursor: str) -> Iterator["_Answer | float"]:
        """Yield answers, and for how many seconds to wait before the next."""
        paging: Paging = feed.place["pages"]
        url = urljoin(self._url, feed.place["path"].lstrip("/"))
        asked: Mapping[str, Any] = _first_question(feed, paging, cursor)
        before: list[Any] = []
        for number in range(_MAX_PAGES):
            try:
                answer = yield from self._ask(url, asked, is_first=number == 0)
            except _NotFound:
                if paging.style == "page" and number:
                    # Many a server has no page behind the last one.
                    return
                raise
            items = answer.items
            if not answer.is_empty:
                items = answer.items = _items(feed.place.get("items"), answer.body)
            if paging.style in _COUNTED and items and items == before:
                if number > 1:
                    # Others give the last page again.
                    return
                message = f"every page is the same: {paging.parameter!r} is not how it is paged"
                raise CrmUnavailable(message, whole=False)
            yield answer
            before = items
            following = _next_question(feed, url, asked, answer)
            if following is None:
                return
            url, asked = following
        message = f"there are more than {_MAX_PAGES} pages"
        raise CrmUnavailable(message, whole=False)

    def _ask(
        self, url: str, asked: Mapping[str, Any], *, is_first: bool
    ) -> Generator[float, None, "_Answer"]:
        """Return a page, asked for again after a wait where there was trouble behind the first one.

        To begin anew would cost all that was read, and where requests are counted never end.
        """
        for pause_s in _PAUSES_S:
            try:
                return self._get(url, asked)
            except _Passing as error:
                wait_s = error.retry_after_s or pause_s
                if is_first or wait_s > _LONGEST_WAIT_S:
                    raise
                yield wait_s
        return self._get(url, asked)

    def _get(self, url: str, parameters: Mapping[str, Any]) -> "_Answer":
        patience = time.monotonic() + 6 * self.timeout_s
        try:
            with self._session.get(
                url,
                params=parameters,
                timeout=self.timeout_s,
                stream=True,
                allow_redirects=False,
            ) as answer:
                _judge_status(answer)
                body = bytearray()
                # As much as there is: to wait for a whole chunk could take for ever.
                while chunk := answer.raw.read1(_CHUNK, decode_content=True):
                    body += chunk
                    if len(body) > _MAX_BYTES or time.monotonic() > patience:
                        message = (
                            "its answer is too long, or comes too slowly: ask for smaller pages"
                        )
                        raise CrmUnavailable(message)
                link = answer.links.get("next", {}).get("url", "")
                at = _moment(answer.headers.get("Date", ""))
                if answer.status_code == _NO_CONTENT:
                    return _Answer({}, link, at, is_empty=True)
                return _Answer(json.loads(body), link, at)
        except (requests.Timeout, ReadTimeoutError):
            message = f"it did not answer within {self.timeout_s:g} s"
            raise _Passing(message) from None
        except (requests.RequestException, HTTPError) as error:
            message = f"it does not answer: {type(error).__name__}"
            raise _Passing(message) from error
        except (ValueError, RecursionError):
            # No JSON, no text, a number of thousands of digits, or brackets without end.
            message = "it answers with something that is no JSON: check the path"
            raise CrmUnavailable(message, whole=False) from None


@dataclass(slots=True)
class _Answer:
    """One page."""

    body: Any
    link: str
    """To the next one, where the header has it."""
    at: datetime | None
    """What their clock showed."""
    is_empty: bool = False
    """Whether it says by its status alone that there is nothing."""
    items: list[Any] = field(default_factory=list)


class _NotFound(CrmUnavailable):
    """There is nothing at this address."""


class _Passing(CrmUnavailable):
    """Trouble that may be over in a moment."""


def _first_question(feed: Feed, paging: Paging, cursor: str) -> dict[str, Any]:
    asked = dict(feed.place["parameters"])
    if cursor and feed.place["since"]:
        asked[feed.place["since"]] = decode_cursor(cursor, feed.overlap_s)
    if paging.size_parameter:
        asked[paging.size_parameter] = paging.size
    if paging.style in _COUNTED:
        asked[paging.parameter] = paging.first if paging.style == "page" else 0
    return asked


def _next_question(
    feed: Feed, url: str, asked: Mapping[str, Any], answer: _Answer
) -> tuple[str, Mapping[str, Any]] | None:
    """Return where the next page is and what to ask for; None behind the last."""
    paging: Paging = feed.place["pages"]
    if paging.style in _COUNTED:
        step = 1 if paging.style == "page" else len(answer.items)
        following: Any = asked[paging.parameter] + step if answer.items else None
    else:
        following = paging.next.find(answer.body) if paging.next else answer.link
    if paging.style == "none" or not following or following == asked.get(paging.parameter):
        return None
    if paging.style == "link":
        url = _same_place(url, str(following))
        return url, _not_in(url, feed.place["parameters"])
    return url, {**asked, paging.parameter: following}


def _same_place(url: str, link: str) -> str:
    try:
        following = urljoin(url, link)
        here, there = urlsplit(url), urlsplit(following)
    except ValueError:
        message = "its link to the next page is no address: it cannot be followed"
        raise CrmUnavailable(message, whole=False) from None
    if (here.scheme, here.netloc) != (there.scheme, there.netloc):
        message = f"the next page is elsewhere, on {there.netloc}: our secrets do not go there"
        raise CrmUnavailable(message, whole=False)
    return following


def _not_in(url: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that a link has not got itself, such as a key."""
    there = parse_qs(urlsplit(url).query, keep_blank_values=True)
    return {name: value for name, value in parameters.items() if name not in there}


def _judge_status(answer: requests.Response) -> None:
    code = answer.status_code
    if code >= _BROKEN or code == _THROTTLED:
        wait_s = _advice_s(answer)
        when = f"in {wait_s:g} s" if wait_s else "later"
        message = f"it answers with {code}: trying again {when}"
        raise _Passing(message, retry_after_s=wait_s)
    if code in _UNAUTHORISED:
        message, whole = f"it refuses us with {code}: check `auth`", True
    elif code == _MISSING:
        message = f"it answers with {code}: check the path"
        raise _NotFound(message, whole=False)
    elif code >= _REFUSED:
        message, whole = f"it answers with {code}: check the path", False
    elif code >= _REDIRECT:
        message = f"it sends us elsewhere ({code}): write the address that it is at now"
        whole = False
    else:
        return
    raise CrmUnavailable(message, whole=whole)


def _advice_s(answer: requests.Response) -> float:
    """Return after how long we may ask again: Retry-After has seconds, or a date by their clock."""
    text = answer.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdecimal():
        return min(float(text), _A_DAY_S)
    until, at = _moment(text), _moment(answer.headers.get("Date", ""))
    if until is None or at is None:
        return 0.0
    return min(max(0.0, (until - at).total_seconds()), _A_DAY_S)


def _moment(text: str) -> datetime | None:
    """Return the moment that a header has."""
    with suppress(ValueError, TypeError):
        found = parsedate_to_datetime(text)
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    return None


def _items(path: PayloadPath | None, answer: Any) -> list[Any]:
    items = path.find(answer) if path else answer
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        where = "at `items`" if path else "in the answer"
        message = f"there is no list of objects {where}: check `items`"
        raise CrmUnavailable(message, whole=False)
    return items


def _number(value: Any) -> Any:
    """Return a number as one, so that 9 comes before 10; a text with leading zeros is none."""
    text = str(value)
    if not _NUMBER.fullmatch(text):
        return text
    return float(text) if "." in text else int(text)
