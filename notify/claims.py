"""Claims of deliveries: several processes attempt what one store holds, and each attempt has one owner.

A claim names its owner and carries a number that grows with every claim: the fencing token. What comes of
an attempt counts only under the token that it was made with. A claim that another process has seen
unchanged for `CLAIM_S`, by its own steady clock, is over: clocks of two machines are never compared, and
a step of one ends no claim. Where the store has not seen the owner for `GONE_S`, it is over as well. An
owner begins nothing after `BEGIN_WITHIN_S`, so that an attempt of somebody who stood still is not made
late.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BindParameter, bindparam, text
from sqlmodel import Session, col, or_, select

from notify.delivery import ANSWERED_AT_ONCE, is_last, move, retry_at
from notify.digest import find_gathered, gather, take_apart
from notify.failover import choose_provider
from notify.hook import note_result
from notify.in_turn import is_its_turn
from notify.invitation import EMAIL
from notify.letter import prepare_mail
from notify.message import (
    DELIVERED,
    DIGEST,
    FAILED,
    GATHERED,
    OVER,
    QUEUED,
    REACHED,
    SENDING,
    SENT,
    SUPPRESSED,
    UNCERTAIN,
    Delivery,
    Message,
    queued_messages,
)
from notify.opting_out import end_of, record_opt_out
from notify.patience import begin_patience
from notify.permission import (
    LIMIT,
    NO_RULES,
    HouseRules,
    Known,
    Later,
    Never,
    Verdict,
    judge,
    look_up,
    put_off,
    why_outdated,
)
from prevenant.domain import Severity
from prevenant.errors import DeliveryError, Refused, Throttled, Uncertain
from prevenant.store import UtcDateTime, has_gone

CLAIM_S = 60.0
GONE_S = 5.0
"""More than whoever lost its connection takes to come back."""
BEGIN_WITHIN_S = 15.0
"""Together with the longest attempt, every time-out included, less than `CLAIM_S`."""
LOOK_AGAIN = timedelta(seconds=5)
# Literally, as the index has it: PostgreSQL would not know a parameter for one of its states.
_IS_OPEN = text("delivery.state IN ('queued', 'sending', 'uncertain')")
_IS_CLAIMED = text("delivery.claimed_by <> ''")


@dataclass(frozen=True, slots=True)
class Claim:
    """An attempt that is ours to make."""

    delivery: Delivery
    message: Message
    number: int
    is_uncertain: bool
    """Whether it is to be looked up, since an earlier attempt may have been taken."""
    at: float
    """When it was claimed, by our steady clock."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The provider has it."""

    provider_id: str
    answer: Mapping[str, Any] = field(default_factory=dict)
    """What a webhook answered."""
    ask_after_s: float | None = None
    """How long a receipt is waited for before the provider is asked; None: it never is."""


@dataclass(frozen=True, slots=True)
class NotTaken:
    """The provider has not got what might have been taken."""


@dataclass(frozen=True, slots=True)
class HeldBack:
    """It must not or cannot be sent; nor by another channel, where it is `for_good`."""

    reason: str
    for_good: bool = False


@dataclass(frozen=True, slots=True)
class NotBegun:
    """We stood still for so long that it was not ours to begin any more."""


Outcome = Sent | NotTaken | HeldBack | NotBegun | DeliveryError
_TOLD = (Sent, DeliveryError)
"""What says of a subscriber's endpoint how it is."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a claim."""

    claim: Claim
    outcome: Outcome


@dataclass(slots=True)
class Claimed:
    """What one transaction has claimed: attempts to make, and what is not to be sent at all."""

    claims: list[Claim] = field(default_factory=list)
    held_back: list[Result] = field(default_factory=list)


def most_urgent_due(
    session: Session,
    owner: str,
    in_hand: Collection[int],
    now: datetime,
    left: Collection[str] = (),
) -> int | None:
    """Return the severity of the most urgent delivery that can be claimed, or None."""
    return session.exec(_LEVEL, params=_params(owner, in_hand, now, left)).first()


