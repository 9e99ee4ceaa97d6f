"""An outside CRM's REST API for tests: a real server that pages in every style, and makes trouble."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
    """What the next requests are answered with instead."""
    asked: list[dict[str, str]] = field(default_factory=list)

    def answer(self, query: dict[str, str]) -> tuple[Any, dict[str, str]]:
        """Return a page and headers."""
        found = [x for x in self.items if x["changed"] >= query.get("since", "")]
        size = int(query.get("size", "2"))
        match self.style:
            case "page":
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


@contextmanager
def running(api: Api) -> Iterator[Api]:
    """Serve an API."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = {k: v[-1] for k, v in parse_qs(urlsplit(self.path).query).items()}
            api.asked.append(query)
            trouble = api.trouble.pop(0) if api.trouble else ""
            if self.headers.get("Authorization") != "Bearer secret":
                trouble = "401"
            if trouble == "slow":
                time.sleep(1.0)
            body, headers = api.answer(query) if trouble != "401" else ({}, {})
            data = json.dumps(body).encode()
            if trouble == "broken":
                data = data[: len(data) // 2]
            self.send_response(int(trouble) if trouble.isdigit() else 200)
            if trouble == "302":
                self.send_header("Location", "http://elsewhere.example/")
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
