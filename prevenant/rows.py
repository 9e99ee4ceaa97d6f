"""What the rows of all tables have in common: they are filled and changed at SQLAlchemy's own price."""

from collections.abc import Callable
from functools import cache
from typing import Any

from pydantic_core import PydanticUndefined
from sqlmodel import SQLModel


class TableRow(SQLModel):
    """A row of a table. Its values are not validated, as those of no table of SQLModel are.

    SQLModel sets each field of a new row, and each that changes, by SQLAlchemy and by pydantic: a ninth of
    the time in which a case was opened. What is inserted are the values that a row has, and SQLAlchemy
    needs to hear of changes alone, which the attributes of its class tell it.
    """

    def __init__(self, **values: Any) -> None:
        given = set(values)
        for name, default, make in _defaults(type(self)):
            if name not in values:
                values[name] = make() if make else default
        if unknown := given - type(self).__pydantic_fields__.keys():
            message = f"{type(self).__name__} has no {', '.join(sorted(unknown))}"
            raise TypeError(message)
        self.__dict__.update(values)
        object.__setattr__(self, "__pydantic_fields_set__", given)

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


@cache
def _defaults(table: type[TableRow]) -> list[tuple[str, Any, Callable[[], Any] | None]]:
    """Return the columns of `table` that need not be given: the name, and the value or who makes it."""
    return [
        (name, field.default, field.default_factory)  # type: ignore[misc]  # none of ours takes arguments
        for name, field in table.__pydantic_fields__.items()
        if field.default is not PydanticUndefined or field.default_factory
    ]
