"""The wiring on Kafka: processes that listen, processes that decide, and any mix of all roles.

listen   brokers → topic; also commands to devices, and technicians' positions
decide   topic → alarms; also models, the self-audit and outside CRMs
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import structlog
from sqlmodel import Session, col, select

from ingest.journal_file import BookChange
from ingest.listener import Listeners, seat_of
from ingest.partitions import BY_DEVICE, BY_SITE
from ingest.publishing import Publisher
from ingest.records import GONE_AFTER_S
from ingest.topic import Topic
from ingest.topic_past import Divided, TopicPast
from ingest.topics import Topics
from notify.command import Command
from notify.delivery import Channel
from notify.gateway_file import load_gateway
from notify.message import COMMAND
from prevenant.api.intake import Intake as PostedReadings
from prevenant.auditing import make_auditor
from prevenant.book import Book
from prevenant.book_switch import BookSwitch, version_of
from prevenant.clock import Clock
from prevenant.crm.ages import forget_unread
from prevenant.crm.directory import SiteZones
from prevenant.crm.source_book import load_sources
from prevenant.crm.syncing import Syncer
from prevenant.errors import ConfigurationError, StoreUnavailable
from prevenant.health import Health
from prevenant.kafka_address import KafkaAddress
from prevenant.model_switch import ModelSwitch
from prevenant.model_voices import RegistryVoices
from prevenant.parts import Parts
from prevenant.probes import bind_for
from prevenant.publishing import BookVersion, find_active, settle_book
from prevenant.roles import DECIDE, ENGAGE, LISTEN
from prevenant.settings import Settings
from prevenant.store import Store
from prevenant.stream.changing import Version
from prevenant.stream.intake import Intake
from prevenant.stream.kafka import KafkaHost
from prevenant.stream.partition import Surroundings
from prevenant.stream.partition_rows import check_book, check_partitions, settle_stream
from prevenant.stream.positions import Positions, position_urls
from prevenant.stream.replaying import QuarantineReplay
from prevenant.tables import Stream, last_told_at
from prevenant.telling import Telling
from prevenant.worker import Beside, Worker, make_channels, make_house_rules, open_office
from rules.book import RuleBook
from workflows.absence import announce_absences

log = structlog.get_logger()

_PAUSE_S = 1.0


class Base(NamedTuple):
    """What every process of a stream begins with."""

    settings: Settings
    store: Store
    clock: Clock
    address: KafkaAddress
    stream: Stream
    version: Version
    active: BookVersion
    book: Book


class Listening:
    """Brokers into the topic, and what goes out to devices."""

    def __init__(self, base: Base) -> None:
        settings, store, clock = base.settings, base.store, base.clock
        rules = base.book.rules
        self._publisher = publisher = Publisher(base.address, base.stream.topic)
        seat = seat_of(settings.mqtt_urls)
        self.intake = Intake(publisher, clock, base.stream, base.version, rules, seat)
        self.listeners = Listeners(
            settings.mqtt_urls,
            Topics(rules.devices.values()).subscriptions,
            self.intake.accept,
            lambda connected: self.intake.hear(connected=connected),
        )
        self.intake.publish = self.listeners.publish
        self._positions = Positions(store, clock, settings.position_topic)
        self._phones = Listeners(
            position_urls(settings.mqtt_urls) if settings.position_topic else [],
            [self._positions.subscription],
            self._positions.take,
            lambda _connected: None,
        )
        find_frame = Topic(base.address, base.stream.topic).find_frame
        self._replay = QuarantineReplay(store, clock, rules, self.intake.accept, find_frame)
        self._subscriptions = Topics(rules.devices.values()).subscriptions
        self.earlier_subscriptions: Callable[[], list[str]] = list
        """What was listened to before, which the sessions may still have."""

    def start(self, parts: Parts) -> None:
        """Listen, and publish what is heard."""
        self.listeners.change_subscriptions(self.earlier_subscriptions())
        self.listeners.change_subscriptions(self._subscriptions)
        parts.start("publish", self.intake.run)
        parts.start("replay", self._replay.run)
        parts.start("positions", self._positions.run)
        for name, run in self.listeners.runs().items():
            parts.start(name, run)
        for name, run in self._phones.runs().items():
            parts.start(f"{name} for positions", run)

    def stop(self) -> None:
        """Stop listening, then publishing; what is not acknowledged stays with the brokers."""
        self.listeners.stop()
        self._phones.stop()
        self._positions.stop()
        self._replay.stop()
        self.intake.stop()

    def close(self) -> None:
        """Give Kafka's connection back."""
        self.intake.close()

    def change_book(self, version: Version, book: Book) -> None:
        """Tell every partition of another version, and listen to its topics after that."""
        self.intake.change_book(version, book.rules)
        self.listeners.change_subscriptions(Topics(book.rules.devices.values()).subscriptions)
        self._replay.change_book(book.rules)

    def describe(self, health: Health) -> Health:
        """Return how the process is, with the brokers that are heard."""
        return replace(health, brokers=self.listeners.heard())

    def find_troubles(self) -> Iterator[str]:
        """Yield why readings cannot be made durable at present."""
        if not self._publisher.is_answered():
            yield self._publisher.unanswered
        elif self.intake.is_refused():
            yield "Kafka takes no readings, so the brokers keep what devices say: see the log"


