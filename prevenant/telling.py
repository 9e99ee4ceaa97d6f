"""Telling subscribers of the story: what queues it for them, and what gives it to them."""

from collections.abc import Iterator

from notify.hook import Hook
from notify.message import CHANNELS, COMMAND, HOOK, WEBHOOK
from notify.outbox import OF_SUBSCRIBERS, Outbox
from notify.outside import Outside, parse_networks
from prevenant.api.hook_events import render
from prevenant.api.hook_feed import HookFeed
from prevenant.book import Book
from prevenant.clock import Clock
from prevenant.health import Health
from prevenant.parts import Parts
from prevenant.settings import Settings
from prevenant.store import Store
from prevenant.stream.changing import Version


class Telling:
    """Follows the story for subscribers, and calls their endpoints, beside what is said to people."""

    def __init__(self, settings: Settings, store: Store, clock: Clock) -> None:
        outside = Outside(parse_networks(settings.webhook_networks))
        hook = Hook(store, clock, outside, render)
        others = frozenset({*CHANNELS, WEBHOOK, COMMAND})
        self._feed = HookFeed(store, clock)
        self._outbox = Outbox(store, clock, {HOOK: hook}, left=others, share=OF_SUBSCRIBERS)

    def start(self, parts: Parts) -> None:
        """Start its parts."""
        parts.start("subscribers", self._feed.run)
        parts.start("webhooks", self._outbox.run)

    def stop(self) -> None:
        """Have its parts end."""
        self._feed.stop()
        self._outbox.stop()

    def close(self) -> None:
        """Do nothing: the connections were given back with the last attempt."""

    def change_book(self, version: Version, book: Book) -> None:
        """Go on: what subscribers are told stands in no rule book."""

    def describe(self, health: Health) -> Health:
        """Return how the process is: nothing more is known here."""
        return health

    def find_troubles(self) -> Iterator[str]:
        """Yield nothing: what an endpoint does not take waits, and others are told meanwhile."""
        yield from ()