def next_due(session: Session, owner: str, now: datetime) -> datetime | None:
    """Return when the next delivery that waits for its time can be claimed, or None."""
    return session.exec(_NEXT, params={"owners": ["", owner], "now": now}).first()


def claim(
    session: Session,
    owner: str,
    in_hand: Collection[int],
    room: Mapping[int, int],
    at: tuple[datetime, float],
    channels: Collection[str],
    left: Collection[str] = (),
    rules: HouseRules = NO_RULES,
) -> Claimed:
    """Claim what is due, the most urgent first, as far as there is `room` for its severity.

    What is `in_hand` may grow meanwhile, by what we claim in transactions beside this one.
    """
    found = list(_find_claimable(session, room, _params(owner, in_hand, at[0], left)))
    free = [one for one in found if one.claimed_by != owner or one.id not in in_hand]
    return take(session, owner, free, at, channels, rules)


def take(
    session: Session,
    owner: str,
    found: Sequence[Delivery],
    at: tuple[datetime, float],
    channels: Collection[str],
    rules: HouseRules = NO_RULES,
) -> Claimed:
    """Claim deliveries that nobody else can claim meanwhile.

    What may not go yet by the `rules` waits for its time instead.
    """
    now, steady = at
    claimed = Claimed()
    if not found:
        return claimed
    messages = _messages_of(session, found)
    pairs = [(one, messages[one.message_id]) for one in found if one.state != UNCERTAIN]
    known = look_up(session, rules, pairs)
    for delivery in found:
        message = messages[delivery.message_id]
        is_uncertain = delivery.state == UNCERTAIN
        if delivery.state == SENDING and delivery.claimed_by == "":
            _doubt(session, delivery, now)
            continue
        verdict = None
        if not is_uncertain:
            verdict = _judge(session, rules, known, (delivery, message), channels, now)
            if _is_set_aside(session, rules, (delivery, message), verdict, now):
                continue
        # What is ours and not in hand was claimed in a commit whose answer was lost: it was not begun.
        is_renewed = delivery.claimed_by == owner
        delivery.claimed_by = owner
        delivery.claim += 1
        one = Claim(delivery, message, delivery.claim, is_uncertain, steady)
        if isinstance(verdict, Never):
            held_back = HeldBack(verdict.reason, verdict.for_good)
            claimed.held_back.append(Result(one, held_back))
        else:
            claimed.claims.append(one)
            if not is_uncertain:
                if delivery.channel == EMAIL:
                    prepare_mail(session, delivery, one.message)
                delivery.attempts += not (is_renewed and delivery.state == SENDING)
                delivery.state = SENDING
                delivery.provider = choose_provider(channels, delivery, now)
                delivery.started_at = delivery.updated_at = now
        session.add(delivery)
    return claimed


def _messages_of(session: Session, found: Sequence[Delivery]) -> dict[int | None, Message]:
    """Return the messages of deliveries; those that this transaction queued are at hand."""
    messages = {one.id: one for one in queued_messages(session) if one in session}
    others = {one.message_id for one in found} - messages.keys()
    if others:
        query = select(Message).where(col(Message.id).in_(others))
        messages.update((message.id, message) for message in session.exec(query))
    return messages


def _judge(
    session: Session,
    rules: HouseRules,
    known: Known,
    pair: tuple[Delivery, Message],
    channels: Collection[str],
    now: datetime,
) -> Verdict:
    verdict = judge(session, rules, known, *pair, now)
    channel = pair[0].channel
    if channel in channels or isinstance(verdict, Never):
        return verdict
    return Never(f"{channel} has no credentials: shown here, not sent")


