"""Telling subscribers: what they are told, signed as https://www.standardwebhooks.com says.

`webhook-id` is the same however often a thing is given; `webhook-signature` is the HMAC-SHA256, in base64,
of the id, the time and the body, with full stops between, once for each secret that is valid.

What is queued is which line of the story is told, and no words: these are found when it is given, so that
nothing of a person is kept twice, and nothing is told that was erased meanwhile.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

import requests
from sqlalchemy import ColumnElement, delete, update
from sqlmodel import Session, and_, col, func, or_, select

from notify.http_answers import retry_after_s
from notify.message import (
    HOOK,
    OVER,
    QUEUED,
    REACHED,
    SUBSCRIBER,
    Delivery,
    Message,
    queue_turn,
)
from notify.outside import Inside, Outside
from notify.subscription import (
    ENDED,
    SUBSCRIPTIONS,
    Subscription,
    key_of,
    note_failure,
    note_taken,
    valid_secrets,
)
from prevenant.clock import Clock, epoch_seconds
from prevenant.domain import Severity
from prevenant.errors import DeliveryError, Refused, Throttled, Uncertain
from prevenant.store import Store, in_chunks, wake

TIMEOUT_S = 10.0
TEST = "test"
AHEAD = 50
"""So many things are queued for a subscriber at a time; the story itself keeps the rest."""
KEPT_TAKEN, KEPT_LOST = timedelta(days=7), timedelta(days=30)
_GIVEN_UP_AFTER = 8
"""After so many attempts what the endpoint refuses is set aside, and what follows goes on."""
_FORGOTTEN_AT_ONCE = 5_000
_SUCCESS = range(200, 300)
_NOT_THERE = frozenset({408, 425, 429, 502, 503, 504})
_GONE = 410
_EMPTY = 204


@dataclass(frozen=True, slots=True)
class Reference:
    """A thing to be told: of which line of the story, and what of it."""

    line: int
    topic: str
    kind: str
    id: int | None = None

    @classmethod
    def of(cls, message: Message) -> "Reference":
        """Return what a message tells."""
        return cls(**message.texts[HOOK])


Render = Callable[[Session, Subscription, Reference], bytes | None]
"""Words a thing as it is now; None where it is not kept any more, or not the subscriber's."""


class Hook:
    """Gives subscribers what is queued for them. Raises the errors of `DeliveryError`."""

    confirms = False

    def __init__(self, store: Store, clock: Clock, outside: Outside, render: Render) -> None:
        self._store, self._clock, self._render = store, clock, render
        self._session = outside.make_session()

    def send(self, delivery: Delivery, message: Message) -> str:
        """Give it once."""
        now = self._clock.now()
        with self._store.read() as session:
            subscription = session.get(Subscription, delivery.subscription_id)
            if subscription is None or subscription.state == ENDED:
                reason = "the subscription has ended"
                raise Refused(reason)
            body = self._render(session, subscription, Reference.of(message))
        if body is None:
            reason = "what it tells of is not kept any more, or not told here"
            raise Refused(reason)
        at = int(epoch_seconds(now))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Prevenant",
            "webhook-id": message.key,
            "webhook-timestamp": str(at),
            "webhook-signature": sign(valid_secrets(subscription, now), message.key, at, body),
        }
        status = self._post(subscription.url, body, headers, delivery.attempts)
        delivery.answer = {"status": status}
        return message.key

    def find(self, delivery: Delivery, message: Message, known: frozenset[str]) -> None:
        """Return None: the receiver knows what it has taken by its id, and is given it again."""
        del delivery, message, known

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _post(self, url: str, body: bytes, headers: dict[str, str], attempts: int) -> int:
        # Nothing is uncertain: what may have been taken is known by its id, and waits as all else does.
        try:
            with self._session.post(
                url,
                data=body,
                headers=headers,
                timeout=TIMEOUT_S,
                allow_redirects=False,
                stream=True,
            ) as response:
                _judge(response, attempts)
                if response.status_code == _EMPTY:
                    # Read to its end, the line serves again; a body is not waited for.
                    response.content  # noqa: B018
                return response.status_code
        except requests.Timeout:
            reason = "the endpoint did not answer in time"
            raise Throttled(reason) from None
        except requests.ConnectionError as error:
            raise Throttled(_why_not(error)) from None
        except (requests.RequestException, ValueError) as error:
            reason = f"the endpoint cannot be called: {type(error).__name__}"
            raise Throttled(reason) from None


def sign(signing: Sequence[str], number: str, at: int, body: bytes) -> str:
    """Return the signatures of `body`, one for each secret, with spaces between."""
    signed = f"{number}.{at}.".encode() + body
    digests = (hmac.new(key_of(one), signed, hashlib.sha256).digest() for one in signing)
    return " ".join(f"v1,{base64.b64encode(one).decode()}" for one in digests)


def count_ahead(session: Session, subscription: Subscription) -> int:
    """Return how many things are queued for a subscriber in turn, and not given yet."""
    query = select(func.count()).where(
        Delivery.subscription_id == subscription.id,
        col(Delivery.state).not_in([*REACHED, *OVER]),
        col(Delivery.in_turn),
    )
    return session.exec(query).one()


