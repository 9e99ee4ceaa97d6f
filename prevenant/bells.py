"""Bells across processes: what one process commits wakes those who wait for it in another.

PostgreSQL delivers a NOTIFY when the transaction that asked for it is committed, so that a bell never
rings for what is not there. A listener that lost its connection rings every bell once it is back, since it
may have missed some. Nothing is asked for at intervals: the listener sleeps on its connection.

The same connection holds a lock on our name, which ends with it: so that others know that we have gone.
"""

import hashlib
import os
import select
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import structlog
from sqlalchemy import URL

log = structlog.get_logger()

CHANNEL = "prevenant"
KEEPALIVE: dict[str, Any] = {
    "connect_timeout": 10,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 11_000,
}
"""A connection whose other end has gone without a word is given up after 11 s."""
_SERVER_KEEPALIVE = (
    "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3"
)
_PAUSE_S = 1.0


def lock_number(name: str) -> int:
    """Return the number under which PostgreSQL knows a claimed name."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), signed=True)


class Bells:
    """Listens to PostgreSQL and rings what other processes have asked for."""

    def __init__(
        self, url: URL, own: str, ring: Callable[[str], None], ring_all: Callable[[], None]
    ) -> None:
        """Begin to listen. What we ask for under the name `own` has been rung here already."""
        self._address = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._own = own
        self._ring = ring
        self._ring_all = ring_all
        self._stopping = threading.Event()
        self._stop_read, self._stop_write = os.pipe()
        self.is_heard = threading.Event()
        """Set while notifications come in."""
        self._thread = threading.Thread(target=self._run, name="bells", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        self._stopping.set()
        os.write(self._stop_write, b".")
        self._thread.join()
        os.close(self._stop_read)
        os.close(self._stop_write)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except psycopg.Error as error:
                if self.is_heard.is_set():
                    log.error("other processes are not heard", reason=type(error).__name__)
            self.is_heard.clear()
            self._stopping.wait(_PAUSE_S)

    def _listen(self) -> None:
        options: dict[str, Any] = {"options": _SERVER_KEEPALIVE, **KEEPALIVE}
        with psycopg.connect(self._address, autocommit=True, **options) as connection:
            connection.execute(f"LISTEN {CHANNEL}")
            # Shared with what may be left of a connection that broke: the server hears of that late.
            connection.execute("SELECT pg_advisory_lock_shared(%s)", [lock_number(self._own)])
            self.is_heard.set()
            self._ring_all()
            waiting = select.poll()
            waiting.register(connection.fileno(), select.POLLIN)
            waiting.register(self._stop_read, select.POLLIN)
            while not self._stopping.is_set():
                waiting.poll()
                for name in {notice.payload for notice in connection.notifies(timeout=0)}:
                    bell, _, sender = name.rpartition(" ")
                    if sender != self._own:
                        self._ring(bell)
