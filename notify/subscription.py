"""Subscriptions: what an outside program wants to be told of the story, where, and signed with what.

A subscription follows the story from the line it was made at. `told` is the last line that was queued for
it, and is written with what it queues: whatever ends the engine, nothing is left out and nothing told
anew. It is told in the order of the story, one thing at a time.
"""

import base64
import binascii
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import JSON, Column, Index, Text
from sqlmodel import Field, Session, col, func, select

from prevenant.rows import TableRow
from prevenant.store import wake
from prevenant.tables import TimelineEntry, add_timeline, list_column, utc_column

SUBSCRIPTIONS = "subscriptions"
"""The bell that rings when something can be told to a subscriber, or a subscription was changed."""
ENABLED, PAUSED, ENDED = "enabled", "paused", "ended"
PREFIX = "whsec_"
PAUSED_AFTER = timedelta(days=3)
"""An endpoint that has taken nothing for so long is given nothing any more, until a person says so."""
_SECRET_BYTES = 32
_SHORTEST_SECRET, _LONGEST_SECRET = 24, 64


class Subscription(TableRow, table=True):
    """An endpoint, and what it is told."""

    __tablename__ = "webhook_subscription"
    __table_args__ = (Index("ix_webhook_subscription_state", "state"),)

    id: int | None = Field(default=None, primary_key=True)
    name: str
    url: str = Field(sa_column=Column(Text, nullable=False))
    """May hold a secret of the receiver's: shown to administrators alone."""
    topics: list[str] = list_column()
    kinds: list[str] = list_column()
    """Which kinds of lines it is told of, `case.*` being all that begin so; none: of every kind."""
    sites: list[str] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    """None: every site, those to come included, and what is of no site."""
    state: str = ENABLED
    reason: str = ""
    """Why it is paused."""
    secrets: list[dict[str, Any]] = list_column()
    """The newest first, each with `secret`, and of those before it `until` when they sign, too."""
    tag: str
    """By which receivers tell its ids from those of any other."""
    told: int = 0
    failing_since: datetime | None = utc_column(nullable=True)
    """Since when the endpoint has taken nothing, though it was tried."""
    failure: str = ""
    created_at: datetime = utc_column()
    created_by: str
    changed_at: datetime = utc_column()


def make_tag() -> str:
    """Return what begins the ids of a new subscription."""
    return secrets.token_hex(4)


def make_secret() -> str:
    """Return a new secret, in the form that receivers know."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def key_of(secret: str) -> bytes:
    """Return the key that a secret stands for. Raises ValueError where it is none."""
    bare = secret.removeprefix(PREFIX)
    try:
        key = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except (binascii.Error, ValueError):
        message = f"a secret is {PREFIX} and base64"
        raise ValueError(message) from None
    if bare == secret or not _SHORTEST_SECRET <= len(key) <= _LONGEST_SECRET:
        message = (
            f"a secret is {PREFIX} and {_SHORTEST_SECRET} to {_LONGEST_SECRET} bytes in base64"
        )
        raise ValueError(message)
    return key


def valid_secrets(subscription: Subscription, now: datetime) -> list[str]:
    """Return what signs now, the newest first."""
    return [str(one["secret"]) for one in subscription.secrets if _signs(one, now)]


def rotate_secret(
    session: Session, subscription: Subscription, keeps: timedelta, now: datetime
) -> str:
    """Give a subscription a new secret; those of before sign beside it for as long as `keeps`."""
    until = (now + keeps).isoformat()
    earlier = [one for one in subscription.secrets if _signs(one, now)]
    secret = make_secret()
    subscription.secrets = [
        {"secret": secret, "until": None},
        *({**one, "until": min(one["until"] or until, until)} for one in earlier if keeps),
    ]
    touch(session, subscription, now)
    return secret


def begin(session: Session, subscription: Subscription) -> None:
    """Let a new subscription be told of what happens from now on."""
    subscription.told = session.exec(select(func.max(TimelineEntry.id))).one() or 0
    session.add(subscription)
    session.flush()
    wake(session, SUBSCRIPTIONS)


def touch(session: Session, subscription: Subscription, now: datetime) -> None:
    """Write a changed subscription."""
    subscription.changed_at = now
    session.add(subscription)
    wake(session, SUBSCRIPTIONS)


def pause(session: Session, subscription: Subscription, reason: str, now: datetime) -> None:
    """Give a subscription nothing more until it is resumed; what happens meanwhile is told then."""
    subscription.state, subscription.reason = PAUSED, reason
    touch(session, subscription, now)


def end(session: Session, subscription: Subscription, now: datetime) -> None:
    """End a subscription for good; its address and its secrets are forgotten now, the rest soon."""
    subscription.state, subscription.url, subscription.secrets = ENDED, "", []
    touch(session, subscription, now)


def note_taken(subscription: Subscription) -> bool:
    """Note that the endpoint has taken something; return whether it had not for a while."""
    was_failing = subscription.failing_since is not None
    subscription.failing_since, subscription.failure = None, ""
    return was_failing


def note_failure(
    session: Session, subscription: Subscription, reason: str, now: datetime, *, is_gone: bool
) -> None:
    """Note that the endpoint did not take something, and pause it where that has lasted too long."""
    subscription.failing_since = subscription.failing_since or now
    subscription.failure = reason
    session.add(subscription)
    if subscription.state != ENABLED:
        return
    lasted = now - subscription.failing_since
    if is_gone or lasted >= PAUSED_AFTER:
        why = reason if is_gone else f"nothing was taken for {lasted.days} days: {reason}"
        pause(session, subscription, why, now)
        add_timeline(
            session,
            now,
            "webhook.paused",
            f"the webhook {subscription.name} is paused: {why}",
            detail={"subscription": subscription.id, "why": why},
        )


def find_enabled(session: Session) -> Sequence[Subscription]:
    """Return the subscriptions that are told, in the order in which they were made."""
    query = select(Subscription).where(Subscription.state == ENABLED)
    return session.exec(query.order_by(col(Subscription.id))).all()


def _signs(one: dict[str, Any], now: datetime) -> bool:
    return one["until"] is None or datetime.fromisoformat(one["until"]) > now
