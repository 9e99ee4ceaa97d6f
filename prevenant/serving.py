"""An address that a process takes, and an application that answers there."""

import socket

import uvicorn
from fastapi import FastAPI

from prevenant.errors import SettingsError


class Server:
    """Serves an application behind an address that was bound already."""

    def __init__(self, app: FastAPI, listener: socket.socket) -> None:
        self._listener = listener
        self.address = _address_of(listener)
        config = uvicorn.Config(
            app, log_config=None, access_log=False, timeout_graceful_shutdown=1, lifespan="off"
        )
        self._server = uvicorn.Server(config)

    @property
    def started(self) -> bool:
        """Whether requests are answered."""
        return self._server.started

    def run(self) -> None:
        """Serve until `stop`."""
        self._server.run(sockets=[self._listener])

    def stop(self) -> None:
        """End `run`."""
        self._server.should_exit = True


def bind(address: str, setting: str) -> socket.socket:
    """Take the HOST:PORT that a setting names. Raises SettingsError where it cannot be had."""
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # By the protocol's number asyncio knows that what it accepts is TCP, and sends without delay: head and
    # body of an answer are two writes, of which the second would wait 40 ms for an acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host.strip("[]"), int(port)))
        # Two that have bound the same port and do not listen yet would both believe that they have it.
        listener.listen()
    except OSError as error:
        listener.close()
        message = (
            f"cannot listen on {address}: {error.strerror}; "
            f"stop what uses it, or set {setting} to another address"
        )
        raise SettingsError(message) from None
    return listener


def _address_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
