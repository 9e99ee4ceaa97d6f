"""Who asks: whoever a token or the cookie of a browser belongs to, with what they may do now."""

from datetime import datetime, timedelta

from sqlmodel import Session

from prevenant.access.grants import find_grants, resolve_grants
from prevenant.access.roles import Actor
from prevenant.access.sign_ins import Lasting, find_sign_in, note_use
from prevenant.access.tables import Account, ApiToken, SignIn
from prevenant.access.tokens import find_token, is_good, is_to_be_noted
from prevenant.store import Store, written_apart

_NOTED_PARTS = 100
"""A sign-in's use is noted this often in the time that it may be idle."""


def find_by_token(store: Store, secret: str, now: datetime) -> Actor | None:
    """Return whose a token is, or None where it opens nothing."""
    with store.read() as session:
        token = find_token(session, secret, now)
        if token is None:
            return None
        actor = view_token(session, token)
        is_noted = not is_to_be_noted(token, now)
    if not is_noted:
        with written_apart(), store.write() as session:
            token = session.get_one(ApiToken, token.name)
            token.used_at = now
            session.add(token)
    return actor


def find_by_cookie(store: Store, cookie: str, now: datetime, lasting: Lasting) -> Actor | None:
    """Return who has signed in at a browser, or None where that is over."""
    with store.read() as session:
        sign_in = find_sign_in(session, cookie, now, lasting)
        actor = None if sign_in is None else _view_sign_in(session, sign_in, now)
    if sign_in is None or actor is None:
        return None
    if now - sign_in.seen_at > lasting.idle / _NOTED_PARTS > timedelta():
        with written_apart(), store.write() as session:
            note_use(session, sign_in.digest, now)
    return actor


def view_account(session: Session, account: Account, sign_in: str = "") -> Actor:
    """Return a person as whoever asks."""
    return Actor(
        account.shown_name,
        # Nothing, until nobody else knows the password.
        () if account.must_change else resolve_grants(session, find_grants(session, account)),
        key=f"account {account.name}",
        sign_in=sign_in,
        must_change=account.must_change,
    )


def view_token(session: Session, token: ApiToken, sign_in: str = "") -> Actor:
    """Return a token as whoever asks; in a browser it is a person, who speaks for nobody else."""
    return Actor(
        token.name,
        resolve_grants(session, find_grants(session, token)),
        key=f"token {token.name}",
        speaks_for_others=not sign_in,
        scopes=frozenset(token.scopes),
        sign_in=sign_in,
    )


def _view_sign_in(session: Session, sign_in: SignIn, now: datetime) -> Actor | None:
    if sign_in.account is not None:
        account = session.get(Account, sign_in.account)
        is_there = account is not None and account.is_active
        return view_account(session, account, sign_in.digest) if account and is_there else None
    token = session.get(ApiToken, sign_in.token)
    if token is None or not is_good(token, now):
        return None
    return view_token(session, token, sign_in.digest)
