"""The outbox: takes queued deliveries in order of severity and hands each to its channel, once.

An attempt is written down before it is made. Where it is not known whether the provider took it (a
time-out, or we were killed in between), it is looked up before anything is sent again.

One transaction writes what came of the attempts that have ended and claims the next ones, so that a slower
store makes larger batches. What can go as soon as it is queued is claimed in the very transaction that
queues it. Some attempts are kept free for life-safety: it does not wait behind
others that hang at their provider.
"""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from uuid import uuid4

import structlog
from sqlmodel import Session, col, select

from notify import claims
from notify.claims import Claim, Claimed, NotBegun, NotTaken, Outcome, Result, Sent, Watch
from notify.delivery import Channel
from notify.message import OUTBOX, Delivery, queued_deliveries
from notify.permission import NO_RULES, HouseRules
from notify.receipts import asks
from notify.subscription import SUBSCRIPTIONS
from notify.templating import Templates
from prevenant.clock import Clock, steady_seconds
from prevenant.domain import Severity
from prevenant.errors import DeliveryError, PrevenantError, Refused, StoreUnavailable, Uncertain
from prevenant.store import Store, at_the_end

log = structlog.get_logger()

_AFTER_A_CRASH = timedelta(seconds=2)
_STORE_PAUSE_S = 1.0
_LOCKED_PAUSE_S = 0.05
_UNSEEN_PAUSE_S = 0.2
_WATCH_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Share:
    """What one outbox sees to, and with how many attempts at once."""

    bell: str
    at_once: int
    for_life_safety: int
    """How many of the attempts are kept free for it."""


OF_CASES = Share(OUTBOX, 32, 8)
"""What is said in cases, to people and to machines."""
OF_SUBSCRIBERS = Share(SUBSCRIPTIONS, 8, 0)
"""What subscribers are told. An endpoint that hangs holds up nothing that is said to people."""


