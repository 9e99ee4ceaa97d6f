"""The wiring: one engine out of settings, and its parts as threads of one process, or of several.

listen   broker → journal                  decide   journal → alarms
route    alarms, replies, timers → cases   engage   cases → people
console  API, webhooks and pages         audit    what would be lost → alarms
"""

import socket
import threading
import time
from collections.abc import Iterator
from functools import partial

from ingest.journal import Journal
from ingest.listener import Listeners
from notify.command import Command
from notify.delivery import Channel
from notify.following import Follower
from notify.gateway_file import load_gateway
from notify.message import CHANNELS, COMMAND, HOOK, OUTBOX, WEBHOOK
from notify.outbox import Outbox
from notify.subscription import SUBSCRIPTIONS
from prevenant.api.intake import Intake
from prevenant.auditing import make_auditor
from prevenant.book import Book
from prevenant.book_switch import BookSwitch
from prevenant.clock import Clock
from prevenant.crm.ages import forget_unread
from prevenant.crm.directory import SiteZones
from prevenant.crm.source_book import load_sources
from prevenant.crm.syncing import Syncer
from prevenant.crm.tables import CRM
from prevenant.errors import ConfigurationError, SettingsError
from prevenant.garbage import collect_seldom
from prevenant.health import Deciding, Health, size_of
from prevenant.model_switch import ModelSwitch
from prevenant.model_voices import RegistryVoices
from prevenant.neighbours import Neighbours
from prevenant.parts import PATIENCE, Parts
from prevenant.probes import Probes, bind_for
from prevenant.publishing import settle_book
from prevenant.roles import ALL, CONSOLE, ENGAGE, LISTEN, ROUTE, show_roles
from prevenant.settings import Settings
from prevenant.store import Store
from prevenant.stream.embedded import EmbeddedHost
from prevenant.stream.positions import Positions, position_urls
from prevenant.stream.replaying import QuarantineReplay, find_frame
from prevenant.switching import switch_soon
from prevenant.tables import CASE_EVENTS, TIMELINE
from prevenant.telling import Telling
from prevenant.website import Website
from prevenant.worker import Worker, make_channels, make_house_rules, make_worker, open_office
from workflows.absence import announce_absences
from workflows.runtime import Runtime

_CLAIM_EVERY_S = 0.1


