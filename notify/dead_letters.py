"""Dead letters: what was for a machine and did not arrive after the last attempt, and giving it again."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, true
from sqlmodel import Session, col, select

from notify.message import (
    COMMAND,
    FAILED,
    HOOK,
    QUEUED,
    SUPPRESSED,
    UNDELIVERED,
    WEBHOOK,
    Delivery,
    Message,
    bell_of,
)
from prevenant.errors import ConfigurationError
from prevenant.store import wake
from prevenant.tables import add_timeline

LOST = (FAILED, UNDELIVERED, SUPPRESSED)
_MACHINES = (WEBHOOK, COMMAND)


def list_dead_letters(
    session: Session,
    limit: int = 100,
    before: int | None = None,
    among: ColumnElement[bool] | None = None,
) -> list[tuple[Delivery, Message]]:
    """Return what machines were not given, the newest first, perhaps from behind one on.

    `among` is a condition on their messages.
    """
    query = (
        select(Delivery, Message)
        .where(Delivery.message_id == Message.id)
        .where(col(Delivery.channel).in_(_MACHINES), col(Delivery.state).in_(LOST))
        .where(true() if among is None else among)
        .order_by(col(Delivery.id).desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(col(Delivery.id) < before)
    return list(session.exec(query))


def view_dead_letter(delivery: Delivery, message: Message) -> dict[str, Any]:
    """Return a dead letter as plain values; without its address, which may hold a secret."""
    return {
        "id": delivery.id,
        "case": message.case_id,
        "channel": delivery.channel,
        "to": message.name,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "at": delivery.updated_at,
        "reason": delivery.reason,
        "body": message.texts[delivery.channel],
    }


def resend(session: Session, number: int, now: datetime, by: str = "") -> str:
    """Queue a dead letter again, under the key that the receiver knows it by; return to whom.

    Raises ConfigurationError where it is none.
    """
    delivery = session.get(Delivery, number, with_for_update=True)
    if delivery is None:
        message = f"there is no delivery {number}: see `prevenant deliveries dead-letters`"
        raise ConfigurationError(message)
    if delivery.channel not in {*_MACHINES, HOOK}:
        message = (
            f"delivery {number} is for a person, who would be told too late: tell them yourself"
        )
        raise ConfigurationError(message)
    if delivery.state not in LOST:
        message = f"delivery {number} is {delivery.state}: only one that failed can be given again"
        raise ConfigurationError(message)
    whole = session.get_one(Message, delivery.message_id)
    delivery.state, delivery.reason, delivery.attempts, delivery.next_at = QUEUED, "", 0, None
    delivery.updated_at = now
    whole.state, whole.reason, whole.outdated = QUEUED, "", ""
    session.add(delivery)
    session.add(whole)
    wake(session, bell_of(delivery.channel))
    if delivery.subscription_id is not None:
        return whole.name
    add_timeline(
        session,
        now,
        "message.resent",
        f"{delivery.channel} to {whole.name} is given again{f', says {by}' if by else ''}",
        case_id=whole.case_id,
        detail={"message": whole.id, "delivery": number},
    )
    return whole.name


def resend_all(session: Session, letters: Sequence[int], now: datetime, by: str = "") -> int:
    """Queue several again; return how many."""
    for number in letters:
        resend(session, number, now, by)
    return len(letters)
