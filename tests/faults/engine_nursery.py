"""Brings engines into the world fast: imports once, then forks one for each line on its input.

python -m tests.faults.engine_nursery BOOK FOLDER BROKER_URL     answers each line with a process id
"""

import os
import sys
import threading
from pathlib import Path

import structlog

from ingest.journal import Journal
from ingest.listener import Listener
from prevenant.book import load_book
from prevenant.clock import SystemClock
from prevenant.store import Store
from prevenant.stream.embedded import EmbeddedHost


def live(book: Path, folder: Path, url: str) -> None:
    """Listen and decide until killed."""
    journal = Journal(folder / "journal.db")
    while not journal.claim():
        pass
    store = Store(f"sqlite:///{folder / 'store.db'}")
    store.upgrade()
    host = EmbeddedHost(store, SystemClock(journal.left_off_at), journal, load_book(book).rules)
    host.recover()
    listener = Listener(
        url,
        host.subscriptions,
        host.accept,
        lambda: host.hear(connected=listener.connected.is_set()),
    )
    threading.Thread(target=listener.run, daemon=True).start()
    host.run()


def main() -> None:
    """Fork an engine for each line."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    book, folder, url = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    child = 0
    for _ in sys.stdin:
        if child:
            os.waitpid(child, 0)
        child = os.fork()
        if child == 0:
            live(book, folder, url)
        print(child, flush=True)  # noqa: T201  the answer


if __name__ == "__main__":
    main()
