"""Whoever changes what is known of a technician, the database notes whose it is."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlmodel import Session, func, select

from prevenant.crm.changes import (
    WATCHED,
    TechnicianChange,
    changed_since,
    read_mark,
    unwatch_technicians,
    watch_technicians,
)
from prevenant.crm.tables import Contact, Customer, Exclusion, Leave, Technician
from prevenant.store import Store
from tests.moved_clock import MovedClock

CHANGES: list[tuple[str, Callable[[Session, MovedClock], None]]] = [
    ("position", lambda s, c: _set(s.get_one(Technician, "t1"), position_at=c.now())),
    ("contact", lambda s, _: _set(s.get_one(Contact, "c1"), phone="+33639980009")),
    (
        "leave",
        lambda s, c: s.add(
            Leave(technician_id="t1", starts_at=c.now(), ends_at=c.now() + timedelta(days=1))
        ),
    ),
    ("exclusion", lambda s, _: s.add(Exclusion(technician_id="t1", customer_id="k"))),
    (
        "a statement of another program",
        lambda s, _: _execute(s, "UPDATE technician SET capacity = 5 WHERE id = 't1'"),
    ),
]


def _set(row: object, **values: object) -> None:
    for name, value in values.items():
        setattr(row, name, value)


def _execute(session: Session, statement: str) -> None:
    session.connection().execute(text(statement))


@pytest.fixture
def crew(store: Store) -> Store:
    """Return a store with two technicians."""
    with store.write() as session:
        session.add(Customer(id="k", name="K"))
        for number in (1, 2):
            session.add(Contact(id=f"c{number}", name="C"))
            session.flush()
            session.add(
                Technician(
                    id=f"t{number}",
                    contact_id=f"c{number}",
                    latitude=47,
                    longitude=5,
                    skills={},
                    shifts=[],
                )
            )
    return store


def mark_of(store: Store) -> int:
    with store.read() as session:
        return read_mark(session)


def changed(store: Store, mark: int) -> list[str]:
    with store.read() as session:
        return changed_since(session, mark)


@pytest.mark.parametrize(("what", "change"), CHANGES, ids=[what for what, _ in CHANGES])
def test_a_change_is_noted_once_committed(
    crew: Store, clock: MovedClock, what: str, change: Callable[[Session, MovedClock], None]
) -> None:
    del what
    mark = mark_of(crew)
    assert "t1" not in changed(crew, mark)
    with crew.write() as session:
        change(session, clock)
    assert changed(crew, mark) == ["t1"]
    assert changed(crew, mark_of(crew)) == []


def test_a_technician_who_is_deleted_has_changed(crew: Store) -> None:
    mark = mark_of(crew)
    with crew.write() as session:
        session.delete(session.get_one(Technician, "t2"))
    assert changed(crew, mark) == ["t2"]


def test_what_was_rolled_back_is_not_noted(crew: Store) -> None:
    mark = mark_of(crew)
    with crew.write() as session:
        session.get_one(Technician, "t1").capacity = 9
        session.flush()
        session.rollback()
    assert changed(crew, mark) == []


def test_rows_do_not_pile_up(crew: Store, clock: MovedClock) -> None:
    for _ in range(30):
        clock.advance(seconds=1)
        with crew.write() as session:
            session.get_one(Technician, "t1").position_at = clock.now()
    with crew.read() as session:
        assert session.exec(select(func.count()).select_from(TechnicianChange)).one() <= 4


def test_on_postgresql_one_that_is_committed_late_is_not_missed(
    crew: Store, clock: MovedClock
) -> None:
    if crew.engine.dialect.name == "sqlite":
        pytest.skip("one writer at a time: whoever began first is committed first")
    with Session(crew.engine) as slow, slow.begin():
        slow.get_one(Technician, "t1").position_at = clock.now()
        slow.flush()
        with crew.write() as session:
            session.get_one(Technician, "t2").position_at = clock.now()
        mark = mark_of(crew)
    assert "t1" in changed(crew, mark)


def test_every_watched_table_has_its_triggers(store: Store) -> None:
    query = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
        "postgresql": "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal",
    }[store.engine.dialect.name]
    with store.engine.begin() as connection:
        names = set(connection.execute(text(query)).scalars())
        assert names == {
            f"{table}_{event}_changes_technician"
            for table in WATCHED
            for event in ("insert", "update", "delete")
        }
        unwatch_technicians(connection)
        assert set(connection.execute(text(query)).scalars()) == set()
        watch_technicians(connection)
        watch_technicians(connection)
        assert set(connection.execute(text(query)).scalars()) == names
