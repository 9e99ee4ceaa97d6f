"""Commands and other processes write to the same SQLite file, and ring no bell here: so we look.

SQLite counts the commits of other connections (`PRAGMA data_version`): asking for that number reads
no table and takes microseconds. PostgreSQL tells of commits by itself.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from sqlalchemy import make_url

from prevenant.clock import SystemClock, Wakeup
from prevenant.store import Store

_LOOK_EVERY = timedelta(seconds=0.5)


class Neighbours:
    """Rings bells of a store when its SQLite file was written to, by whomever."""

    def __init__(self, store: Store, bells: Sequence[str]) -> None:
        url = make_url(store.url)
        self._file = url.database if url.get_backend_name() == "sqlite" else None
        self._store, self._bells = store, bells
        self._bell = Wakeup()
        self._stopping = False

    def run(self) -> None:
        """Look twice a second until `stop`."""
        clock = SystemClock()
        if not self._file or not Path(self._file).exists():
            while not self._stopping:
                self._bell.wait(clock, None)
            return
        with closing(sqlite3.connect(self._file, isolation_level=None)) as connection:
            version = _version(connection)
            while not self._stopping:
                self._bell.wait(clock, clock.now() + _LOOK_EVERY)
                latest = _version(connection)
                if latest != version:
                    version = latest
                    for name in self._bells:
                        self._store.ring(name)

    def stop(self) -> None:
        """End `run`."""
        self._stopping = True
        self._bell.ring()


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA data_version").fetchone()[0])
