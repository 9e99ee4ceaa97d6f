"""What a browser with the board asks of the server: a stream of events, and the part that changes."""

import asyncio
import json
import random
import time
from contextlib import suppress
from typing import Any

TOKEN = "bench-token-of-the-console"  # noqa: S105  of a server that lives for a minute

_PACE_S = 0.3


class Browser:
    """One window, at the pace of `live.js`."""

    def __init__(self, host: str, port: int) -> None:
        self.took_ms: list[float] = []
        self.events = 0
        self.is_warm = asyncio.Event()
        """It follows the story, and shows the board."""
        self._address = (host, port)
        self._moved = asyncio.Event()
        self._moved_at = 0.0

    async def run(self) -> None:
        """Follow the story, and fetch what is shown anew, until cancelled."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._follow())
            both.create_task(self._refresh())

    async def _follow(self) -> None:
        reader, writer = await asyncio.open_connection(*self._address)
        try:
            writer.write(self._request("/api/v1/live?after=0", "text/event-stream"))
            await _read_head(reader)
            self._move()
            async for line in reader:
                if line.startswith(b"data:"):
                    self.events += 1
                    self._move()
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _refresh(self) -> None:
        reader, writer = await asyncio.open_connection(*self._address)
        pace, last = _PACE_S, 0.0
        try:
            while True:
                await self._moved.wait()
                rest = last + pace * random.uniform(1, 1.5) - self._moved_at
                rest = max(rest, pace / 4 * random.random())
                await asyncio.sleep(max(0.0, self._moved_at + rest - time.perf_counter()))
                self._moved.clear()
                last = time.perf_counter()
                try:
                    said = await self._fetch(reader, writer)
                except (ConnectionResetError, BrokenPipeError):
                    # The server ends what has been idle for a while, and a browser begins again.
                    writer.close()
                    reader, writer = await asyncio.open_connection(*self._address)
                    said = await self._fetch(reader, writer)
                self.took_ms.append((time.perf_counter() - last) * 1_000)
                pace = said["pace"]["ms"] / 1_000
                if "behind" in said:
                    last = time.perf_counter()
                    self._move()
                self.is_warm.set()
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _move(self) -> None:
        if not self._moved.is_set():
            self._moved_at = time.perf_counter()
            self._moved.set()

    async def _fetch(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> dict[str, Any]:
        """Fetch the changing part; return what is said with it."""
        writer.write(self._request("/partials/board", "text/html"))
        fields = await _read_head(reader)
        await reader.readexactly(int(fields[b"content-length"]))
        return dict(json.loads(fields[b"hx-trigger"]))

    def _request(self, path: str, accepted: str) -> bytes:
        host, port = self._address
        lines = (
            f"GET {path} HTTP/1.1",
            f"Host: {host}:{port}",
            f"Authorization: Bearer {TOKEN}",
            f"Accept: {accepted}",
        )
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _read_head(reader: asyncio.StreamReader) -> dict[bytes, bytes]:
    """Read the head of an answer; return its fields."""
    status = await reader.readline()
    if not status:
        message = "the server answers nothing"
        raise ConnectionResetError(message)
    if b" 200 " not in status:
        message = f"the server answers {status.decode().strip()}"
        raise ConnectionError(message)
    fields = {}
    while (line := await reader.readline()).strip():
        name, _, value = line.partition(b":")
        fields[name.lower()] = value.strip()
    return fields
