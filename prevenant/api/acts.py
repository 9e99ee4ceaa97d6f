"""Every act in the trail, whichever page or program it came through: no route can forget it.

What changes something is begun in the trail once it is known who asks and that they may, and ended with
the answer. What is refused is written there too where it is known who asked; a stranger's tries are not,
else anybody could fill the store.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from string import Formatter
from typing import Any

import structlog
from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prevenant.access.digests import Origins
from prevenant.access.roles import Actor
from prevenant.access.trail import DONE, What, begin_act, end_act, forget_acts, outcome_of
from prevenant.errors import StoreUnavailable, mask_addresses
from prevenant.settings import Settings
from prevenant.store import Store, written_apart

log = structlog.get_logger()

HARMLESS = frozenset({"GET", "HEAD", "OPTIONS"})
_NO_ACTS = (
    "/webhooks/",
    "/api/v1/readings",
    "/api/v1/technicians/{technician_id}/position",
    "/j/{token}/position",
)
"""What machines tell by the thousand and is kept elsewhere: receipts, replies, readings, positions."""
_SECRETS = frozenset({"token", "code", "secret"})
"""Parts of a path that open something."""
_HIDDEN = "…"
_LOOKED_AFTER = 1_000
"""After so many acts what is old is forgotten."""
_LONGEST_REASON = 300


@dataclass(frozen=True, slots=True)
class Doer:
    """Who does something without being known yet, or without an account."""

    name: str
    key: str = ""


class Trailed:
    """Ends each line of the trail with what was answered, and writes those that nobody has begun."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and write how it ended before the answer is given."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        ended = False

        async def trailed(message: Message) -> None:
            nonlocal ended
            if message["type"] == "http.response.start" and not ended:
                ended = True
                await _end(scope, message["status"])
            await send(message)

        try:
            await self._app(scope, receive, trailed)
        except Exception:
            if not ended:
                await _end(scope, 500)
            raise


def begin(request: Request, actor: Actor) -> None:
    """Begin a line for what somebody is about to do."""
    if not _is_act(request.scope):
        return
    store: Store = request.app.state.store
    now: datetime = request.app.state.clock.now()
    origin = origin_of(request)
    with written_apart(), store.write() as session:
        request.state.act = begin_act(
            session,
            _what(request.scope),
            now,
            actor=actor.name,
            key=actor.key,
            origin=origin,
        )
        if request.state.act % _LOOKED_AFTER == 0:
            settings: Settings = request.app.state.settings
            forget_acts(session, now, timedelta(seconds=settings.trail_keep_s))


def name_doer(request: Request, name: str, key: str = "") -> None:
    """Say who does what the request asks for, where that is nobody who has signed in."""
    request.state.doer = Doer(name, key)


def call_act(request: Request) -> None:
    """Let a request that only reads stand in the trail: what it gives away is worth it."""
    request.state.is_act = True


def call_refused(request: Request, reason: str) -> None:
    """Say that what was asked for was not done, although the answer is a page that says why."""
    request.state.is_refused = True
    add_detail(request, reason=mask_addresses(reason)[:_LONGEST_REASON])


def add_detail(request: Request, **values: Any) -> None:
    """Say more of what is done than its path does; nothing secret, no address."""
    request.state.act_detail = {**getattr(request.state, "act_detail", {}), **values}


def origin_of(request: Request) -> str:
    """Return a digest of the address that a request comes from."""
    origins: Origins = request.app.state.origins
    return origins.digest(request.client.host if request.client else "")


def _is_act(scope: Scope) -> bool:
    route = getattr(scope.get("route"), "path", "")
    asked = scope["method"] not in HARMLESS or scope.get("state", {}).get("is_act", False)
    return bool(route) and asked and not route.startswith(_NO_ACTS)


def _what(scope: Scope) -> What:
    route: str = scope["route"].path
    values = {
        name: _HIDDEN if name in _SECRETS else str(value)
        for name, value in scope.get("path_params", {}).items()
    }
    path = ""
    for text, name, _, _ in Formatter().parse(route):
        path += text + (values.get(name, "") if name else "")
    return What(scope["method"], route.replace(":path}", "}"), path)


async def _end(scope: Scope, status: int) -> None:
    # Most requests are no acts, and need no other thread.
    if _is_act(scope):
        await run_in_threadpool(_end_act, scope, status)


def _end_act(scope: Scope, status: int) -> None:
    state = scope.get("state", {})
    actor, doer = state.get("actor"), state.get("doer")
    try:
        _write_end(scope, status, actor or doer)
    except StoreUnavailable as error:
        # It is done already, and stays begun in the trail.
        log.warning("how an act ended could not be written", error=str(error))


def _write_end(scope: Scope, status: int, who: Actor | Doer | None) -> None:
    store: Store = scope["app"].state.store
    state = scope.get("state", {})
    number = state.get("act")
    if number is None:
        if who is None and outcome_of(status) != DONE:
            return
        origin = origin_of(Request(scope))
        with written_apart(), store.write() as session:
            number = begin_act(
                session,
                _what(scope),
                scope["app"].state.clock.now(),
                actor=who.name if who else "",
                key=who.key if who else "",
                origin=origin,
            )
            end_act(
                session,
                number,
                status,
                state.get("act_detail"),
                is_refused=state.get("is_refused", False),
            )
        return
    with written_apart(), store.write() as session:
        end_act(
            session,
            number,
            status,
            state.get("act_detail"),
            is_refused=state.get("is_refused", False),
        )
