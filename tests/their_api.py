"""An outside CRM's REST API for tests: a real server that pages in every style, and makes trouble."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Api:
    """Somebody else's REST API."""

    url: str = ""
    items: list[dict[str, Any]] = field(default_factory=list)
    style: str = "page"
    trouble: list[str] = field(default_factory=list)
    """What the next requests are answered with instead; `429 30` says when to come back."""
    at: float = 0.0
    """What its clock shows, in seconds since 1970; 0 is the time of day."""
    key: str = ""
    """A parameter `key` without which nobody is let in."""
    is_strict: bool = False
    """Whether it gives only what is later than `since`."""
    asked: list[dict[str, str]] = field(default_factory=list)

    def answer(self, query: dict[str, str]) -> tuple[Any, dict[str, str]]:
        """Return a page and headers."""
        since = query.get("since", "")
        found = [x for x in self.items if x["changed"] > since]
        if not self.is_strict:
            found = [x for x in self.items if x["changed"] >= since]
        size = int(query.get("size", "2"))
        match self.style:
            case "missing" if (int(query["page"]) - 1) * size >= len(found):
                return None, {}
            case "clamped":
                start = min(int(query["page"]) - 1, (len(found) - 1) // size) * size
                return {"data": {"items": found[start : start + size]}}, {}
            case "page" | "missing":
                start = (int(query["page"]) - 1) * size
                return {"data": {"items": found[start : start + size]}}, {}
            case "offset":
                start = int(query["offset"])
                return {"data": {"items": found[start : start + size]}}, {}
            case "cursor":
                start = int(query.get("cursor", "0"))
                more = str(start + size) if start + size < len(found) else None
                return {"data": {"items": found[start : start + size]}, "next": more}, {}
            case "link":
                start = int(query.get("from", "0"))
                more = f'<{self.url}/customers?from={start + size}>; rel="next"'
                headers = {"Link": more} if start + size < len(found) else {}
                return {"data": {"items": found[start : start + size]}}, headers
            case "same":
                return {"data": {"items": found[:size]}}, {}
        return {"data": {"items": found}}, {}


class _Server(ThreadingHTTPServer):
    def __init__(self, api: Api) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.api = api


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        api = self.server.api
        query = {k: v[-1] for k, v in parse_qs(urlsplit(self.path).query).items()}
        api.asked.append(query)
        trouble = self._trouble(query)
        if trouble == "slow":
            time.sleep(1.0)
        body, headers = api.answer(query) if trouble != "401" else ({}, {})
        trouble = "404" if body is None else trouble
        code, _, advice = trouble.partition(" ")
        self.send_response(int(code) if code.isdigit() else 200)
        if advice:
            headers["Retry-After"] = advice
        if trouble == "302":
            headers["Location"] = "http://elsewhere.example/"
        self._send(json.dumps(body).encode(), headers, trouble)

    def _trouble(self, query: dict[str, str]) -> str:
        api = self.server.api
        trouble = api.trouble.pop(0) if api.trouble else ""
        is_let_in = self.headers.get("Authorization") == "Bearer secret"
        return trouble if is_let_in and query.get("key", "") == api.key else "401"

    def _send(self, data: bytes, headers: dict[str, str], trouble: str) -> None:
        if trouble == "broken":
            data = data[: len(data) // 2]
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if trouble == "breaks":
            data = data[:-1]
        pieces = [data[n : n + 1] for n in range(len(data))] if trouble == "drips" else [data]
        with suppress(OSError):
            for piece in pieces:
                self.wfile.write(piece)
                time.sleep(0.02 if trouble == "drips" else 0.0)

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Show its own clock in the header Date."""
        return super().date_time_string(timestamp or self.server.api.at or None)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def running(api: Api) -> Iterator[Api]:
    """Serve an API."""
    server = _Server(api)
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
