"""News for pages by link: an event each time that the story of their one case goes on."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import Request
from sqlmodel import col, func, select
from starlette.concurrency import run_in_threadpool

from prevenant.store import Store
from prevenant.tables import TIMELINE, TimelineEntry

MOST = 500
"""So many pages are told at once; further ones ask by themselves, once a minute."""
_KEEP_ALIVE_S = 20.0
_PAUSE_S = 0.5
"""Whatever happens meanwhile is one piece of news."""


class LinkNews:
    """Wakes every page that waits for news of its case."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: set[asyncio.Event] = set()
        self._is_closed = False
        store.call(TIMELINE, self._ring)

    @property
    def is_full(self) -> bool:
        """Whether nobody else can be told at once."""
        return len(self._waiting) >= MOST

    async def stream(self, request: Request, case_id: int) -> AsyncIterator[str]:
        """Yield an event for each piece of news of a case; of what, the page asks itself."""
        self._loop = asyncio.get_running_loop()
        rung = asyncio.Event()
        self._waiting.add(rung)
        try:
            before = await run_in_threadpool(self._newest, case_id)
            yield ": listening\n\n"
            while not (self._is_closed or await request.is_disconnected()):
                try:
                    await asyncio.wait_for(rung.wait(), _KEEP_ALIVE_S)
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                await asyncio.sleep(_PAUSE_S)
                rung.clear()
                newest = await run_in_threadpool(self._newest, case_id)
                if newest != before:
                    before = newest
                    yield f"event: news\ndata: {newest}\n\n"
        finally:
            self._waiting.discard(rung)

    def close(self) -> None:
        """End every open stream, so that the server can end."""
        self._is_closed = True
        self._ring()

    def _newest(self, case_id: int) -> int:
        query = select(func.max(TimelineEntry.id)).where(col(TimelineEntry.case_id) == case_id)
        with self._store.read() as session:
            return session.exec(query).one() or 0

    def _ring(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake_all)

    def _wake_all(self) -> None:
        for rung in self._waiting:
            rung.set()
