"""The wiring: one engine out of settings, and its parts as threads of one process.

listen   broker → journal                  decide   journal → alarms
route    alarms, replies, timers → cases   engage   cases → people
console  API, webhooks and pages         audit    what would be lost → alarms
"""

import gc
import socket
import threading
import time
from collections.abc import Callable, Mapping
from datetime import timedelta

import structlog
import uvicorn
from fastapi import FastAPI

from ingest.journal import Journal
from ingest.listener import Listeners
from notify.command import Command
from notify.delivery import Channel
from notify.email import Email
from notify.message import COMMAND, OUTBOX, WEBHOOK
from notify.outbox import Outbox
from notify.sms import Sms, TwilioAccount
from notify.voice import Voice
from notify.webhook import Webhook
from prevenant.api.access import ensure_admin_token
from prevenant.api.server import Services, make_api
from prevenant.book import Book
from prevenant.book_switch import BookSwitch
from prevenant.clock import Clock
from prevenant.console.pages import add_console
from prevenant.crm.directory import SiteZones
from prevenant.crm.source_book import load_sources
from prevenant.crm.syncing import Syncer
from prevenant.crm.tables import CRM
from prevenant.errors import ConfigurationError, SettingsError
from prevenant.heartbeat import Heartbeat
from prevenant.neighbours import Neighbours
from prevenant.publishing import find_active, settle_book
from prevenant.settings import Settings
from prevenant.store import Store
from prevenant.stream.embedded import EmbeddedHost
from prevenant.stream.positions import Positions, position_urls
from prevenant.stream.replaying import QuarantineReplay
from prevenant.tables import CASE_EVENTS, TIMELINE, last_told_at
from workflows.absence import announce_absences
from workflows.audit import LATE
from workflows.auditor import Auditor
from workflows.office import Office, office_of
from workflows.roads import Roads
from workflows.runtime import Runtime

log = structlog.get_logger()

_PATIENCE = timedelta(seconds=3)
_CLAIM_EVERY_S = 0.1


