"""Patience: how long a receipt and a reply are waited for, before the next channel is tried.

The time runs from the first attempt of a turn, so that a provider that takes nothing is no excuse. A
deadline is written once for a turn and never moves.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session

from notify.message import OVER, REACHED, SENDINGS, SENT, Delivery, Message
from prevenant.durations import format_duration
from prevenant.store import wake


@dataclass(frozen=True, slots=True)
class Overdue:
    """Nothing was heard in time."""

    why: str


@dataclass(frozen=True, slots=True)
class Until:
    """What was due was heard; something else is waited for until a time."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Settled:
    """Nothing is waited for any more."""


Silence = Overdue | Until | Settled

Confirms = Callable[[Delivery], bool]
"""Says whether a receipt for a delivery can be expected."""


def begin_patience(session: Session, message: Message, delivery: Delivery) -> None:
    """Let the time of a message's turn run, from the first attempt of it."""
    spans = [one for one in (message.receipt_within_s, message.reply_within_s) if one is not None]
    is_of_turn = bool(message.turns) and delivery.channel in message.turns[message.turn]
    if not spans or message.tried_at is not None or not is_of_turn:
        return
    if delivery.attempts and delivery.started_at is not None and delivery.state not in OVER:
        message.tried_at = delivery.started_at
        message.move_on_at = delivery.started_at + timedelta(seconds=min(spans))
        session.add(message)
        wake(session, SENDINGS)


def judge_silence(
    message: Message,
    deliveries: Sequence[Delivery],
    confirms: Confirms,
    now: datetime,
    *,
    is_answered: bool,
) -> Silence:
    """Judge a message whose deadline has come; `deliveries` are those of its present turn.

    What has a provider that never confirms counts as received: more cannot be known there.
    """
    if is_answered or message.ask_settled or message.tried_at is None:
        return Settled()
    later = []
    is_received = any(_is_received(one, confirms) for one in deliveries)
    if message.receipt_within_s is not None and not is_received:
        receipt_by = message.tried_at + timedelta(seconds=message.receipt_within_s)
        if receipt_by <= now:
            return Overdue(f"no receipt within {format_duration(message.receipt_within_s)}")
        later.append(receipt_by)
    if message.reply_within_s is not None and message.ask_open:
        reply_by = message.tried_at + timedelta(seconds=message.reply_within_s)
        if reply_by <= now:
            return Overdue(f"no reply within {format_duration(message.reply_within_s)}")
        later.append(reply_by)
    return Until(min(later)) if later else Settled()


def _is_received(delivery: Delivery, confirms: Confirms) -> bool:
    if delivery.state in REACHED:
        return True
    return delivery.state == SENT and not confirms(delivery)