class Outbox:
    """Sends what is queued, on the channels that have credentials."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        channels: Mapping[str, Channel],
        steady: Callable[[], float] = steady_seconds,
        claim_s: float = claims.CLAIM_S,
        left: Collection[str] = (),
        rules: HouseRules = NO_RULES,
        share: Share = OF_CASES,
    ) -> None:
        """Prepare. What goes by the channels in `left` is left to other outboxes."""
        self._store = store
        self._clock = clock
        self._channels = channels
        self._steady = steady
        self._left = left
        self._share = share
        self._rules = rules
        self._begin_within_s = claim_s * claims.BEGIN_WITHIN_S / claims.CLAIM_S
        self._name = f"{store.name}/{uuid4().hex[:8]}"
        """Ours alone, whatever the process is called."""
        self._watch = Watch(self._name, claim_s)
        self._watched_at, self._is_watched = -_WATCH_EVERY_S, False
        self._wakeup = store.listen(share.bell)
        self._is_left = False
        self._next_at: datetime | None = None
        """When what waits for its time can be claimed next."""
        self._stopping = threading.Event()
        self._in_hand: dict[int, Claim] = {}
        self._results: list[Result] = []
        self._lock = threading.Lock()
        """Guards what is in hand, and the results, which the attempts' threads bring."""
        self._pool: ThreadPoolExecutor | None = None
        """Makes attempts, while we run."""
        self._is_recovered = store.is_shared

    def run(self) -> None:
        """Send until `stop`."""
        try:
            self._send()
        finally:
            self._store.attend(self._share.bell, None)
        self._record_rest()
        for channel in self._channels.values():
            channel.close()

    def _send(self) -> None:
        with ThreadPoolExecutor(self._share.at_once, thread_name_prefix="engage") as pool:
            while not self._stopping.is_set():
                try:
                    self._recover()
                    self._open(pool)
                    for claim in self._turn(self._clock.now()):
                        pool.submit(self._work, claim)
                    self._wait()
                except StoreUnavailable as error:
                    log.error("outbox waits", reason=str(error))
                    self._stopping.wait(_STORE_PAUSE_S)

    def stop(self) -> None:
        """End `run` after the attempts under way."""
        self._stopping.set()
        self._wakeup.ring()

    def change_words(self, templates: Templates) -> None:
        """Let what is gathered be said with the words of another rule book."""
        self._rules = replace(self._rules, templates=templates)

    def _recover(self) -> None:
        """Make uncertain what an earlier process was sending, where no other can be sending it now."""
        if not self._is_recovered:
            with self._store.write(Severity.LIFE_SAFETY) as session:
                look_at = self._clock.now() + _AFTER_A_CRASH
                claims.end_all_claims(session, look_at, self._left)
            self._is_recovered = True

    def _open(self, pool: ThreadPoolExecutor) -> None:
        """Claim from now on what others queue, too, in their transactions."""
        if self._pool is None:
            self._pool = pool
            self._store.attend(self._share.bell, self._claim_queued)

    def _turn(self, now: datetime) -> list[Claim]:
        """Write what came of attempts, and claim the next ones."""
        with self._lock:
            results = list(self._results)
            in_hand = set(self._in_hand)
        steady = self._steady()
        over: list[tuple[int, int]] = []
        with self._store.read() as session:
            urgency_due = claims.most_urgent_due(session, self._name, in_hand, now, self._left)
            self._next_at = claims.next_due(session, self._name, now)
            self._is_watched = steady - self._watched_at >= _WATCH_EVERY_S
            if self._store.is_shared and self._is_watched:
                over = self._watch.look(session, steady)
                self._watched_at = steady
        if urgency_due is None and not results and not over:
            self._is_left = False
            return []
        urgency = max(urgency_due or 0, self._urgency_of(results))
        with self._store.write(urgency) as session:
            if over:
                claims.end_claims(session, over, now)
            left = claims.record(session, self._name, results, now) if results else []
            ended = [one for one in results if one not in left]
            over_ids = [one.claim.delivery.id or 0 for one in ended]
            with self._lock:
                # Gone already where the answer to an earlier commit was lost.
                done = {one: self._in_hand.pop(one) for one in over_ids if one in self._in_hand}
                room = self._room(urgency)
            at_the_end(session, failed=partial(self._take_back, done))
            at = now, self._steady()
            # A view, and no copy: what others let us claim meanwhile is in hand before their commit.
            held = self._in_hand.keys()
            claimed = claims.claim(
                session, self._name, held, room, at, self._channels, self._left, self._rules
            )
        new = [*claimed.claims, *(one.claim for one in claimed.held_back)]
        # What is due, and locked by another, is looked at again: that one may end without a word.
        self._is_left = urgency_due is not None and not new and any(room.values())
        with self._lock:
            self._in_hand.update((one.delivery.id or 0, one) for one in new)
            self._results = left + self._results[len(results) :] + claimed.held_back
        if claimed.held_back or any(not isinstance(one.outcome, Sent) for one in ended):
            # What is to be tried again has its time by now.
            self._wakeup.ring()
        return claimed.claims

    def _urgency_of(self, results: Sequence[Result]) -> int:
        """Return how urgent it is to write what came of attempts.

        What made them goes before it, until there is no room for the next ones: the first to be told of
        a hundred alarms is not to keep the cases of the others waiting.
        """
        if not results:
            return 0
        severity = max(one.claim.delivery.severity for one in results)
        is_full = len(self._in_hand) >= self._share.at_once
        return severity if is_full else max(severity - 1, Severity.INFO)

    def _claim_queued(self, session: Session, urgency: int) -> bool:
        """Claim what a transaction has queued, within it, where nothing that is due goes before.

        The attempts begin once it is committed. What there is no room for, `run` claims. Returns whether
        nothing is left to it.
        """
        queued = [one for one in queued_deliveries(session) if one in session]
        # What is in hand is known by its number.
        session.flush()
        with self._lock:
            room = self._room(urgency)
            in_hand = {*self._in_hand, *(one.id or 0 for one in queued)}
        pool = self._pool
        if pool is None or not queued or not any(room.values()):
            return False
        now = self._clock.now()
        due = claims.most_urgent_due(session, self._name, in_hand, now, self._left)
        fitting: list[Delivery] = []
        for one in sorted(queued, key=lambda one: (-one.severity, one.id or 0)):
            if one.severity > (due or 0) and one.channel not in self._left:
                fitting += [one][: max(0, room[one.severity] - len(fitting))]
        at = now, self._steady()
        claimed = claims.take(session, self._name, fitting, at, self._channels, self._rules)
        new = {
            one.delivery.id or 0: one
            for one in [*claimed.claims, *(one.claim for one in claimed.held_back)]
        }
        # Before the commit: whoever sees the claim sees that it is in hand.
        with self._lock:
            self._in_hand.update(new)
        at_the_end(session, partial(self._begin, pool, claimed), partial(self._drop, new))
        return due is None and len(claimed.claims) == len(queued)

    def _begin(self, pool: ThreadPoolExecutor, claimed: Claimed) -> None:
        """Begin the attempts that were claimed in a transaction of somebody else."""
        with self._lock:
            self._results += claimed.held_back
        for claim in claimed.claims:
            try:
                pool.submit(self._work, claim)
            except RuntimeError:
                # We have been told to stop meanwhile.
                self._finish(Result(claim, NotBegun()))

    def _drop(self, claimed: Mapping[int, Claim]) -> None:
        """Have nothing in hand of what was not committed, as far as is known."""
        with self._lock:
            for one, claim in claimed.items():
                if self._in_hand.get(one) is claim:
                    del self._in_hand[one]

    def _take_back(self, claimed: Mapping[int, Claim]) -> None:
        """Have in hand again what has ended, since that could not be written."""
        with self._lock:
            self._in_hand.update(claimed)

    def _room(self, urgency: int) -> dict[int, int]:
        """Return how many attempts a transaction can claim, by their severity.

        While somebody has more urgent work, which may be to open a case, nothing less urgent is begun.
        """
        if not self._is_seen():
            # Others would take us for gone, and what we claim for theirs.
            return dict.fromkeys(Severity, 0)
        share = self._share
        free = share.at_once - len(self._in_hand)
        severities = [one.delivery.severity for one in self._in_hand.values()]
        others = sum(severity < Severity.LIFE_SAFETY for severity in severities)
        for_others = min(free, share.at_once - share.for_life_safety - others)
        room: dict[int, int] = {
            one: 0 if self._store.is_wanted(max(one, urgency)) else for_others
            for one in reversed(Severity)
        }
        room[Severity.LIFE_SAFETY] = free
        return room

    def _wait(self) -> None:
        """Sleep until there is something to send, to write, or to see after."""
        limits = [_LOCKED_PAUSE_S] if self._results or self._is_left else []
        if not self._is_seen():
            limits.append(_UNSEEN_PAUSE_S)
        if self._store.is_shared:
            steady = self._steady()
            next_look = max(0.0, self._watched_at + _WATCH_EVERY_S - steady)
            rest = self._watch.rest_s(steady)
            if not self._is_watched:
                # Whatever woke us may have been claimed by another since.
                limits.append(next_look)
            if rest is not None:
                limits.append(max(rest, next_look))
        self._wakeup.wait(self._clock, self._next_at, min(limits, default=None))

    def _work(self, claim: Claim) -> None:
        """Make an attempt, in a thread of its own, and bring what came of it."""
        outcome: Outcome
        try:
            outcome = self._look_up(claim) if claim.is_uncertain else self._attempt(claim)
        except DeliveryError as error:
            outcome = error
        except PrevenantError as error:
            outcome = Uncertain(str(error))
        except Exception as error:
            log.exception("an attempt failed inside", delivery=claim.delivery.key)
            outcome = Uncertain(f"it failed inside: {type(error).__name__}")
        if isinstance(outcome, DeliveryError):
            log.warning(
                "not sent",
                channel=claim.delivery.channel,
                delivery=claim.delivery.key,
                reason=outcome.reason,
                kind=type(outcome).__name__,
            )
        self._finish(Result(claim, outcome))

    def _attempt(self, claim: Claim) -> Outcome:
        delivery = claim.delivery
        channel = self._channels[delivery.channel]
        if not self._is_ours(claim):
            return NotBegun()
        provider_id = channel.send(delivery, claim.message)
        return Sent(provider_id, delivery.answer, _ask_after_s(channel, delivery))

    def _is_ours(self, claim: Claim) -> bool:
        """Return whether nobody can have taken over a claim, since we are quick and were seen."""
        return self._is_seen() and self._steady() - claim.at < self._begin_within_s

    def _is_seen(self) -> bool:
        return self._store.hears_others or not self._store.is_shared

    def _look_up(self, claim: Claim) -> Outcome:
        """Settle an uncertain delivery: found, or to be sent again where the provider has not got it."""
        delivery = claim.delivery
        channel = self._channels.get(delivery.channel)
        if channel is None:
            reason = (
                f"{delivery.channel} has no credentials any more: nobody can say what was taken"
            )
            raise Refused(reason)
        query = select(Delivery.provider_id).where(
            Delivery.address == delivery.address, col(Delivery.provider_id).is_not(None)
        )
        with self._store.read() as session:
            known = frozenset(one for one in session.exec(query) if one)
        if not self._is_ours(claim):
            return NotBegun()
        provider_id = channel.find(delivery, claim.message, known)
        if provider_id is None:
            return NotTaken()
        return Sent(provider_id, ask_after_s=_ask_after_s(channel, delivery))

    def _finish(self, result: Result) -> None:
        with self._lock:
            self._results.append(result)
        self._wakeup.ring()

    def _record_rest(self) -> None:
        """Write what came of the last attempts; what cannot be written is looked up later."""
        if self._results:
            try:
                with self._store.write() as session:
                    claims.record(session, self._name, self._results, self._clock.now())
            except StoreUnavailable as error:
                log.error("the last attempts will be looked up", reason=str(error))


def _ask_after_s(channel: Channel, delivery: Delivery) -> float | None:
    asked = asks(channel)
    return asked.ask_after_s(delivery) if asked else None
