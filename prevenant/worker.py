"""A worker: cases, messages or pages alone, on a store that others fill; any number on one PostgreSQL."""

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import structlog

from ingest.past import Past
from notify.chat import Chat
from notify.consent import read_required
from notify.delivery import Channel
from notify.email import Email
from notify.failover import Provider, Providers
from notify.following import Follower
from notify.gateway import GatewaySms
from notify.gateway_file import load_gateway
from notify.message import CHANNELS, COMMAND, HOOK, SMS, WEBHOOK
from notify.outbox import Outbox
from notify.permission import NO_RULES, HouseRules
from notify.sms import Sms, TwilioAccount
from notify.templating import Templates
from notify.unsubscribing import StopLinks
from notify.voice import Voice
from notify.webhook import Webhook
from notify.whatsapp import WhatsApp
from prevenant.book import Book
from prevenant.book_switch import BookSwitch
from prevenant.clock import Clock
from prevenant.crm.directory import find_quiet_hours
from prevenant.errors import ConfigurationError, StoreUnavailable
from prevenant.garbage import collect_seldom
from prevenant.health import Health
from prevenant.parts import Parts
from prevenant.probes import Probes, bind_for
from prevenant.publishing import BookVersion, find_active
from prevenant.roles import CONSOLE, ENGAGE, ROUTE, show_roles
from prevenant.settings import Settings
from prevenant.store import Store
from prevenant.stream.changing import Version
from prevenant.switching import switch_soon
from prevenant.tables import add_timeline, last_told_at
from prevenant.telling import Telling
from prevenant.website import Website
from rules.book import RuleBook
from workflows.office import Office, office_of
from workflows.roads import Roads
from workflows.runtime import Runtime

log = structlog.get_logger()

_Kind = TypeVar("_Kind")


class Beside(Protocol):
    """What a process does beside cases, messages and pages: it tells subscribers, listens, or decides."""

    def start(self, parts: Parts) -> None:
        """Start its parts."""

    def stop(self) -> None:
        """Have its parts end; `close` comes once they have."""

    def close(self) -> None:
        """Give back what it holds."""

    def change_book(self, version: Version, book: Book) -> None:
        """Go by another version. Raises PrevenantError where it has to be tried again."""

    def describe(self, health: Health) -> Health:
        """Return how the process is, with what is known here."""

    def find_troubles(self) -> Iterator[str]:
        """Yield why it cannot do its work at present; others may be asked for that."""


