"""Accounts of people for whom an OpenID provider vouches: made at the first sign-in, never taken over."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlmodel import Session, func, select

from prevenant.access.grants import Wanted, check_place, give_grants, parse_grant
from prevenant.access.openid import Vouched
from prevenant.access.roles import LONGEST_NAME
from prevenant.access.tables import Account, ApiToken
from prevenant.bells import lock_number
from prevenant.errors import ConfigurationError, NotVouched

log = structlog.get_logger()

_BY = "OpenID"
_LONGEST = 50


@dataclass(frozen=True, slots=True)
class Groups:
    """What somebody may by the groups that they are in at the provider."""

    claim: str
    grants: Sequence[tuple[str, Wanted]]

    @classmethod
    def parse(cls, claim: str, text: str) -> "Groups":
        """Return what `admins=administrator, desk=operator@area:north` says."""
        pairs = [one.strip().rpartition("=") for one in text.split(",") if one.strip()]
        return cls(claim, [(group.strip(), parse_grant(grant)) for group, _, grant in pairs])

    def of(self, claims: dict[str, Any]) -> list[Wanted]:
        """Return what somebody with these claims may."""
        held = claims.get(self.claim, [])
        held = [held] if isinstance(held, str) else held if isinstance(held, list) else []
        return [wanted for group, wanted in self.grants if group in held]


def welcome(session: Session, vouched: Vouched, groups: Groups, now: datetime) -> Account:
    """Return the account of somebody, made where there is none; groups are judged anew.

    Nobody gets an account that was made otherwise, whatever name or address the provider tells.
    Raises NotVouched where they may not sign in.
    """
    _wait_for_others(session)
    query = select(Account).where(
        Account.issuer == vouched.issuer, Account.subject == vouched.subject
    )
    account = session.exec(query).first()
    if account is None:
        account = Account(
            name=_free_name(session, vouched.claims),
            shown_name="",
            issuer=vouched.issuer,
            subject=vouched.subject,
            created_at=now,
            created_by=_BY,
        )
        account.shown_name = _free_shown_name(session, vouched.claims, account.name)
        session.add(account)
        session.flush()
    if not account.is_active:
        raise NotVouched("an administrator has closed this account")
    wanted = _known_places(session, groups.of(vouched.claims))
    give_grants(session, account, wanted, now, _BY, is_by_group=True)
    return account


def _wait_for_others(session: Session) -> None:
    """Let one sign-in at a time make an account, so that two first ones of somebody find the same.

    SQLite lets one write at a time anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        number = lock_number("welcome")
        session.connection().execute(select(func.pg_advisory_xact_lock(number)))


def _known_places(session: Session, wanted: Sequence[Wanted]) -> Iterator[Wanted]:
    for one in wanted:
        try:
            check_place(session, one)
        except ConfigurationError as error:
            log.warning("a group's grant names no place", grant=str(one), error=str(error))
        else:
            yield one


def _free_name(session: Session, claims: dict[str, Any]) -> str:
    told = str(claims.get("preferred_username") or claims.get("email") or "user")
    plain = unicodedata.normalize("NFKD", told.partition("@")[0]).encode("ascii", "ignore").decode()
    base = re.sub(r"[^a-z0-9._-]+", "-", plain.lower()).strip("-._")[:_LONGEST] or "user"
    return _first_free(base, "-{}", lambda name: session.get(Account, name) is None)


def _free_shown_name(session: Session, claims: dict[str, Any], name: str) -> str:
    told = "".join(c if c.isprintable() else " " for c in str(claims.get("name") or name))
    base = " ".join(told.split())[: LONGEST_NAME // 2] or name

    def is_free(shown: str) -> bool:
        taken = session.exec(select(Account.name).where(Account.shown_name == shown)).first()
        return taken is None and session.get(ApiToken, shown) is None

    return base if is_free(base) else _first_free(f"{base} ({name})", " {}", is_free)


def _first_free(base: str, suffix: str, is_free: Any) -> str:
    name, number = base, 1
    while not is_free(name):
        number += 1
        name = base + suffix.format(number)
    return name
