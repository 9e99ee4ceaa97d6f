"""The store: one SQLite file or one PostgreSQL database, reached through short transactions.

Whoever works on a row holds it locked until the commit, and others pass it over. PostgreSQL ends a
transaction whose process has stood still for `STALLED_S`: its rows are free for others, and when it
moves again it cannot commit. So several processes share one database, and none acts late.

Writers on SQLite take the write lock when they begin (`BEGIN IMMEDIATE`), so that a transaction never
fails half-way because another one wrote meanwhile; `synchronous=FULL` makes a commit durable. Inside one
process they take turns, the most urgent first; on PostgreSQL they work beside each other, unless one is
more urgent.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from sqlalchemy import (
    Connection,
    DateTime,
    Dialect,
    Engine,
    create_engine,
    event,
    func,
    inspect,
    make_url,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError
from sqlalchemy.types import TypeDecorator
from sqlmodel import Session, SQLModel

from prevenant.bells import CHANNEL, KEEPALIVE, Bells, lock_number
from prevenant.clock import Wakeup
from prevenant.domain import Severity
from prevenant.errors import StoreUnavailable, mask_addresses
from prevenant.settings import Settings
from prevenant.turns import Gate, Order, Turns

# Constraints get names, without which a later migration could not change them on SQLite.
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

_MIGRATIONS = Path(__file__).parent / "migrations"
_BUSY_S = 30
_AT_ONCE = 500
"""So many ids or rows stand in one statement."""
STALLED_S = 15.0
"""After so long without a word a process has lost its transaction on PostgreSQL."""
_WAKES, _SEEN_TO, _AT_HAND = "wakes", "seen to", "at hand"
_LAST, _ENDINGS = "last", "endings"

Beside = Callable[[Session], None]
_BESIDE: ContextVar[Beside | None] = ContextVar("beside", default=None)

Attendant = Callable[[Session, int], bool]
"""Goes on with what a transaction has written, within it, at its urgency; returns whether that was all."""

_One = TypeVar("_One")


class Busy(Exception):
    """Another worker has what this needs: it is left for later, and nothing of it has been done."""


class UtcDateTime(TypeDecorator[datetime]):
    """A timezone-aware instant, kept in UTC on every database. A naive datetime is refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn an aware datetime into what the database keeps."""
        if value is None:
            return None
        if value.tzinfo is None:
            message = f"{value} has no time zone"
            raise ValueError(message)
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn what the database kept into an aware datetime."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _is_current(connection: Connection) -> bool:
    """Return whether the tables have this version's form: the newest migration has been made."""
    newest = max(path.name.partition("_")[0] for path in _MIGRATIONS.glob("versions/[0-9]*.py"))
    if not inspect(connection).has_table("alembic_version"):
        return False
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all()
    return found == [newest]


@contextmanager
def _unreferenced(connection: Connection) -> Iterator[None]:
    """Begin a transaction in which tables can be made anew, and commit it when the block ends.

    SQLite changes many things of a table only by making it anew, which rows that refer to it forbid while
    their references are looked after. They are looked at all together, before the commit.
    """
    if connection.dialect.name != "sqlite":
        with connection.begin():
            yield
        return
    driver = connection.connection.driver_connection
    if driver is None:
        raise StoreUnavailable("the database has closed its connection")
    driver.execute("PRAGMA foreign_keys=OFF")
    try:
        with connection.begin():
            yield
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
            if broken:
                tables = ", ".join(sorted({str(row[0]) for row in broken}))
                message = (
                    f"rows of {tables} refer to what is not there: the tables stay as they are"
                )
                raise StoreUnavailable(message)
    finally:
        driver.execute("PRAGMA foreign_keys=ON")