def _is_set_aside(
    session: Session,
    rules: HouseRules,
    pair: tuple[Delivery, Message],
    verdict: Verdict,
    now: datetime,
) -> bool:
    """Return whether a delivery is not sent now, since it waits, or goes with others in one message."""
    delivery, message = pair
    if delivery.state == GATHERED:
        return True
    if message.key.startswith(DIGEST) and take_apart(session, delivery, message, now):
        return True
    if isinstance(verdict, Later):
        put_off(session, delivery, message, verdict, now)
        return True
    has_limit = delivery.severity in rules.limits and delivery.severity < Severity.LIFE_SAFETY
    if verdict is not None or delivery.deferred != LIMIT or not has_limit:
        return False
    parts = find_gathered(session, delivery, message, now)
    still_true = [one for one in parts if not why_outdated(*one, now)]
    if len(still_true) > 1:
        gather(session, rules.words, still_true, now)
        return True
    return False


def _find_claimable(
    session: Session, room: Mapping[int, int], params: dict[str, Any]
) -> Iterator[Delivery]:
    """Yield what can be claimed, level by level: an index finds the levels, and the oldest of each."""
    taken = 0
    while (severity := session.exec(_LEVEL, params=params).first()) is not None:
        limit = room[severity] - taken
        if limit > 0:
            of_level = {**params, "severity": severity, "at_most": limit}
            deliveries = session.exec(_OF_LEVEL, params=of_level).all()
            taken += len(deliveries)
            yield from deliveries
        params["below"] = severity


def _params(
    owner: str, in_hand: Collection[int], now: datetime, left: Collection[str]
) -> dict[str, Any]:
    # No delivery has the number 0, no channel an empty name.
    return {
        "owners": ["", owner],
        "in_hand": [0, *in_hand],
        "left": ["", *left],
        "now": now,
        "below": _ABOVE_ALL,
    }


_ABOVE_ALL = max(Severity) + 1
# What is asked at every turn stands ready: to build a statement costs as much as to run it.
_IS_OURS = col(Delivery.claimed_by).in_(bindparam("owners", expanding=True))
_NOW: BindParameter[datetime] = bindparam("now", type_=UtcDateTime())
_NEXT = (
    select(Delivery.next_at)
    .where(_IS_OPEN, _IS_OURS, col(Delivery.next_at) > _NOW)
    .order_by(col(Delivery.next_at))
    .limit(1)
)
_CLAIMABLE = (
    _IS_OPEN,
    _IS_OURS,
    or_(col(Delivery.next_at).is_(None), col(Delivery.next_at) <= _NOW),
    col(Delivery.id).not_in(bindparam("in_hand", expanding=True)),
    col(Delivery.channel).not_in(bindparam("left", expanding=True)),
    is_its_turn(),
)
_LEVEL = (
    select(Delivery.severity)
    .where(*_CLAIMABLE, Delivery.severity < bindparam("below"))
    .order_by(col(Delivery.severity).desc())
    .limit(1)
)
_OF_LEVEL = (
    select(Delivery)
    .where(*_CLAIMABLE, Delivery.severity == bindparam("severity"))
    .order_by(col(Delivery.id))
    .limit(bindparam("at_most"))
    .with_for_update(skip_locked=True)
)


def record(session: Session, owner: str, results: Sequence[Result], now: datetime) -> list[Result]:
    """Write what came of claims; return those whose message somebody else is just writing.

    Messages are locked before their deliveries, here as everywhere, and never waited for: a transaction
    that moves several cases holds messages of several.
    """
    gathered = _gathered_in(session, results)
    wanted = {*(one.claim.message.id for one in results), *(one for one, _ in gathered)}
    messages = session.exec(_MESSAGES, params={"ids": list(wanted)})
    locked = {message.id: message for message in messages}
    # A message that gathers others is written together with them.
    for part, digest in gathered:
        if part not in locked:
            locked.pop(digest, None)
    ours = [one for one in results if one.claim.message.id in locked]
    rows = session.exec(_DELIVERIES, params={"ids": [one.claim.delivery.id for one in ours]})
    deliveries = {row.id: row for row in rows}
    for one in ours:
        delivery = deliveries[one.claim.delivery.id]
        if delivery.claimed_by == owner and delivery.claim == one.claim.number:
            delivery.claimed_by = ""
            _record(session, delivery, one.outcome, now)
            if delivery.subscription_id is not None and isinstance(one.outcome, _TOLD):
                error = one.outcome if isinstance(one.outcome, DeliveryError) else None
                note_result(session, delivery, error, now)
            begin_patience(session, locked[one.claim.message.id], delivery)
            for part, digest in gathered:
                if digest == one.claim.message.id:
                    begin_patience(session, locked[part], delivery)
            session.add(delivery)
        elif isinstance(one.outcome, Sent):
            _record_late(session, delivery, one.outcome, now)
    return [one for one in results if one.claim.message.id not in locked]


