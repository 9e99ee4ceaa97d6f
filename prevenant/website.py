"""Where API, webhooks and console are served: the address of a process, and what answers there."""

import socket
from collections.abc import Callable, Sequence

import uvicorn
from fastapi import FastAPI

from notify import Templates
from prevenant.api.access import ensure_admin_token
from prevenant.api.server import Services, make_api
from prevenant.clock import Clock
from prevenant.console.pages import add_console
from prevenant.errors import SettingsError
from prevenant.settings import Settings
from prevenant.store import Store


class Website:
    """API, webhooks and console of one process, behind a port that it has bound already."""

    def __init__(
        self,
        settings: Settings,
        listener: socket.socket,
        store: Store,
        clock: Clock,
        templates: Templates,
    ) -> None:
        """Prepare. A token that is made is shown once, so nothing that may be wrong comes after this."""
        self.settings = settings
        self._listener = listener
        self.address = _address_of(listener)
        self._app = make_api(Services(settings, store, clock, templates))
        self.tell_of(list, lambda: None)
        add_console(self._app)
        self._server = _make_server(self._app)
        self.new_admin_token = ensure_admin_token(
            store, settings.admin_token.get_secret_value(), clock.now()
        )

    @property
    def started(self) -> bool:
        """Whether requests are answered."""
        return self._server.started

    def tell_of(
        self, missing_brokers: Callable[[], Sequence[str]], count_lost: Callable[[], int | None]
    ) -> None:
        """Let `/readyz` say which brokers are missing, and how much the self-audit has found."""
        self._app.state.missing_brokers = missing_brokers
        self._app.state.count_lost = count_lost

    def change_book(self, templates: Templates) -> None:
        """Let answers go by the texts of a book that takes over."""
        self._app.state.templates = templates

    def run(self) -> None:
        """Serve until `stop`."""
        self._server.run(sockets=[self._listener])

    def stop(self) -> None:
        """End `run`, and every open stream."""
        self._server.should_exit = True
        self._app.state.live.close()


def bind(settings: Settings) -> socket.socket:
    """Take the port of the settings. Raises SettingsError where another has it."""
    family = socket.AF_INET6 if ":" in settings.http_host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.http_host.strip("[]"), settings.http_port))
        # Two that have bound the same port and do not listen yet would both believe that they have it.
        listener.listen()
    except OSError as error:
        listener.close()
        message = (
            f"cannot listen on {settings.http}: {error.strerror}; "
            "stop what uses it, or set PREVENANT_HTTP to another address"
        )
        raise SettingsError(message) from None
    return listener


def _make_server(app: FastAPI) -> uvicorn.Server:
    config = uvicorn.Config(
        app, log_config=None, access_log=False, timeout_graceful_shutdown=1, lifespan="off"
    )
    return uvicorn.Server(config)


def _address_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
