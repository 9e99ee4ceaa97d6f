"""Accounts: people who may sign in, by password or through an OpenID provider."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlmodel import Session, col, select

from prevenant.access.grants import Wanted, give_grants
from prevenant.access.passwords import (
    Fresh,
    check_password,
    is_outdated,
    is_password,
    keep_password,
)
from prevenant.access.roles import LONGEST_NAME
from prevenant.access.sign_ins import end_sign_ins
from prevenant.access.tables import Account, ApiToken
from prevenant.document import nearest_word
from prevenant.errors import ConfigurationError
from prevenant.store import Store

_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")


def add_account(
    session: Session,
    name: str,
    shown_name: str,
    wanted: Iterable[Wanted],
    now: datetime,
    by: str,
    first: Fresh,
) -> Account:
    """Make an account with a first password. Raises ConfigurationError."""
    name = name.strip().lower()
    if not _NAME.fullmatch(name):
        message = f"{name!r} is no user name: write small letters and digits, as in camille.roux"
        raise ConfigurationError(message)
    if session.get(Account, name) is not None:
        message = f"there is a user {name!r} already: change that one, or take another name"
        raise ConfigurationError(message)
    account = Account(name=name, shown_name=name, created_at=now, created_by=by)
    show_as(session, account, shown_name or name)
    session.flush()
    give_grants(session, account, wanted, now, by)
    renew_password(session, account, first, now)
    return account


def find_account(session: Session, name: str) -> Account:
    """Return an account. Raises ConfigurationError with the nearest name."""
    account = session.get(Account, name.strip().lower())
    if account is None:
        near = nearest_word(name, session.exec(select(Account.name)).all())
        message = f"there is no user {name!r}: {near or 'see `prevenant users list`'}"
        raise ConfigurationError(message)
    return account


def list_accounts(session: Session) -> Sequence[Account]:
    """Return every account by name."""
    return session.exec(select(Account).order_by(Account.name)).all()


def show_as(session: Session, account: Account, shown_name: str) -> None:
    """Let somebody stand in the story under a name that nobody else has. Raises ConfigurationError."""
    shown_name = " ".join(shown_name.split())
    if not (0 < len(shown_name) <= LONGEST_NAME and shown_name.isprintable()):
        message = f"a name has 1 to {LONGEST_NAME} characters: write one such as Camille Roux"
        raise ConfigurationError(message)
    others = select(Account.name).where(
        Account.shown_name == shown_name, Account.name != account.name
    )
    if session.exec(others).first() or session.get(ApiToken, shown_name):
        message = f"{shown_name!r} stands in the story for somebody else: write another name"
        raise ConfigurationError(message)
    account.shown_name = shown_name
    session.add(account)


def set_active(session: Session, account: Account, now: datetime, *, active: bool) -> None:
    """Let somebody sign in again, or no more: then every browser of theirs is signed out."""
    account.is_active = active
    session.add(account)
    if not active:
        end_sign_ins(session, now, account=account.name)


def renew_password(session: Session, account: Account, first: Fresh, now: datetime) -> None:
    """Give a new first password, which has to be changed at the next sign-in."""
    _set(session, account, first.kept, now)
    account.must_change = True
    end_sign_ins(session, now, account=account.name)


def change_password(
    store: Store, name: str, given: str, new: str, now: datetime, here: str
) -> None:
    """Let somebody have the password that they chose; other browsers than `here` are signed out.

    The store is not held while it is reckoned. Raises ConfigurationError.
    """
    with store.read() as session:
        before = find_account(session, name).password
    if not is_password(before, given):
        message = "the present password is another one: write it again"
        raise ConfigurationError(message)
    if new == given:
        message = "the new password is the present one: choose another one"
        raise ConfigurationError(message)
    check_password(new, name)
    kept = keep_password(new)
    with store.write() as session:
        account = session.get_one(Account, name, with_for_update=True)
        if account.password != before:
            message = "the password was changed meanwhile: sign in with the new one"
            raise ConfigurationError(message)
        _set(session, account, kept, now)
        account.must_change = False
        end_sign_ins(session, now, account=name, but=here)


def check_credentials(store: Store, name: str, password: str) -> str | None:
    """Return whose name and password these are, or None; the store is not held while it is reckoned."""
    name = name.strip().lower()
    with store.read() as session:
        account = session.get(Account, name)
        kept = account.password if account is not None and account.is_active else ""
    if not is_password(kept, password):
        return None
    if is_outdated(kept):
        anew = keep_password(password)
        with store.write() as session:
            account = session.get_one(Account, name, with_for_update=True)
            if account.password == kept:
                account.password = anew
                session.add(account)
    return name


def _set(session: Session, account: Account, kept: str, now: datetime) -> None:
    account.password = kept
    account.password_at = now
    session.add(account)


def count_accounts(session: Session) -> int:
    """Return how many people may sign in."""
    return len(session.exec(select(Account.name).where(col(Account.is_active))).all())
