"""Links for people without a login: short, for one purpose, expiring, and every use stands in the story.

Whoever has a link may do what it is for. So its token is random and is known to its receiver alone: what
is kept is a digest, by which it is found again and from which no link can be made.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import Index, delete
from sqlmodel import Field, Session, col, select

from prevenant.rows import TableRow
from prevenant.tables import add_timeline, json_column, utc_column

UNSUBSCRIBE, VISIT, JOB = "unsubscribe", "visit", "job"
"""Purposes: no more e-mail; a customer's page of a case; a technician's page of a case."""

PATH = "/l/"
_PATHS = {UNSUBSCRIBE: PATH, VISIT: "/v/", JOB: "/j/"}
_TOKEN = re.compile(r"(/[lvj]/)[\w-]{24}(?![\w-])")
_TOKEN_BYTES = 18
"""144 bits: 24 characters, and more than can be guessed."""
_LONGEST_TOKEN = 200
_KEPT_AFTER_END = timedelta(days=90)
"""So long it can still be said that a link has expired, and not that there is none."""


class Link(TableRow, table=True):
    """A link that somebody was given."""

    __table_args__ = (Index("ix_link_expires_at", "expires_at"),)

    digest: str = Field(primary_key=True)
    """The SHA-256 of its token."""
    purpose: str
    contact_id: str = Field(index=True)
    case_id: int | None = Field(default=None, index=True)
    message_id: int | None = None
    """What it was sent with."""
    data: dict[str, Any] = json_column()
    """What else it is about; no address."""
    created_at: datetime = utc_column()
    expires_at: datetime = utc_column()
    uses: int = 0
    used_at: datetime | None = utc_column(nullable=True)
    """When it was used last."""


@dataclass(frozen=True, slots=True)
class LinkFor:
    """What a link is to be for, and for how long."""

    purpose: str
    contact_id: str
    lives: timedelta
    case_id: int | None = None
    message_id: int | None = None
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """A link that was followed, or why it leads nowhere."""

    link: Link | None
    why_not: str = ""
    """`unknown` or `expired`."""


def hide_all(value: Any) -> Any:
    """Return plain values in whose texts no link of ours can be followed."""
    if isinstance(value, str):
        return hide_tokens(value)
    if isinstance(value, Mapping):
        return {key: hide_all(one) for key, one in value.items()}
    return [hide_all(one) for one in value] if isinstance(value, list) else value


def issue_link(session: Session, wanted: LinkFor, now: datetime) -> str:
    """Make a link in the transaction of `session`; return its token, which is kept nowhere."""
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    link = Link(
        digest=_digest(token),
        purpose=wanted.purpose,
        contact_id=wanted.contact_id,
        case_id=wanted.case_id,
        message_id=wanted.message_id,
        data=dict(wanted.data),
        created_at=now,
        expires_at=now + wanted.lives,
    )
    session.add(link)
    return token


def link_url(public_url: str, token: str, purpose: str = UNSUBSCRIBE) -> str:
    """Return the address of a link."""
    return f"{public_url}{_PATHS[purpose]}{token}"


def hide_tokens(text: str) -> str:
    """Return a text in which no link of ours can be followed, for whoever it was not written to."""
    return _TOKEN.sub(r"\1…", text)


def find_link(session: Session, token: str, now: datetime) -> Found:
    """Return what a token leads to; looking uses nothing up and is not noted."""
    link = session.get(Link, _digest(token)) if len(token) <= _LONGEST_TOKEN else None
    if link is None:
        return Found(None, "unknown")
    return Found(link) if now < link.expires_at else Found(None, "expired")


def use_link(session: Session, token: str, purpose: str, what: str, now: datetime) -> Found:
    """Follow a link for `purpose`; count the use and write `what` was done with it into the story.

    That an expired one was tried is written there too.
    """
    query = select(Link).where(Link.digest == _digest(token[: _LONGEST_TOKEN + 1]))
    link = session.exec(query.with_for_update()).first()
    if link is None or link.purpose != purpose:
        return Found(None, "unknown")
    if now >= link.expires_at:
        _tell(session, link, "link.expired", f"a link ({purpose}) was tried after its end", now)
        return Found(None, "expired")
    link.uses += 1
    link.used_at = now
    session.add(link)
    times = "once" if link.uses == 1 else f"{link.uses} times"
    _tell(session, link, "link.used", f"{what} by link, used {times}", now)
    return Found(link)


def end_links(session: Session, purpose: str, case_id: int, now: datetime) -> None:
    """Let the links of a case for one purpose lead nowhere from now on."""
    query = select(Link).where(
        Link.case_id == case_id, Link.purpose == purpose, col(Link.expires_at) > now
    )
    for link in session.exec(query.with_for_update()):
        link.expires_at = now
        session.add(link)


def forget_links(session: Session, now: datetime) -> None:
    """Forget the links that ended long ago."""
    session.execute(delete(Link).where(col(Link.expires_at) < now - _KEPT_AFTER_END))


def _tell(session: Session, link: Link, kind: str, summary: str, now: datetime) -> None:
    detail = {"purpose": link.purpose, "uses": link.uses, "message": link.message_id}
    add_timeline(session, now, kind, summary, case_id=link.case_id, detail=detail)


def _digest(token: str) -> str:
    return sha256(token.encode(errors="replace")).hexdigest()
