"""The parts of one process, each in a thread: where one fails, the whole has ended."""

import threading
from collections.abc import Callable
from datetime import timedelta

import structlog

from prevenant.health import ENDING, RUNNING, STARTING

log = structlog.get_logger()

PATIENCE = timedelta(seconds=3)
"""How long a part that was told to stop is waited for."""


class Parts:
    """Starts parts, and knows when the process has ended."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self.ended = threading.Event()
        """Set when the process has been told to stop, or when a part of it has failed."""
        self.failed = False
        self._are_all_started = False

    def start(self, name: str, work: Callable[[], None]) -> None:
        """Run a part."""

        def guarded() -> None:
            try:
                work()
            except Exception:
                log.exception("a part has failed, so the engine ends", part=name)
                self.failed = True
            if not self.ended.is_set():
                self.failed = True
                self.ended.set()

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    @property
    def alive(self) -> dict[str, bool]:
        """Which parts there are, by name, and whether each runs."""
        return {thread.name: thread.is_alive() for thread in self._threads}

    def all_started(self) -> None:
        """Take note that no part is still to be started."""
        self._are_all_started = True

    @property
    def state(self) -> str:
        """Whether the process is `starting`, `running` or `ending`."""
        if self.ended.is_set():
            return ENDING
        return RUNNING if self._are_all_started else STARTING

    def join(self) -> bool:
        """Wait for every part a while; return whether all have ended."""
        for thread in self._threads:
            thread.join(PATIENCE.total_seconds())
        return not any(thread.is_alive() for thread in self._threads)