class Worker:
    """Any of route, engage and console, by the rule book that is in force in the store."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        channels: Mapping[str, Channel],
        roles: frozenset[str] = frozenset({ROUTE, ENGAGE}),
        rules: HouseRules = NO_RULES,
        beside: Sequence[Beside] = (),
        begin: tuple[BookVersion, Book] | None = None,
        judge: Callable[[Version, RuleBook], None] = lambda _version, _rules: None,
    ) -> None:
        """Prepare; `begin` is the book to begin with, else the active one; `judge` refuses others.

        Raises ConfigurationError where the store has no rule book yet.
        """
        self.store, self.roles, self.channels = store, roles, channels
        self._beside = beside
        self.website: Website | None = None
        self.probes: Probes | None = None
        with store.read() as session:
            self._office = office_of(session)
        active, self.book = begin or _find_book(store)
        self.books = BookSwitch(store, clock, active, self.book, self._follow_book, judge)
        book = self.book
        self._runtime = Runtime(
            store, clock, book.workflows, book.routes, book.templates, book.schedules
        )
        # Commands go out where there is a broker, which is where devices are listened to.
        left = frozenset({COMMAND, HOOK}) - channels.keys()
        if COMMAND in channels and ENGAGE not in roles:
            left = frozenset({*CHANNELS, WEBHOOK, HOOK})
        self._outbox = Outbox(store, clock, channels, left=left, rules=rules)
        self._outbox.change_words(book.templates)
        self._follower = Follower(store, clock, channels)
        self._parts = Parts()
        self._started_at = clock.now()
        self.ended = self._parts.ended
        """Set when the worker has been told to stop, or when a part of it has failed."""

    @property
    def failed(self) -> bool:
        """Whether a part has ended by itself."""
        return self._parts.failed

    def describe(self) -> Health:
        """Return how the worker is."""
        health = Health(
            show_roles(self.roles),
            self._started_at,
            self._parts.alive,
            tuple(self.channels),
            state=self._parts.state,
        )
        for one in self._beside:
            health = one.describe(health)
        return health

    def find_troubles(self) -> Iterator[str]:
        """Yield why the worker cannot do its work at present."""
        for one in self._beside:
            yield from one.find_troubles()

    def answer_at(
        self,
        listener: socket.socket,
        settings: Settings,
        clock: Clock,
        past: Past | None = None,
    ) -> None:
        """Serve the console at an address, or without that role the probes alone.

        What devices have sent is found in `past`, else in the journal.
        """
        if CONSOLE in self.roles:
            book = self.book
            self.website = Website(
                settings, listener, self.store, clock, book.templates, book.rules, past
            )
            self.website.show(self)
        else:
            self.probes = Probes(listener, self.store, clock, self)

    def find(self, kind: type[_Kind]) -> _Kind | None:
        """Return what of this kind the process does beside, or None."""
        return next((one for one in self._beside if isinstance(one, kind)), None)

    def start(self) -> None:
        """Start every part; probes are answered while others are made ready."""
        if self.probes is not None:
            self._parts.start("probes", self.probes.run)
        self.books.keep_words_of_open_cases()
        if ROUTE in self.roles:
            with self.store.read() as session:
                self._office.warm(session)
        collect_seldom()
        switch_soon()
        if ROUTE in self.roles:
            self._parts.start("route", self._runtime.run)
        if ENGAGE in self.roles:
            self._parts.start("engage", self._outbox.run)
            self._parts.start("receipts", self._follower.run)
        elif COMMAND in self.channels:
            self._parts.start("commands", self._outbox.run)
        if self.website is not None:
            self._parts.start("console", self.website.run)
        for one in self._beside:
            one.start(self._parts)
        self._parts.start("book", lambda: self.books.run(self._change_book))
        self._parts.all_started()

    def stop(self) -> None:
        """Stop every part and wait for it; the store stays open."""
        self.ended.set()
        self.books.stop()
        for one in self._beside:
            one.stop()
        self._runtime.stop()
        self._office.close()
        self._outbox.stop()
        self._follower.stop()
        for server in (self.website, self.probes):
            if server is not None:
                server.stop()
        if self._parts.join():
            for one in self._beside:
                one.close()

    def _change_book(self, version: Version, _rules: RuleBook) -> None:
        self.books.follow(version)
        for one in self._beside:
            one.change_book(version, self.book)

    def _follow_book(self, book: Book) -> None:
        self.book = book
        self._runtime.change_book(book.workflows, book.routes, book.templates, book.schedules)
        self._outbox.change_words(book.templates)
        if self.website is not None:
            self.website.change_book(book.templates, book.rules)


def _find_book(store: Store) -> tuple[BookVersion, Book]:
    with store.read() as session:
        active = find_active(session)
    if active is None:
        message = "the store has no rule book: `prevenant rules publish` one, or start an engine"
        raise ConfigurationError(message)
    return active, active.load()


def make_worker(settings: Settings, roles: frozenset[str], clock: Clock | None = None) -> Worker:
    """Return a worker on the store of `settings`, whose clock goes on from what was told last.

    Raises ConfigurationError before anything is started.
    """
    load_gateway(settings.sms_gateway)
    listener = bind_for(settings, roles)
    store = Store(settings.database_url)
    try:
        store.upgrade()
        with store.read() as session:
            clock = clock or settings.make_clock(last_told_at(session))
        open_office(settings, store, clock)
        channels, rules = make_channels(settings, clock, store), make_house_rules(settings)
        beside = [Telling(settings, store, clock)] if ENGAGE in roles else []
        worker = Worker(store, clock, channels, roles, rules, beside)
        if listener is not None:
            worker.answer_at(listener, settings, clock)
    except BaseException:
        store.close()
        if listener is not None:
            listener.close()
        raise
    return worker


def open_office(settings: Settings, store: Store, clock: Clock) -> Office:
    """Say how dispatch goes about its work in this process, and where people's links lead."""
    with store.read() as session:
        office = office_of(session)
    office.public_url = settings.public_url
    office.gather_s = settings.dispatch_gather_s
    if settings.routing_url:
        timeout_s = settings.routing_timeout_s
        office.use_roads(
            Roads(settings.routing_url, settings.routing_engine, timeout_s), store, clock
        )
    return office


def make_house_rules(settings: Settings, templates: Templates | None = None) -> HouseRules:
    """Return by which rules people are told."""
    return HouseRules(
        find_quiet_hours,
        settings.quiet_hours,
        settings.bypass_severity,
        read_required(settings.consent_required),
        settings.limits,
        templates,
    )


def make_channels(settings: Settings, clock: Clock, store: Store) -> dict[str, Channel]:
    """Return the channels that have credentials."""
    channels: dict[str, Channel] = {"chat": Chat()}
    texts: dict[str, Provider] = {}
    secret = settings.twilio_auth_token.get_secret_value()
    if settings.twilio_account_sid and secret and settings.twilio_from:
        account = TwilioAccount(settings)
        texts["twilio"] = Sms(account)
        channels["voice"] = Voice(account)
        if settings.twilio_whatsapp_from:
            sender, template = settings.twilio_whatsapp_from, settings.twilio_whatsapp_template
            channels["whatsapp"] = WhatsApp(account, sender, template)
    gateway = load_gateway(settings.sms_gateway)
    if gateway is not None:
        texts["gateway"] = GatewaySms(gateway, settings.public_url)
    first = settings.sms_first
    ordered = sorted(texts, key=lambda name: name != first)
    if len(ordered) > 1:
        in_order = {name: texts[name] for name in ordered}
        channels[SMS] = Providers(SMS, in_order, clock, lambda *line: _tell(store, clock, *line))
    elif ordered:
        channels[SMS] = texts[ordered[0]]
    if settings.smtp_url.get_secret_value() and settings.email_from:
        channels["email"] = Email(settings, StopLinks(store, clock, settings.public_url))
    if settings.webhook_secret.get_secret_value():
        channels[WEBHOOK] = Webhook(settings, clock)
    return channels


def _tell(store: Store, clock: Clock, kind: str, words: str, detail: Mapping[str, Any]) -> None:
    """Write a line of the story; a store that is away costs that line alone."""
    try:
        with store.write() as session:
            add_timeline(session, clock.now(), kind, words, detail=dict(detail))
    except StoreUnavailable as error:
        log.error("a line of the story is lost", kind=kind, reason=str(error))
