"""An outside CRM's database for the tests that read one, and its end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.their_database import TABLES, Theirs, close_sources, running_database


@pytest.fixture(autouse=True)
def _closed_sources() -> Iterator[None]:
    """Close what a test has opened."""
    yield
    close_sources()


@pytest.fixture(params=["sqlite", "postgresql"])
def theirs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Theirs]:
    """Return an outside CRM's database, of each kind, with a few rows."""
    with running_database(request, tmp_path) as found:
        found.run(TABLES)
        yield found
