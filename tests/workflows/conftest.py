"""Fixtures: a room in which a workflow runs."""

from collections.abc import Callable

import pytest

from prevenant.store import Store
from tests.moved_clock import MovedClock
from tests.workflows.room import Room


@pytest.fixture
def room(store: Store, clock: MovedClock) -> Callable[[str], Room]:
    """Return how to make a room with a workflow."""
    return lambda text: Room(store, clock, text)