_MESSAGES = (
    select(Message)
    .where(col(Message.id).in_(bindparam("ids", expanding=True)))
    .order_by(col(Message.id))
    .with_for_update(skip_locked=True, key_share=True)
)
_DELIVERIES = (
    select(Delivery)
    .where(col(Delivery.id).in_(bindparam("ids", expanding=True)))
    .order_by(col(Delivery.id))
    .with_for_update()
)


def _gathered_in(session: Session, results: Sequence[Result]) -> Sequence[tuple[int, int | None]]:
    """Return the messages that those of some results gather, each with the one that gathers it."""
    digests = [one.claim.message.id for one in results if one.claim.message.key.startswith(DIGEST)]
    if not digests:
        return []
    query = select(Delivery.message_id, Delivery.digest_id)
    return session.exec(query.where(col(Delivery.digest_id).in_(digests))).all()


def _record(session: Session, delivery: Delivery, outcome: Outcome, now: datetime) -> None:
    match outcome:
        case Sent() if delivery.state == UNCERTAIN and _is_anothers(session, delivery, outcome):
            delivery.next_at = now
        case Sent():
            _hand_over(session, delivery, outcome, now)
        case HeldBack():
            _hold_back(session, delivery, outcome, now)
        case NotBegun() if delivery.state == SENDING:
            delivery.state, delivery.next_at = QUEUED, now
            delivery.attempts -= 1
        case NotBegun():
            delivery.next_at = now
        case NotTaken() if is_last(delivery):
            move(session, delivery, FAILED, now, delivery.reason)
        case NotTaken() if delivery.state == UNCERTAIN:
            delivery.state, delivery.next_at = QUEUED, now
            delivery.possible_duplicate = True
        case NotTaken():
            pass
        case DeliveryError():
            _record_error(session, delivery, outcome, now)


def _hold_back(session: Session, delivery: Delivery, outcome: HeldBack, now: datetime) -> None:
    if outcome.for_good:
        message = session.get_one(Message, delivery.message_id)
        message.outdated = message.outdated or outcome.reason
        session.add(message)
    move(session, delivery, SUPPRESSED, now, outcome.reason)


def _is_anothers(session: Session, delivery: Delivery, found: Sent) -> bool:
    """Return whether what was found is known by now as another delivery: two were looked up at once."""
    query = select(Delivery.id).where(
        Delivery.provider_id == found.provider_id, Delivery.id != delivery.id
    )
    return session.exec(query.limit(1)).first() is not None


def _hand_over(session: Session, delivery: Delivery, sent: Sent, now: datetime) -> None:
    delivery.provider_id = delivery.provider_id or sent.provider_id
    delivery.sent_at = delivery.sent_at or now
    delivery.answer = dict(sent.answer)
    if sent.ask_after_s is not None:
        delivery.poll_at = now + timedelta(seconds=sent.ask_after_s)
    session.add(delivery)
    move(session, delivery, SENT, now)
    if delivery.channel in ANSWERED_AT_ONCE:
        move(session, delivery, DELIVERED, now)


def _record_late(session: Session, delivery: Delivery, sent: Sent, now: datetime) -> None:
    """Take note of what was handed over by us after all, though another has the delivery by now."""
    if delivery.provider_id == sent.provider_id:
        return
    if delivery.claimed_by == "" and delivery.state not in OVER | REACHED | {SENT}:
        _hand_over(session, delivery, sent, now)
    else:
        delivery.possible_duplicate = True
        session.add(delivery)


