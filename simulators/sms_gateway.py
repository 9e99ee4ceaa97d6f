"""An SMS gateway over plain HTTP, as many companies run one: JSON in, receipts and replies out.

It can be told to refuse, to take a text and say nothing, and to break off.
"""

import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests

_SILENCE_S = 30.0
_CALLBACK_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Text:
    """A text that was taken."""

    id: str
    to: str
    sender: str
    text: str
    reference: str
    callback: str


@dataclass
class _Refusal:
    status: int
    times: int
    retry_after_s: int | None
    code: str


class SmsGateway:
    """A gateway on a port of 127.0.0.1."""

    def __init__(self, key: str = "gateway-key") -> None:
        self.key = key
        self.taken: list[Text] = []
        self.posts = 0
        """How often something was posted, taken or not."""
        self._refusals: list[_Refusal] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        handler = type("Handler", (_Handler,), {"gateway": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )

    @property
    def url(self) -> str:
        """Where texts are handed over."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1/messages"

    def start(self) -> "SmsGateway":
        """Begin to answer."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close it."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def refuse(
        self, status: int, times: int = 1, retry_after_s: int | None = None, code: str = ""
    ) -> None:
        """Answer the next `times` texts with a status; 0 takes one and says nothing, -1 breaks off."""
        with self._lock:
            self._refusals.append(_Refusal(status, times, retry_after_s, code))

    def tell(self, text: Text, state: str, reason: str = "") -> int:
        """Say what became of a text, at the address that came with it; return the status of the answer."""
        told = {"id": text.id, "status": state, "reason": reason}
        return requests.post(text.callback, json=told, timeout=_CALLBACK_TIMEOUT_S).status_code

    def take(self, fields: dict[str, Any]) -> Text:
        """Take a text."""
        with self._lock:
            text = Text(
                f"G{len(self.taken) + 1}",
                fields["to"],
                fields["from"],
                fields["message"]["text"],
                fields.get("reference", ""),
                fields.get("callback", ""),
            )
            self.taken.append(text)
        return text

    def take_refusal(self) -> _Refusal | None:
        """Return how the present text is refused, if it is."""
        with self._lock:
            self.posts += 1
            while self._refusals and self._refusals[0].times <= 0:
                self._refusals.pop(0)
            if not self._refusals:
                return None
            self._refusals[0].times -= 1
            return self._refusals[0]

    def withhold(self) -> None:
        """Hold an answer back for longer than any client waits."""
        self._closing.wait(_SILENCE_S)


class _Handler(BaseHTTPRequestHandler):
    gateway: SmsGateway
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a body would wait 40 ms for its head's acknowledgement

    def do_POST(self) -> None:
        fields = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        if self.headers.get("Authorization") != self.gateway.key:
            self._answer(401, {"error": "who are you?"})
            return
        refusal = self.gateway.take_refusal()
        if refusal is None:
            self._answer(202, {"message": {"id": self.gateway.take(fields).id}, "code": 0})
        elif refusal.status == 0:
            self.gateway.take(fields)
            self.gateway.withhold()
            self.close_connection = True
        elif refusal.status < 0:
            self.close_connection = True
        else:
            advice = refusal.retry_after_s
            headers = {"Retry-After": str(advice)} if advice is not None else {}
            self._answer(refusal.status, {"code": refusal.code}, headers)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's name
        """Say nothing: numbers do not belong in a log."""

    def _answer(
        self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None
    ) -> None:
        data = json.dumps(body).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)
        except OSError:
            self.close_connection = True