class Store:
    """Sessions on the database, and the bells that ring when a committed change concerns someone.

    One that is not durable does not wait for the disk: for what is not missed after a crash.
    """

    def __init__(self, url: str, *, is_durable: bool = True, stalled_s: float = STALLED_S) -> None:
        self.url = url
        self.name = uuid4().hex
        """Ours alone: under which other processes hear of us, and know whether we are still there."""
        self._engine = _make_engine(url, is_durable=is_durable, stalled_s=stalled_s)
        self._writing = self._engine.execution_options(writes=True)
        # One writer at a time inside this process: SQLite's own waiting is a sleep that polls.
        self.is_shared = self._engine.dialect.name != "sqlite"
        """Whether other processes may work on the same store."""
        self._order: Order = Gate() if self.is_shared else Turns()
        self._listeners: dict[str, list[Callable[[], None]]] = defaultdict(list)
        self._attendants: dict[str, Attendant] = {}
        self._bells: Bells | None = None

    @property
    def hears_others(self) -> bool:
        """Whether what other processes commit is heard at once."""
        return self._bells is not None and self._bells.is_heard.is_set()

    @property
    def engine(self) -> Engine:
        """The SQLAlchemy engine, for migrations and for tools."""
        return self._engine

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a session that only reads."""
        with _unavailable_named(), Session(self._engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self, urgency: int = Severity.LIFE_SAFETY) -> Iterator[Session]:
        """Open a session, commit it when the block ends, and ring the bells that it asked for.

        A higher `urgency` goes first. What there is by the thousand in a storm says its own; all else,
        as what people do, is short and goes with the most urgent.

        Raises StoreUnavailable if the database does not answer. Where it went away during the commit,
        nobody knows whether that was done: whoever tries again writes under keys or claims, so that twice
        is like once.
        """
        session = Session(self._writing, expire_on_commit=False)
        is_committed = False
        with _unavailable_named(), session, self._order.taken(urgency):
            try:
                with session.begin():
                    if (beside := _BESIDE.get()) is not None:
                        before_commit(session, beside)
                    yield session
                    # One that its block has rolled back, as a dry run does, has nothing to tell.
                    if session.in_transaction():
                        for last in session.info.get(_LAST, ()):
                            last(session)
                        if self.is_shared:
                            self._notify(session)
                is_committed = True
            finally:
                # Before the next writer's turn: it may be given the numbers of rows that were
                # not written, and is to find nothing of ours under them.
                for committed, failed in session.info.get(_ENDINGS, ()):
                    (committed if is_committed else failed)()
        for name in session.info.get(_WAKES, set()) - session.info.get(_SEEN_TO, set()):
            self.ring(name)

    def attend(self, name: str, attendant: Attendant | None) -> None:
        """Let `attendant` go on at once, within transactions that concern `name`; None: nobody does."""
        if attendant is None:
            self._attendants.pop(name, None)
        else:
            self._attendants[name] = attendant

    def go_on(self, session: Session, name: str, urgency: int) -> None:
        """Let whoever attends to `name` here go on within this transaction.

        It saves what comes next a commit, a wait for its turn and a change of threads. Whoever attends
        does what is short and can be done now; for all else the bell rings as ever. Where nothing else
        is left, it rings for other processes alone: who wakes here would find nothing, just when the
        thread that has something to do needs the interpreter. Where it fails, the transaction is lost,
        to be written again without it: with Busy, since others have what it needs.
        """
        attendant = self._attendants.get(name)
        is_all = (
            attendant is not None
            and name in session.info.get(_WAKES, ())
            and attendant(session, urgency)
        )
        if is_all:
            session.info.setdefault(_SEEN_TO, set()).add(name)

    def is_wanted(self, urgency: int) -> bool:
        """Return whether another writer of ours has work that is more urgent than `urgency`."""
        return self._order.is_wanted(urgency)

    def _notify(self, session: Session) -> None:
        names = sorted(session.info.get(_WAKES, ()))
        if names:
            calls = (func.pg_notify(CHANNEL, f"{name} {self.name}") for name in names)
            session.execute(select(*calls))

    def ring(self, name: str) -> None:
        """Wake everyone who listens to `name`."""
        for listener in self._listeners.get(name, ()):
            listener()

    def listen(self, name: str) -> Wakeup:
        """Return a bell that rings after each commit that concerns `name`."""
        wakeup = Wakeup()
        self.call(name, wakeup.ring)
        return wakeup

    def call(self, name: str, listener: Callable[[], None]) -> None:
        """Call `listener`, which must be quick, after each commit that concerns `name`."""
        self._listeners[name].append(listener)
        if self.is_shared and self._bells is None:
            self._bells = Bells(self._engine.url, self.name, self.ring, self._ring_all)

    def _ring_all(self) -> None:
        for name in list(self._listeners):
            self.ring(name)

    def upgrade(self) -> None:
        """Bring the tables to this version's form. Raises StoreUnavailable."""
        with _unavailable_named(), self._writing.connect() as connection:
            if _is_current(connection):
                return
            connection.rollback()
            # Few commands find tables to change, and of all they need this takes longest to import.
            import alembic.command  # noqa: PLC0415
            import alembic.config  # noqa: PLC0415

            config = alembic.config.Config()
            config.set_main_option("script_location", str(_MIGRATIONS))
            config.attributes["connection"] = connection
            with _unreferenced(connection):
                if self.is_shared:
                    # Of several processes that start together, one changes the tables.
                    connection.execute(select(func.pg_advisory_xact_lock(lock_number("upgrade"))))
                alembic.command.upgrade(config, "head")

    def close(self) -> None:
        """Give back all connections."""
        if self._bells is not None:
            self._bells.close()
        self._engine.dispose()


