"""Drafts: what an author is changing of the rule book, kept until it is published or dropped."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlmodel import Field, Session

from prevenant.book_texts import Files
from prevenant.errors import ConfigurationError
from prevenant.publishing import BookVersion, find_active
from prevenant.rows import TableRow
from prevenant.tables import json_column, utc_column

MOST_BYTES = 2_000_000
"""All texts of a draft together are no longer than this."""


class BookDraft(TableRow, table=True):
    """What one author is changing; each has one draft."""

    __tablename__ = "book_draft"

    by: str = Field(primary_key=True)
    base: int
    """The version that it began with."""
    main: str
    files: dict[str, Any] = json_column()
    """Texts by name, relative to the main file's folder."""
    tests: str = ""
    """The text of its tests."""
    saved_at: datetime = utc_column()


def find_draft(session: Session, by: str) -> BookDraft | None:
    """Return an author's draft, or None."""
    return session.get(BookDraft, by)


def begin_draft(session: Session, by: str, now: datetime, tests: str = "") -> BookDraft:
    """Return an author's draft, which begins as the version in force. Raises ConfigurationError."""
    draft = find_draft(session, by)
    if draft is not None:
        return draft
    active = find_active(session)
    if active is None:
        message = "no rule book was published yet: publish one with `prevenant rules publish`"
        raise ConfigurationError(message)
    draft = BookDraft(
        by=by,
        base=active.number,
        main=active.main,
        files=dict(active.files),
        tests=tests,
        saved_at=now,
    )
    session.add(draft)
    return draft


def save_draft(
    session: Session, by: str, now: datetime, texts: Mapping[str, str], tests: str | None = None
) -> BookDraft:
    """Keep other texts of a draft's files, and of its tests. Raises ConfigurationError."""
    draft = begin_draft(session, by, now)
    unknown = [name for name in texts if name not in draft.files]
    if unknown:
        message = f"the draft has no file {unknown[0]}: load the page again"
        raise ConfigurationError(message)
    files = {**draft.files, **{name: _as_written(text) for name, text in texts.items()}}
    _keep(draft, files, draft.tests if tests is None else _as_written(tests), now)
    session.add(draft)
    return draft


def add_file(session: Session, by: str, now: datetime, name: str) -> BookDraft:
    """Add an empty file, which the main file can include. Raises ConfigurationError."""
    draft = begin_draft(session, by, now)
    name = name.strip()
    if not name or name.startswith("/") or ".." in name.split("/") or name in draft.files:
        message = f"{name!r} cannot be added: write a new name below the rule book, as in parts/doors.yaml"
        raise ConfigurationError(message)
    _keep(draft, {**draft.files, name: ""}, draft.tests, now)
    session.add(draft)
    return draft


def remove_file(session: Session, by: str, now: datetime, name: str) -> BookDraft:
    """Remove a file that is not the main one. Raises ConfigurationError."""
    draft = begin_draft(session, by, now)
    if name == draft.main or name not in draft.files:
        message = f"{name} cannot be removed: it is the main file, or not there"
        raise ConfigurationError(message)
    files = {one: text for one, text in draft.files.items() if one != name}
    _keep(draft, files, draft.tests, now)
    session.add(draft)
    return draft


def take_version(session: Session, by: str, now: datetime, version: BookVersion) -> BookDraft:
    """Let a draft go on from the texts of a version."""
    draft = begin_draft(session, by, now)
    _keep(draft, version.files, draft.tests, now)
    draft.main, draft.base = version.main, version.number
    session.add(draft)
    return draft


def drop_draft(session: Session, by: str) -> None:
    """Forget a draft."""
    draft = find_draft(session, by)
    if draft is not None:
        session.delete(draft)


def _keep(draft: BookDraft, files: Files, tests: str, now: datetime) -> None:
    length = len(tests) + sum(map(len, files.values()))
    if length > MOST_BYTES:
        message = (
            f"the texts are {length} characters long, and a draft keeps {MOST_BYTES}: publish from "
            "files with `prevenant rules publish`"
        )
        raise ConfigurationError(message)
    draft.files, draft.tests, draft.saved_at = dict(files), tests, now


def _as_written(text: str) -> str:
    """Return text as a file has it: browsers send other line ends."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
