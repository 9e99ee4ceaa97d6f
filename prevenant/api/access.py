"""Who asks, and what they may do: a token in the `Authorization` header, or the cookie of the console.

What a browser sends by itself proves nothing about who wanted it: a request that changes something and
comes with the cookie alone has to carry a proof that only our own pages know.
"""

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Depends, HTTPException, Request, status
from starlette.concurrency import run_in_threadpool

from prevenant.access.actors import find_by_cookie, find_by_token
from prevenant.access.roles import Actor, Grant, Role
from prevenant.access.sign_ins import From, Lasting
from prevenant.api.acts import HARMLESS, begin, origin_of
from prevenant.api.rating import Rating
from prevenant.settings import Settings
from prevenant.store import Store

__all__ = [
    "Actor",
    "Administrator",
    "Author",
    "Grant",
    "Operator",
    "Role",
    "Viewer",
]

COOKIE = "prevenant"
CSRF_FIELD, CSRF_HEADER = "csrf", "x-csrf"
API = "/api/v1/"
_WITHOUT_OWN_PASSWORD = frozenset({"/account", "/account/password", "/logout"})
"""What somebody may ask for whose password another one knows."""


class PasswordDue(HTTPException):
    """The password has to be changed before anything else."""

    def __init__(self) -> None:
        super().__init__(
            status.HTTP_403_FORBIDDEN, "sign in at the console and choose a password of your own"
        )


def find_actor(request: Request) -> Actor | None:
    """Return who asks, or None where nobody known does."""
    store: Store = request.app.state.store
    now: datetime = request.app.state.clock.now()
    bearer = bearer_of(request)
    if bearer:
        return find_by_token(store, bearer, now)
    cookie = request.cookies.get(COOKIE, "")
    return find_by_cookie(store, cookie, now, lasting_of(request)) if cookie else None


def require(
    role: Role | None, *, everywhere: bool = False
) -> Callable[[Request], Awaitable[Actor]]:
    """Return a dependency that lets nobody in who has not `role`, and says who asks.

    Whether the actor has it at the site concerned is for whoever knows the site: `check_site`; what
    concerns all sites asks for it `everywhere`. Without a role it is enough to be known.
    """

    async def find(request: Request) -> Actor:
        rating: Rating = request.app.state.rating
        rating.check_stranger(request)
        actor = await run_in_threadpool(find_actor, request)
        if actor is None:
            if bearer_of(request) or request.cookies.get(COOKIE):
                rating.note_stranger(request)
            raise HTTPException(
                status.HTTP_401_UNAUTHORIZED,
                "send a token: Authorization: Bearer …",
                {"WWW-Authenticate": "Bearer"},
            )
        # Who asks too often is not even written into the trail.
        rating.check_actor(request, actor)
        request.state.actor = actor
        if actor.must_change and request.url.path not in _WITHOUT_OWN_PASSWORD:
            raise PasswordDue
        _check_scope(request, actor)
        if role is not None:
            check_role(actor, role, everywhere=everywhere)
        if request.method not in HARMLESS:
            if not bearer_of(request):
                await _check_wanted(request)
            await run_in_threadpool(begin, request, actor)
        return actor

    find.__dict__["asks_for"] = (role, everywhere)
    return find


Known = Annotated[Actor, Depends(require(None))]
"""Anybody who is known, whatever they may do."""
Viewer = Annotated[Actor, Depends(require(Role.VIEWER))]
Operator = Annotated[Actor, Depends(require(Role.OPERATOR))]
Author = Annotated[Actor, Depends(require(Role.AUTHOR))]
Administrator = Annotated[Actor, Depends(require(Role.ADMINISTRATOR))]
ViewerOfAll = Annotated[Actor, Depends(require(Role.VIEWER, everywhere=True))]
OperatorOfAll = Annotated[Actor, Depends(require(Role.OPERATOR, everywhere=True))]
AuthorOfAll = Annotated[Actor, Depends(require(Role.AUTHOR, everywhere=True))]
AdministratorOfAll = Annotated[Actor, Depends(require(Role.ADMINISTRATOR, everywhere=True))]
"""What concerns no site more than another: the rule book, access, settings."""


def check_role(actor: Actor, role: Role, *, everywhere: bool = False) -> None:
    """Refuse what is for a role that the actor has nowhere, or not everywhere."""
    if not actor.may(role):
        raise HTTPException(status.HTTP_403_FORBIDDEN, f"this is for the role {role.word}")
    if everywhere and not actor.may_everywhere(role):
        message = f"this is for the role {role.word} at all sites"
        raise HTTPException(status.HTTP_403_FORBIDDEN, message)


def check_site(actor: Actor, role: Role, site_id: str) -> None:
    """Refuse what concerns a site at which the actor has not the role.

    Who may not even look there is told that there is nothing. What belongs to no site (an empty
    `site_id`) is for those who have the role everywhere.
    """
    if not actor.may(Role.VIEWER, site_id):
        raise HTTPException(status.HTTP_404_NOT_FOUND, "there is nothing of that name")
    if not actor.may(role, site_id):
        message = f"this is for the role {role.word} at {site_id}"
        raise HTTPException(status.HTTP_403_FORBIDDEN, message)


def csrf_token(request: Request) -> str:
    """Return the proof that a form comes from a page of ours: none can make it without the cookie."""
    return csrf_proof(request.cookies.get(COOKIE, ""))


async def _check_wanted(request: Request) -> None:
    given = request.headers.get(CSRF_HEADER, "")
    if not given:
        given = str((await request.form()).get(CSRF_FIELD, ""))
    if not hmac.compare_digest(given.encode(), csrf_token(request).encode()):
        message = "the page is out of date: load it again, and repeat what you did"
        raise HTTPException(status.HTTP_403_FORBIDDEN, message)


def csrf_proof(cookie: str) -> str:
    """Return the proof that goes with a cookie."""
    return hmac.new(cookie.encode(), b"csrf", hashlib.sha256).hexdigest()


def bearer_of(request: Request) -> str:
    """Return the token that a program sends, or nothing."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def lasting_of(request: Request) -> Lasting:
    """Return how long sign-ins last here."""
    settings: Settings = request.app.state.settings
    return Lasting(
        timedelta(seconds=settings.session_lasts_s), timedelta(seconds=settings.session_idle_s)
    )


def where_from(request: Request) -> From:
    """Return where a request comes from, as far as it is kept."""
    return From(request.headers.get("user-agent", ""), origin_of(request))


def _check_scope(request: Request, actor: Actor) -> None:
    path = request.url.path
    part = path.removeprefix(API).partition("/")[0] if path.startswith(API) else ""
    if not actor.is_in_scope(part, reads=request.method in HARMLESS):
        message = f"this token is kept to {', '.join(sorted(actor.scopes))}"
        raise HTTPException(status.HTTP_403_FORBIDDEN, message)
