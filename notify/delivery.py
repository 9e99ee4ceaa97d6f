"""What a delivery's state may become: by our own attempt, by a receipt, by looking it up.

    queued ─▶ sending ─▶ sent ─▶ delivered ─▶ read
                 │  │       └──▶ undelivered
                 │  ├──▶ failed, suppressed
                 │  └──▶ queued again (throttled)
                 └──▶ uncertain ─▶ sent | queued again

Receipts come late, twice and out of order: a state only moves forward, and an end stays the end.
"""

from datetime import datetime, timedelta
from typing import Protocol

from sqlmodel import Session, select

from notify.message import (
    COMMAND,
    DELIVERED,
    FAILED,
    OVER,
    QUEUED,
    REACHED,
    READ,
    SENDING,
    SENT,
    SUPPRESSED,
    UNCERTAIN,
    UNDELIVERED,
    WEBHOOK,
    Delivery,
    Message,
    is_moot,
    queue_turn,
    tell_case,
)
from prevenant.store import wake
from prevenant.tables import add_timeline

MAX_ATTEMPTS = 8
_ORDER = {
    state: rank
    for rank, state in enumerate(
        [QUEUED, SENDING, UNCERTAIN, SENT, DELIVERED, UNDELIVERED, FAILED, SUPPRESSED, READ]
    )
}
_FIRST_DELAY_S, _MAX_DELAY_S = 2.0, 300.0


class Channel(Protocol):
    """A way to reach somebody. Its errors are those of `DeliveryError`."""

    def send(self, delivery: Delivery, message: Message) -> str:
        """Hand the delivery to the provider once, and return the provider's own identity for it."""

    def find(self, delivery: Delivery, message: Message, known: frozenset[str]) -> str | None:
        """Look for an attempt that may have been taken; None if the provider has not got it.

        `known` are provider identities that belong to other deliveries.
        """

    def close(self) -> None:
        """Give back all connections."""

    @property
    def confirms(self) -> bool:
        """Whether the provider sends receipts; if not, `sent` is all that will be known."""


ANSWERED_AT_ONCE = frozenset({WEBHOOK, COMMAND})
"""Channels whose hand-over is the delivery: whoever takes it is the one it is for."""


def retry_at(attempts: int, now: datetime, advice_s: float | None = None) -> datetime:
    """Return when to try again: after what the provider advises, else 2, 4, 8 … seconds; 300 at most.

    A provider may advise a day, or a number that is no time at all: nobody waits for that.
    """
    delay_s = _FIRST_DELAY_S * 2 ** max(0, attempts - 1) if advice_s is None else advice_s
    return now + timedelta(seconds=min(_MAX_DELAY_S, delay_s))


def move(session: Session, delivery: Delivery, state: str, now: datetime, reason: str = "") -> bool:
    """Move a delivery forward to `state`, and its message and its case with it.

    The caller holds the message locked, then the delivery: two receipts of one message would else not see
    each other. Returns whether anything changed; a step backwards changes nothing.
    """
    if not _may_become(delivery.state, state):
        return False
    delivery.state = state
    delivery.reason = reason
    delivery.updated_at = now
    delivery.next_at = None
    if state == SENT:
        delivery.sent_at = now
    session.add(delivery)
    message = session.get_one(Message, delivery.message_id)
    _settle(session, message, delivery, now)
    return True


def _may_become(before: str, after: str) -> bool:
    if before in REACHED:
        return before == DELIVERED and after == READ
    return before not in OVER and _ORDER[after] > _ORDER[before]


def take_receipt(
    session: Session, key: str, provider_id: str, state: str, now: datetime, reason: str = ""
) -> bool:
    """Take a provider's word on the delivery `key`; return whether there is such a delivery."""
    message_id = session.exec(select(Delivery.message_id).where(Delivery.key == key)).first()
    if message_id is None:
        return False
    session.get_one(Message, message_id, with_for_update={"key_share": True})
    query = select(Delivery).where(Delivery.key == key).with_for_update()
    delivery = session.exec(query).one()
    delivery.provider_id = delivery.provider_id or provider_id
    if delivery.sent_at is None:
        delivery.sent_at = now
    session.add(delivery)
    move(session, delivery, state, now, reason)
    return True


def _settle(session: Session, message: Message, delivery: Delivery, now: datetime) -> None:
    """Bring a message to the state that its deliveries give it; where all failed, take the next turn."""
    _tell_story(session, message, delivery, now)
    if delivery.state in OVER:
        if message.state in REACHED:
            return
        session.flush()
        siblings = session.exec(select(Delivery).where(Delivery.message_id == message.id)).all()
        if any(one.state not in OVER for one in siblings):
            return
        if message.turn + 1 < len(message.turns) and not is_moot(message):
            message.turn += 1
            message.state = QUEUED
            session.add(message)
            queue_turn(session, message, now)
            return
        message.state = delivery.state
        message.reason = delivery.reason
    elif _ORDER[delivery.state] > _ORDER.get(message.state, 0):
        message.state = delivery.state
    session.add(message)
    if message.state in REACHED or message.state in OVER:
        kind = "message.delivered" if message.state in REACHED else "message.failed"
        tell_case(session, message, kind, now, delivery.answer)


def _tell_story(session: Session, message: Message, delivery: Delivery, now: datetime) -> None:
    if delivery.state not in {SENT, DELIVERED} and delivery.state not in OVER:
        return
    text = message.texts[delivery.channel]
    shown = text if isinstance(text, str) else f"{text['subject']}\n{text['text']}"
    because = f": {delivery.reason}" if delivery.reason else ""
    add_timeline(
        session,
        now,
        f"message.{delivery.state}",
        f"{delivery.channel} to {message.name} ({message.role}) {delivery.state}{because}",
        case_id=message.case_id,
        detail={
            "message": message.id,
            "channel": delivery.channel,
            "to": message.name,
            "role": message.role,
            "template": message.template,
            "provider": delivery.provider,
            "attempts": delivery.attempts,
            "text": shown,
        },
    )
    wake(session, "deliveries")
