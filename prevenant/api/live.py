"""The story as it happens, as server-sent events: read once for all, and told to each what is theirs.

What was read is kept for a while. Who was away for longer is told out of the store.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from fastapi import Request
from sqlmodel import Session, col, func, select
from starlette.concurrency import run_in_threadpool

from prevenant.api.access import Actor, Role, find_actor
from prevenant.api.live_topics import STORY, Told, Topics, Wanted, tell
from prevenant.api.story import local_time, main_zone, view_entry
from prevenant.store import Store
from prevenant.tables import TIMELINE, TimelineEntry

__all__ = ["LiveStory", "local_time", "main_zone", "view_entry"]

STILL_HERE = ": still here\n\n"
FROM_NOW_ON = -1
_KEEP_ALIVE_S = 15.0
_PAUSE_S = 0.4
"""What follows within about that is told together: of hundreds of streams each piece costs more than its
words."""
_AT_ONCE = 200
_KEPT = 1_000
"""So many events are kept, and so many numbers of lines that were read."""
_LOOKED_BACK = 100
"""Where several processes write, a line may be committed after one with a higher number."""


@dataclass(eq=False, slots=True)
class _Listener:
    """One open stream."""

    wanted: Wanted
    sites: frozenset[str] | None
    last: int
    """The highest number that it was told."""
    position: int = 0
    """How many events had been read before the next one that it is told."""
    told: set[int] = field(default_factory=set)
    """Numbers of the lines that it was told out of the store."""
    rung: asyncio.Event = field(default_factory=asyncio.Event)


class LiveStory:
    """Tells every open stream when the story goes on."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listeners: set[_Listener] = set()
        self._closed = False
        self._reading = asyncio.Lock()
        self._rings, self._answered = 0, -1
        """How often the bell rang, and up to which ring was read."""
        self._feed: deque[Told] = deque(maxlen=_KEPT)
        self._count = 0
        """How many events were ever put into the feed."""
        self._newest: int | None = None
        self._known: deque[int] = deque(maxlen=_KEPT)
        store.call(TIMELINE, self._ring)

    async def stream(
        self, request: Request, after: int, actor: Actor, wanted: Wanted | None = None
    ) -> AsyncIterator[str]:
        """Yield what follows from the lines after the one numbered `after`, and then each new one.

        Only what is at sites of the actor. Whoever was signed out meanwhile, or may see no more, hears
        the end of it within a while.
        """
        self._loop = asyncio.get_running_loop()
        listener = _Listener(wanted or Wanted(), actor.sites(), after)
        self._listeners.add(listener)
        judged_again_at = time.monotonic() + _about(_KEEP_ALIVE_S)
        try:
            await self._read_new()
            listener.position = self._count
            if after == FROM_NOW_ON:
                listener.last = self._newest or 0
            yield STILL_HERE
            if after != FROM_NOW_ON:
                async for text in self._catch_up(listener):
                    yield text
            # Whoever goes away is noticed by the answer, which then ends this.
            while not self._closed:
                if time.monotonic() > judged_again_at:
                    again = await run_in_threadpool(find_actor, request)
                    if again is None or not again.may(Role.VIEWER):
                        return
                    listener.sites = again.sites()
                    judged_again_at = time.monotonic() + _about(_KEEP_ALIVE_S)
                listener.rung.clear()
                await self._read_new()
                heard = [text async for text in self._hear(listener)]
                if heard:
                    yield "".join(heard)
                    await asyncio.sleep(_about(_PAUSE_S))
                try:
                    async with asyncio.timeout(_KEEP_ALIVE_S):
                        await listener.rung.wait()
                except TimeoutError:
                    yield STILL_HERE
        finally:
            self._listeners.discard(listener)

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return len(self._listeners)

    def close(self) -> None:
        """End every open stream, so that the server can end."""
        self._closed = True
        self._ring()

    async def _hear(self, listener: _Listener) -> AsyncIterator[str]:
        """Yield what was read since, or out of the store where that is no longer kept."""
        unheard = self._count - listener.position
        if unheard > len(self._feed):
            listener.position = self._count
            async for text in self._catch_up(listener):
                yield text
            return
        told = list(self._feed)[len(self._feed) - unheard :] if unheard else []
        listener.position = self._count
        for one in told:
            if one.id in listener.told:
                continue
            listener.last = max(listener.last, one.id)
            if listener.wanted.has(one, listener.sites):
                yield one.text

    async def _catch_up(self, listener: _Listener) -> AsyncIterator[str]:
        """Yield what follows from the lines after the last one that was told.

        What is written after the last page that is read here is in the feed: who waited for a page without
        any would read pages of one line for as long as the story goes on.
        """
        listener.told.clear()
        while not self._closed:
            ids, told = await run_in_threadpool(self._read, listener.last, listener.wanted.topics)
            listener.last = max([listener.last, *ids])
            # Enough to know again what is in the feed, too.
            oldest = min(ids, default=0) - _KEPT
            listener.told = {*ids, *(one for one in listener.told if one > oldest)}
            for one in told:
                if listener.wanted.has(one, listener.sites):
                    yield one.text
            if len(ids) < _AT_ONCE:
                return

    async def _read_new(self) -> None:
        """Read what is new for everybody, unless somebody else does."""
        rings = self._rings
        async with self._reading:
            if self._answered >= rings:
                return
            rings = self._rings
            topics = frozenset().union(*(one.wanted.topics for one in self._listeners))
            newest, ids, told = await run_in_threadpool(self._look, topics | {STORY})
            self._newest = newest
            self._known.extend(ids)
            self._feed.extend(told)
            self._count += len(told)
            self._answered = rings

    def _look(self, topics: Topics) -> tuple[int, list[int], list[Told]]:
        """Return the newest number, and what follows from lines that were not read yet."""
        with self._store.read() as session:
            newest = session.exec(select(func.max(TimelineEntry.id))).one() or 0
            back = _LOOKED_BACK if self._store.is_shared else 0
            if self._newest is None:
                query = select(TimelineEntry.id).where(col(TimelineEntry.id) > newest - back)
                return newest, [one or 0 for one in session.exec(query)], []
            first = max(self._newest - back, newest - _KEPT)
            lines = select(TimelineEntry).where(col(TimelineEntry.id) > first)
            known = set(self._known)
            found = session.exec(lines.order_by(col(TimelineEntry.id)))
            entries = [one for one in found if one.id not in known]
            ids = [one.id or 0 for one in entries]
            newest = max([newest, *ids])
            return newest, ids, tell(session, entries, main_zone(session), topics)

    def _read(self, after: int, topics: Topics) -> tuple[list[int], list[Told]]:
        with self._store.read() as session:
            entries = _lines_after(session, after)
            told = tell(session, entries, main_zone(session), topics)
            return [one.id or 0 for one in entries], told

    def _ring(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake_all)

    def _wake_all(self) -> None:
        self._rings += 1
        for listener in self._listeners:
            listener.rung.set()


def _about(seconds: float) -> float:
    """Return about so many: what all streams do in the same moment keeps everybody else waiting."""
    return seconds * random.uniform(0.6, 1.4)  # noqa: S311  no secret


def _lines_after(session: Session, after: int) -> list[TimelineEntry]:
    query = select(TimelineEntry).where(col(TimelineEntry.id) > after)
    return list(session.exec(query.order_by(col(TimelineEntry.id)).limit(_AT_ONCE)))
