"""Calls into somebody else's driver, which may never return: each is waited for so long and no longer."""

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_LAST_WAIT_S = 1.0


class Hanging(Exception):
    """A call has not returned; what it uses must not be touched until it does."""


class Patience:
    """Makes one call at a time, in a thread of its own, so that one which hangs holds up nobody.

    While it still hangs no other is made, so that there is one such thread and no more.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._thread: threading.Thread | None = None

    @property
    def is_hanging(self) -> bool:
        """Whether the last call has not returned yet."""
        return self._thread is not None and self._thread.is_alive()

    def call(self, work: Callable[[], T], break_off: Callable[[], object] | None = None) -> T:
        """Return what `work` returns, or raise what it raises.

        Raises Hanging where it takes too long, after `break_off` was called to end it.
        """
        if self.is_hanging:
            raise Hanging
        results: list[T] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                results.append(work())
            except BaseException as error:  # noqa: BLE001  raised again where it was called
                errors.append(error)

        thread = self._thread = threading.Thread(target=run, name="outside database", daemon=True)
        thread.start()
        thread.join(self._seconds)
        if thread.is_alive():
            if break_off is not None:
                break_off()
                thread.join(_LAST_WAIT_S)
            raise Hanging
        if errors:
            raise errors[0]
        return results[0]
