"""What every outside CRM is to us: rows of some kinds, page after page, from where we left off.

CrmSource
├── DatabaseSource      any SQL database
└── RestSource          a REST API
"""

import json
from collections.abc import Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol

from prevenant.crm.entities import Entity
from prevenant.crm.sheets import cell_text
from prevenant.domain import PayloadPath

_DAY_CHARACTERS = 10


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
            return value
        text = cell_text(value)
        return self.words.get(text, text)


@dataclass(frozen=True, slots=True)
class Feed:
    """One kind of row of an outside CRM, and what its columns are."""

    entity: Entity
    place: Mapping[str, Any]
    """Where it is: `table` or `query`, or `path`, `items`, `pages` and `since`."""
    columns: Mapping[str, Column]
    cursor: Column | None = None
    """What grows with every change; None: everything is read every time."""
    deleted: Column | None = None
    """What is true of a row that is gone."""
    overlap_s: float = 0.0
    """How far before the cursor is read again, for changes that were committed late."""
    removes_missing: bool = False
    """Whether a row that is read no more is gone; only where everything is read."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of theirs, and up to where all was read once these are written; empty: not known yet."""

    rows: list[Any]
    cursor: str = ""


class CrmSource(Protocol):
    """An outside CRM."""

    name: str
    every_s: float
    """How often it is read."""
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
    # A time of deletion is as good as a flag.
    return text in _TRUE or (len(text) >= _DAY_CHARACTERS and text[:4].isdigit())


def encode_cursor(value: Any) -> str:
    """Return a cursor as it is kept: a number, a time or a text."""
    if isinstance(value, datetime):
        return json.dumps({"time": value.isoformat()})
    if isinstance(value, bool | str | date):
        return json.dumps({"text": str(value)})
    number = float(value)
    return json.dumps({"number": int(number) if number.is_integer() else number})


def decode_cursor(cursor: str, overlap_s: float = 0.0) -> Any:
    """Return what a cursor is compared with: itself, less the overlap where it is a time."""
    ((kind, value),) = json.loads(cursor).items()
    overlap = timedelta(seconds=overlap_s)
    if kind == "time":
        return datetime.fromisoformat(value) - overlap
    if kind == "text" and overlap_s:
        with suppress(ValueError):
            moment = datetime.fromisoformat(value) - overlap
            text = moment.isoformat(value[_DAY_CHARACTERS] if len(value) > _DAY_CHARACTERS else "T")
            return text.replace("+00:00", "Z") if value.endswith("Z") else text
    return value - overlap_s if kind == "number" else value


def cursor_order(value: Any) -> tuple[int, Any]:
    """Return by what cursors of one feed are compared: numbers, then times, then texts."""
    if isinstance(value, int | float):
        return 0, value
    with suppress(ValueError):
        at = datetime.fromisoformat(str(value))
        return 1, (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    return 2, str(value)
