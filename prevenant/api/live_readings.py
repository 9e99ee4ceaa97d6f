"""What one device sends, as it arrives, as server-sent events out of the journal, or Kafka's topic."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from ingest.history import DeviceFrames
from ingest.past import Past
from prevenant.domain import DeviceType, values_by_name
from prevenant.errors import JournalError
from prevenant.store import Store
from prevenant.tables import READINGS

_AT_MOST_EVERY_S = 1.0
_POINTS_AT_ONCE = 400


class LiveReadings:
    """Wakes every stream that is open when readings were decided on."""

    def __init__(self, store: Store, past: Past) -> None:
        self._past = past
        self._loop: asyncio.AbstractEventLoop | None = None
        self._streams: set[asyncio.Event] = set()
        self._is_closed = False
        self._is_ringing = False
        store.call(READINGS, self._ring)

    async def stream(
        self, request: Request, device_type: DeviceType, device_id: str, after: int
    ) -> AsyncIterator[str]:
        """Yield what a device says after a batch, as it arrives, at most once a second."""
        self._loop = asyncio.get_running_loop()
        rung = asyncio.Event()
        self._streams.add(rung)
        frames = DeviceFrames(device_type, device_id)
        try:
            while not (self._is_closed or await request.is_disconnected()):
                rung.clear()
                last, said = await run_in_threadpool(
                    self._read, frames, device_type, device_id, after
                )
                after = max(after, last)
                if said:
                    yield f"id: {after}\nevent: readings\ndata: {json.dumps(said)}\n\n"
                else:
                    yield ": still here\n\n"
                await self._wait(rung)
        finally:
            self._streams.discard(rung)

    def close(self) -> None:
        """End every open stream, so that the server can end."""
        self._is_closed = True
        self._ring()

    async def _wait(self, rung: asyncio.Event) -> None:
        if self._is_closed:
            return
        await asyncio.sleep(_AT_MOST_EVERY_S)
        try:
            await asyncio.wait_for(rung.wait(), self._past.looks_every_s - _AT_MOST_EVERY_S)
        except TimeoutError:
            return

    def _read(
        self, frames: DeviceFrames, device_type: DeviceType, device_id: str, after: int
    ) -> tuple[int, list[dict[str, Any]]]:
        """Return up to which batch it was read, and the latest readings."""
        try:
            last, batches = self._past.newer(device_type, device_id, after)
        except JournalError:
            return after, []
        readings = [one for batch in batches for one in frames.readings(batch)]
        said = [
            {"at": one.observed_at, "values": values_by_name(one.values)}
            for one in readings[-_POINTS_AT_ONCE:]
        ]
        return last, said

    def _ring(self) -> None:
        # Called with every batch: nearly always nobody looks, or the bell rings already.
        if not self._streams or self._is_ringing or self._loop is None or self._loop.is_closed():
            return
        # A server that is ending may take its loop away at any moment.
        self._is_ringing = True
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._wake_all)

    def _wake_all(self) -> None:
        self._is_ringing = False
        for rung in self._streams:
            rung.set()