def queue_things(
    session: Session,
    subscription: Subscription,
    things: Sequence[Reference],
    now: datetime,
    *,
    in_turn: bool = True,
) -> list[Delivery]:
    """Queue things for a subscriber, in their order, in the transaction of `session`."""
    messages = [_word(subscription, one, now) for one in things]
    session.add_all(messages)
    session.flush()
    deliveries = []
    for message in messages:
        [delivery] = queue_turn(session, message, now)
        delivery.subscription_id, delivery.in_turn = subscription.id, in_turn
        deliveries.append(delivery)
    return deliveries


def queue_test(session: Session, subscription: Subscription, now: datetime) -> Delivery:
    """Queue something that tells nothing, to see whether it arrives; it waits for nothing else."""
    thing = Reference(0, TEST, TEST)
    [delivery] = queue_things(session, subscription, [thing], now, in_turn=False)
    session.flush()
    return delivery


def note_result(
    session: Session, delivery: Delivery, error: DeliveryError | None, now: datetime
) -> None:
    """Note of the endpoint how it is, by what came of an attempt."""
    wake(session, SUBSCRIPTIONS)
    is_ours = isinstance(error, Uncertain) or (isinstance(error, Refused) and error.code is None)
    if is_ours:
        # It says nothing of the endpoint.
        return
    query = select(Subscription).where(Subscription.id == delivery.subscription_id)
    subscription = session.exec(query.with_for_update()).one()
    if error is not None:
        is_gone = error.code == str(_GONE)
        note_failure(session, subscription, error.reason, now, is_gone=is_gone)
    elif note_taken(subscription):
        session.add(subscription)
        hasten(session, subscription, now)


def hasten(session: Session, subscription: Subscription, now: datetime) -> None:
    """Try at once what waits to be tried again."""
    waiting = update(Delivery).where(
        col(Delivery.subscription_id) == subscription.id,
        col(Delivery.state) == QUEUED,
        col(Delivery.next_at) > now,
    )
    session.execute(waiting.values(next_at=now))
    wake(session, SUBSCRIPTIONS)


def forget_given(session: Session, now: datetime) -> int:
    """Forget some of what was given long ago, and of what has ended; return how many things."""
    ended = select(Subscription.id).where(Subscription.state == ENDED)
    return _forget(
        session,
        or_(
            col(Delivery.state).in_(REACHED) & (col(Delivery.updated_at) < now - KEPT_TAKEN),
            col(Delivery.state).in_(OVER) & (col(Delivery.updated_at) < now - KEPT_LOST),
            col(Delivery.subscription_id).in_(ended) & (Delivery.claimed_by == ""),
        ),
    )


def forget_all(session: Session, subscription: Subscription) -> None:
    """Forget what a subscriber was given and was to be given, but what is under way."""
    ours = and_(Delivery.subscription_id == subscription.id, Delivery.claimed_by == "")
    while _forget(session, ours):
        pass


def _forget(session: Session, which: ColumnElement[bool]) -> int:
    query = select(Delivery.id, Delivery.message_id).where(
        col(Delivery.subscription_id).is_not(None), which
    )
    found = session.exec(query.limit(_FORGOTTEN_AT_ONCE).with_for_update(skip_locked=True)).all()
    for some in in_chunks(found):
        ours, messages = [one for one, _ in some], [one for _, one in some]
        session.execute(delete(Delivery).where(col(Delivery.id).in_(ours)))
        session.execute(delete(Message).where(col(Message.id).in_(messages)))
    return len(found)


def _word(subscription: Subscription, thing: Reference, now: datetime) -> Message:
    number = secrets.token_hex(4) if thing.topic == TEST else f"{thing.line}_{thing.id or 0}"
    return Message(
        key=f"msg_{subscription.tag}_{thing.topic}_{number}",
        contact_id="",
        name=subscription.name,
        role=SUBSCRIBER,
        template="",
        language="",
        severity=Severity.INFO,
        turns=[[HOOK]],
        texts={HOOK: asdict(thing)},
        addresses={HOOK: f"subscription {subscription.id}"},
        created_at=now,
    )


def _judge(response: requests.Response, attempts: int) -> None:
    status = response.status_code
    if status in _SUCCESS:
        return
    advice = retry_after_s(response.headers)
    is_refusal = status not in _NOT_THERE and status != _GONE
    if is_refusal and attempts >= _GIVEN_UP_AFTER:
        message = f"the endpoint refuses it with {status}"
        raise Refused(message, str(status))
    message = f"the endpoint answers {status}"
    raise Throttled(message, str(status), advice)


def _why_not(error: requests.ConnectionError) -> str:
    cause = error.args[0] if error.args else None
    reason = getattr(cause, "reason", cause)
    if isinstance(reason, Inside):
        return "the endpoint is not in the world outside: see PREVENANT_WEBHOOK_NETWORKS"
    return "the endpoint cannot be reached"
