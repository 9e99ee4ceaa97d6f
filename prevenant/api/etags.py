"""Entity tags (RFC 9110): what has not changed is not sent again, and what has is not overwritten unseen.

Every JSON answer to a GET carries an `ETag`; with it in `If-None-Match` the same answer is a 304 without
a body. Where a thing can be changed, its tag in `If-Match` lets the change through only while it is as it
was seen, and `If-None-Match: *` only where there is none yet.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any

from fastapi import Request, status
from fastapi.encoders import jsonable_encoder
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prevenant.api.problems import Refusal

PREFIX = "/api/v1/"
_DIGITS = 32
_ANY = "*"
_LEFT_OUT = ("content-length", "content-type")


class Tagged:
    """Gives JSON answers to GET their tag, and leaves out what whoever asks has already."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and hold its answer back until it is whole."""
        is_asked = scope["type"] == "http" and scope["method"] == "GET"
        if not is_asked or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        parts: list[bytes] = []

        async def tagged(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _is_tagged(message):
                start = message
            elif start is None:
                await send(message)
            else:
                parts.append(message.get("body", b""))
                if not message.get("more_body", False):
                    body = _finish(start, b"".join(parts), Headers(scope=scope))
                    await send(start)
                    await send({"type": "http.response.body", "body": body})

        await self._app(scope, receive, tagged)


def etag_of(value: Any) -> str:
    """Return the tag of what the API tells of one thing."""
    text = json.dumps(jsonable_encoder(value), sort_keys=True, separators=(",", ":"))
    return _tag(text.encode())


def check_unchanged(request: Request, find: Callable[[], Any | None]) -> None:
    """Refuse a change where what it changes is not as it was seen; `find` returns it, or None."""
    wanted, unwanted = (request.headers.getlist(name) for name in ("if-match", "if-none-match"))
    if not (wanted or unwanted):
        return
    current = find()
    tag = None if current is None else etag_of(current)
    if wanted and not _names(wanted, tag):
        message = "it has changed since it was read: read it again, and decide anew"
        raise Refusal(status.HTTP_412_PRECONDITION_FAILED, "changed", message)
    if unwanted and _names(unwanted, tag):
        message = "it is there already: read it, and send its ETag in If-Match to change it"
        raise Refusal(status.HTTP_412_PRECONDITION_FAILED, "changed", message)


def _is_tagged(start: Message) -> bool:
    headers = MutableHeaders(scope=start)
    is_json = headers.get("content-type", "").startswith("application/json")
    is_kept = "no-store" not in headers.get("cache-control", "")
    return start["status"] == status.HTTP_200_OK and is_json and is_kept


def _finish(start: Message, body: bytes, asked: Headers) -> bytes:
    """Complete the head of an answer, and return the body that goes with it."""
    headers = MutableHeaders(scope=start)
    tag = headers.setdefault("ETag", _tag(body))
    headers.setdefault("Cache-Control", "private, no-cache")
    headers.add_vary_header("Authorization, Cookie")
    if not _names(asked.getlist("if-none-match"), tag):
        return body
    start["status"] = status.HTTP_304_NOT_MODIFIED
    for name in _LEFT_OUT:
        if name in headers:
            del headers[name]
    return b""


def _names(given: Iterable[str], tag: str | None) -> bool:
    """Return whether headers name a tag, or any; without a tag there is nothing to name."""
    named = {part.strip().removeprefix("W/") for line in given for part in line.split(",")}
    return tag is not None and (tag in named or _ANY in named)


def _tag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:_DIGITS]}"'
