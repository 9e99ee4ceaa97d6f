"""The page of one's own account: what one may, a password of one's own, and where one is signed in."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Request, Response, status
from sqlmodel import Session

from prevenant.access.accounts import change_password
from prevenant.access.roles import Actor, Role
from prevenant.access.sign_ins import end_sign_ins, list_sign_ins
from prevenant.access.tables import Account
from prevenant.api.access import Known, lasting_of
from prevenant.api.acts import call_refused
from prevenant.api.rating import Rating
from prevenant.console.shell import act, go_on, show
from prevenant.errors import ConfigurationError
from prevenant.store import Store

router = APIRouter(include_in_schema=False)

_ACCOUNT = "account "
_PATH = "/account"


@router.get(_PATH)
def show_account(request: Request, actor: Known) -> Response:
    """Show who it is, what they may, and where they are signed in."""
    now, lasting = _now(request), lasting_of(request)

    def collect(session: Session) -> dict[str, Any]:
        account = _account_of(session, actor)
        found = list_sign_ins(session, now, lasting, account.name) if account else []
        return {
            "account": account,
            "sign_ins": found,
            "here": actor.sign_in,
            "held": [(role.word, actor.sites(role)) for role in Role if actor.may(role)],
        }

    return show(request, "account.html", collect, actor)


@router.post("/account/password")
def choose_password(
    request: Request,
    actor: Known,
    present: Annotated[str, Form(max_length=1000)],
    new: Annotated[str, Form(max_length=1000)],
    again: Annotated[str, Form(max_length=1000)],
) -> Response:
    """Let somebody have a password of their own; every other browser of theirs is signed out."""
    rating: Rating = request.app.state.rating
    if new != again:
        return _refuse(request, "the new password was written in two ways: write it twice the same")
    if rating.try_sign_in(request, actor.key):
        return _refuse(request, "too many tries: wait ten minutes, and try again")
    try:
        name = actor.key.removeprefix(_ACCOUNT)
        store: Store = request.app.state.store
        change_password(store, name, present, new, _now(request), actor.sign_in)
    except ConfigurationError as error:
        return _refuse(request, str(error))
    rating.forgive_sign_in(request, actor.key)
    # Who had to choose one can go on.
    return go_on("/" if actor.must_change else _PATH)


@router.post("/account/sign-out")
def sign_out_elsewhere(request: Request, actor: Known) -> Response:
    """Sign out every browser but this one."""
    now = _now(request)
    if not actor.key.startswith(_ACCOUNT):
        raise HTTPException(status.HTTP_404_NOT_FOUND, "a token has no browsers of its own")
    name = actor.key.removeprefix(_ACCOUNT)
    return act(
        request,
        lambda session: end_sign_ins(session, now, account=name, but=actor.sign_in),
        _PATH,
    )


def _refuse(request: Request, reason: str) -> Response:
    call_refused(request, reason)
    return go_on(_PATH, reason)


def _account_of(session: Session, actor: Actor) -> Account | None:
    if not actor.key.startswith(_ACCOUNT):
        return None
    return session.get(Account, actor.key.removeprefix(_ACCOUNT))


def _now(request: Request) -> datetime:
    at: datetime = request.app.state.clock.now()
    return at
