"""What the API, the console and the commands tell of tokens, and do with them."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response, status
from pydantic import Field
from sqlmodel import Session

from prevenant.access.grants import as_wanted, find_grants, parse_grant
from prevenant.access.tables import ApiToken
from prevenant.access.tokens import (
    add_token,
    check_scopes,
    find_named,
    is_good,
    list_tokens,
    revoke_token,
)
from prevenant.api.access import AdministratorOfAll
from prevenant.api.acts import add_detail
from prevenant.api.bodies import Body, Moment
from prevenant.durations import parse_duration
from prevenant.errors import ConfigurationError

router = APIRouter(prefix="/api/v1")


class NewToken(Body):
    """A token to make: what it may, for which parts of the API, and until when."""

    name: str = Field(max_length=64)
    grants: list[str] = Field(min_length=1, max_length=100)
    scopes: list[str] = Field(default=[], max_length=100)
    expires_at: Moment | None = None
    lasts: str = ""
    """A length of time such as `90d`, instead of `expires_at`."""


@router.get("/tokens")
def show_tokens(request: Request, actor: AdministratorOfAll) -> list[dict[str, Any]]:
    """Return tokens by name, without what opens anything."""
    del actor
    with request.app.state.store.read() as session:
        return [view_token(session, one, _now(request)) for one in list_tokens(session)]


@router.post("/tokens", status_code=status.HTTP_201_CREATED)
def make_new_token(
    request: Request, response: Response, new: NewToken, actor: AdministratorOfAll
) -> dict[str, Any]:
    """Make a token; `token` is shown now and never again."""
    response.headers["Cache-Control"] = "no-store"
    add_detail(request, about=new.name)
    parts = request.app.state.parts
    now = _now(request)
    with request.app.state.store.write() as session:
        try:
            token = make_token(session, new, parts, now, actor.name)
        except ConfigurationError as error:
            raise HTTPException(status.HTTP_422_UNPROCESSABLE_CONTENT, str(error)) from None
        return {**view_token(session, find_named(session, new.name), now), "token": token}


@router.post("/tokens/{name}/revoke")
def end_token(request: Request, name: str, actor: AdministratorOfAll) -> dict[str, Any]:
    """Let a token open nothing from now on."""
    now = _now(request)
    with request.app.state.store.write() as session:
        try:
            token = find_named(session, name)
        except ConfigurationError as error:
            raise HTTPException(status.HTTP_404_NOT_FOUND, str(error)) from None
        revoke_token(session, token, now, actor.name)
        return view_token(session, token, now)


def make_token(
    session: Session, new: NewToken, parts: Collection[str], now: datetime, by: str
) -> str:
    """Make a token as asked, `parts` being those of the API; return it. Raises ConfigurationError."""
    check_scopes(new.scopes, parts)
    expires_at = new.expires_at
    if new.lasts:
        try:
            expires_at = now + timedelta(seconds=parse_duration(new.lasts))
        except (ValueError, OverflowError):
            message = f"{new.lasts!r} is no length of time: write one such as 90d"
            raise ConfigurationError(message) from None
    wanted = [parse_grant(one) for one in new.grants]
    return add_token(session, new.name, wanted, now, by, scopes=new.scopes, expires_at=expires_at)


def view_token(session: Session, token: ApiToken, now: datetime) -> dict[str, Any]:
    """Return a token as plain values."""
    grants = [str(as_wanted(one)) for one in find_grants(session, token)]
    shown = token.model_dump(exclude={"digest"})
    return {**shown, "grants": grants, "is_good": is_good(token, now)}


def _now(request: Request) -> datetime:
    at: datetime = request.app.state.clock.now()
    return at
