"""An outside program that is told of the story: it proves each signature itself, as receivers do."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook


@dataclass(frozen=True)
class Given:
    """Something that was posted, signed well."""

    number: str
    body: dict[str, Any]
    headers: dict[str, str]

    @property
    def line(self) -> int:
        """From which line of the story it follows."""
        return int(self.body["id"])


@dataclass
class Endpoint:
    """Where an outside program is told."""

    secret: str = ""
    given: list[Given] = field(default_factory=list)
    """What was taken, in the order in which it came, twice where it came twice."""
    posts: int = 0
    forged: int = 0
    answer: Callable[[Given], tuple[int, dict[str, str]]] = lambda _: (204, {})
    """What is answered to what is signed well: a status, and headers."""
    url: str = ""

    def hear(self, headers: dict[str, str], text: str) -> tuple[int, dict[str, str]]:
        """Take something, unless it is forged or `answer` refuses it."""
        self.posts += 1
        number = headers.get("webhook-id", "")
        at = datetime.fromtimestamp(int(headers.get("webhook-timestamp", "0")), UTC)
        expected = Webhook(self.secret).sign(number, at, text)
        if expected not in headers.get("webhook-signature", "").split(" "):
            self.forged += 1
            return 401, {}
        one = Given(number, json.loads(text), headers)
        status, more = self.answer(one)
        if 200 <= status < 300:
            self.given.append(one)
        return status, more

    def lines(self) -> list[int]:
        """Return from which lines of the story things followed, each once, as they came."""
        return list(dict.fromkeys(one.line for one in self.given))


@contextmanager
def endpoint() -> Iterator[Endpoint]:
    """Run an endpoint on a port of 127.0.0.1."""
    heard = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, more = heard.hear(headers, text)
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  named by http.server
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    heard.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    yield heard
    server.shutdown()
    server.server_close()
