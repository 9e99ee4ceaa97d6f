"""An outside CRM that is a SQL database: rows of a table, or of a query, that have changed."""

import os
import socket
import sqlite3
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import (
    ColumnClause,
    Connection,
    Engine,
    NullPool,
    Select,
    column,
    create_engine,
    literal,
    make_url,
    or_,
    select,
    table,
    text,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.types import NullType

from prevenant.bells import KEEPALIVE
from prevenant.crm.cursors import decode_cursor, encode_cursor
from prevenant.crm.patience import Hanging, Patience
from prevenant.crm.source import Feed, Page
from prevenant.errors import CrmUnavailable

T = TypeVar("T")

_PAGE = 500
_LIBPQ = {"postgresql", "postgresql+psycopg", "postgresql+psycopg2"}
"""Drivers that take the connection's parameters of PostgreSQL's own client."""
_GRACE_S = 2.0
"""The database itself ends what takes too long; how much later we do, where it says nothing."""


class DatabaseSource:
    """Reads through SQLAlchemy, and only reads. Raises ValueError where the address cannot be used."""

    def __init__(
        self, name: str, url: str, every_s: float, timeout_s: float, feeds: Mapping[str, Feed]
    ) -> None:
        self.name = name
        self.every_s = every_s
        self.timeout_s = timeout_s
        self.feeds = feeds
        self._engine = _make_engine(url, timeout_s)
        self._patience = Patience(timeout_s + _GRACE_S)

    def read(self, feed: Feed, cursor: str) -> Generator[Page, None, None]:
        """Yield rows in the order of the cursor. Raises CrmUnavailable."""
        connection = self._connect()
        try:
            yield from self._pages(connection, feed, cursor)
        finally:
            with suppress(Hanging, SQLAlchemyError):
                self._patience.call(connection.close)

    def close(self) -> None:
        """Give back all connections."""
        self._engine.dispose()

    def _connect(self) -> Connection:
        try:
            return self._patience.call(self._engine.connect)
        except Hanging:
            raise self._hanging() from None
        except SQLAlchemyError as error:
            message = f"the database does not answer: {_said(error)}; check `database`"
            raise CrmUnavailable(message) from error

    def _pages(
        self, connection: Connection, feed: Feed, cursor: str
    ) -> Generator[Page, None, None]:
        options = {"stream_results": True, "max_row_buffer": _PAGE}
        streamed = connection.execution_options(**options)
        result = None
        try:
            result = self._call(connection, partial(streamed.execute, _query(feed, cursor)))
            found = result.mappings().partitions(_PAGE)
            while rows := self._call(connection, partial(next, found, None)):
                name = feed.cursor.name if feed.cursor else ""
                dated = (row[name] for row in reversed(rows) if name and row[name] is not None)
                last = next(dated, None)
                kept = "" if last is None else encode_cursor(last)
                yield Page([dict(row) for row in rows], kept)
        except Hanging:
            raise self._hanging() from None
        except DBAPIError as error:
            raise self._judge(error) from error
        except SQLAlchemyError as error:
            message = f"the database cannot be read: {_said(error)}"
            raise CrmUnavailable(message, whole=False) from error
        finally:
            if result is not None:
                with suppress(Hanging, SQLAlchemyError):
                    self._call(connection, result.close)

    def _call(self, connection: Connection, work: Callable[[], T]) -> T:
        return self._patience.call(work, partial(_break_off, connection))

    def _hanging(self) -> CrmUnavailable:
        message = f"the database did not answer within {self.timeout_s:g} s: look whether it hangs"
        return CrmUnavailable(message)

    def _judge(self, error: DBAPIError) -> CrmUnavailable:
        said = _said(error)
        if "statement timeout" in said:
            remedy = "raise `timeout`, or give the cursor's column an index"
            message = f"its answer takes longer than {self.timeout_s:g} s: {remedy}"
            return CrmUnavailable(message, whole=False)
        if error.connection_invalidated or not self._is_reachable():
            return CrmUnavailable(f"the database does not answer: {said}")
        message = f"the database refuses: {said}; check `table` or `query`, and the columns"
        return CrmUnavailable(message, whole=False)

    def _is_reachable(self) -> bool:
        def ask() -> None:
            with self._engine.connect() as connection:
                connection.execute(text("SELECT 1"))

        with suppress(Hanging, SQLAlchemyError):
            self._patience.call(ask)
            return True
        return False


def _said(error: SQLAlchemyError) -> str:
    """Return the first line of what a database says; drivers may say nothing at all."""
    cause = getattr(error, "orig", None) or error
    return next(iter(str(cause).strip().splitlines()), type(cause).__name__)


def _break_off(connection: Connection) -> None:
    """End a call that hangs, where the driver lets us: it then fails in its own thread."""
    driver: Any = connection.connection.driver_connection
    with suppress(OSError, AttributeError, ValueError, TypeError, sqlite3.Error):
        if isinstance(driver, sqlite3.Connection):
            driver.interrupt()
            return
        with socket.socket(fileno=os.dup(driver.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)


def _query(feed: Feed, cursor: str) -> Select[Any]:
    """Select the columns that the feed names, and those alone."""
    wanted = [*feed.columns.values(), feed.cursor, feed.deleted]
    names = dict.fromkeys(one.name for one in wanted if one is not None and one.name)
    columns: list[ColumnClause[Any]] = [column(name) for name in names]
    if "query" in feed.place:
        # A colon is their own: we have nothing to put in its place.
        statement = feed.place["query"].strip().rstrip(";").replace(":", r"\:")
        origin: Any = text(statement).columns(*columns).subquery("source")
    else:
        schema, _, name = feed.place["table"].rpartition(".")
        origin = table(name, *columns, schema=schema or None)
    query = select(*(origin.c[name] for name in names))
    if feed.cursor is None:
        return query
    at = origin.c[feed.cursor.name]
    query = query.order_by(at)
    if not cursor:
        return query
    # Without a type, it is compared as what the column is: a text may stand for a day.
    last = literal(decode_cursor(cursor, feed.overlap_s), NullType())
    # Rows of the same moment as the last may have come since; of one without a moment nobody knows.
    return query.where(or_(at >= last, at.is_(None)))


def _make_engine(url: str, timeout_s: float) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            # Read only: SQLite would make the file where there is none.
            address = f"file:{quote(parsed.database or '')}?mode=ro"
            return create_engine(
                "sqlite://",
                creator=lambda: sqlite3.connect(
                    address, uri=True, timeout=timeout_s, check_same_thread=False
                ),
                poolclass=NullPool,
                hide_parameters=True,
            )
        # A connection that was used minutes ago is worth nothing: each reading makes its own.
        options: dict[str, Any] = {"poolclass": NullPool, "hide_parameters": True}
        if parsed.get_backend_name() == "postgresql":
            options["execution_options"] = {"postgresql_readonly": True}
        if parsed.drivername in _LIBPQ:
            limit = f"-c statement_timeout={max(1, round(timeout_s * 1000))}"
            waits = {**KEEPALIVE, "connect_timeout": max(1, round(timeout_s))}
            options["connect_args"] = {"options": limit, **waits}
        return create_engine(parsed, **options)
    except (ArgumentError, NoSuchModuleError):
        message = "this is no database: write one such as postgresql+psycopg://user@host/name"
        raise ValueError(message) from None
    except ModuleNotFoundError as error:
        message = f"this database needs {error.name}: pip install {error.name}"
        raise ValueError(message) from None
