"""The pages of access: people who may sign in, tokens of programs, and who is signed in where."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from sqlmodel import Session, select

from prevenant.access.accounts import find_account, list_accounts, renew_password
from prevenant.access.passwords import make_password
from prevenant.access.roles import ROLE_WORDS
from prevenant.access.sign_ins import end_sign_in, end_sign_ins, list_sign_ins
from prevenant.access.tables import Account, SignIn
from prevenant.access.tokens import find_named, list_tokens, revoke_token
from prevenant.api.access import AdministratorOfAll, lasting_of
from prevenant.api.acts import add_detail, call_refused
from prevenant.api.tokens import NewToken, make_token, view_token
from prevenant.api.users import NewUser, UserChange, alter_user, make_user, view_user
from prevenant.console.shell import act, go_on, show
from prevenant.crm.tables import Area, Customer, Site
from prevenant.errors import ConfigurationError

router = APIRouter(include_in_schema=False)

_PATH = "/settings/access"
_SUGGESTED = 200
_SHOWN = 200

Text = Annotated[str, Form(max_length=200)]


@router.get(_PATH)
def show_access(request: Request, actor: AdministratorOfAll) -> Response:
    """Show who may sign in, what programs ask with, and who is signed in."""
    return show(request, "access.html", _collect(request), actor)


@router.post("/settings/access/users")
def add_user(
    request: Request,
    actor: AdministratorOfAll,
    name: Text,
    shown_name: Text = "",
    role: Text = "",
    where: Text = "",
) -> Response:
    """Let somebody sign in, and show their first password this once."""
    new = NewUser.model_construct(
        name=name, shown_name=shown_name, grants=_grants(role, where) if role else []
    )
    add_detail(request, about=name)
    first = make_password()

    def make(session: Session) -> tuple[str, str]:
        made = make_user(session, new, first, _now(request), actor.name)
        return made.name, first.password

    return _show_made(request, actor, "user", make)


@router.get("/settings/access/users/{name}")
def show_user(request: Request, actor: AdministratorOfAll, name: str) -> Response:
    """Show one user, and what can be changed."""
    return show(request, "access_user.html", lambda session: _user(request, session, name), actor)


@router.post("/settings/access/users/{name}")
def change_user(
    request: Request,
    actor: AdministratorOfAll,
    name: str,
    shown_name: Annotated[str | None, Form(max_length=200)] = None,
    is_active: Annotated[bool | None, Form()] = None,
) -> Response:
    """Change how somebody is called, or whether they may sign in."""
    change = UserChange.model_construct(shown_name=shown_name, is_active=is_active)
    return _alter(request, actor, name, lambda _: change)


@router.post("/settings/access/users/{name}/grants")
def give_grant(
    request: Request, actor: AdministratorOfAll, name: str, role: Text, where: Text = ""
) -> Response:
    """Give somebody one grant more."""
    add_detail(request, about=_grants(role, where)[0])

    def more(held: Sequence[str]) -> UserChange:
        return UserChange.model_construct(grants=[*held, *_grants(role, where)])

    return _alter(request, actor, name, more)


@router.post("/settings/access/users/{name}/grants/take")
def take_grant(request: Request, actor: AdministratorOfAll, name: str, grant: Text) -> Response:
    """Take a grant from somebody."""
    add_detail(request, about=grant)
    return _alter(
        request,
        actor,
        name,
        lambda held: UserChange.model_construct(grants=[one for one in held if one != grant]),
    )


@router.post("/settings/access/users/{name}/password")
def renew_user(request: Request, actor: AdministratorOfAll, name: str) -> Response:
    """Give a new first password, and show it this once."""
    first = make_password()

    def make(session: Session) -> tuple[str, str]:
        user = find_account(session, name)
        renew_password(session, user, first, _now(request))
        return user.name, first.password

    return _show_made(request, actor, "user", make)


@router.post("/settings/access/users/{name}/sign-out")
def sign_user_out(request: Request, actor: AdministratorOfAll, name: str) -> Response:
    """Sign out every browser of somebody."""
    del actor

    def change(session: Session) -> None:
        user = find_account(session, name)
        end_sign_ins(session, _now(request), account=user.name)

    return act(request, change, _page_of(name))


@router.post("/settings/access/tokens")
def add_token(
    request: Request,
    actor: AdministratorOfAll,
    name: Text,
    role: Text,
    where: Text = "",
    scopes: Text = "",
    lasts: Text = "",
) -> Response:
    """Make a token, and show it this once."""
    new = NewToken.model_construct(
        name=name,
        grants=_grants(role, where),
        scopes=scopes.replace(",", " ").split(),
        lasts=lasts.strip(),
    )
    parts = request.app.state.parts
    add_detail(request, about=name)

    def make(session: Session) -> tuple[str, str]:
        return name, make_token(session, new, parts, _now(request), actor.name)

    return _show_made(request, actor, "token", make)


@router.post("/settings/access/tokens/{name}/revoke")
def end_token(request: Request, actor: AdministratorOfAll, name: str) -> Response:
    """Let a token open nothing any more."""
    return act(
        request,
        lambda session: revoke_token(session, find_named(session, name), _now(request), actor.name),
        _PATH,
    )


@router.post("/settings/access/sign-ins/{digest}/end")
def end_one(request: Request, actor: AdministratorOfAll, digest: str) -> Response:
    """Sign one browser out."""
    del actor
    return act(request, lambda session: end_sign_in(session, digest, _now(request)), _PATH)


def _collect(
    request: Request, made: dict[str, str] | None = None
) -> Callable[[Session], dict[str, Any]]:
    now, lasting = _now(request), lasting_of(request)

    def collect(session: Session) -> dict[str, Any]:
        names = {one.name: one.shown_name for one in list_accounts(session)}
        found = list_sign_ins(session, now, lasting)[:_SHOWN]
        return {
            "users": [view_user(session, one) for one in list_accounts(session)],
            "tokens": [view_token(session, one, now) for one in list_tokens(session)],
            "sign_ins": [_view_sign_in(one, names) for one in found],
            "made": made,
            "roles": ROLE_WORDS,
            "places": _places(session),
            "parts": sorted(request.app.state.parts),
        }

    return collect


def _user(request: Request, session: Session, name: str) -> dict[str, Any] | None:
    account = session.get(Account, name)
    if account is None:
        return None
    found = list_sign_ins(session, _now(request), lasting_of(request), account.name)
    return {
        "user": view_user(session, account),
        "sign_ins": [_view_sign_in(one, {}) for one in found],
        "roles": ROLE_WORDS,
        "places": _places(session),
    }


def _alter(
    request: Request,
    actor: AdministratorOfAll,
    name: str,
    change_of: Callable[[Sequence[str]], UserChange],
) -> Response:
    def change(session: Session) -> None:
        user = find_account(session, name)
        held = view_user(session, user)["grants"]
        alter_user(session, user, change_of(held), _now(request), actor.name)

    return act(request, change, _page_of(name))


def _show_made(
    request: Request,
    actor: AdministratorOfAll,
    kind: str,
    make: Callable[[Session], tuple[str, str]],
) -> Response:
    """Show what was made, whose secret stands on this page and nowhere else."""
    try:
        with request.app.state.store.write() as session:
            name, secret = make(session)
    except ConfigurationError as error:
        call_refused(request, str(error))
        return go_on(_PATH, str(error))
    made = {"kind": kind, "name": name, "secret": secret}
    return show(request, "access.html", _collect(request, made), actor)


def _grants(role: str, where: str) -> list[str]:
    where = where.strip()
    return [f"{role}@{where}" if where else role]


def _places(session: Session) -> list[tuple[str, str]]:
    """Return places that a grant can name, the larger ones first, as far as they can be listed."""
    found: list[tuple[str, str]] = []
    tables: tuple[tuple[str, Any], ...] = (("area", Area), ("customer", Customer), ("site", Site))
    for kind, table in tables:
        rows = session.exec(select(table.id, table.name).order_by(table.id).limit(_SUGGESTED))
        found += [(f"{kind}:{one}", name) for one, name in rows]
    return found


def _view_sign_in(found: SignIn, names: dict[str, str]) -> dict[str, Any]:
    who = names.get(found.account or "", found.account) if found.account else found.token
    return {**found.model_dump(), "who": who}


def _page_of(name: str) -> str:
    return f"{_PATH}/users/{name}"


def _now(request: Request) -> datetime:
    at: datetime = request.app.state.clock.now()
    return at
