"""What the API, the console and the commands do with subscriptions, and tell of them."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from pydantic import Field
from sqlmodel import Session, col, func, select

from notify.dead_letters import LOST
from notify.hook import Reference, count_ahead, forget_all, hasten
from notify.message import Delivery, Message
from notify.outside import Outside, parse_networks
from notify.subscription import (
    ENABLED,
    ENDED,
    PAUSED,
    Subscription,
    begin,
    end,
    make_secret,
    make_tag,
    pause,
    rotate_secret,
    touch,
)
from prevenant.access.roles import Actor, Role
from prevenant.api.bodies import Body
from prevenant.api.live_topics import TOPICS
from prevenant.crm.tables import Site
from prevenant.document import suggest
from prevenant.durations import parse_duration
from prevenant.errors import ConfigurationError
from prevenant.settings import Settings
from prevenant.store import in_chunks

KEEPS = "24h"
_LONGEST_KEPT = timedelta(days=30)
_KIND = re.compile(r"[a-z_]+(\.[a-z_]+)*(\.\*)?|\*")
_MOST = 100
_LONGEST_NAME = 100
_MOST_SITES = 5_000

Name = Field(min_length=1, max_length=_LONGEST_NAME)


class NewSubscription(Body):
    """An endpoint, and what it is to be told of."""

    name: str = Name
    url: str = Field(max_length=2_000)
    topics: list[str] = Field(default=["story"], min_length=1, max_length=len(TOPICS))
    kinds: list[str] = Field(default=[], max_length=100)
    """Which kinds of lines, `case.*` being all that begin so; none: every kind."""
    sites: list[str] | None = Field(default=None, max_length=_MOST_SITES)
    """Null: every site that the administrator may see to."""
    enabled: bool = True


class Change(Body):
    """What is to be otherwise; what is not given stays as it is."""

    name: str | None = Field(default=None, min_length=1, max_length=_LONGEST_NAME)
    url: str | None = Field(default=None, max_length=2_000)
    topics: list[str] | None = Field(default=None, min_length=1, max_length=len(TOPICS))
    kinds: list[str] | None = Field(default=None, max_length=100)
    sites: list[str] | None = Field(default=None, max_length=_MOST_SITES)
    enabled: bool | None = None


def make(
    session: Session, new: NewSubscription, actor: Actor, settings: Settings, now: datetime
) -> Subscription:
    """Subscribe an endpoint as asked. Raises ConfigurationError."""
    known = select(func.count()).where(Subscription.state != ENDED)
    if session.exec(known).one() >= _MOST:
        message = f"there are {_MOST} webhooks already: end one that is not needed"
        raise ConfigurationError(message)
    made = Subscription(
        name=_check_name(new.name),
        url=_check_url(settings, new.url),
        topics=_check_topics(new.topics),
        kinds=_check_kinds(new.kinds),
        sites=_check_sites(session, new.sites, actor),
        state=ENABLED if new.enabled else PAUSED,
        reason="" if new.enabled else _by(actor),
        secrets=[{"secret": make_secret(), "until": None}],
        tag=make_tag(),
        created_at=now,
        created_by=actor.name,
        changed_at=now,
    )
    begin(session, made)
    return made


def alter(
    session: Session,
    subscription: Subscription,
    change: Change,
    actor: Actor,
    settings: Settings,
    now: datetime,
) -> None:
    """Change a subscription as asked. Raises ConfigurationError."""
    if change.name is not None:
        subscription.name = _check_name(change.name)
    if change.url is not None:
        subscription.url = _check_url(settings, change.url)
    if change.topics is not None:
        subscription.topics = _check_topics(change.topics)
    if change.kinds is not None:
        subscription.kinds = _check_kinds(change.kinds)
    if "sites" in change.model_fields_set:
        subscription.sites = _check_sites(session, change.sites, actor)
    if change.enabled is False and subscription.state == ENABLED:
        pause(session, subscription, _by(actor), now)
    elif change.enabled and subscription.state == PAUSED:
        subscription.state, subscription.reason = ENABLED, ""
        subscription.failing_since = None
    touch(session, subscription, now)
    if subscription.state == ENABLED:
        # Whoever has mended something wants to see it go.
        hasten(session, subscription, now)


def drop(session: Session, subscription: Subscription, now: datetime) -> None:
    """End a subscription, and forget what it was given."""
    end(session, subscription, now)
    forget_all(session, subscription)


def rotate(session: Session, subscription: Subscription, keeps: str, now: datetime) -> str:
    """Give a subscription a new secret and return it. Raises ConfigurationError."""
    try:
        kept = timedelta(seconds=parse_duration(keeps)) if keeps.strip("0 ") else timedelta()
    except (ValueError, OverflowError):
        message = f"{keeps!r} is no length of time: write one such as 24h, or 0"
        raise ConfigurationError(message) from None
    if kept > _LONGEST_KEPT:
        message = f"a secret of before is good for {_LONGEST_KEPT.days}d at most"
        raise ConfigurationError(message)
    return rotate_secret(session, subscription, kept, now)


def list_mine(session: Session, actor: Actor) -> list[Subscription]:
    """Return the subscriptions that an administrator sees to, in the order in which they were made."""
    query = select(Subscription).where(Subscription.state != ENDED)
    found = session.exec(query.order_by(col(Subscription.id)))
    return [one for one in found if _is_mine(one, actor)]


def find_mine(
    session: Session, actor: Actor, number: int, *, to_change: bool = False
) -> Subscription | None:
    """Return a subscription that an administrator sees to, or None; locked where it is to be changed."""
    query = select(Subscription).where(Subscription.id == number, Subscription.state != ENDED)
    found = session.exec(query.with_for_update() if to_change else query).first()
    return found if found is not None and _is_mine(found, actor) else None


def view(session: Session, subscription: Subscription) -> dict[str, Any]:
    """Return a subscription as plain values, without its secrets."""
    lost = select(func.count()).where(
        Delivery.subscription_id == subscription.id, col(Delivery.state).in_(LOST)
    )
    until = [datetime.fromisoformat(one["until"]) for one in subscription.secrets if one["until"]]
    return {
        **subscription.model_dump(exclude={"secrets", "told", "tag"}),
        "waiting": count_ahead(session, subscription),
        "lost": session.exec(lost).one(),
        "earlier_secret_until": max(until) if until else None,
    }


def view_given(delivery: Delivery, message: Message) -> dict[str, Any]:
    """Return what an endpoint is given as plain values, without its words."""
    thing = Reference.of(message)
    return {
        "id": delivery.id,
        "webhook_id": message.key,
        "topic": thing.topic,
        "kind": thing.kind,
        "line": thing.line,
        "about": thing.id,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "status": delivery.answer.get("status"),
        "reason": delivery.reason,
        "next_at": delivery.next_at,
        "created_at": message.created_at,
        "sent_at": delivery.sent_at,
        "possible_duplicate": delivery.possible_duplicate,
    }


def _is_mine(subscription: Subscription, actor: Actor) -> bool:
    mine = actor.sites(Role.ADMINISTRATOR)
    if mine is None:
        return True
    sites = subscription.sites
    return sites is not None and bool(sites) and mine.issuperset(sites)


def _check_name(name: str) -> str:
    shown = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    if not shown:
        message = "give the webhook a name by which people know it"
        raise ConfigurationError(message)
    return shown


def _check_url(settings: Settings, url: str) -> str:
    return Outside(parse_networks(settings.webhook_networks)).check_url(url.strip())


def _check_topics(topics: Sequence[str]) -> list[str]:
    for one in topics:
        if one not in TOPICS:
            message = f"{one!r} is no topic: {suggest(one, TOPICS)}"
            raise ConfigurationError(message)
    if not topics:
        message = f"name at least one topic: {', '.join(TOPICS)}"
        raise ConfigurationError(message)
    return [one for one in TOPICS if one in topics]


def _check_kinds(kinds: Sequence[str]) -> list[str]:
    for one in kinds:
        if not _KIND.fullmatch(one):
            message = f"{one!r} is no kind: write case.closed, or case.* for all that begin so"
            raise ConfigurationError(message)
    return list(dict.fromkeys(kinds))


def _check_sites(session: Session, sites: Sequence[str] | None, actor: Actor) -> list[str] | None:
    """Return which sites are told of, all of them known, and none but the administrator's own."""
    mine = actor.sites(Role.ADMINISTRATOR)
    if sites is None:
        return None if mine is None else sorted(mine)
    wanted = sorted(set(sites))
    if not wanted:
        message = "name at least one site, or none at all for every site"
        raise ConfigurationError(message)
    known: set[str] = set()
    for some in in_chunks([one for one in wanted if one.isprintable()]):
        known.update(session.exec(select(Site.id).where(col(Site.id).in_(some))))
    for one in wanted:
        if one not in known or (mine is not None and one not in mine):
            message = f"there is no site {one!r} that you are an administrator of"
            raise ConfigurationError(message)
    return wanted


def _by(actor: Actor) -> str:
    return f"paused by {actor.name}"
