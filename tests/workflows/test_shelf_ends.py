"""What a shelf kept back is told when the shelf ends, though nothing else happens meanwhile."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import select

from notify.templating import Templates
from prevenant.clock import Clock, ScaledClock, epoch_seconds
from prevenant.domain import Severity, Transition
from prevenant.shelving import FLAPPING, MAINTENANCE, Shelf, add_shelf
from prevenant.store import Store
from prevenant.stream.alarms import write_transitions
from tests.servers import wait_until
from tests.workflows.test_case import make_workflow
from workflows.runtime import Route, Runtime
from workflows.tables import Case

_LASTS_S = 600.0
STEPS = """
- wait: alarm.cleared
  within: 10h
  otherwise: {close: late}
"""


@pytest.fixture
def clock() -> ScaledClock:
    """Return a clock that shows the end of a shelf within a second."""
    now = datetime.now(UTC)
    return ScaledClock(now, now, _LASTS_S)


@contextmanager
def running(runtime: Runtime) -> Iterator[None]:
    """Let the cases go on by themselves meanwhile."""
    thread = threading.Thread(target=runtime.run)
    thread.start()
    try:
        yield
    finally:
        runtime.stop()
        thread.join()


def raise_alarm(store: Store, clock: Clock, held_by: str = "") -> None:
    at = epoch_seconds(clock.now())
    transition = Transition(
        *("raised", "hot", "unit", "t2", "t2/u1", Severity.MAJOR, at, at, {}, "why"),
        held_by,
        at + _LASTS_S,
    )
    with store.write() as session:
        write_transitions(session, [transition])


@pytest.mark.parametrize("kind", [MAINTENANCE, FLAPPING])
def test_an_alarm_raised_under_a_shelf_is_told_when_it_ends(
    store: Store, clock: ScaledClock, kind: str
) -> None:
    routes = {"hot": Route("visit", {"en": "It is hot."})}
    with running(Runtime(store, clock, {"visit": make_workflow(STEPS)}, routes, Templates())):
        if kind == MAINTENANCE:
            put_shelf(store, clock)
        raise_alarm(store, clock, kind if kind == FLAPPING else "")
        wait_until(lambda: list_cases(store), "case")


def put_shelf(store: Store, clock: Clock) -> None:
    now = clock.now()
    until = now + timedelta(seconds=_LASTS_S)
    shelf = Shelf(
        kind=MAINTENANCE, rule="hot", starts_at=now, ends_at=until, owner="Nora", created_at=now
    )
    with store.write() as session:
        add_shelf(session, shelf)


def list_cases(store: Store) -> list[Case]:
    with store.read() as session:
        return [*session.exec(select(Case))]
