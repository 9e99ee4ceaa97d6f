"""What every outside CRM is to us: rows of some kinds, page after page, from where we left off.

CrmSource
├── DatabaseSource      any SQL database
└── RestSource          a REST API
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from math import isfinite
from typing import Any, Protocol

from prevenant.crm.entities import Entity
from prevenant.crm.missing import MOST_REMOVED
from prevenant.crm.sheets import cell_text
from prevenant.domain import PayloadPath

_DAY_CHARACTERS = 10


def _text(value: Any) -> str:
    """Return a cell as text: a moment is none of a day, whatever its hour, and `7.00` is 7."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        return f"{value.to_integral_value():f}"
    return cell_text(value)


def _plain(value: Any) -> Any:
    """Return a list, or what it holds, as JSON can have it."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    is_plain = isinstance(value, float) and isfinite(value)
    return value if is_plain or isinstance(value, str | int | None) else _text(value)


@dataclass(frozen=True, slots=True)
class Column:
    """Where one of our columns comes from."""

    name: str = ""
    """A column of the database."""
    path: PayloadPath | None = None
    """Where it stands in an item of the API."""
    constant: str | None = None
    words: Mapping[str, str] = field(default_factory=dict)
    """What their words mean in ours; a word that is not here is taken as it is."""

    def find(self, row: Any) -> Any:
        """Return the cell in a row of theirs."""
        if self.constant is not None:
            return self.constant
        value = self.path.find(row) if self.path else row.get(self.name)
        if isinstance(value, list | dict):
            return _plain(value)
        if isinstance(value, bytes | bytearray):
            # One byte is a bit, as MySQL has it; more are an id.
            value = value[0] if len(value) == 1 else value.hex()
        text = _text(value)
        return self.words.get(text, text)


@dataclass(frozen=True, slots=True)
class Feed:
    """One kind of row of an outside CRM, and what its columns are."""

    entity: Entity
    place: Mapping[str, Any] = field(repr=False)
    """Where it is: `table` or `query`, or `path`, `items`, `pages`, `since` and `parameters`."""
    columns: Mapping[str, Column]
    cursor: Column | None = None
    """What grows with every change; None: everything is read every time."""
    deleted: Column | None = None
    """What is true of a row that is gone."""
    overlap_s: float = 0.0
    """How far before the cursor is read again, for changes that were committed late."""
    removes_missing: bool = False
    """Whether a row that is read no more is gone; only where everything is read."""
    most_removed: float = MOST_REMOVED
    """Of the rows that we have, the share that one reading may take out for being missing."""
    mapping: str = ""
    """A digest of what was written: under another one, all rows are read again."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of theirs, and up to where all was read once these are written; empty: not known yet."""

    rows: list[Any]
    cursor: str = ""
    wait_s: float = 0.0
    """For how long to wait before the next one is asked for."""


class CrmSource(Protocol):
    """An outside CRM."""

    name: str
    every_s: float
    """How often it is read."""
    timeout_s: float
    """How long an answer may take."""
    feeds: Mapping[str, Feed]
    """By kind of row."""

    def read(self, feed: Feed, cursor: str) -> Generator[Page, None, None]:
        """Yield what has changed since `cursor`, or everything. Raises CrmUnavailable."""

    def close(self) -> None:
        """Give back all connections."""


_TRUE = {"yes", "true", "1", "y", "t", "oui", "ja"}


def is_deleted(feed: Feed, row: Any) -> bool:
    """Return whether a row says that it is gone."""
    return feed.deleted is not None and _is_true(feed.deleted.find(row))


def _is_true(value: Any) -> bool:
    text = str(value).strip().lower()
    # A time of deletion is as good as a flag; the year 0 is how some databases write none.
    is_time = len(text) >= _DAY_CHARACTERS and text[:4].isdigit() and text[:4] != "0000"
    return text in _TRUE or is_time