class Engine:
    """Listen and decide, and which other roles it has. Raises ConfigurationError before it starts."""

    def __init__(
        self, settings: Settings, clock: Clock | None = None, roles: frozenset[str] = ALL
    ) -> None:
        self.settings, self.roles = settings, roles
        sources = load_sources(settings.crm_sources)
        load_gateway(settings.sms_gateway)
        self._socket = bind_for(settings, roles)
        self._journal = _claim_journal(settings)
        self.clock = clock or settings.make_clock(self._journal.left_off_at)
        self.store = Store(settings.database_url)
        self.store.upgrade()
        with self.store.write() as session:
            forget_unread(session, sources)
        try:
            version, book = settle_book(self.store, settings.book, self.clock.now())
        except ConfigurationError:
            self._give_back()
            raise
        self.books = BookSwitch(self.store, self.clock, version, book, self._follow_book)
        self.book: Book = book
        voices = RegistryVoices(settings.models)
        self.host = EmbeddedHost(
            self.store,
            self.clock,
            self._journal,
            book.rules,
            self.books.version,
            self.books,
            zone_of=SiteZones(self.store).zone_of,
            voices=voices,
        )
        self.models = ModelSwitch(self.store, voices, book.rules)
        self._listeners = Listeners(
            settings.mqtt_urls,
            self.host.subscriptions,
            self.host.accept,
            lambda connected: self.host.hear(connected=connected),
        )
        self.host.publish = self._listeners.publish
        self.host.subscribe = self._listeners.change_subscriptions
        self._positions = Positions(self.store, self.clock, settings.position_topic)
        self._phones = Listeners(
            position_urls(settings.mqtt_urls) if settings.position_topic else [],
            [self._positions.subscription],
            self._positions.take,
            lambda _connected: None,
        )
        self._syncers = [
            Syncer(self.store, self.clock, source, announce_absences) for source in sources
        ]
        self._replay = QuarantineReplay(
            self.store,
            self.clock,
            self.book.rules,
            self.host.accept,
            partial(find_frame, settings.journal),
        )
        self._runtime = Runtime(
            self.store,
            self.clock,
            self.book.workflows,
            self.book.routes,
            self.book.templates,
            self.book.schedules,
        )
        self._office = open_office(settings, self.store, self.clock)
        self.auditor = make_auditor(settings, self.store, self.clock)
        self._neighbours = Neighbours(
            self.store, (CASE_EVENTS, OUTBOX, SUBSCRIPTIONS, TIMELINE, CRM)
        )
        self.channels: dict[str, Channel] = {COMMAND: Command(self._listeners.hand_over)}
        # Without the role, commands alone: they go out where the brokers are.
        left = frozenset({HOOK} if ENGAGE in roles else {*CHANNELS, WEBHOOK, HOOK})
        if ENGAGE in roles:
            self.channels |= make_channels(settings, self.clock, self.store)
        rules = make_house_rules(settings, book.templates)
        self._outbox = Outbox(self.store, self.clock, self.channels, left=left, rules=rules)
        self._follower = Follower(self.store, self.clock, self.channels)
        tells = ENGAGE in roles
        self._telling = Telling(settings, self.store, self.clock) if tells else None
        self._parts = Parts()
        self._started_at = self.clock.now()
        self.ended = self._parts.ended
        """Set when the engine has been told to stop, or when a part of it has failed."""
        self.website: Website | None = None
        self.probes: Probes | None = None
        if self._socket is not None:
            self._answer_at(self._socket)

    @property
    def address(self) -> str:
        """Where API and console answer; empty without the role."""
        return self.website.address if self.website else ""

    @property
    def failed(self) -> bool:
        """Whether a part has ended by itself."""
        return self._parts.failed

    @property
    def listening(self) -> threading.Event:
        """Set while every broker has confirmed our subscriptions."""
        return self._listeners.connected

    def describe(self) -> Health:
        """Return how the engine is."""
        last = self.auditor.last
        deciding = Deciding(
            decided=self.host.frames,
            behind=self.host.behind,
            unwritten=self.host.unwritten,
            is_refused=self.host.is_refused(),
            journal_bytes=size_of(self.settings.journal),
        )
        return Health(
            show_roles(self.roles),
            self._started_at,
            self._parts.alive,
            tuple(self.channels),
            self._listeners.heard(),
            deciding,
            last.at if last else None,
            last.lost if last else None,
            self._parts.state,
        )

    def find_troubles(self) -> Iterator[str]:
        """Yield why the engine cannot do its work at present."""
        if self.host.is_refused():
            yield (
                "the journal cannot be written, so the brokers keep what devices say: "
                f"see to the disk of {self.settings.journal}"
            )

    def _answer_at(self, listener: socket.socket) -> None:
        """Serve the console at an address, or without that role the probes alone."""
        if CONSOLE not in self.roles:
            self.probes = Probes(listener, self.store, self.clock, self)
            return
        book, host = self.book, self.host
        self.website = Website(
            self.settings, listener, self.store, self.clock, book.templates, book.rules
        )
        self.website.take_readings(Intake(host.accept, host.is_refused))
        self.website.show(self)

    def start(self) -> None:
        """Recover what an earlier process left, then start every part; probes are answered meanwhile."""
        if self.probes is not None:
            self._parts.start("probes", self.probes.run)
        self.books.keep_words_of_open_cases()
        self._listeners.change_subscriptions(self.books.earlier_subscriptions())
        self._listeners.change_subscriptions(self.host.subscriptions)
        collect_seldom()
        switch_soon()
        self.host.recover()
        self.models.begin(lambda: self.host.voices_in_force, self.host.change_model)
        if ROUTE in self.roles:
            with self.store.read() as session:
                self._office.warm(session)
        # All that was recovered stays.
        collect_seldom()
        self._parts.start("decide", self.host.run)
        self._parts.start("book", lambda: self.books.run(self.host.change_book))
        self._parts.start("models", lambda: self.models.run(self.host.change_model))
        self._parts.start("replay", self._replay.run)
        if ROUTE in self.roles:
            self._parts.start("route", self._runtime.run)
        self._parts.start("engage" if ENGAGE in self.roles else "commands", self._outbox.run)
        if ENGAGE in self.roles:
            self._parts.start("receipts", self._follower.run)
        if self._telling is not None:
            self._telling.start(self._parts)
        self._parts.start("audit", self.auditor.run)
        self._parts.start("neighbours", self._neighbours.run)
        if self.website is not None:
            self._parts.start("console", self.website.run)
        self._parts.start("positions", self._positions.run)
        for syncer in self._syncers:
            self._parts.start(f"crm {syncer.source.name}", syncer.run)
        for name, run in self._listeners.runs().items():
            self._parts.start(name, run)
        for name, run in self._phones.runs().items():
            self._parts.start(f"{name} for positions", run)
        self._parts.all_started()

    def stop(self) -> None:
        """Stop every part and wait for it: first what comes in, last what goes out."""
        self.ended.set()
        self._listeners.stop()
        self._phones.stop()
        self._positions.stop()
        for syncer in self._syncers:
            syncer.stop()
        self._replay.stop()
        self.books.stop()
        self.models.stop()
        self.host.stop()
        self._runtime.stop()
        self._office.close()
        self._outbox.stop()
        self._follower.stop()
        if self._telling is not None:
            self._telling.stop()
        self.auditor.stop()
        self._neighbours.stop()
        for server in (self.website, self.probes):
            if server is not None:
                server.stop()
        if self._parts.join():
            self._give_back()

    def _give_back(self) -> None:
        self._journal.close()
        self.store.close()
        if self._socket is not None:
            self._socket.close()

    def _follow_book(self, book: Book) -> None:
        """Let new cases, answers and what is read again go by the book that takes over."""
        self.book = book
        self._runtime.change_book(book.workflows, book.routes, book.templates, book.schedules)
        self._outbox.change_words(book.templates)
        self._replay.change_book(book.rules)
        self.models.change_book(book.rules)
        if self.website is not None:
            self.website.change_book(book.templates, book.rules)


