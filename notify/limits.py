"""Limits: how often somebody is told something of one severity, before the rest is gathered.

What asks for an answer is a conversation and has no limit: a case waits for it. Surveys can wait. What
moves a visit in a calendar, or tells a technician of a job, is acted on, and has no limit either.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlmodel import Session, col, func, or_, select

from notify.message import ANSWER, TECHNICIAN, Delivery, Message, calendar_of
from prevenant.limits import LONGEST, Limit

SURVEYS = frozenset({"rating", "nps", "ces"})
_OLDEST = LONGEST + timedelta(days=2)
"""No message waits for longer before it is sent: a window, a night, and the attempts."""


def is_limited(message: Message) -> bool:
    """Return whether a message can wait for others to go with it."""
    is_acted_on = message.role == TECHNICIAN or calendar_of(message) != ""
    return not is_acted_on and (message.ask is None or message.ask in SURVEYS)


def room_at(
    limits: Sequence[Limit], told: Sequence[datetime], now: datetime
) -> tuple[datetime, Limit] | None:
    """Return when somebody who was told at these times can be told again, and which limit says so.

    None: now. The window of a limit begins with the oldest message that counts.
    """
    latest: tuple[datetime, Limit] | None = None
    for limit in limits:
        within = sorted(at for at in told if at > now - limit.window)
        if len(within) < limit.count:
            continue
        free_at = within[-limit.count] + limit.window
        if latest is None or free_at > latest[0]:
            latest = free_at, limit
    return latest


def told_at(
    session: Session, message: Message, severity: int, limits: Sequence[Limit], now: datetime
) -> list[datetime]:
    """Return when the contact of a message was told something else of a severity that still counts.

    A message counts once, by whichever channels it went.
    """
    since = now - max(limit.window for limit in limits)
    at = func.max(col(Delivery.started_at))
    query = (
        select(at)
        .join(Message, col(Message.id) == col(Delivery.message_id))
        .where(
            Message.contact_id == message.contact_id,
            Message.created_at > since - _OLDEST,
            Message.id != message.id,
            Message.role != TECHNICIAN,
            or_(col(Message.ask).is_(None), col(Message.ask).in_(SURVEYS)),
            col(Message.key).not_like(f"{ANSWER}%"),
            Delivery.severity == severity,
            col(Delivery.started_at) > since,
        )
        .group_by(col(Delivery.message_id))
    )
    return [one for one in session.exec(query) if one is not None]
