"""The switch: an engine goes by the active version of the rule book, whoever made it active."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from sqlmodel import Session, col, select

from ingest.journal_file import BookChange
from ingest.topics import Topics
from prevenant.book import Book
from prevenant.clock import Clock, SystemClock, from_epoch
from prevenant.errors import BookError, ConfigurationError, JournalError, StoreUnavailable
from prevenant.publishing import BOOK, BookVersion
from prevenant.store import Store
from prevenant.stream.changing import Version
from prevenant.tables import add_timeline
from rules.book import RuleBook
from workflows.tables import OPEN, Case

log = structlog.get_logger()

_LOOK_EVERY = timedelta(seconds=0.5)
_TAKEN_WITHIN = timedelta(minutes=5)
_KEPT = 3
"""How many compiled versions are kept at hand."""


class BookSwitch:
    """Gives the engine's parts the version that they go by, and notes which one that is."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        version: BookVersion,
        book: Book,
        follow: Callable[[Book], None],
        judge: Callable[[Version, RuleBook], None] = lambda _version, _rules: None,
    ) -> None:
        """Prepare; `judge` raises ConfigurationError where we cannot go by a version."""
        self._store, self._clock = store, clock
        self.version = version_of(version)
        """The version that was given to the host last, or refused."""
        self.in_force = self.version
        """The version that was given to the host last."""
        self.published = version
        """The version with which the engine began."""
        self._compiled = {self.version: book}
        self._compiling = threading.Lock()
        self._follow, self._judge = follow, judge
        self._bell = store.listen(BOOK)
        self._stopping = False

    def run(self, change: Callable[[Version, RuleBook], None]) -> None:
        """Serve until `stop`.

        On SQLite a command of another process rings no bell here, so we look twice a second.
        """
        real = SystemClock()
        said = ""
        while not self._stopping:
            try:
                self._change_if_due(change)
                said = ""
            except (StoreUnavailable, JournalError) as error:
                if said != str(error):
                    log.error("another version of the rule book would wait", reason=str(error))
                said = str(error)
            hears_all = self._store.hears_others
            self._bell.wait(real, None if hears_all else real.now() + _LOOK_EVERY)

    def stop(self) -> None:
        """End `run`."""
        self._stopping = True
        self._bell.ring()

    def find_rules(self, version: Version) -> RuleBook:
        """Return what a version says. Raises ConfigurationError where it cannot be used any more."""
        return self._find(version).rules

    def follow(self, version: Version) -> None:
        """Have everybody else go by `version`."""
        self._follow(self._find(version))

    def note_taken(self, session: Session, change: BookChange) -> None:
        """Write that a version is in force, once."""
        row = session.get(BookVersion, change.version)
        if row is None or row.in_force_at is not None:
            return
        row.in_force_at, row.from_seq, row.refused = from_epoch(change.at), change.after_seq, ""
        session.add(row)
        summary = f"version {row.id} of the rule book is in force"
        detail = {"version": row.id, "from_seq": change.after_seq}
        add_timeline(session, row.in_force_at, "book.in_force", summary, detail=detail)
        log.info("rule book in force", version=row.id, after_batch=change.after_seq)

    def note_refused(self, session: Session, change: BookChange, reason: str) -> None:
        """Write that a version could not be taken, so that the one before is still in force."""
        _note_refused(session, change.version, from_epoch(change.at), reason)

    def earlier_subscriptions(self) -> list[str]:
        """Return the topics of the version before, which the broker may still send us."""
        query = select(BookVersion).where(col(BookVersion.id) < self.version.number)
        with self._store.read() as session:
            before = session.exec(query.order_by(col(BookVersion.id).desc())).first()
        try:
            return Topics(before.load().rules.devices.values()).subscriptions if before else []
        except BookError:
            return []

    def keep_words_of_open_cases(self) -> None:
        """Have at hand the texts of earlier versions that cases under way began with."""
        book = self._find(self.version)
        with self._store.read() as session:
            query = select(Case.opened_at).where(Case.state == OPEN).order_by(col(Case.opened_at))
            oldest = session.exec(query).first()
            if oldest is None:
                return
            # A case may begin by the version before while the next one is being taken.
            surely = oldest - _TAKEN_WITHIN
            began = select(BookVersion.id).where(col(BookVersion.in_force_at) < surely)
            first = session.exec(began.order_by(col(BookVersion.id).desc())).first() or 0
            since = select(BookVersion).where(col(BookVersion.id) >= first)
            versions = list(session.exec(since.order_by(col(BookVersion.id).desc())))
        for version in versions:
            try:
                book.templates.add_missing(version.load().templates)
            except BookError as error:
                log.error("open cases may lack texts", version=version.id, reason=str(error))

    def _change_if_due(self, change: Callable[[Version, RuleBook], None]) -> None:
        query = select(BookVersion.id, BookVersion.fingerprint)
        with self._store.read() as session:
            active = session.exec(query.where(col(BookVersion.is_active))).first()
        if active is None or active[0] == self.version.number:
            return
        version = Version(active[0] or 0, active[1])
        try:
            rules = self._find(version).rules
            self._judge(version, rules)
        except ConfigurationError as error:
            log.error("the version before stays in force", refused=active[0], reason=str(error))
            with self._store.write() as session:
                _note_refused(session, version.number, self._clock.now(), str(error))
        else:
            change(version, rules)
            self.in_force = version
        self.version = version

    def _find(self, version: Version) -> Book:
        with self._compiling:
            found = self._compiled.pop(version, None) or self._compile(version)
            # The least lately used one goes first.
            self._compiled[version] = found
            while len(self._compiled) > _KEPT:
                del self._compiled[next(iter(self._compiled))]
            return found

    def _compile(self, version: Version) -> Book:
        with self._store.read() as session:
            row = session.get(BookVersion, version.number)
        if row is None or row.fingerprint != version.fingerprint:
            message = f"version {version.number} of the rule book is not in the store"
            raise ConfigurationError(message)
        return row.load()


def _note_refused(session: Session, number: int, at: datetime, reason: str) -> None:
    row = session.get(BookVersion, number)
    if row is not None and row.refused != reason:
        row.refused = reason
        session.add(row)
        summary = f"version {row.id} of the rule book could not be taken: {reason}"
        add_timeline(session, at, "book.refused", summary, detail={"version": row.id})


def version_of(row: BookVersion) -> Version:
    """Return which version a row is."""
    return Version(row.number, row.fingerprint)
