"""Signing in through an OpenID provider: there, and back again."""

from datetime import datetime
from typing import Annotated

import structlog
from fastapi import APIRouter, HTTPException, Query, Request, Response, status
from sqlmodel import Session

from prevenant.access.openid import PATH_BACK, Attempt, Provider
from prevenant.access.sign_ins import OPENID
from prevenant.access.tables import Account
from prevenant.access.vouching import Groups, welcome
from prevenant.api.acts import call_act, call_refused, name_doer
from prevenant.api.rating import Rating
from prevenant.console.shell import go_on
from prevenant.console.sign_in import page_of_ours, remember
from prevenant.errors import NotVouched, mask_addresses
from prevenant.settings import Settings

log = structlog.get_logger()

router = APIRouter(include_in_schema=False)

_COOKIE = "prevenant-openid"
_PATH = "/login/openid"
_PATIENCE_S = 600
_WHO = "openid"

Text = Annotated[str, Query(max_length=4000)]


@router.get(_PATH)
def begin_sign_in(request: Request, to: Text = "/") -> Response:
    """Send a browser to the provider, with what it alone will know when it comes back."""
    attempt = Attempt.begin(page_of_ours(to))
    try:
        address = _provider(request).address_for(attempt, _now(request))
    except NotVouched as error:
        return _refuse(request, error)
    response = go_on(address)
    response.set_cookie(
        _COOKIE,
        attempt.write(),
        _PATIENCE_S,
        path=_PATH,
        httponly=True,
        samesite="lax",
        secure=request.app.state.settings.public_url.startswith("https://"),
    )
    return response


@router.get(PATH_BACK)
def end_sign_in(
    request: Request, state: Text = "", code: Text = "", iss: Text = "", error: Text = ""
) -> Response:
    """Let somebody in for whom the provider vouches."""
    provider = _provider(request)
    rating: Rating = request.app.state.rating
    if rating.try_sign_in(request, _WHO):
        return _refuse(request, NotVouched("too many tries: wait ten minutes, and try again"))
    call_act(request)
    name_doer(request, _WHO)
    settings: Settings = request.app.state.settings
    groups = Groups.parse(settings.openid_groups_claim, settings.openid_groups)
    now = _now(request)
    try:
        attempt = _attempt_of(request)
        vouched = provider.redeem(attempt, state, "" if error else code, iss, now)

        def find(session: Session) -> Account:
            return welcome(session, vouched, groups, now)

        response = remember(request, find, OPENID, attempt.to)
    except NotVouched as refused:
        return _refuse(request, refused)
    rating.forgive_sign_in(request, _WHO)
    response.delete_cookie(_COOKIE, path=_PATH)
    return response


def _attempt_of(request: Request) -> Attempt:
    attempt = Attempt.read(request.cookies.get(_COOKIE, ""))
    if attempt is None:
        raise NotVouched("this sign-in was not begun in this browser, or too long ago")
    return attempt


def _provider(request: Request) -> Provider:
    provider: Provider | None = request.app.state.openid
    if provider is None:
        message = "no OpenID provider is set: PREVENANT_OPENID_ISSUER names one"
        raise HTTPException(status.HTTP_404_NOT_FOUND, message)
    return provider


def _refuse(request: Request, error: NotVouched) -> Response:
    call_refused(request, str(error))
    log.warning("nobody was let in by OpenID", reason=mask_addresses(str(error)))
    response = go_on("/login", str(error))
    response.delete_cookie(_COOKIE, path=_PATH)
    return response


def _now(request: Request) -> datetime:
    at: datetime = request.app.state.clock.now()
    return at
