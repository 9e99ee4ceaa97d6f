"""What was handed over is followed: the provider is asked where no receipt comes, and silence has an end.

Both wait in the ledger, so that no message has a thread. Several processes may follow: whoever asks about
a delivery has first written when it is asked about next.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import structlog
from sqlmodel import Session, col, select

from notify.delivery import RECEIPT_URGENCY, Channel, move_on, take_receipt
from notify.message import SENDINGS, SENT, Delivery, Message
from notify.opting_out import record_opt_out
from notify.patience import Confirms, Overdue, Until, judge_silence
from notify.receipts import Receipt, asks, can_confirm
from notify.replies import Reply
from prevenant.clock import Clock
from prevenant.domain import Severity
from prevenant.errors import DeliveryError, Refused, StoreUnavailable
from prevenant.store import Store

log = structlog.get_logger()

_AT_ONCE = 4
_TOGETHER = 50
_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=15)
_GIVE_UP = timedelta(days=1)
"""Carriers keep a text for less."""
_REST_S = 0.2
"""How long it rests between two looks: in a rush it looks for many at once."""
_STORE_PAUSE_S = 1.0

_Asked = tuple[Delivery, Receipt | None]


class Follower:
    """Asks for receipts, and moves messages on to their next channel."""

    def __init__(self, store: Store, clock: Clock, channels: Mapping[str, Channel]) -> None:
        self._store = store
        self._clock = clock
        self._channels = channels
        self._wakeup = store.listen(SENDINGS)
        self._stopping = threading.Event()

    def run(self) -> None:
        """Follow until `stop`."""
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="receipts") as pool:
            while not self._stopping.is_set():
                try:
                    next_at = self.follow(self._clock.now(), pool.map)
                    self._wakeup.wait(self._clock, next_at)
                    self._stopping.wait(_REST_S)
                except StoreUnavailable as error:
                    log.error("receipts wait", reason=str(error))
                    self._stopping.wait(_STORE_PAUSE_S)

    def stop(self) -> None:
        """End `run` after the requests under way."""
        self._stopping.set()
        self._wakeup.ring()

    def follow(self, now: datetime, each: Callable[..., object] = map) -> datetime | None:
        """Do what is due; return when something will be due next, or None."""
        polls, silences = self._next_due()
        has_polls = polls is not None and polls <= now
        has_silences = silences is not None and silences <= now
        if has_polls:
            self._ask(now, each)
        if has_silences:
            with self._store.write(Severity.LIFE_SAFETY) as session:
                end_silences(session, self._confirms, now)
        if has_polls or has_silences:
            polls, silences = self._next_due()
        return min((one for one in (polls, silences) if one is not None), default=None)

    def _next_due(self) -> tuple[datetime | None, datetime | None]:
        """Return when a receipt is to be asked for next, and when the next silence is over."""
        with self._store.read() as session:
            return _next(session, Delivery.poll_at), _next(session, Message.move_on_at)

    def _confirms(self, delivery: Delivery) -> bool:
        return can_confirm(self._channels.get(delivery.channel), delivery)

    def _ask(self, now: datetime, each: Callable[..., object]) -> None:
        with self._store.write() as session:
            due = claim_polls(session, now)
        answers: Sequence[_Asked] = list(each(self._ask_about, due))  # type: ignore[call-overload]
        heard = [(one, receipt) for one, receipt in answers if receipt is not None]
        if not heard:
            return
        with self._store.write(RECEIPT_URGENCY) as session:
            for delivery, receipt in heard:
                provider_id = delivery.provider_id or ""
                take_receipt(session, delivery.key, provider_id, receipt.state, now, receipt.reason)
                if receipt.refusal is not None:
                    record_opt_out(session, delivery, receipt.refusal, now)

    def _ask_about(self, delivery: Delivery) -> _Asked:
        channel = asks(self._channels.get(delivery.channel))
        if channel is None:
            return delivery, None
        try:
            return delivery, channel.ask(delivery)
        except Refused as error:
            log.warning("no receipt to be had", delivery=delivery.key, reason=error.reason)
        except DeliveryError as error:
            log.info("a receipt is asked for later", delivery=delivery.key, reason=error.reason)
        return delivery, None


def claim_polls(session: Session, now: datetime) -> Sequence[Delivery]:
    """Return the deliveries to ask about, each with the time written when it is asked about next."""
    query = (
        select(Delivery)
        .where(col(Delivery.poll_at) <= now)
        .order_by(col(Delivery.poll_at))
        .limit(_TOGETHER)
        .with_for_update(skip_locked=True)
    )
    found = session.exec(query).all()
    for delivery in found:
        delivery.poll_at = ask_again_at(delivery.sent_at or now, now)
        if delivery.state != SENT:
            delivery.poll_at = None
        session.add(delivery)
    return [one for one in found if one.state == SENT]


def ask_again_at(sent_at: datetime, now: datetime) -> datetime | None:
    """Return when to ask the next time: after as long again, 5 seconds at least; after a day never."""
    age = now - sent_at
    if age >= _GIVE_UP:
        return None
    return now + max(_FIRST_PAUSE, min(_LONGEST_PAUSE, age))


def end_silences(session: Session, confirms: Confirms, now: datetime) -> int:
    """Move on every message that was waited for long enough; return how many there were."""
    query = (
        select(Message)
        .where(col(Message.move_on_at) <= now)
        .order_by(col(Message.severity).desc(), col(Message.id))
        .limit(_TOGETHER)
        .with_for_update(skip_locked=True, key_share=True)
    )
    moved = 0
    for message in session.exec(query).all():
        deliveries = session.exec(
            select(Delivery).where(
                Delivery.message_id == message.id,
                col(Delivery.channel).in_(message.turns[message.turn]),
            )
        ).all()
        is_answered = _is_answered(session, message)
        silence = judge_silence(message, deliveries, confirms, now, is_answered=is_answered)
        message.move_on_at = silence.at if isinstance(silence, Until) else None
        session.add(message)
        if isinstance(silence, Overdue):
            move_on(session, message, silence.why, now)
            moved += 1
    return moved


def _is_answered(session: Session, message: Message) -> bool:
    query = select(Reply.id).where(Reply.case_id == message.case_id, Reply.message_id == message.id)
    return session.exec(query.limit(1)).first() is not None


def _next(session: Session, column: datetime | None) -> datetime | None:
    query = select(column).where(col(column).is_not(None)).order_by(col(column)).limit(1)
    return session.exec(query).first()