class Engine:
    """Everything that `prevenant run` runs. Raises ConfigurationError before anything is started."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        sources = load_sources(settings.crm_sources)
        self._socket = _bind(settings)
        self.address = _address_of(self._socket)
        self._journal = _claim_journal(settings)
        self.clock = clock or settings.make_clock(self._journal.left_off_at)
        self.store = Store(settings.database_url)
        self.store.upgrade()
        try:
            version, book = settle_book(self.store, settings.book, self.clock.now())
        except ConfigurationError:
            self._give_back()
            self._socket.close()
            raise
        self.books = BookSwitch(self.store, self.clock, version, book, self._follow_book)
        self.book: Book = book
        self.host = EmbeddedHost(
            self.store,
            self.clock,
            self._journal,
            book.rules,
            self.books.version,
            self.books,
            zone_of=SiteZones(self.store).zone_of,
        )
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
            settings, self.store, self.clock, self.book.rules, self.host.accept
        )
        self._runtime = Runtime(
            self.store,
            self.clock,
            self.book.workflows,
            self.book.routes,
            self.book.templates,
            self.book.schedules,
        )
        self._office = _open_office(settings, self.store, self.clock)
        self.auditor = make_auditor(settings, self.store, self.clock)
        self._neighbours = Neighbours(self.store, (CASE_EVENTS, OUTBOX, TIMELINE, CRM))
        self.channels = make_channels(settings, self.clock)
        self.channels[COMMAND] = Command(self._listeners.hand_over)
        self._outbox = Outbox(self.store, self.clock, self.channels)
        self._app = make_api(Services(settings, self.store, self.clock, self.book.templates))
        self._app.state.missing_brokers = self._listeners.missing
        self._app.state.count_lost = lambda: self.auditor.last and self.auditor.last.lost
        add_console(self._app)
        self._server = _make_server(self._app)
        self._parts = Parts()
        self.ended = self._parts.ended
        """Set when the engine has been told to stop, or when a part of it has failed."""
        # At last: a token that is made is shown, and nothing that may be wrong comes in between.
        self.new_admin_token = ensure_admin_token(
            self.store, settings.admin_token.get_secret_value(), self.clock.now()
        )

    @property
    def failed(self) -> bool:
        """Whether a part has ended by itself."""
        return self._parts.failed

    @property
    def listening(self) -> threading.Event:
        """Set while every broker has confirmed our subscriptions."""
        return self._listeners.connected

    def start(self) -> None:
        """Recover what an earlier process left, then start every part."""
        self.books.keep_words_of_open_cases()
        self._listeners.change_subscriptions(self.books.earlier_subscriptions())
        self._listeners.change_subscriptions(self.host.subscriptions)
        self.host.recover()
        with self.store.read() as session:
            self._office.warm(session)
        _collect_garbage_seldom()
        self._parts.start("decide", self.host.run)
        self._parts.start("book", lambda: self.books.run(self.host.change_book))
        self._parts.start("replay", self._replay.run)
        self._parts.start("route", self._runtime.run)
        self._parts.start("engage", self._outbox.run)
        self._parts.start("audit", self.auditor.run)
        self._parts.start("neighbours", self._neighbours.run)
        self._parts.start("console", lambda: self._server.run(sockets=[self._socket]))
        self._parts.start("positions", self._positions.run)
        for syncer in self._syncers:
            self._parts.start(f"crm {syncer.source.name}", syncer.run)
        for name, run in self._listeners.runs().items():
            self._parts.start(name, run)
        for name, run in self._phones.runs().items():
            self._parts.start(f"{name} for positions", run)

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
        self.host.stop()
        self._runtime.stop()
        self._office.close()
        self._outbox.stop()
        self.auditor.stop()
        self._neighbours.stop()
        self._server.should_exit = True
        self._app.state.live.close()
        if self._parts.join():
            self._give_back()

    def _give_back(self) -> None:
        self._journal.close()
        self.store.close()

    def _follow_book(self, book: Book) -> None:
        """Let new cases, answers and what is read again go by the book that takes over."""
        self.book = book
        self._runtime.change_book(book.workflows, book.routes, book.templates, book.schedules)
        self._replay.change_book(book.rules)
        self._app.state.templates = book.templates


class Worker:
    """Route and engage alone, on a store that others fill: one of any number on one PostgreSQL."""

    def __init__(self, store: Store, clock: Clock, channels: Mapping[str, Channel]) -> None:
        """Prepare. Raises ConfigurationError where the store has no rule book yet."""
        self.store, self.clock = store, clock
        with store.read() as session:
            active = find_active(session)
        if active is None:
            message = (
                "the store has no rule book: `prevenant rules publish` one, or start an engine"
            )
            raise ConfigurationError(message)
        book = active.load()
        self.books = BookSwitch(store, clock, active, book, self._follow_book)
        self._runtime = Runtime(
            store, clock, book.workflows, book.routes, book.templates, book.schedules
        )
        # Commands go out where there is a broker, which is where devices are listened to.
        left = frozenset({COMMAND}) - channels.keys()
        self._outbox = Outbox(store, clock, channels, left=left)
        with store.read() as session:
            self._office = office_of(session)
        self._parts = Parts()
        self.ended = self._parts.ended

    def start(self) -> None:
        """Start every part."""
        self.books.keep_words_of_open_cases()
        with self.store.read() as session:
            self._office.warm(session)
        self._parts.start("route", self._runtime.run)
        self._parts.start("engage", self._outbox.run)
        self._parts.start("book", lambda: self.books.run(lambda one, _: self.books.follow(one)))

    def stop(self) -> None:
        """Stop every part and wait for it; the store stays open."""
        self.ended.set()
        self.books.stop()
        self._runtime.stop()
        self._office.close()
        self._outbox.stop()
        self._parts.join()

    def _follow_book(self, book: Book) -> None:
        self._runtime.change_book(book.workflows, book.routes, book.templates, book.schedules)


class Parts:
    """The parts of one process, each in a thread: where one fails, the whole has ended."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self.ended = threading.Event()
        """Set when the process has been told to stop, or when a part of it has failed."""
        self.failed = False

    def start(self, name: str, work: Callable[[], None]) -> None:
        """Run a part."""

        def guarded() -> None:
            try:
                work()
            except Exception:
                log.exception("a part has failed, so the engine ends", part=name)
                self.failed = True
            if not self.ended.is_set():
                self.failed = True
                self.ended.set()

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def join(self) -> bool:
        """Wait for every part a while; return whether all have ended."""
        for thread in self._threads:
            thread.join(_PATIENCE.total_seconds())
        return not any(thread.is_alive() for thread in self._threads)


