"""Backup: the journal, then the store, each as it stands at one moment, beside a running engine.

The journal comes first. A store that is newer than the journal's snapshot is decided on again, which
changes nothing; one that is older would lack alarms that the snapshot takes for written.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from sqlalchemy import make_url

from prevenant.errors import ConfigurationError, SettingsError
from prevenant.settings import Settings

JOURNAL, STORE = "journal.db", "prevenant.db"


def back_up(settings: Settings, folder: Path) -> Iterator[Path]:
    """Copy what this process keeps in SQLite into a new folder; yield each copy once it is whole.

    Raises ConfigurationError where the folder has copies already, or a file cannot be copied.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for source, name in (
        (settings.journal, JOURNAL),
        (_file_of(settings.database_url), STORE),
    ):
        copy = folder / name
        if copy.exists():
            message = f"{copy} is there already: name a new folder for each backup"
            raise ConfigurationError(message)
        if source is not None and (source.exists() or name == STORE):
            _copy(source, copy)
            yield copy


def is_in_postgres(settings: Settings) -> bool:
    """Return whether the store is PostgreSQL's to back up."""
    return _file_of(settings.database_url) is None


def _file_of(database_url: str) -> Path | None:
    url = make_url(database_url)
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def _copy(source: Path, copy: Path) -> None:
    if not source.is_file():
        message = f"there is no file {source}: set PREVENANT_DATABASE_URL and PREVENANT_JOURNAL"
        raise SettingsError(message)
    part = copy.with_name(f"{copy.name}.part")
    part.unlink(missing_ok=True)
    try:
        with (
            closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as live,
            closing(sqlite3.connect(part)) as target,
        ):
            # All pages at once: a live engine would have it begin again after every commit.
            live.backup(target)
            found = target.execute("PRAGMA integrity_check").fetchone()[0]
    except sqlite3.Error as error:
        part.unlink(missing_ok=True)
        message = f"{source} cannot be copied to {copy}: {error}; mend that, or name another folder"
        raise ConfigurationError(message) from None
    if found != "ok":
        message = f"{source} is damaged: {found}; the copy stays as {part}"
        raise ConfigurationError(message)
    part.rename(copy)
