"""Publishing: every version of the rule book that was ever in force, and which one is now.

A version is the texts of the book's files. It is judged before it is kept, and exactly one is active;
an engine takes the active one within a second, between two batches.
"""

import getpass
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import BigInteger, Index, text
from sqlmodel import Field, Session, col, select, update

from prevenant.book import Book, load_book
from prevenant.book_texts import (
    BookTexts,
    Differences,
    Files,
    compare_texts,
    describe_differences,
    fingerprint_texts,
)
from prevenant.errors import BookError, ConfigurationError, mask_addresses
from prevenant.rows import TableRow
from prevenant.store import Store, wake
from prevenant.tables import add_timeline, json_column, utc_column

log = structlog.get_logger()

BOOK = "book"
"""The bell that rings when another version of the book is active."""
_AT_START = "found at start-up"


class BookVersion(TableRow, table=True):
    """One version of the rule book, as it was published."""

    __tablename__ = "book_version"
    __table_args__ = (
        Index(
            "ix_book_version_active",
            "is_active",
            unique=True,
            sqlite_where=text("is_active"),
            postgresql_where=text("is_active"),
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    published_at: datetime = utc_column()
    by: str
    """The user, or the token, that published it."""
    note: str = ""
    origin: str
    """Where it came from: a file's path, `API`, or the version that was rolled back to."""
    main: str
    """The name of the main file among `files`."""
    files: dict[str, Any] = json_column()
    """Texts by name, relative to the main file's folder."""
    fingerprint: str = Field(index=True)
    is_active: bool
    in_force_at: datetime | None = utc_column(nullable=True)
    """When an engine first decided by it."""
    from_seq: int | None = Field(default=None, sa_type=BigInteger)
    """The batch of that engine's journal after which it decides."""
    refused: str = ""
    """Why an engine could not take it."""

    @property
    def number(self) -> int:
        """The number by which people call it."""
        return self.id or 0

    @property
    def state(self) -> str:
        """`active`, `refused` by an engine though it is active, or `earlier`."""
        if not self.is_active:
            return "earlier"
        return "refused" if self.refused else "active"

    def load(self) -> Book:
        """Return the book. Raises BookError where this release of Prevenant finds fault with it."""
        return load_book(Path(self.main), BookTexts(Path(f"version {self.id}"), self.files))


@dataclass(frozen=True, slots=True)
class Edition:
    """A book that was judged and found good, and its texts."""

    book: Book
    main: str
    files: Files

    @property
    def fingerprint(self) -> str:
        """A text that differs between books whose texts differ."""
        return fingerprint_texts(self.main, self.files)


@dataclass(frozen=True, slots=True)
class Publication:
    """What came of publishing: the active version, whether it is new, and what differs."""

    version: BookVersion
    is_new: bool
    differences: Mapping[str, Differences]


def read_edition(path: Path, kept: Files | None = None) -> Edition:
    """Judge a book, from the disk or from texts. Raises BookError with every problem at once."""
    texts = BookTexts(path.parent, kept)
    book = load_book(path, texts)
    return Edition(book, path.name, texts.read)


def publish_edition(
    session: Session, edition: Edition, now: datetime, *, by: str, origin: str, note: str = ""
) -> Publication:
    """Make a book the active version; one whose texts the active version has already changes nothing."""
    if session.get_bind().dialect.name == "postgresql":
        # Who publishes at the same moment waits, and then sees this version.
        session.execute(text("LOCK TABLE book_version IN SHARE ROW EXCLUSIVE MODE"))
    before = find_active(session)
    if before is not None and before.fingerprint == edition.fingerprint:
        return Publication(before, is_new=False, differences={})
    differences = compare_texts(before.files if before else {}, edition.files)
    session.execute(update(BookVersion).where(col(BookVersion.is_active)).values(is_active=False))
    version = BookVersion(
        published_at=now,
        by=by,
        note=note,
        origin=origin,
        main=edition.main,
        files=dict(edition.files),
        fingerprint=edition.fingerprint,
        is_active=True,
    )
    session.add(version)
    session.flush()
    what = describe_differences(differences)
    if before is None:
        what = f"the first, with {len(edition.book.rules.rules)} rules"
    summary = f"version {version.id} of the rule book, published by {by}: {what}"
    add_timeline(
        session,
        now,
        "book.published",
        mask_addresses(f"{summary}. {note}" if note else summary),
        detail={
            "version": version.id,
            "by": by,
            "note": note,
            "origin": origin,
            "before": before.id if before else None,
            "differences": {name: asdict(one) for name, one in differences.items()},
        },
    )
    wake(session, BOOK)
    return Publication(version, is_new=True, differences=differences)


def roll_back(
    session: Session, number: int, now: datetime, *, by: str, note: str = ""
) -> Publication:
    """Make an earlier version active again, as a new one. Raises ConfigurationError."""
    earlier = find_version(session, number)
    edition = Edition(earlier.load(), earlier.main, earlier.files)
    origin = f"version {number}"
    return publish_edition(session, edition, now, by=by, origin=origin, note=note)


def find_active(session: Session) -> BookVersion | None:
    """Return the active version, or None where nothing was published yet."""
    return session.exec(select(BookVersion).where(col(BookVersion.is_active))).first()


def find_version(session: Session, number: int) -> BookVersion:
    """Return one version. Raises ConfigurationError where there is none of that number."""
    version = session.get(BookVersion, number)
    if version is None:
        message = f"there is no version {number} of the rule book: see `prevenant rules versions`"
        raise ConfigurationError(message)
    return version


def list_versions(session: Session, limit: int, before: int | None = None) -> list[BookVersion]:
    """Return the versions, the newest first, perhaps from behind one on."""
    query = select(BookVersion).order_by(col(BookVersion.id).desc()).limit(limit)
    if before is not None:
        query = query.where(col(BookVersion.id) < before)
    return list(session.exec(query))


def view_version(version: BookVersion) -> dict[str, Any]:
    """Return a version as plain values, without its texts."""
    return {
        "version": version.id,
        **version.model_dump(exclude={"id", "files", "is_active"}),
        "files": list(version.files),
        "state": version.state,
    }


def settle_book(store: Store, path: Path, now: datetime) -> tuple[BookVersion, Book]:
    """Return the version that an engine begins with, having published the file where it is another.

    The file is another where it differs from the last version that came from it: what was published
    from elsewhere or rolled back since stays. A bad file leaves the active version in force, and the log
    says so; where there is none, this raises BookError.
    """
    edition, problems = None, None
    try:
        edition = read_edition(path)
    except BookError as error:
        problems = error
    with store.write() as session:
        if edition is not None and _is_another(session, edition, path):
            origin = origin_of(path)
            publish_edition(session, edition, now, by=user_name(), origin=origin, note=_AT_START)
        active = find_active(session)
    if active is None:
        raise problems or ConfigurationError(f"{path}: there is no rule book")
    if problems is not None:
        log.error(
            "the rule book is bad, so the active version stays in force",
            version=active.number,
            problems="; ".join(map(str, problems.problems)),
        )
    if edition is not None and edition.fingerprint == active.fingerprint:
        return active, edition.book
    return active, active.load()


def origin_of(path: Path) -> str:
    """Return what a version says of the file that it came from."""
    return str(path.resolve())


def user_name() -> str:
    """Return who runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def _is_another(session: Session, edition: Edition, path: Path) -> bool:
    query = select(BookVersion).where(BookVersion.origin == origin_of(path))
    last = session.exec(query.order_by(col(BookVersion.id).desc())).first()
    return last is None or last.fingerprint != edition.fingerprint
