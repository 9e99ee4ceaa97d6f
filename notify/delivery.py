"""What a delivery's state may become: by our own attempt, by a receipt, by looking it up.

    queued ─▶ sending ─▶ sent ─▶ delivered ─▶ read
                 │  │       └──▶ undelivered
                 │  ├──▶ failed, suppressed
                 │  └──▶ queued again (throttled)
                 └──▶ uncertain ─▶ sent | queued again

    queued ─▶ gathered: with others in one message, whose way it goes

Receipts come late, twice and out of order: a state only moves forward, and an end stays the end. That a
call has arrived is taken back where it turns out afterwards that a machine took it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from sqlmodel import Session, col, or_, select

from notify.message import (
    COMMAND,
    DELIVERED,
    DIGEST,
    FAILED,
    GATHERED,
    HOOK,
    OVER,
    QUEUED,
    REACHED,
    READ,
    SENDING,
    SENDINGS,
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
from prevenant.domain import Severity
from prevenant.store import wake
from prevenant.tables import add_timeline

MAX_ATTEMPTS = 8
_ORDER = {
    state: rank
    for rank, state in enumerate(
        [
            QUEUED,
            GATHERED,
            SENDING,
            UNCERTAIN,
            SENT,
            DELIVERED,
            UNDELIVERED,
            FAILED,
            SUPPRESSED,
            READ,
        ]
    )
}
_FIRST_DELAY_S, _MAX_DELAY_S = 2.0, 300.0
_DOUBLINGS = 20
_SELDOM_S = {HOOK: 3_600.0}
"""Channels on which the pauses grow to more than that."""
_FOR_EVER = frozenset({HOOK})
"""Channels on which what is given in turn is not given up: what follows waits, and nothing is lost."""


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


RECEIPT_URGENCY = Severity.CRITICAL
"""How urgent it is to take a receipt: it never goes before an alarm of life-safety."""
ANSWERED_AT_ONCE = frozenset({WEBHOOK, COMMAND, HOOK})
"""Channels whose hand-over is the delivery: whoever takes it is the one it is for."""


def retry_at(
    attempts: int, now: datetime, advice_s: float | None = None, channel: str = ""
) -> datetime:
    """Return when to try again: after what the provider advises, else 2, 4, 8 … seconds; 300 at most.

    A provider may advise a day, or a number that is no time at all: nobody waits for that.
    """
    delay_s = _FIRST_DELAY_S * 2 ** min(max(0, attempts - 1), _DOUBLINGS)
    if advice_s is not None:
        delay_s = advice_s
    return now + timedelta(seconds=min(_SELDOM_S.get(channel, _MAX_DELAY_S), delay_s))


def is_last(delivery: Delivery) -> bool:
    """Return whether a delivery is not tried again, where its present attempt fails."""
    is_waited_for = delivery.channel in _FOR_EVER and delivery.in_turn
    return not is_waited_for and delivery.attempts >= MAX_ATTEMPTS


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
    else:
        delivery.poll_at = None
    session.add(delivery)
    message = session.get_one(Message, delivery.message_id)
    _settle(session, message, delivery, now)
    if message.key.startswith(DIGEST):
        parts = select(Delivery).where(Delivery.digest_id == message.id).order_by(col(Delivery.id))
        for part in session.exec(parts.with_for_update()).all():
            move(session, part, state, now, reason)
    return True


def _may_become(before: str, after: str) -> bool:
    if before in REACHED:
        return before == DELIVERED and after == READ
    return before not in OVER and _ORDER[after] > _ORDER[before]


def is_known(session: Session, key: str, provider_id: str, state: str) -> bool:
    """Return whether a receipt says nothing new: that an attempt was taken, or what was heard before.

    Most are such, and need no transaction that writes.
    """
    before = session.exec(select(Delivery).where(Delivery.key == key)).first()
    if before is None or before.sent_at is None or _may_become(before.state, state):
        return False
    return not provider_id or before.provider_id not in {None, key}


def take_receipt(
    session: Session,
    key: str,
    provider_id: str,
    state: str,
    now: datetime,
    reason: str = "",
    *,
    takes_back: bool = False,
) -> bool:
    """Take a provider's word on the delivery `key`; return whether there is such a delivery.

    That an earlier attempt of it has failed means nothing where another has been made since. `provider_id`
    is empty where the provider does not name the attempt. What `takes_back` that it has arrived counts
    until its question is settled.
    """
    message_id = session.exec(select(Delivery.message_id).where(Delivery.key == key)).first()
    if message_id is None:
        return False
    parts = select(Delivery.message_id).where(Delivery.digest_id == message_id)
    whole = select(Message).where(or_(Message.id == message_id, col(Message.id).in_(parts)))
    session.exec(whole.order_by(col(Message.id)).with_for_update(key_share=True)).all()
    query = select(Delivery).where(Delivery.key == key).with_for_update()
    delivery = session.exec(query).one()
    # Our own key stands there where the provider named no attempt as it took it.
    is_named = delivery.provider_id not in {None, key}
    if provider_id and state in OVER and is_named and delivery.provider_id != provider_id:
        return True
    if provider_id and not is_named:
        delivery.provider_id = provider_id
    if delivery.sent_at is None:
        delivery.sent_at = now
    session.add(delivery)
    if takes_back and delivery.state == DELIVERED and _take_back(session, delivery):
        reason = f"{reason}; it was taken for delivered before"
    move(session, delivery, state, now, reason)
    return True


def _take_back(session: Session, delivery: Delivery) -> bool:
    """Let a delivery, and its message where nothing else has reached its contact, be sent and no more.

    Returns whether it is: whoever has answered was reached.
    """
    message = session.get_one(Message, delivery.message_id)
    if message.ask_settled:
        return False
    delivery.state = SENT
    session.add(delivery)
    query = select(Delivery.id).where(
        Delivery.message_id == message.id,
        Delivery.id != delivery.id,
        col(Delivery.state).in_(REACHED),
    )
    if message.state == DELIVERED and session.exec(query.limit(1)).first() is None:
        message.state = SENT
        session.add(message)
    if message.key.startswith(DIGEST):
        parts = select(Delivery).where(
            Delivery.digest_id == message.id, Delivery.state == DELIVERED
        )
        for part in session.exec(parts.order_by(col(Delivery.id)).with_for_update()).all():
            _take_back(session, part)
    return True


def _settle(session: Session, message: Message, delivery: Delivery, now: datetime) -> None:
    """Bring a message to the state that its deliveries give it; where all failed, take the next turn."""
    _tell_story(session, message, delivery, now)
    is_late = delivery.channel not in message.turns[message.turn]
    if delivery.state in OVER:
        # What came of an earlier turn changes nothing once the next has begun.
        if is_late or (message.state in REACHED and message.reply_within_s is None):
            return
        session.flush()
        if any(one.state not in OVER for one in _of_turn(session, message)):
            return
        take_next_turn(session, message, delivery.reason, now, delivery)
        return
    if _ORDER[delivery.state] > _ORDER.get(message.state, 0) or message.state in OVER:
        message.state = delivery.state
    session.add(message)
    if message.state in REACHED:
        message.reason = ""
        if is_late and message.reply_within_s is None:
            _call_off(session, message, f"reached by {delivery.channel} after all", now)
        tell_case(session, message, "message.delivered", now, delivery.answer)


def take_next_turn(
    session: Session,
    message: Message,
    reason: str,
    now: datetime,
    failed: Delivery | None = None,
) -> None:
    """Try the next channels of a message; where there are none, let its case hear that it failed.

    What was handed over and never confirmed stays `sent`: a receipt may still come.
    """
    message.tried_at = message.move_on_at = None
    session.add(message)
    if message.ask_settled and not is_moot(message):
        # The question was settled meanwhile: nobody is asked again, and nothing was missed.
        if failed is not None and message.state not in REACHED:
            message.state = failed.state
        message.reason = reason
        return
    if message.turn + 1 < len(message.turns) and not is_moot(message):
        message.turn += 1
        if message.state not in REACHED:
            message.state = QUEUED
        queue_turn(session, message, now)
        return
    if failed is not None and message.state not in REACHED:
        message.state = failed.state
    message.reason = reason
    tell_case(session, message, "message.failed", now, failed.answer if failed else None)


def move_on(session: Session, message: Message, why: str, now: datetime) -> None:
    """Wait no longer for the present turn of a message, which the caller has locked."""
    _call_off(session, message, why, now)
    for delivery in _of_turn(session, message):
        if delivery.state == SENT:
            delivery.reason = why
            session.add(delivery)
    channels = " and ".join(message.turns[message.turn])
    is_last = message.turn + 1 >= len(message.turns)
    next_step = "no channel is left" if is_last else "the next channel is tried"
    summary = f"{channels} to {message.name} ({message.role}): {why}; {next_step}"
    detail = {"message": message.id, "to": message.name, "why": why}
    add_timeline(session, now, "message.silent", summary, case_id=message.case_id, detail=detail)
    take_next_turn(session, message, why, now)


def _call_off(session: Session, message: Message, why: str, now: datetime) -> None:
    """Send nothing more of the present turn that nobody has begun to send."""
    for delivery in _of_turn(session, message):
        if delivery.state == QUEUED and not delivery.claimed_by:
            delivery.state, delivery.reason, delivery.next_at = SUPPRESSED, why, None
            delivery.updated_at = now
            session.add(delivery)
            _tell_story(session, message, delivery, now)


def _of_turn(session: Session, message: Message) -> Sequence[Delivery]:
    """Return the deliveries of the present turn of a message."""
    query = select(Delivery).where(
        Delivery.message_id == message.id,
        col(Delivery.channel).in_(message.turns[message.turn]),
    )
    return session.exec(query.order_by(col(Delivery.id)).with_for_update()).all()


def _tell_story(session: Session, message: Message, delivery: Delivery, now: datetime) -> None:
    if delivery.state not in {SENT, DELIVERED} and delivery.state not in OVER:
        return
    if delivery.subscription_id is not None:
        # A line on each line that is told would be told in its turn, for ever.
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
    wake(session, SENDINGS)
