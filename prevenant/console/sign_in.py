"""Signing in and out: by name and password, or with a token."""

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, HTTPException, Request, Response, status
from sqlmodel import Session

from prevenant.access.accounts import check_credentials, count_accounts
from prevenant.access.digests import digest_of
from prevenant.access.rates import whole_seconds
from prevenant.access.roles import Role
from prevenant.access.sign_ins import PASSWORD, TOKEN, begin_sign_in, end_sign_in
from prevenant.access.tables import Account, ApiToken
from prevenant.access.tokens import find_token
from prevenant.access.trail import forget_acts
from prevenant.api.access import COOKIE, find_actor, lasting_of, where_from
from prevenant.api.acts import call_act, name_doer
from prevenant.api.rating import Rating
from prevenant.console.shell import go_on, show_plain
from prevenant.store import Store

router = APIRouter(include_in_schema=False)


@router.get("/login")
def show_login(request: Request, to: str = "/") -> Response:
    """Ask who it is, unless that is known."""
    actor = find_actor(request)
    if actor is not None:
        return go_on(page_of_ours(to) if actor.may(Role.VIEWER) else "/account")
    return _ask(request, to)


@router.post("/login")
def log_in(
    request: Request,
    name: Annotated[str, Form(max_length=200)] = "",
    password: Annotated[str, Form(max_length=1000)] = "",
    token: Annotated[str, Form(max_length=1000)] = "",
    to: Annotated[str, Form(max_length=2000)] = "/",
) -> Response:
    """Let somebody in, and remember them in a cookie."""
    check_own_page(request)
    if token:
        return sign_in_by_token(request, token, to) or _ask(request, to, wrong="token")
    name = name.strip().lower()
    store: Store = request.app.state.store
    rating: Rating = request.app.state.rating
    wait_s = rating.try_sign_in(request, name)
    if wait_s:
        return _ask(request, to, wait_s=wait_s)
    name_doer(request, name[:100])
    found = check_credentials(store, name, password)
    if found is None:
        return _ask(request, to, wrong="password")
    rating.forgive_sign_in(request, name)
    return remember(request, lambda session: session.get_one(Account, found), PASSWORD, to)


@router.post("/logout")
def log_out(request: Request) -> Response:
    """Forget who it was, here and in the store."""
    cookie = request.cookies.get(COOKIE, "")
    if cookie:
        with request.app.state.store.write() as session:
            end_sign_in(session, digest_of(cookie), request.app.state.clock.now())
    response = go_on("/login")
    response.delete_cookie(COOKIE)
    return response


def sign_in_by_token(request: Request, token: str, to: str) -> Response | None:
    """Let somebody in who has a token, or return None where it does not open the console."""
    now = request.app.state.clock.now()
    rating: Rating = request.app.state.rating
    rating.check_stranger(request)
    with request.app.state.store.read() as session:
        found = find_token(session, token, now)
    # One that is kept to parts of the API is for programs.
    if found is None or found.scopes:
        rating.note_stranger(request)
        return None
    name = found.name
    call_act(request)
    name_doer(request, name, f"token {name}")
    return remember(request, lambda session: session.get_one(ApiToken, name), TOKEN, to)


def remember(
    request: Request, find: Callable[[Session], Account | ApiToken], method: str, to: str
) -> Response:
    """Go on to a page of ours with a new cookie, which scripts do not see; the one before is over."""
    now = request.app.state.clock.now()
    lasting, where = lasting_of(request), where_from(request)
    before = request.cookies.get(COOKIE, "")
    with request.app.state.store.write() as session:
        if before:
            end_sign_in(session, digest_of(before), now)
        forget_acts(session, now, timedelta(seconds=request.app.state.settings.trail_keep_s))
        holder = find(session)
        cookie = begin_sign_in(session, holder, method, now, lasting, where)
        name = holder.shown_name if isinstance(holder, Account) else holder.name
        kind = "account" if isinstance(holder, Account) else "token"
        name_doer(request, name, f"{kind} {holder.name}")
    response = go_on(page_of_ours(to))
    secure = request.app.state.settings.public_url.startswith("https://")
    # Lax: who follows a link from a message is still known. What changes something asks for more.
    response.set_cookie(
        COOKIE,
        cookie,
        round(lasting.at_most.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=secure,
    )
    return response


def page_of_ours(to: str) -> str:
    """Return where to go on to: a page here, and never another site."""
    is_path = to.startswith("/") and to[1:2] not in {"/", "\\"} and to.isprintable()
    return to if is_path else "/"


def check_own_page(request: Request) -> None:
    """Refuse a form that another site has sent: it would let a browser be somebody else unnoticed."""
    site = request.headers.get("sec-fetch-site", "")
    origin = request.headers.get("origin", "null")
    # Our pages send no referrer, so that a browser calls their origin null.
    is_ours = origin == "null" or _host_of(origin) == request.headers.get("host", "")
    if site not in {"same-origin", "none"} and (site or not is_ours):
        message = "this form came from another site: open the page here, and sign in"
        raise HTTPException(status.HTTP_403_FORBIDDEN, message)


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _ask(request: Request, to: str, wrong: str = "", wait_s: float = 0.0) -> Response:
    code = status.HTTP_403_FORBIDDEN if wrong else status.HTTP_200_OK
    if wait_s:
        code = status.HTTP_429_TOO_MANY_REQUESTS
    with request.app.state.store.read() as session:
        has_accounts = count_accounts(session) > 0
    values = {"wrong": wrong, "to": page_of_ours(to), "has_accounts": has_accounts}
    settings = request.app.state.settings
    values["openid"] = settings.openid_name if settings.openid_issuer else ""
    response = show_plain(
        request, "login.html", {**values, "minutes": math.ceil(wait_s / 60)}, code
    )
    if wait_s:
        response.headers["Retry-After"] = whole_seconds(wait_s)
    return response
