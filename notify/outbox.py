"""The outbox: takes queued deliveries in order of severity and hands each to its channel, once.

An attempt is written down before it is made. Where it is not known whether the provider took it (a
time-out, or we were killed in between), it is looked up before anything is sent again.
"""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import or_
from sqlmodel import Session, col, select

from notify.consent import find_objection
from notify.delivery import ANSWERED_AT_ONCE, MAX_ATTEMPTS, Channel, move, retry_at
from notify.message import (
    DELIVERED,
    FAILED,
    OUTBOX,
    QUEUED,
    SENDING,
    SENT,
    SUPPRESSED,
    UNCERTAIN,
    Delivery,
    Message,
)
from prevenant.clock import Clock
from prevenant.errors import DeliveryError, Refused, StoreUnavailable, Throttled, Uncertain
from prevenant.store import Store

log = structlog.get_logger()

_AT_ONCE = 8
_LOOK_AGAIN = timedelta(seconds=5)
_AFTER_A_CRASH = timedelta(seconds=2)
_STORE_PAUSE_S = 1.0


class Outbox:
    """Sends what is queued, on the channels that have credentials."""

    def __init__(self, store: Store, clock: Clock, channels: Mapping[str, Channel]) -> None:
        self._store = store
        self._clock = clock
        self._channels = channels
        self._wakeup = store.listen(OUTBOX)
        self._stopping = threading.Event()
        self._busy: set[int] = set()
        self._lock = threading.Lock()

    def run(self) -> None:
        """Send until `stop`."""
        self._recover()
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="engage") as pool:
            while not self._stopping.is_set():
                try:
                    taken, due = self._take(self._clock.now())
                except StoreUnavailable as error:
                    log.error("outbox waits", reason=str(error))
                    self._stopping.wait(_STORE_PAUSE_S)
                    continue
                for delivery_id, uncertain in taken:
                    work = self._look_up if uncertain else self._attempt
                    pool.submit(work, delivery_id).add_done_callback(self._finished(delivery_id))
                if not taken:
                    self._wakeup.wait(self._clock, due)
        for channel in self._channels.values():
            channel.close()

    def stop(self) -> None:
        """End `run` after the attempts under way."""
        self._stopping.set()
        self._wakeup.ring()

    def _recover(self) -> None:
        """Make uncertain what an earlier process was sending when it ended."""
        with self._store.write() as session:
            for delivery in session.exec(select(Delivery).where(Delivery.state == SENDING)):
                delivery.state = UNCERTAIN
                delivery.reason = "the engine ended while it was being sent"
                delivery.next_at = self._clock.now() + _AFTER_A_CRASH
                session.add(delivery)

    def _take(self, now: datetime) -> tuple[list[tuple[int, bool]], datetime | None]:
        """Mark what is due as being sent; return it, and when the next will be due."""
        with self._lock:
            busy = set(self._busy)
        free = _AT_ONCE - len(busy)
        waiting = select(Delivery).where(
            col(Delivery.state).in_([QUEUED, UNCERTAIN]), col(Delivery.id).not_in(busy)
        )
        due = waiting.where(or_(col(Delivery.next_at).is_(None), col(Delivery.next_at) <= now))
        due = due.order_by(col(Delivery.severity).desc(), col(Delivery.id)).limit(max(free, 0))
        with self._store.read() as session:
            any_due = session.exec(due).first() if free > 0 else None
            if any_due is None:
                query = waiting.order_by(col(Delivery.next_at))
                following = session.exec(query).first() if free > 0 else None
                return [], following.next_at if following else None
        with self._store.write() as session:
            taken = []
            for delivery in session.exec(due.with_for_update(skip_locked=True)):
                taken.append((delivery.id or 0, delivery.state == UNCERTAIN))
                if delivery.state == QUEUED and not self._hold_back(session, delivery, now):
                    delivery.state = SENDING
                    delivery.attempts += 1
                    delivery.started_at = delivery.updated_at = now
                    session.add(delivery)
        with self._lock:
            self._busy.update(delivery_id for delivery_id, _ in taken)
        return taken, None

    def _hold_back(self, session: Session, delivery: Delivery, now: datetime) -> bool:
        """Suppress what must not or cannot be sent; return whether it was."""
        contact = session.get_one(Message, delivery.message_id).contact_id
        objection = find_objection(session, delivery.channel, delivery.address, contact)
        if objection:
            return move(session, delivery, SUPPRESSED, now, objection)
        if delivery.channel not in self._channels:
            reason = f"{delivery.channel} has no credentials: shown here, not sent"
            return move(session, delivery, SUPPRESSED, now, reason)
        return False

    def _attempt(self, delivery_id: int) -> None:
        with self._store.read() as session:
            delivery = session.get_one(Delivery, delivery_id)
            message = session.get_one(Message, delivery.message_id)
        if delivery.state != SENDING:
            return
        try:
            provider_id = self._channels[delivery.channel].send(delivery, message)
        except DeliveryError as error:
            self._record_error(delivery_id, error)
        else:
            self._record_sent(delivery_id, provider_id, delivery.answer)

    def _look_up(self, delivery_id: int) -> None:
        """Settle an uncertain delivery: found, or sent again where the provider has not got it."""
        with self._store.read() as session:
            delivery = session.get_one(Delivery, delivery_id)
            message = session.get_one(Message, delivery.message_id)
            query = select(Delivery.provider_id).where(
                Delivery.address == delivery.address, col(Delivery.provider_id).is_not(None)
            )
            known = frozenset(one for one in session.exec(query) if one)
        if delivery.state != UNCERTAIN:
            return
        try:
            provider_id = self._channels[delivery.channel].find(delivery, message, known)
        except DeliveryError as error:
            self._look_later(delivery_id, error)
            return
        if provider_id is not None:
            self._record_sent(delivery_id, provider_id)
            return
        with self._store.write() as session:
            delivery = session.get_one(Delivery, delivery_id)
            if delivery.state == UNCERTAIN:
                delivery.state = QUEUED
                delivery.possible_duplicate = True
                delivery.next_at = self._clock.now()
                session.add(delivery)

    def _record_sent(
        self, delivery_id: int, provider_id: str, answer: dict[str, Any] | None = None
    ) -> None:
        now = self._clock.now()
        with self._store.write() as session:
            delivery = session.get_one(Delivery, delivery_id)
            delivery.provider_id = delivery.provider_id or provider_id
            delivery.answer = answer or {}
            if delivery.sent_at is None:
                delivery.sent_at = now
            session.add(delivery)
            move(session, delivery, SENT, now)
            if delivery.channel in ANSWERED_AT_ONCE:
                move(session, delivery, DELIVERED, now)

    def _record_error(self, delivery_id: int, error: DeliveryError) -> None:
        now = self._clock.now()
        with self._store.write() as session:
            delivery = session.get_one(Delivery, delivery_id)
            if delivery.state != SENDING:
                return
            log.warning(
                "not sent",
                channel=delivery.channel,
                delivery=delivery.key,
                reason=error.reason,
                kind=type(error).__name__,
            )
            if isinstance(error, Uncertain):
                delivery.state = UNCERTAIN
                delivery.next_at = now + _LOOK_AGAIN
            elif isinstance(error, Refused) or delivery.attempts >= MAX_ATTEMPTS:
                move(session, delivery, FAILED, now, error.reason)
                return
            else:
                advice = error.retry_after_s if isinstance(error, Throttled) else None
                delivery.state = QUEUED
                delivery.next_at = retry_at(delivery.attempts, now, advice)
            delivery.reason = error.reason
            delivery.updated_at = now
            session.add(delivery)

    def _look_later(self, delivery_id: int, error: DeliveryError) -> None:
        now = self._clock.now()
        with self._store.write() as session:
            delivery = session.get_one(Delivery, delivery_id)
            delivery.reason = error.reason
            delivery.next_at = now + _LOOK_AGAIN
            session.add(delivery)

    def _finished(self, delivery_id: int) -> Callable[[Future[None]], None]:
        def finished(future: Future[None]) -> None:
            error = future.exception()
            if error is not None:
                log.error("delivery failed inside", delivery=delivery_id, error=repr(error))
            with self._lock:
                self._busy.discard(delivery_id)
            self._wakeup.ring()

        return finished
