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
        gc.collect(YOUNGEST)
        table()
        left = gc.collect(YOUNGEST)
    finally:
        gc.enable()
    assert left == 0