class Deciding:
    """The partitions that Kafka gives this process, and what every engine looks after."""

    def __init__(self, base: Base, books: "StreamBooks") -> None:
        settings, store, clock = base.settings, base.store, base.clock
        sources = load_sources(settings.crm_sources)
        with store.write() as session:
            forget_unread(session, sources)
        voices = RegistryVoices(settings.models)
        self._books = books
        self.models = ModelSwitch(store, voices, base.book.rules)
        around = Surroundings(
            store,
            clock,
            base.stream,
            books,
            SiteZones(store).zone_of,
            voices,
            gone_after_s=GONE_AFTER_S * max(1.0, settings.clock_speed),
        )
        self._publisher = Publisher(base.address, base.stream.topic)
        self.host = KafkaHost(
            base.address, around, self._publisher, books.current, settings.kafka_member
        )
        self.auditor = make_auditor(settings, store, clock)
        self._syncers = [Syncer(store, clock, source, announce_absences) for source in sources]

    def start(self, parts: Parts) -> None:
        """Decide."""
        self.models.begin(dict, self.host.change_model)
        self.host.know_models()
        parts.start("decide", self.host.run)
        parts.start("models", lambda: self.models.run(self.host.change_model))
        parts.start("audit", self.auditor.run)
        for syncer in self._syncers:
            parts.start(f"crm {syncer.source.name}", syncer.run)

    def stop(self) -> None:
        """Give the partitions up, with a snapshot of each."""
        for syncer in self._syncers:
            syncer.stop()
        self.models.stop()
        self.host.stop()
        self.auditor.stop()

    def close(self) -> None:
        """Give Kafka's connection back."""
        self._publisher.close()

    def change_book(self, version: Version, book: Book) -> None:
        """Go by the models of another version; partitions take it where it stands in the topic."""
        del version
        self.models.change_book(book.rules)

    def describe(self, health: Health) -> Health:
        """Return how the process is, with what its self-audit has found."""
        last = self.auditor.last
        return replace(health, audited_at=last.at, lost=last.lost) if last else health

    def find_troubles(self) -> Iterator[str]:
        """Yield why partitions are not decided at present."""
        if not self._publisher.is_answered():
            yield self._publisher.unanswered
        yield from self.host.find_troubles()


class StreamBooks:
    """The versions of the rule book for partitions: each goes by what stands in its records."""

    def __init__(self, switch: BookSwitch, pause: Callable[[], bool]) -> None:
        """Prepare; `pause` waits a moment before the store is tried again: True if we are to end."""
        self._switch, self._pause = switch, pause

    def current(self) -> tuple[Version, RuleBook]:
        """Return the version in force, for a partition that has none yet."""
        version = self._switch.in_force
        return version, self.find_rules(version)

    def find_rules(self, version: Version) -> RuleBook:
        """Return what a version says, however long the store is away: no record is passed over.

        Raises ConfigurationError where it cannot be used any more, and StoreUnavailable once we end.
        """
        while True:
            try:
                return self._switch.find_rules(version)
            except StoreUnavailable as error:
                log.error("a version of the rule book waits", reason=str(error))
                if self._pause():
                    raise

    def follow(self, version: Version) -> None:
        """Do nothing: the process follows the store, and partitions may be behind."""

    def note_taken(self, session: Session, change: BookChange) -> None:
        """Write that a version is in force, once."""
        self._switch.note_taken(session, change)

    def note_refused(self, session: Session, change: BookChange, reason: str) -> None:
        """Write that a version could not be taken, so that the one before is still in force."""
        self._switch.note_refused(session, change, reason)


