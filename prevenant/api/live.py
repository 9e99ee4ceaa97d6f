"""The story as it happens, as server-sent events."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import Request
from sqlmodel import Session, col, func, select
from starlette.concurrency import run_in_threadpool

from prevenant.crm.tables import Site
from prevenant.store import Store
from prevenant.tables import TIMELINE, TimelineEntry

_KEEP_ALIVE_S = 15.0
_AT_ONCE = 200


class LiveStory:
    """Wakes every open stream when the story goes on."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._loop: asyncio.AbstractEventLoop | None = None
        self._streams: set[asyncio.Event] = set()
        self._closed = False
        store.call(TIMELINE, self._ring)

    async def stream(self, request: Request, after: int) -> AsyncIterator[str]:
        """Yield the entries after the one numbered `after`, and then each new one."""
        self._loop = asyncio.get_running_loop()
        rung = asyncio.Event()
        self._streams.add(rung)
        try:
            while not (self._closed or await request.is_disconnected()):
                entries = await run_in_threadpool(self._read, after)
                for entry in entries:
                    after = entry["id"]
                    yield f"id: {after}\nevent: story\ndata: {json.dumps(entry)}\n\n"
                if not entries:
                    yield ": still here\n\n"
                    try:
                        await asyncio.wait_for(rung.wait(), _KEEP_ALIVE_S)
                    except TimeoutError:
                        continue
                    rung.clear()
        finally:
            self._streams.discard(rung)

    def close(self) -> None:
        """End every open stream, so that the server can end."""
        self._closed = True
        self._ring()

    def _read(self, after: int) -> list[dict[str, Any]]:
        with self._store.read() as session:
            zone = main_zone(session)
            query = select(TimelineEntry).where(col(TimelineEntry.id) > after)
            entries = session.exec(query.order_by(col(TimelineEntry.id)).limit(_AT_ONCE)).all()
            return [view_entry(entry, zone) for entry in entries]

    def _ring(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake_all)

    def _wake_all(self) -> None:
        for rung in self._streams:
            rung.set()


def main_zone(session: Session) -> ZoneInfo:
    """Return the time zone that most sites are in; the console's times are in it."""
    query = (
        select(Site.timezone)
        .group_by(Site.timezone)
        .order_by(func.count().desc(), Site.timezone)
        .limit(1)
    )
    return ZoneInfo(session.exec(query).first() or "UTC")


def local_time(at: datetime, zone: ZoneInfo) -> str:
    """Return 14:30:05."""
    return at.astimezone(zone).strftime("%H:%M:%S")


def view_entry(entry: TimelineEntry, zone: ZoneInfo) -> dict[str, Any]:
    """Return a line of the story as plain values."""
    return {
        "id": entry.id,
        "at": entry.at.isoformat(),
        "time": local_time(entry.at, zone),
        "kind": entry.kind,
        "case": entry.case_id,
        "alarm": entry.alarm_id,
        "summary": entry.summary,
        "detail": entry.detail,
    }
