"""Tokens: what programs ask with, each under a name, perhaps for a time and for some parts of the API."""

import re
import secrets
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

from sqlmodel import Session, select

from prevenant.access.digests import digest_of
from prevenant.access.grants import Wanted, give_grants
from prevenant.access.roles import Role
from prevenant.access.sign_ins import end_sign_ins
from prevenant.access.tables import Account, ApiToken
from prevenant.document import nearest_word, suggest
from prevenant.errors import ConfigurationError
from prevenant.store import Store

ADMINISTRATOR = "administrator"
"""The token that the settings name, or that is made at the first start."""
_NAME = re.compile(r"[\w][\w .-]{0,63}")
_BYTES = 32
_PREFIX = "prv_"
"""By which a leaked one is recognised."""
_NOTED_EVERY = timedelta(hours=1)
_WAYS = ("read", "write")


def ensure_admin_token(store: Store, wanted: str, now: datetime) -> str | None:
    """Make sure that there is an administrator; return a token that was made just now, or None."""
    with store.write() as session:
        known = session.get(ApiToken, ADMINISTRATOR)
        made = None
        if not wanted:
            if known is not None:
                return None
            made = wanted = _make()
        digest = digest_of(wanted)
        if known is None:
            known = ApiToken(name=ADMINISTRATOR, digest=digest, created_at=now)
        elif known.digest != digest:
            end_sign_ins(session, now, token=ADMINISTRATOR)
        known.digest, known.revoked_at, known.expires_at = digest, None, None
        session.add(known)
        session.flush()
        give_grants(session, known, [Wanted(Role.ADMINISTRATOR)], now, "settings")
        return made


def add_token(
    session: Session,
    name: str,
    wanted: Iterable[Wanted],
    now: datetime,
    by: str,
    *,
    scopes: Iterable[str] = (),
    expires_at: datetime | None = None,
) -> str:
    """Make a token; return it, which is kept nowhere in clear. Raises ConfigurationError."""
    name = name.strip()
    if not _NAME.fullmatch(name):
        message = f"{name!r} is no name of a token: write letters and digits, as in desk"
        raise ConfigurationError(message)
    taken = select(Account.name).where(Account.shown_name == name)
    if session.get(ApiToken, name) is not None or session.exec(taken).first():
        message = f"{name!r} stands in the story for somebody else: write another name"
        raise ConfigurationError(message)
    if expires_at is not None and expires_at <= now:
        message = "the token would end before it begins: give a later end"
        raise ConfigurationError(message)
    token = _make()
    made = ApiToken(
        name=name,
        digest=digest_of(token),
        scopes=sorted(set(scopes)),
        created_at=now,
        created_by=by,
        expires_at=expires_at,
    )
    session.add(made)
    session.flush()
    give_grants(session, made, wanted, now, by)
    return token


def check_scopes(scopes: Iterable[str], known: Collection[str]) -> None:
    """Judge the parts of the API to which a token is to be kept. Raises ConfigurationError."""
    for scope in scopes:
        part, colon, way = scope.partition(":")
        if part not in known:
            message = f"the API has no part {part!r}: {suggest(part, known)}"
            raise ConfigurationError(message)
        if colon and way not in _WAYS:
            message = f"{scope!r} is no scope: write {part}, {part}:read or {part}:write"
            raise ConfigurationError(message)


def find_named(session: Session, name: str) -> ApiToken:
    """Return a token by its name. Raises ConfigurationError with the nearest one."""
    found = session.get(ApiToken, name)
    if found is None:
        near = nearest_word(name, session.exec(select(ApiToken.name)).all())
        message = f"there is no token {name!r}: {near or 'see `prevenant tokens list`'}"
        raise ConfigurationError(message)
    return found


def list_tokens(session: Session) -> Sequence[ApiToken]:
    """Return every token by name."""
    return session.exec(select(ApiToken).order_by(ApiToken.name)).all()


def revoke_token(session: Session, token: ApiToken, now: datetime, by: str) -> None:
    """Let a token open nothing from now on, and sign out the browsers that it let in."""
    if token.revoked_at is None:
        token.revoked_at, token.revoked_by = now, by
        session.add(token)
    end_sign_ins(session, now, token=token.name)


def find_token(session: Session, secret: str, now: datetime) -> ApiToken | None:
    """Return the token that a secret is, while it opens something."""
    found = session.exec(select(ApiToken).where(ApiToken.digest == digest_of(secret))).first()
    return found if found is not None and is_good(found, now) else None


def is_good(token: ApiToken, now: datetime) -> bool:
    """Return whether a token opens something."""
    return token.revoked_at is None and (token.expires_at is None or now < token.expires_at)


def is_to_be_noted(token: ApiToken, now: datetime) -> bool:
    """Return whether the use of a token is worth a note: one an hour."""
    return token.used_at is None or now - token.used_at >= _NOTED_EVERY


def _make() -> str:
    return _PREFIX + secrets.token_urlsafe(_BYTES)
