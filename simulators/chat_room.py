"""A chat that takes JSON by webhook, as many do; Apprise writes to it as `json://host:port/room`."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class ChatRoom:
    """A chat on a port of 127.0.0.1."""

    def __init__(self) -> None:
        self.said: list[str] = []
        """What was taken, oldest first."""
        self.kinds: list[str] = []
        """How urgent each was said to be."""
        self._refusals: list[int] = []
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"room": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )

    @property
    def address(self) -> str:
        """The Apprise URL of the room."""
        return f"json://127.0.0.1:{self._server.server_address[1]}/room-secret"

    def start(self) -> "ChatRoom":
        """Begin to answer."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close the chat."""
        self._server.shutdown()
        self._server.server_close()

    def refuse(self, status: int, times: int = 1) -> None:
        """Answer the next `times` posts with a status; 0 takes one and breaks off."""
        with self._lock:
            self._refusals += [status] * times

    def take(self, post: dict[str, Any]) -> int | None:
        """Take a post; return how it is refused, if it is."""
        with self._lock:
            refusal = self._refusals.pop(0) if self._refusals else None
            if not refusal:
                self.said.append(post["message"])
                self.kinds.append(post["type"])
            return refusal


class _Handler(BaseHTTPRequestHandler):
    room: ChatRoom

    def do_POST(self) -> None:
        post = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        refusal = self.room.take(post)
        if refusal == 0:
            self.close_connection = True
            return
        self.send_response(refusal or 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's name
        """Say nothing: addresses do not belong in a log."""
