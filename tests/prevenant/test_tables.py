"""A row leaves nothing to the garbage collector, which looks seldom beside an engine."""

import gc

import pytest
from sqlmodel import SQLModel

from prevenant.app import Engine

WITH_ALL_TABLES = Engine
TABLES = sorted(
    (mapper.class_ for mapper in SQLModel._sa_registry.mappers), key=lambda table: table.__name__
)
YOUNGEST = 0


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__)
def test_a_row_is_gone_with_its_last_reference(table: type[SQLModel]) -> None:
    table()
    gc.disable()
    try:
        # What is left by a row is left by each; another thread leaves something now and then.
        assert 0 in (left_by_a_row(table) for _ in range(5))
    finally:
        gc.enable()


def left_by_a_row(table: type[SQLModel]) -> int:
    gc.collect(YOUNGEST)
    table()
    return gc.collect(YOUNGEST)
