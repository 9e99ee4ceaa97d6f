"""SQLAlchemy's engines, lent to one store after another of a database, with what they have compiled.

A third of a test of workflows is the compiling of statements, which an engine keeps as long as it lives.
"""

from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sqlalchemy import Engine, event


class Engines:
    """Engines whose stores were closed, by address and options."""

    def __init__(self, make: Callable[..., Engine]) -> None:
        self._make = make
        self._idle: dict[tuple[object, ...], list[Engine]] = defaultdict(list)

    def lend(self, url: str, **options: Any) -> Engine:
        """Return an engine without connections."""
        key = (url, *sorted(options.items()))
        idle = self._idle[key]
        # Another thread may take the last one meanwhile.
        with suppress(IndexError):
            return idle.pop()
        engine = self._make(url, **options)

        def take_back(disposed: Engine) -> None:
            if disposed not in idle:
                idle.append(disposed)

        event.listen(engine, "engine_disposed", take_back)
        return engine