def make_process_on_kafka(
    settings: Settings, roles: frozenset[str], clock: Clock | None = None
) -> Worker:
    """Return what does these roles on the stream. Raises PrevenantError before anything is started."""
    load_gateway(settings.sms_gateway)
    listener = bind_for(settings, roles)
    store = Store(settings.database_url)
    try:
        store.upgrade()
        base = _begin(settings, store, roles, clock)
        worker = _make_worker(base, roles)
        if listener is not None:
            worker.answer_at(listener, settings, base.clock, _past_of(base))
        listening = worker.find(Listening)
        if worker.website is not None and listening is not None:
            intake = listening.intake
            worker.website.take_readings(PostedReadings(intake.accept, intake.is_refused))
    except BaseException:
        store.close()
        if listener is not None:
            listener.close()
        raise
    return worker


def _past_of(base: Base) -> TopicPast:
    """Return where the console finds what devices have sent."""
    name = base.stream.topic

    def find_divided() -> Divided | None:
        with base.store.read() as session:
            known = session.get(Stream, name)
            return Divided(known.partitions, known.keyed_by) if known else None

    return TopicPast(Topic(base.address, name), find_divided)


def _begin(settings: Settings, store: Store, roles: frozenset[str], clock: Clock | None) -> Base:
    """Find the rule book and the stream, or make them."""
    address = KafkaAddress.parse(settings.kafka_url)
    with store.read() as session:
        clock = clock or settings.make_clock(last_told_at(session))
    if DECIDE in roles:
        active, book = settle_book(store, settings.book, clock.now())
    else:
        active, book = _find_book(store)
    stream = _find_stream(settings, store, address, roles, book)
    active, book = _find_fitting(store, stream, active, book)
    return Base(settings, store, clock, address, stream, version_of(active), active, book)


def _find_book(store: Store) -> tuple[BookVersion, Book]:
    with store.read() as session:
        active = find_active(session)
    if active is None:
        message = (
            "the store has no rule book: `prevenant rules publish` one, "
            "or start a process that decides"
        )
        raise ConfigurationError(message)
    return active, active.load()


def _find_stream(
    settings: Settings, store: Store, address: KafkaAddress, roles: frozenset[str], book: Book
) -> Stream:
    """Return how the stream is divided; whoever is first makes its topic, or goes by the one there is."""
    topic, partitions = settings.kafka_topic, int(settings.kafka_partitions)
    keyed_by = BY_SITE if book.rules.is_about_sites else BY_DEVICE
    with store.read() as session:
        known = session.get(Stream, topic)
        if known is not None:
            session.expunge(known)
            partitions = known.partitions
    if not roles & {LISTEN, DECIDE}:
        return known or Stream(topic=topic, partitions=partitions, keyed_by=keyed_by)
    keep_s, most = settings.journal_keep_s, settings.journal_max_bytes
    found = Topic(address, topic).find_or_make(partitions, keep_s, most)
    with store.write() as session:
        stream = settle_stream(session, topic, found, keyed_by)
        session.expunge(stream)
    check_partitions(stream, found)
    return stream


def _find_fitting(
    store: Store, stream: Stream, active: BookVersion, book: Book
) -> tuple[BookVersion, Book]:
    """Return the newest version of the rule book that the stream can do with.

    Raises ConfigurationError where there is none.
    """
    try:
        check_book(stream, version_of(active), book.rules)
    except ConfigurationError as error:
        earlier = col(BookVersion.id) < active.number
        with store.read() as session:
            query = select(BookVersion).where(earlier).order_by(col(BookVersion.id).desc())
            versions = session.exec(query).all()
        for version in versions:
            with suppress(ConfigurationError):
                found = version.load()
                check_book(stream, version_of(version), found.rules)
                log.error("the version before stays in force", reason=str(error))
                return version, found
        raise
    return active, book


def _make_worker(base: Base, roles: frozenset[str]) -> Worker:
    settings, store, clock = base.settings, base.store, base.clock
    open_office(settings, store, clock)
    channels: dict[str, Channel] = {}
    beside: list[Beside] = []
    if LISTEN in roles:
        listening = Listening(base)
        channels[COMMAND] = Command(listening.listeners.hand_over)
        beside.append(listening)
    if ENGAGE in roles:
        channels |= make_channels(settings, clock, store)
        beside.append(Telling(settings, store, clock))
    rules = make_house_rules(settings)
    worker = Worker(
        store,
        clock,
        channels,
        roles,
        rules,
        beside,
        (base.active, base.book),
        partial(check_book, base.stream),
    )
    if LISTEN in roles:
        listening.earlier_subscriptions = worker.books.earlier_subscriptions
    if DECIDE in roles:
        beside.append(
            Deciding(base, StreamBooks(worker.books, lambda: worker.ended.wait(_PAUSE_S)))
        )
    return worker
