"""What technicians have to do, and what waits to be assigned, is found by an index of just that."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import event
from sqlmodel import Session

from notify import claims
from prevenant.crm.directory import find_role_holders
from prevenant.domain import Severity
from prevenant.shelving import release_next
from prevenant.store import Store
from tests.moved_clock import MovedClock
from workflows.absence import announce_absences
from workflows.claims import look_for_due
from workflows.loads import open_jobs


@contextmanager
def plans_of(session: Session) -> Iterator[list[str]]:
    """Note how SQLite goes about each question that is asked meanwhile."""
    plans: list[str] = []
    asked: list[tuple[str, object]] = []

    def note(
        _connection: object, _cursor: object, statement: str, parameters: object, *_: object
    ) -> None:
        if statement.startswith("SELECT"):
            asked.append((statement, parameters))

    event.listen(session.get_bind(), "before_cursor_execute", note)
    yield plans
    event.remove(session.get_bind(), "before_cursor_execute", note)
    for statement, parameters in asked:
        rows = session.connection().exec_driver_sql(
            f"EXPLAIN QUERY PLAN {statement}",
            parameters,  # type: ignore[arg-type]
        )
        plans += [str(row[3]) for row in rows]


@pytest.fixture
def session(sqlite_url: str) -> Iterator[Session]:
    """Return a session on an SQLite with all tables."""
    store = Store(sqlite_url)
    with store.read() as session:
        yield session
    store.close()


def test_no_question_of_dispatch_reads_a_whole_table(session: Session, clock: MovedClock) -> None:
    with plans_of(session) as plans:
        open_jobs(session)
        open_jobs(session, ["t1", "t2"], without=1)
        announce_absences(session, clock.now())
    assert not [one for one in plans if one.startswith("SCAN") and "USING" not in one], plans


def test_no_question_of_the_outbox_reads_a_whole_table(session: Session, clock: MovedClock) -> None:
    with plans_of(session) as plans:
        claims.most_urgent_due(session, "me", [], clock.now())
        claims.next_due(session, "me", clock.now())
        room: dict[int, int] = dict.fromkeys(Severity, 8)
        claims.claim(session, "me", [], room, (clock.now(), 0.0), ["sms"])
        claims.end_all_claims(session, clock.now())
    assert plans
    # These hold open deliveries alone, or those of one subscriber.
    known = (
        "ix_delivery_open",
        "ix_delivery_next",
        "ix_delivery_turn",
        "webhook_subscription USING",
    )
    of_no_table = ("TEMP B-TREE", "SUBQUERY", "CO-ROUTINE", "CONSTANT ROW", "(subquery")
    unknown = [one for one in plans if not any(name in one for name in (*known, *of_no_table))]
    assert not unknown


def test_looking_for_what_is_due_reads_no_whole_table(session: Session, clock: MovedClock) -> None:
    with plans_of(session) as plans:
        look_for_due(session, clock.now())
        release_next(session, clock.now())
    assert plans
    of_no_table = ("TEMP B-TREE", "SCALAR SUBQUERY", "CONSTANT ROW")
    by_index = [one for one in plans if not any(name in one for name in of_no_table)]
    assert len(by_index) > 4
    assert all("USING" in one and "ix_alarm_state" not in one for one in by_index), plans


def test_who_has_a_role_is_found_by_the_role(session: Session) -> None:
    with plans_of(session) as plans:
        find_role_holders(session, "guard", "s")
    assert any("ix_role_holder_role" in one for one in plans), plans
