"""One channel with several providers: the next one takes over where the first certainly did not.

Which provider makes an attempt is written down with it, before it is made. An attempt that may have
been taken is looked up at that provider alone; where it cannot be asked what it took, the delivery stays
with it, so that no two providers ever have the same message.
"""

import threading
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any, Protocol

import structlog

from notify.breaker import FAILURES, HALF_OPEN, WITHIN, Breaker
from notify.delivery import Channel
from notify.message import Delivery, Message
from notify.receipts import Receipt, asks
from prevenant.clock import Clock
from prevenant.errors import DeliveryError, Refused, Throttled, Uncertain, Unusable

log = structlog.get_logger()

_REMEMBERED = 10_000

Tell = Callable[[str, str, Mapping[str, Any]], None]
"""Writes a line of the story: its kind, its words, its details."""


class Provider(Channel, Protocol):
    """A provider that is one of several."""

    @property
    def knows_what_it_took(self) -> bool:
        """Whether it can be asked; if not, None from `find` says nothing."""


class Providers:
    """Several providers of one channel, in the order in which they are asked."""

    def __init__(
        self, channel: str, providers: Mapping[str, Provider], clock: Clock, tell: Tell
    ) -> None:
        self._channel = channel
        self._providers = dict(providers)
        self._clock = clock
        self._tell = tell
        self._breakers = dict.fromkeys(self._providers, Breaker())
        self._trials: dict[str, str] = {}
        """The delivery that is each provider's trial, by its key."""
        self._unable: dict[str, frozenset[str]] = {}
        """Who has said of a delivery, by its key, that it cannot send it for us."""
        self._lock = threading.Lock()
        """Guards both, which the attempts' threads change."""

    @property
    def confirms(self) -> bool:
        """Whether any of them sends receipts."""
        return any(one.confirms for one in self._providers.values())

    @property
    def knows_what_it_took(self) -> bool:
        """Whether any of them can be asked."""
        return any(asks(one) for one in self._providers.values())

    def ask_after_s(self, delivery: Delivery) -> float | None:
        """Return how long a receipt is waited for before its provider is asked; None: for ever."""
        provider = asks(self.provider_of(delivery))
        return provider.ask_after_s(delivery) if provider else None

    def ask(self, delivery: Delivery) -> Receipt | None:
        """Ask the provider that has a delivery what became of it."""
        provider = asks(self.provider_of(delivery))
        return provider.ask(delivery) if provider else None

    def choose(self, delivery: Delivery, now: datetime) -> str:
        """Return which provider makes the next attempt."""
        bound = self._bound_to(delivery)
        if bound:
            names = [bound]
        else:
            names = list(self._providers)
            if delivery.provider in names and not delivery.possible_duplicate:
                # Whoever would not take it just now comes last.
                at = names.index(delivery.provider) + 1
                names = names[at:] + names[:at]
        with self._lock:
            ready = [name for name in names if self._breakers[name].admits(now)]
            soonest = min(names, key=lambda name: self._breakers[name].waits_until(now))
            chosen = ready[0] if ready else soonest
            if ready:
                if self._breakers[chosen].state(now) == HALF_OPEN:
                    self._trials[chosen] = delivery.key
                self._breakers[chosen] = self._breakers[chosen].begin(now)
        return chosen

    def send(self, delivery: Delivery, message: Message) -> str:
        """Hand the delivery to the provider that was chosen for it."""
        name = delivery.provider if delivery.provider in self._providers else self._first
        now = self._clock.now()
        with self._lock:
            breaker = self._breakers[name]
            is_trial = self._trials.get(name) == delivery.key
        if is_trial:
            self._say("tried", f"{self._channel}: {name} is tried again", name, breaker)
        elif not breaker.admits(now):
            rest_s = (breaker.waits_until(now) - now).total_seconds()
            reason = f"{name} rests: {breaker.reason}"
            rests = Throttled(reason, retry_after_s=max(rest_s, 1.0))
            raise self._passed_on(delivery, name, rests)
        try:
            provider_id = self._providers[name].send(delivery, message)
        except Throttled as error:
            self._note_failure(name, error)
            raise self._passed_on(delivery, name, error) from None
        except Unusable as error:
            if error.is_general:
                self._note_failure(name, error)
            if self._is_refused_by_all(delivery, name):
                raise
            raise self._passed_on(delivery, name, Throttled(error.reason, error.code)) from None
        except Uncertain as error:
            self._note_failure(name, error)
            raise
        except Refused:
            # It works: this message is refused, and another provider would refuse it too.
            self._note_success(name)
            raise
        self._note_success(name)
        return provider_id

    def find(self, delivery: Delivery, message: Message, known: frozenset[str]) -> str | None:
        """Look for an attempt at the provider that made it; one that is no longer set has none."""
        provider = self.provider_of(delivery)
        return provider.find(delivery, message, known) if provider else None

    def provider_of(self, delivery: Delivery) -> Provider | None:
        """Return the provider that has a delivery; None where it is not set any more."""
        return self._providers.get(delivery.provider or self._first)

    def close(self) -> None:
        """Give back all connections."""
        for provider in self._providers.values():
            provider.close()

    @property
    def _first(self) -> str:
        return next(iter(self._providers))

    def _bound_to(self, delivery: Delivery) -> str:
        """Return the only provider that may send this delivery, since it may have it already."""
        provider = self._providers.get(delivery.provider)
        is_doubtful = delivery.possible_duplicate and provider is not None
        return (
            delivery.provider
            if is_doubtful and provider and not provider.knows_what_it_took
            else ""
        )

    def _is_refused_by_all(self, delivery: Delivery, name: str) -> bool:
        """Note that a provider cannot send a delivery; return whether that leaves none."""
        with self._lock:
            if len(self._unable) >= _REMEMBERED:
                self._unable.clear()
            unable = self._unable.pop(delivery.key, frozenset()) | {name}
            if unable >= self._providers.keys() or self._bound_to(delivery):
                return True
            self._unable[delivery.key] = unable
        return False

    def _passed_on(self, delivery: Delivery, name: str, error: Throttled) -> DeliveryError:
        """Return an error that lets another provider try at once, or `error` where none is ready."""
        if self._bound_to(delivery) or delivery.attempts % len(self._providers) == 0:
            return error
        now = self._clock.now()
        with self._lock:
            others = [
                other
                for other, breaker in self._breakers.items()
                if other != name and breaker.admits(now)
            ]
        if not others:
            return error
        return Throttled(f"{error.reason}; {others[0]} is asked", error.code, 0.0)

    def _note_success(self, name: str) -> None:
        with self._lock:
            before = self._breakers[name]
            self._breakers[name] = before.succeed()
            self._trials.pop(name, None)
        if before.rests_until is not None:
            self._say("back", f"{self._channel}: {name} takes messages again", name, before)

    def _note_failure(self, name: str, error: DeliveryError) -> None:
        now = self._clock.now()
        advice_s = error.retry_after_s if isinstance(error, Throttled) else None
        with self._lock:
            before = self._breakers[name]
            after = self._breakers[name] = before.fail(now, error.reason, advice_s)
            self._trials.pop(name, None)
        if after.rests_until is None or after.rests_until == before.rests_until:
            return
        why = "the trial failed"
        if before.rests_until is None:
            why = f"{FAILURES} failures within {WITHIN.total_seconds():.0f} s"
        words = (
            f"{self._channel}: {name} rests for {after.rest.total_seconds():.0f} s, "
            f"{why}: {error.reason}"
        )
        self._say("rests", words, name, after)

    def _say(self, change: str, words: str, name: str, breaker: Breaker) -> None:
        detail = {"channel": self._channel, "provider": name, "reason": breaker.reason}
        log.warning("a provider has changed", change=change, **detail)
        self._tell(f"provider.{change}", words, detail)


def choose_provider(channels: Collection[str], delivery: Delivery, now: datetime) -> str:
    """Return which provider makes the next attempt; nothing where the channel has but one."""
    channel = channels.get(delivery.channel) if isinstance(channels, Mapping) else None
    return channel.choose(delivery, now) if isinstance(channel, Providers) else ""