def _claim_journal(settings: Settings) -> Journal:
    """Open the journal, which one engine at a time may have; one that is ending gets a moment."""
    journal = Journal(settings.journal, settings.journal_keep_s, settings.journal_max_bytes)
    give_up_at = time.monotonic() + PATIENCE.total_seconds()
    while not journal.claim():
        if time.monotonic() > give_up_at:
            journal.close()
            message = (
                f"another engine uses the journal {settings.journal}; "
                "stop it, or set PREVENANT_JOURNAL to another file"
            )
            raise SettingsError(message)
        time.sleep(_CLAIM_EVERY_S)
    return journal


def make_process(settings: Settings, roles: frozenset[str]) -> Engine | Worker:
    """Return what does these roles. Raises ConfigurationError before anything is started."""
    if settings.kafka_url:
        return _make_on_kafka(settings, roles)
    return Engine(settings, roles=roles) if LISTEN in roles else make_worker(settings, roles)


def _make_on_kafka(settings: Settings, roles: frozenset[str]) -> Worker:
    try:
        from prevenant.on_kafka import make_process_on_kafka  # noqa: PLC0415  few have the extra
    except ModuleNotFoundError as error:
        message = (
            f"PREVENANT_KAFKA_URL needs {error.name}: pip install '.[kafka]', in Prevenant's folder"
        )
        raise SettingsError(message) from None
    return make_process_on_kafka(settings, roles)