def _record_error(
    session: Session, delivery: Delivery, error: DeliveryError, now: datetime
) -> None:
    if delivery.state == UNCERTAIN and isinstance(error, Refused):
        # Nobody will ever know: the next channel is the way on.
        delivery.possible_duplicate = True
        move(session, delivery, FAILED, now, error.reason)
        return
    if delivery.state == UNCERTAIN:
        # It could not be looked up either.
        delivery.reason, delivery.next_at = error.reason, now + LOOK_AGAIN
        return
    if delivery.state != SENDING:
        return
    if isinstance(error, Uncertain):
        delivery.state, delivery.next_at = UNCERTAIN, now + LOOK_AGAIN
    elif isinstance(error, Refused) or is_last(delivery):
        move(session, delivery, end_of(error), now, error.reason)
        record_opt_out(session, delivery, error, now)
        return
    else:
        advice = error.retry_after_s if isinstance(error, Throttled) else None
        delivery.state = QUEUED
        delivery.next_at = retry_at(delivery.attempts, now, advice, delivery.channel)
    delivery.reason = error.reason
    delivery.updated_at = now


class Watch:
    """Sees for how long claims of other processes have stood, by our own steady clock."""

    def __init__(self, owner: str, claim_s: float = CLAIM_S) -> None:
        self._owner = owner
        self._claim_s = claim_s
        self._gone_s = min(GONE_S, claim_s)
        self._seen: dict[tuple[int, int], float] = {}
        """Since when each claim has stood, by delivery and number."""
        self._gone: dict[str, float] = {}
        """Since when each owner has not been connected."""

    def look(self, session: Session, steady: float) -> list[tuple[int, int]]:
        """Look at all claims of others; return those that are over, as delivery and number."""
        query = select(Delivery.id, Delivery.claim, Delivery.claimed_by).where(
            _IS_CLAIMED, Delivery.claimed_by != self._owner
        )
        rows = {(one or 0, number): owner for one, number, owner in session.exec(query)}
        self._seen = {row: self._seen.get(row, steady) for row in rows}
        gone = {one for one in set(rows.values()) if has_gone(session, one.partition("/")[0])}
        self._gone = {owner: self._gone.get(owner, steady) for owner in gone}
        return [row for row, owner in rows.items() if self._is_over(row, owner, steady)]

    def _is_over(self, row: tuple[int, int], owner: str, steady: float) -> bool:
        gone_at = self._gone.get(owner, steady)
        return steady - self._seen[row] >= self._claim_s or steady - gone_at >= self._gone_s

    def rest_s(self, steady: float) -> float | None:
        """Return in how many seconds to look again if nothing changes the claims of others, or None."""
        if not self._seen:
            return None
        return max(0.0, min(self._gone_s, min(self._seen.values()) + self._claim_s - steady))


def end_claims(session: Session, over: Sequence[tuple[int, int]], now: datetime) -> None:
    """Make uncertain what somebody was sending who has ended, or stands still."""
    query = select(Delivery).where(col(Delivery.id).in_([row[0] for row in over]))
    for delivery in session.exec(query.with_for_update(skip_locked=True)):
        if (delivery.id, delivery.claim) in over and delivery.claimed_by:
            _doubt(session, delivery, now)


def end_all_claims(session: Session, look_at: datetime, left: Collection[str] = ()) -> None:
    """End every claim, where nobody else can have one, but those by the channels in `left`."""
    query = select(Delivery).where(_IS_OPEN, col(Delivery.channel).not_in(left))
    for delivery in session.exec(query):
        if delivery.state == SENDING or delivery.claimed_by:
            _doubt(session, delivery, look_at)


def _doubt(session: Session, delivery: Delivery, look_at: datetime) -> None:
    if delivery.state in {SENDING, UNCERTAIN}:
        delivery.state = UNCERTAIN
        delivery.reason = "the engine ended while it was being sent"
        delivery.next_at = look_at
    delivery.claimed_by = ""
    # The number grows, so that whoever had it cannot write what came of it as if it still did.
    delivery.claim += 1
    session.add(delivery)
