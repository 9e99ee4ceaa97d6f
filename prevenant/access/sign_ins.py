"""Sign-ins: browsers in which somebody is known for a while, each by a cookie that it alone has."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete
from sqlmodel import Session, col, select

from prevenant.access.digests import digest_of
from prevenant.access.tables import Account, ApiToken, SignIn

PASSWORD, OPENID, TOKEN = "password", "openid", "token"
_COOKIE_BYTES = 32
_LONGEST_AGENT = 160
_KEPT_AFTER_END = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Lasting:
    """How long a sign-in lasts: at most, and without being used."""

    at_most: timedelta
    idle: timedelta


@dataclass(frozen=True, slots=True)
class From:
    """Where a request comes from, as far as it is kept."""

    agent: str = ""
    origin: str = ""


def begin_sign_in(
    session: Session,
    holder: Account | ApiToken,
    method: str,
    now: datetime,
    lasting: Lasting,
    where: From,
) -> str:
    """Let a browser be somebody; return its cookie, which is new each time and is kept nowhere."""
    session.execute(delete(SignIn).where(col(SignIn.expires_at) < now - _KEPT_AFTER_END))
    cookie = secrets.token_urlsafe(_COOKIE_BYTES)
    agent = "".join(c for c in where.agent if c.isprintable())[:_LONGEST_AGENT]
    begun = SignIn(
        digest=digest_of(cookie),
        method=method,
        created_at=now,
        seen_at=now,
        expires_at=now + lasting.at_most,
        agent=agent,
        origin=where.origin,
    )
    if isinstance(holder, Account):
        begun.account = holder.name
        holder.signed_in_at = now
    else:
        begun.token = holder.name
        holder.used_at = now
    session.add(holder)
    session.add(begun)
    return cookie


def find_sign_in(session: Session, cookie: str, now: datetime, lasting: Lasting) -> SignIn | None:
    """Return the sign-in of a cookie while it lasts."""
    found = session.get(SignIn, digest_of(cookie))
    if found is None or not is_lasting(found, now, lasting):
        return None
    return found


def is_lasting(found: SignIn, now: datetime, lasting: Lasting) -> bool:
    """Return whether a sign-in still lets somebody in."""
    is_idle = now - found.seen_at >= lasting.idle
    return found.ended_at is None and now < found.expires_at and not is_idle


def note_use(session: Session, digest: str, now: datetime) -> None:
    """Note that a sign-in is in use."""
    found = session.get(SignIn, digest)
    if found is not None and found.ended_at is None and found.seen_at < now:
        found.seen_at = now
        session.add(found)


def end_sign_in(session: Session, digest: str, now: datetime) -> None:
    """Sign one browser out."""
    found = session.get(SignIn, digest)
    if found is not None and found.ended_at is None:
        found.ended_at = now
        session.add(found)


def end_sign_ins(
    session: Session, now: datetime, *, account: str = "", token: str = "", but: str = ""
) -> int:
    """Sign out every browser of a person or of a token, perhaps but one; return how many."""
    query = select(SignIn).where(col(SignIn.ended_at).is_(None), SignIn.digest != but)
    query = query.where(SignIn.account == account if account else SignIn.token == token)
    found = session.exec(query).all()
    for one in found:
        one.ended_at = now
        session.add(one)
    return len(found)


def list_sign_ins(
    session: Session, now: datetime, lasting: Lasting, account: str | None = None
) -> Sequence[SignIn]:
    """Return the sign-ins that last, of one person or of all, the last used first."""
    query = select(SignIn).where(
        col(SignIn.ended_at).is_(None), SignIn.expires_at > now, SignIn.seen_at > now - lasting.idle
    )
    if account is not None:
        query = query.where(SignIn.account == account)
    return session.exec(query.order_by(col(SignIn.seen_at).desc())).all()
