"""An outside CRM that is a SQL database: rows of a table, or of a query, that have changed."""

import sqlite3
from collections.abc import Generator, Mapping
from contextlib import suppress
from typing import Any

from sqlalchemy import (
    ColumnClause,
    Engine,
    Select,
    column,
    create_engine,
    make_url,
    select,
    table,
    text,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from prevenant.crm.source import Feed, Page, decode_cursor, encode_cursor
from prevenant.errors import CrmUnavailable

_PAGE = 500


class DatabaseSource:
    """Reads through SQLAlchemy, and only reads. Raises ValueError where the address cannot be used."""

    def __init__(
        self, name: str, url: str, every_s: float, timeout_s: float, feeds: Mapping[str, Feed]
    ) -> None:
        self.name = name
        self.every_s = every_s
        self.feeds = feeds
        self._engine = _make_engine(url, timeout_s)

    def read(self, feed: Feed, cursor: str) -> Generator[Page, None, None]:
        """Yield rows in the order of the cursor. Raises CrmUnavailable."""
        query = _query(feed, cursor)
        options = {"stream_results": True, "max_row_buffer": _PAGE}
        try:
            with (
                self._engine.connect() as connection,
                connection.execution_options(**options).execute(query) as result,
            ):
                for rows in result.mappings().partitions(_PAGE):
                    last = rows[-1][feed.cursor.name] if feed.cursor else None
                    kept = "" if last is None else encode_cursor(last)
                    yield Page([dict(row) for row in rows], kept)
        except DBAPIError as error:
            whole = error.connection_invalidated or not _is_reachable(self._engine)
            reason = str(error.orig).strip().splitlines()[0]
            message = f"the database does not answer: {reason}"
            raise CrmUnavailable(message, whole=whole) from error
        except SQLAlchemyError as error:
            message = f"the database cannot be read: {str(error).splitlines()[0]}"
            raise CrmUnavailable(message, whole=False) from error

    def close(self) -> None:
        """Give back all connections."""
        self._engine.dispose()


def _is_reachable(engine: Engine) -> bool:
    with suppress(SQLAlchemyError), engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        return True
    return False


def _query(feed: Feed, cursor: str) -> Select[Any]:
    """Select the columns that the feed names, and those alone."""
    wanted = [*feed.columns.values(), feed.cursor, feed.deleted]
    names = dict.fromkeys(one.name for one in wanted if one is not None and one.name)
    columns: list[ColumnClause[Any]] = [column(name) for name in names]
    if "query" in feed.place:
        origin: Any = text(feed.place["query"]).columns(*columns).subquery("source")
    else:
        schema, _, name = feed.place["table"].rpartition(".")
        origin = table(name, *columns, schema=schema or None)
    query = select(*(origin.c[name] for name in names))
    if feed.cursor is None:
        return query
    at = origin.c[feed.cursor.name]
    query = query.where(at.is_not(None)).order_by(at)
    # Rows of the same moment as the last may have come since: they are read again.
    return query.where(at >= decode_cursor(cursor, feed.overlap_s)) if cursor else query


def _make_engine(url: str, timeout_s: float) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            # Read only: SQLite would make the file where there is none.
            address = f"file:{parsed.database}?mode=ro"
            return create_engine(
                "sqlite://",
                creator=lambda: sqlite3.connect(
                    address, uri=True, timeout=timeout_s, check_same_thread=False
                ),
                hide_parameters=True,
            )
        options: dict[str, Any] = {"pool_pre_ping": True, "hide_parameters": True}
        if parsed.get_backend_name() == "postgresql":
            limit = f"-c statement_timeout={round(timeout_s * 1000)}"
            options["connect_args"] = {"connect_timeout": round(timeout_s) or 1, "options": limit}
            options["execution_options"] = {"postgresql_readonly": True}
        return create_engine(parsed, **options)
    except (ArgumentError, NoSuchModuleError):
        message = "this is no database: write one such as postgresql+psycopg://user@host/name"
        raise ValueError(message) from None
    except ModuleNotFoundError as error:
        message = f"this database needs {error.name}: pip install {error.name}"
        raise ValueError(message) from None
