"""A service desk: another company's system, which takes signed webhooks and gives out tickets.

It checks what a receiver has to check: the signature, its age, and whether it has taken the same thing
before. It can be told to refuse, to be slow, and to break off.
"""

import hashlib
import hmac
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prevenant.clock import Clock, SystemClock, epoch_seconds

_MAX_AGE_S = 300.0
_SILENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Taken:
    """Something that was posted, signed well."""

    key: str
    body: Any


@dataclass
class _Refusal:
    status: int
    times: int
    retry_after_s: int | None = None


class Desk:
    """A service desk on a port of 127.0.0.1."""

    def __init__(self, secret: str, clock: Clock | None = None) -> None:
        self.secret = secret
        self.taken: list[Taken] = []
        """What was taken, each key once."""
        self.posts = 0
        """How often something was posted, taken or not."""
        self.forged = 0
        """How often the signature was wrong or too old."""
        self.answer: Callable[[Taken], Any] = lambda taken: {"ticket": f"T-{taken.key}"}
        self._clock = clock or SystemClock()
        self._refusals: list[_Refusal] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        handler = type("Handler", (_Handler,), {"desk": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )

    @property
    def url(self) -> str:
        """The address that a workflow calls."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/hooks/prevenant"

    def start(self) -> "Desk":
        """Begin to answer."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close the desk."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def refuse(self, status: int, times: int = 1, retry_after_s: int | None = None) -> None:
        """Answer the next `times` posts with a status; 0 takes it and says nothing, -1 breaks off."""
        with self._lock:
            self._refusals.append(_Refusal(status, times, retry_after_s))

    def take_refusal(self) -> _Refusal | None:
        """Return how the present post is refused, if it is."""
        with self._lock:
            self._refusals = [one for one in self._refusals if one.times > 0]
            if not self._refusals:
                return None
            self._refusals[0].times -= 1
            return self._refusals[0]

    def is_genuine(self, signature: str, body: bytes) -> bool:
        """Return whether a post is signed by who knows the secret, and lately."""
        parts = dict(part.partition("=")[::2] for part in signature.split(","))
        at = parts.get("t", "")
        expected = hmac.new(self.secret.encode(), at.encode() + b"." + body, hashlib.sha256)
        is_new = at.isdigit() and abs(epoch_seconds(self._clock.now()) - int(at)) <= _MAX_AGE_S
        return is_new and hmac.compare_digest(expected.hexdigest(), parts.get("v1", ""))

    def take(self, key: str, body: bytes) -> Taken:
        """Take a post; the same key again is the same thing."""
        with self._lock:
            known = next((one for one in self.taken if one.key == key), None)
            if known is not None:
                return known
            one = Taken(key, json.loads(body))
            self.taken.append(one)
            return one

    def wait_closed(self) -> None:
        """Say nothing for longer than any client waits, or until the desk is closed."""
        self._closing.wait(_SILENCE_S)


class _Handler(BaseHTTPRequestHandler):
    desk: Desk
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a body would wait 40 ms for its head's acknowledgement

    def do_POST(self) -> None:
        """Take a webhook."""
        desk = self.desk
        desk.posts += 1
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not desk.is_genuine(self.headers.get("Prevenant-Signature", ""), body):
            desk.forged += 1
            self._say(401, {"error": "the signature does not match"})
            return
        refusal = desk.take_refusal()
        if refusal is not None and refusal.status > 0:
            self._say(refusal.status, {"error": "no"}, refusal.retry_after_s)
            return
        taken = desk.take(self.headers.get("Prevenant-Delivery", ""), body)
        if refusal is None:
            self._say(200, desk.answer(taken))
        elif refusal.status == 0:
            desk.wait_closed()
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  named by http.server
        """Say nothing on the terminal."""

    def _say(self, status: int, answer: Any, retry_after_s: int | None = None) -> None:
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        if retry_after_s is not None:
            self.send_header("Retry-After", str(retry_after_s))
        if 300 <= status < 400:  # noqa: PLR2004  a redirect
            self.send_header("Location", self.desk.url)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
