"""What the API, the console and the commands tell of people who may sign in, and do with them."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response, status
from pydantic import Field
from sqlmodel import Session

from prevenant.access.accounts import (
    add_account,
    find_account,
    list_accounts,
    renew_password,
    set_active,
    show_as,
)
from prevenant.access.grants import as_wanted, find_grants, give_grants, parse_grant
from prevenant.access.passwords import Fresh, make_password
from prevenant.access.roles import Role
from prevenant.access.sign_ins import end_sign_ins, list_sign_ins
from prevenant.access.tables import Account, SignIn
from prevenant.api.access import AdministratorOfAll, Known, lasting_of
from prevenant.api.acts import add_detail
from prevenant.api.bodies import Body
from prevenant.errors import ConfigurationError

router = APIRouter(prefix="/api/v1")


class NewUser(Body):
    """Somebody who is to sign in, and what they may: `operator`, `viewer@area:north`."""

    name: str = Field(max_length=64)
    shown_name: str = Field(default="", max_length=100)
    grants: list[str] = Field(default=[], max_length=100)


class UserChange(Body):
    """What is to be otherwise; what is not given stays as it is."""

    shown_name: str | None = Field(default=None, max_length=100)
    is_active: bool | None = None
    grants: list[str] | None = Field(default=None, max_length=100)


@router.get("/me")
def show_me(request: Request, actor: Known) -> dict[str, Any]:
    """Return who asks, and what they may do where; `sites` is null for everywhere."""
    del request
    sites = {role.word: actor.sites(role) for role in Role}
    return {
        "name": actor.name,
        "scopes": sorted(actor.scopes),
        "sites": {word: found and sorted(found) for word, found in sites.items()},
    }


@router.get("/users")
def list_users(request: Request, actor: AdministratorOfAll) -> list[dict[str, Any]]:
    """Return who may sign in, by name."""
    del actor
    with request.app.state.store.read() as session:
        return [view_user(session, one) for one in list_accounts(session)]


@router.post("/users", status_code=status.HTTP_201_CREATED)
def add_user(
    request: Request, response: Response, new: NewUser, actor: AdministratorOfAll
) -> dict[str, Any]:
    """Let somebody sign in; `password` is shown now and never again, and has to be changed."""
    response.headers["Cache-Control"] = "no-store"
    add_detail(request, about=new.name)
    first = make_password()
    with request.app.state.store.write() as session:
        try:
            made = make_user(session, new, first, _now(request), actor.name)
        except ConfigurationError as error:
            raise _unusable(error) from None
        return {**view_user(session, made), "password": first.password}


@router.get("/users/{name}")
def show_user(request: Request, name: str, actor: AdministratorOfAll) -> dict[str, Any]:
    """Return one user, and where they have signed in."""
    del actor
    with request.app.state.store.read() as session:
        user = _known(session, name)
        found = list_sign_ins(session, _now(request), lasting_of(request), user.name)
        return {**view_user(session, user), "sign_ins": [view_sign_in(one) for one in found]}


@router.patch("/users/{name}")
def change_user(
    request: Request, name: str, change: UserChange, actor: AdministratorOfAll
) -> dict[str, Any]:
    """Change what somebody may, how they are called, or whether they may sign in at all."""
    with request.app.state.store.write() as session:
        user = _known(session, name)
        try:
            alter_user(session, user, change, _now(request), actor.name)
        except ConfigurationError as error:
            raise _unusable(error) from None
        return view_user(session, user)


@router.post("/users/{name}/password")
def renew_user(
    request: Request, response: Response, name: str, actor: AdministratorOfAll
) -> dict[str, Any]:
    """Give a new first password, and sign out every browser of theirs."""
    del actor
    response.headers["Cache-Control"] = "no-store"
    first = make_password()
    with request.app.state.store.write() as session:
        user = _known(session, name)
        renew_password(session, user, first, _now(request))
        return {"name": user.name, "password": first.password}


@router.post("/users/{name}/sign-out")
def sign_user_out(request: Request, name: str, actor: AdministratorOfAll) -> dict[str, Any]:
    """Sign out every browser of somebody; return how many there were."""
    del actor
    with request.app.state.store.write() as session:
        user = _known(session, name)
        return {"signed_out": end_sign_ins(session, _now(request), account=user.name)}


def make_user(session: Session, new: NewUser, first: Fresh, now: datetime, by: str) -> Account:
    """Make a user as asked, with a first password. Raises ConfigurationError."""
    wanted = [parse_grant(one) for one in new.grants]
    return add_account(session, new.name, new.shown_name, wanted, now, by, first)


def alter_user(session: Session, user: Account, change: UserChange, now: datetime, by: str) -> None:
    """Change a user as asked. Raises ConfigurationError."""
    if change.shown_name is not None:
        show_as(session, user, change.shown_name)
    if change.grants is not None:
        give_grants(session, user, [parse_grant(one) for one in change.grants], now, by)
    if change.is_active is not None:
        set_active(session, user, now, active=change.is_active)


def view_user(session: Session, user: Account) -> dict[str, Any]:
    """Return a user as plain values, with what was granted and how."""
    grants = find_grants(session, user)
    return {
        "name": user.name,
        "shown_name": user.shown_name,
        "is_active": user.is_active,
        "grants": [str(as_wanted(one)) for one in grants if not one.is_by_group],
        "grants_by_group": [str(as_wanted(one)) for one in grants if one.is_by_group],
        "signs_in_by": "openid" if user.issuer else "password",
        "must_change": user.must_change,
        "created_at": user.created_at,
        "created_by": user.created_by,
        "signed_in_at": user.signed_in_at,
    }


def view_sign_in(found: SignIn) -> dict[str, Any]:
    """Return a sign-in as plain values; nothing that opens anything."""
    return found.model_dump(exclude={"digest", "account", "token", "ended_at"})


def _known(session: Session, name: str) -> Account:
    try:
        return find_account(session, name)
    except ConfigurationError as error:
        raise HTTPException(status.HTTP_404_NOT_FOUND, str(error)) from None


def _unusable(error: ConfigurationError) -> HTTPException:
    return HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, str(error))


def _now(request: Request) -> datetime:
    at: datetime = request.app.state.clock.now()
    return at
