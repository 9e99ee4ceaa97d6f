"""Which technicians have changed, so that what a process remembers of a crowd can be brought up to date.

Triggers of the database write it, whoever changes a row and from whichever process. A technician's
earlier rows go with each new one, so that there are about as many rows as technicians. On PostgreSQL
rows carry the transaction's number: a later one may be committed first, so a reader goes back to the
oldest that was still under way.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, Integer, text
from sqlmodel import Field, Session, col, func, select

from prevenant.rows import TableRow

_NUMBER = BigInteger().with_variant(Integer(), "sqlite")

WATCHED: dict[str, str] = {
    "technician": "SELECT {row}.id",
    "contact": "SELECT id FROM technician WHERE contact_id = {row}.id",
    "leave": "SELECT {row}.technician_id",
    "exclusion": "SELECT {row}.technician_id",
    "work_order": "SELECT {row}.technician_id",
    "offer": "SELECT {row}.technician_id",
    "waiting_job": "SELECT {row}.technician_id WHERE {row}.technician_id <> ''",
}
"""Tables by whose rows a technician changes, and whom a row is about."""


class TechnicianChange(TableRow, table=True):
    """That a technician, or what one has to do, has changed."""

    __tablename__ = "technician_change"

    id: int | None = Field(default=None, sa_column=Column(_NUMBER, primary_key=True))
    technician_id: str = Field(index=True)
    xid: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, index=True))
    """The number of the transaction on PostgreSQL; 0 on SQLite, where one writes at a time."""


def read_mark(session: Session) -> int:
    """Return the mark up to which everything is known that this session can read from now on."""
    if _is_sqlite(session):
        return int(session.exec(select(func.max(TechnicianChange.id))).one() or 0)
    oldest = text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
    return int(session.connection().execute(oldest).scalar_one())


def changed_since(session: Session, mark: int) -> list[str]:
    """Return the ids of technicians that changed since a mark; some may be known already."""
    query = select(TechnicianChange.technician_id).distinct()
    if _is_sqlite(session):
        query = query.where(col(TechnicianChange.id) > mark)
    else:
        query = query.where(TechnicianChange.xid >= mark)
    return list(session.exec(query))


def watch_technicians(connection: Connection) -> None:
    """Have the database note which technicians change. Done again, it changes nothing."""
    tables = set(_names(connection, _TABLES[connection.dialect.name]))
    if TechnicianChange.__tablename__ not in tables:
        return
    known = set(_names(connection, _TRIGGERS[connection.dialect.name]))
    for table, whom in WATCHED.items():
        if table not in tables:
            continue
        for statement in _statements(connection.dialect.name, table, whom, known):
            connection.execute(text(statement))


def unwatch_technicians(connection: Connection) -> None:
    """Have the database note nothing any more."""
    known = set(_names(connection, _TRIGGERS[connection.dialect.name]))
    for table in WATCHED:
        for event in _EVENTS:
            name = _name(table, event)
            if name in known and connection.dialect.name == "sqlite":
                connection.execute(text(f"DROP TRIGGER {name}"))
            elif name in known:
                connection.execute(text(f"DROP FUNCTION {name}() CASCADE"))


_EVENTS = {"insert": ("NEW",), "update": ("OLD", "NEW"), "delete": ("OLD",)}
_TABLES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table'",
    "postgresql": "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()",
}
_TRIGGERS = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
    "postgresql": "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal",
}


def _name(table: str, event: str) -> str:
    return f"{table}_{event}_changes_technician"


def _names(connection: Connection, query: str) -> list[Any]:
    return list(connection.execute(text(query)).scalars())


def _statements(dialect: str, table: str, whom: str, known: set[Any]) -> Iterable[str]:
    for event, rows in _EVENTS.items():
        name = _name(table, event)
        if name in known:
            continue
        if dialect == "sqlite":
            yield _sqlite_trigger(name, table, event, [whom.format(row=row) for row in rows])
        else:
            yield from _postgres_trigger(name, table, event, [whom.format(row=r) for r in rows])


def _sqlite_trigger(name: str, table: str, event: str, whoms: Iterable[str]) -> str:
    # The new row comes before the old one goes, so that no number is given twice.
    body = "".join(
        f"INSERT INTO technician_change (technician_id, xid) SELECT *, 0 FROM ({whom}); "  # noqa: S608  all ours
        f"DELETE FROM technician_change WHERE technician_id IN ({whom}) "
        "AND id < (SELECT max(id) FROM technician_change); "
        for whom in whoms
    )
    return f"CREATE TRIGGER {name} AFTER {event} ON {table} BEGIN {body}END"


def _postgres_trigger(name: str, table: str, event: str, whoms: Iterable[str]) -> Iterable[str]:
    # Earlier rows that somebody else is removing are left to them: nobody waits here.
    body = "".join(
        "DELETE FROM technician_change WHERE id IN ("  # noqa: S608  all ours
        f"SELECT id FROM technician_change WHERE technician_id IN ({whom}) "
        "ORDER BY id LIMIT 8 FOR UPDATE SKIP LOCKED); "
        "INSERT INTO technician_change (technician_id, xid) "
        f"SELECT whom, pg_current_xact_id()::text::bigint FROM ({whom}) AS one(whom); "
        for whom in whoms
    )
    yield (
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN {body}RETURN NULL; END $$"
    )
    yield (f"CREATE TRIGGER {name} AFTER {event} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()")


def _is_sqlite(session: Session) -> bool:
    return session.get_bind().dialect.name == "sqlite"
