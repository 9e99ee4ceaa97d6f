"""An outside CRM that is a REST API: pages of items as JSON, those that changed since the last time."""

import json
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests

from prevenant.crm.source import Feed, Page, cursor_order, decode_cursor, encode_cursor
from prevenant.domain import PayloadPath
from prevenant.errors import CrmUnavailable

_MAX_BYTES = 64 * 1024 * 1024
_MAX_PAGES = 100_000
_CHUNK = 64 * 1024
_REDIRECT, _REFUSED, _THROTTLED, _BROKEN = 300, 400, 429, 500
_UNAUTHORISED = (401, 403)
_COUNTED = ("page", "offset")


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
        self.feeds = feeds
        self._url = url.rstrip("/") + "/"
        self._timeout_s = timeout_s
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers.update({"Accept": "application/json", **login.headers})
        if login.user:
            self._session.auth = (login.user, login.password)

    def read(self, feed: Feed, cursor: str) -> Generator[Page, None, None]:
        """Yield items page by page; the last page has the new cursor. Raises CrmUnavailable."""
        newest = decode_cursor(cursor) if cursor else None
        waiting: list[Any] | None = None
        for items in self._pages(feed, cursor):
            if waiting is not None:
                yield Page(waiting)
            waiting = items
            for item in items if feed.cursor else ():
                value = feed.cursor.find(item) if feed.cursor else ""
                value = _number(value)
                if value != "" and (newest is None or cursor_order(value) > cursor_order(newest)):
                    newest = value
        yield Page(waiting or [], "" if newest is None else encode_cursor(newest))

    def close(self) -> None:
        """Give back all connections."""
        self._session.close()

    def _pages(self, feed: Feed, cursor: str) -> Iterator[list[Any]]:
        paging: Paging = feed.place["pages"]
        url = urljoin(self._url, feed.place["path"].lstrip("/"))
        asked = _first_question(feed, paging, cursor)
        before: list[Any] | None = None
        for _ in range(_MAX_PAGES):
            answer, link = self._get(url, asked)
            items = _items(feed.place.get("items"), answer)
            if paging.style in _COUNTED and items and items == before:
                message = f"every page is the same: {paging.parameter!r} is not how it is paged"
                raise CrmUnavailable(message, whole=False)
            yield items
            before = items
            if paging.style in _COUNTED:
                if not items:
                    return
                step = 1 if paging.style == "page" else len(items)
                asked = {**asked, paging.parameter: asked[paging.parameter] + step}
                continue
            following = paging.next.find(answer) if paging.next else link
            if paging.style == "none" or not following:
                return
            if paging.style == "link":
                url, asked = _same_place(url, str(following)), {}
            elif following == asked.get(paging.parameter):
                return
            else:
                asked = {**asked, paging.parameter: following}
        message = f"there are more than {_MAX_PAGES} pages"
        raise CrmUnavailable(message, whole=False)

    def _get(self, url: str, parameters: Mapping[str, Any]) -> tuple[Any, str]:
        """Return the JSON of one page, and the link to the next where the header has it."""
        patience = time.monotonic() + 6 * self._timeout_s
        try:
            with self._session.get(
                url,
                params=parameters,
                timeout=self._timeout_s,
                stream=True,
                allow_redirects=False,
            ) as answer:
                _judge_status(answer)
                body = bytearray()
                for chunk in answer.iter_content(_CHUNK):
                    body += chunk
                    if len(body) > _MAX_BYTES or time.monotonic() > patience:
                        message = (
                            "its answer is too long, or comes too slowly: ask for smaller pages"
                        )
                        raise CrmUnavailable(message)
                return json.loads(body), answer.links.get("next", {}).get("url", "")
        except requests.Timeout:
            message = f"it did not answer within {self._timeout_s:g} s"
            raise CrmUnavailable(message) from None
        except (json.JSONDecodeError, UnicodeDecodeError):
            message = "it answers with something that is no JSON: check the path"
            raise CrmUnavailable(message, whole=False) from None
        except requests.RequestException as error:
            message = f"it does not answer: {type(error).__name__}"
            raise CrmUnavailable(message) from error


def _first_question(feed: Feed, paging: Paging, cursor: str) -> dict[str, Any]:
    asked = dict(feed.place["parameters"])
    if cursor and feed.place["since"]:
        asked[feed.place["since"]] = decode_cursor(cursor, feed.overlap_s)
    if paging.size_parameter:
        asked[paging.size_parameter] = paging.size
    if paging.style in _COUNTED:
        asked[paging.parameter] = paging.first if paging.style == "page" else 0
    return asked


def _same_place(url: str, link: str) -> str:
    following = urljoin(url, link)
    here, there = urlsplit(url), urlsplit(following)
    if (here.scheme, here.netloc) != (there.scheme, there.netloc):
        message = f"the next page is elsewhere, on {there.netloc}: our secrets do not go there"
        raise CrmUnavailable(message, whole=False)
    return following


def _judge_status(answer: requests.Response) -> None:
    code = answer.status_code
    if code >= _BROKEN or code == _THROTTLED:
        message, whole = f"it answers with {code}: trying again later", True
    elif code in _UNAUTHORISED:
        message, whole = f"it refuses us with {code}: check `auth`", True
    elif code >= _REFUSED:
        message, whole = f"it answers with {code}: check the path", False
    elif code >= _REDIRECT:
        message = f"it sends us elsewhere ({code}): write the address that it is at now"
        whole = False
    else:
        return
    raise CrmUnavailable(message, whole=whole)


def _items(path: PayloadPath | None, answer: Any) -> list[Any]:
    items = path.find(answer) if path else answer
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        where = "at `items`" if path else "in the answer"
        message = f"there is no list of objects {where}: check `items`"
        raise CrmUnavailable(message, whole=False)
    return items


def _number(value: Any) -> Any:
    text = str(value)
    return int(text) if text.isdigit() else text
