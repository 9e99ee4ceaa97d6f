"""How commands show things: lines, tables that a pipe can read, times."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

out = Console(highlight=False, soft_wrap=True)

WIDE = 240
"""A pipe has no width: there a line is a row."""


def show_json(value: Any) -> None:
    """Print a value as JSON."""
    out.print_json(msgspec.json.encode(value).decode())


def show_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows of text under their headings."""
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(escape(printable(cell)) for cell in row))
    Console(highlight=False, width=None if out.is_terminal else WIDE).print(table)


def printable(text: str) -> str:
    """Return text in which nothing can command a terminal: devices send what they like."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shown_time(at: datetime | None) -> str:
    """Return a time in UTC as a table has it."""
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"