def _collect_garbage_seldom() -> None:
    """Leave what stands by now to itself, and look for cycles less often than after 700 objects.

    The frames of one batch alone are thousands of objects, and none of them is part of a cycle.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _claim_journal(settings: Settings) -> Journal:
    """Open the journal, which one engine at a time may have; one that is ending gets a moment."""
    journal = Journal(settings.journal, settings.journal_keep_s, settings.journal_max_bytes)
    give_up_at = time.monotonic() + _PATIENCE.total_seconds()
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


def _make_server(app: FastAPI) -> uvicorn.Server:
    config = uvicorn.Config(
        app, log_config=None, access_log=False, timeout_graceful_shutdown=1, lifespan="off"
    )
    return uvicorn.Server(config)


def _open_office(settings: Settings, store: Store, clock: Clock) -> Office:
    """Say how dispatch goes about its work in this process."""
    with store.read() as session:
        office = office_of(session)
    office.gather_s = settings.dispatch_gather_s
    if settings.routing_url:
        timeout_s = settings.routing_timeout_s
        office.use_roads(
            Roads(settings.routing_url, settings.routing_engine, timeout_s), store, clock
        )
    return office


def make_auditor(settings: Settings, store: Store, clock: Clock) -> Auditor:
    """Return the auditor, with the heartbeat that the settings ask for."""
    every = timedelta(seconds=settings.heartbeat_every_s)
    heartbeat = Heartbeat(settings.heartbeat_url.get_secret_value(), every)
    # On a faster clock the machine is as slow as ever: what is late there is later.
    return Auditor(store, clock, heartbeat.beat, LATE * max(1.0, settings.clock_speed))


def make_channels(settings: Settings, clock: Clock) -> dict[str, Channel]:
    """Return the channels that have credentials."""
    channels: dict[str, Channel] = {}
    secret = settings.twilio_auth_token.get_secret_value()
    if settings.twilio_account_sid and secret and settings.twilio_from:
        account = TwilioAccount(settings)
        channels |= {"sms": Sms(account), "voice": Voice(account)}
    if settings.smtp_url.get_secret_value() and settings.email_from:
        channels["email"] = Email(settings)
    if settings.webhook_secret.get_secret_value():
        channels[WEBHOOK] = Webhook(settings, clock)
    return channels


def make_worker(settings: Settings) -> Worker:
    """Return a worker on the store of `settings`, whose clock goes on from what was told last."""
    store = Store(settings.database_url)
    store.upgrade()
    with store.read() as session:
        clock = settings.make_clock(last_told_at(session))
    try:
        _open_office(settings, store, clock)
        return Worker(store, clock, make_channels(settings, clock))
    except ConfigurationError:
        store.close()
        raise


def _bind(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.http_host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.http_host.strip("[]"), settings.http_port))
        # Two that have bound the same port and do not listen yet would both believe that they have it.
        listener.listen()
    except OSError as error:
        listener.close()
        message = (
            f"cannot listen on {settings.http}: {error.strerror}; "
            "stop what uses it, or set PREVENANT_HTTP to another address"
        )
        raise SettingsError(message) from None
    return listener


def _address_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