@contextmanager
def open_store(settings: Settings) -> Iterator[Store]:
    """Open the store for a command, with its tables up to date. Raises StoreUnavailable."""
    store = Store(settings.database_url)
    try:
        store.upgrade()
        yield store
    finally:
        store.close()


def in_chunks(values: Sequence[_One]) -> Iterator[Sequence[_One]]:
    """Yield as many of `values` at a time as one statement takes."""
    for start in range(0, len(values), _AT_ONCE):
        yield values[start : start + _AT_ONCE]


def claim_name(session: Session, name: str) -> bool:
    """Claim `name` until the transaction ends; return False where another worker has it."""
    if session.get_bind().dialect.name == "sqlite":
        return True
    return bool(session.scalar(select(func.pg_try_advisory_xact_lock(lock_number(name)))))


def insert_once(session: Session, row: SQLModel) -> None:
    """Insert a row unless there is one with its key; of two workers at the same moment one inserts it."""
    dialect = session.get_bind().dialect.name
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    session.execute(insert(type(row)).values(row.model_dump()).on_conflict_do_nothing())


def has_gone(session: Session, name: str) -> bool:
    """Return whether the process whose store has this name is connected no more."""
    return claim_name(session, name)


def keep_at_hand(session: Session, rows: Iterable[SQLModel]) -> None:
    """Hold rows while `session` lasts: whoever gets one of them by its key then asks no database."""
    session.info.setdefault(_AT_HAND, []).extend(rows)


def wake(session: Session, name: str) -> None:
    """Ring `name` once the transaction of `session` has been committed."""
    session.info.setdefault(_WAKES, set()).add(name)
    session.info.get(_SEEN_TO, set()).discard(name)


def before_commit(session: Session, last: Callable[[Session], None]) -> None:
    """Call `last` once when all else of the transaction is done, to write what it has gathered."""
    session.info.setdefault(_LAST, {})[last] = True


@contextmanager
def written_beside(beside: Beside) -> Iterator[None]:
    """Have `beside` called last in each transaction that is written in this block.

    Threads of a pool that a request waits for are in its block, others are not.
    """
    token = _BESIDE.set(beside)
    try:
        yield
    finally:
        _BESIDE.reset(token)


def written_apart() -> AbstractContextManager[None]:
    """Let what is written in this block be no part of what is done: who asks, for one, and when."""
    return written_beside(lambda _session: None)


def at_the_end(
    session: Session,
    committed: Callable[[], None] = lambda: None,
    failed: Callable[[], None] = lambda: None,
) -> None:
    """Call one of two, which must be quick, once the transaction is over.

    `failed` is called too where the database went away during the commit, so that nobody knows.
    """
    session.info.setdefault(_ENDINGS, []).append((committed, failed))


@contextmanager
def _unavailable_named() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        away = isinstance(error, OperationalError) or error.connection_invalidated
        # SQLite calls a file that is no database by the plain name.
        if away or type(error) is DatabaseError:
            raise StoreUnavailable(_reason(error)) from error
        raise


def _reason(error: DBAPIError) -> str:
    cause = str(error.orig).strip().splitlines()[0]
    return mask_addresses(f"the database does not answer: {cause}; check PREVENANT_DATABASE_URL")


def _make_engine(url: str, *, is_durable: bool, stalled_s: float) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        options = f"-c idle_in_transaction_session_timeout={round(stalled_s * 1_000)}"
        return create_engine(
            parsed,
            pool_pre_ping=True,
            pool_size=10,
            hide_parameters=True,
            connect_args={"options": options, **KEEPALIVE},
        )
    if parsed.database:
        folder = Path(parsed.database).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            message = f"the folder {folder} cannot be made: {error}; check PREVENANT_DATABASE_URL"
            raise StoreUnavailable(message) from error
    # hide_parameters: an error's text goes to the log, where no address belongs.
    engine = create_engine(
        parsed, connect_args={"timeout": _BUSY_S}, pool_size=10, hide_parameters=True
    )
    event.listen(engine, "connect", partial(_prepare_sqlite, "FULL" if is_durable else "OFF"))
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(synchronous: str, connection: Any, _record: Any) -> None:
    # The driver would open transactions by itself, too late for BEGIN IMMEDIATE.
    connection.isolation_level = None
    pragmas = "journal_mode=WAL", f"synchronous={synchronous}", "foreign_keys=ON"
    # What was erased is not to be found in the file either: builds of SQLite differ there.
    for pragma in (*pragmas, "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Any) -> None:
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
