"""Turns: what one worker decides alone, though several share one PostgreSQL."""

from sqlmodel import Session, func, select


def hold(session: Session, what: str) -> None:
    """Let no other worker pass here for the same thing until this transaction has ended.

    SQLite has one writer at a time anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.exec(select(func.pg_advisory_xact_lock(func.hashtextextended(what, 0)))).all()
