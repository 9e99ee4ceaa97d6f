"""A mail server that keeps what it gets: SMTP with STARTTLS and AUTH, on a port of 127.0.0.1."""

import ssl
import threading
import time
from collections.abc import Callable
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from simulators.broker import free_port

_READY_WITHIN_S = 60.0


class Mailbox:
    """All mail that was accepted, oldest first."""

    def __init__(
        self,
        tls: ssl.SSLContext | None = None,
        login: tuple[str, str] | None = None,
        port: int = 0,
    ) -> None:
        self.mails: list[EmailMessage] = []
        self.refusals: list[str] = []
        """Answers such as `451 try later`, each for one mail; an empty one takes it and breaks off."""
        self._changed = threading.Condition()
        self._login = login
        self._controller = Controller(
            self,
            hostname="127.0.0.1",
            port=port or free_port(),
            tls_context=tls,
            require_starttls=tls is not None,
            auth_required=login is not None,
            auth_require_tls=tls is not None,
            authenticator=self._authenticate if login else None,
            ready_timeout=_READY_WITHIN_S,
        )

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._controller.port)

    def start(self) -> "Mailbox":
        """Begin to answer."""
        self._controller.start()
        return self

    def stop(self) -> None:
        """Close the server, once."""
        if not self._controller.loop.is_closed():
            self._controller.stop(no_assert=True)

    def mails_to(self, address: str) -> list[EmailMessage]:
        """Return what was accepted for an address, oldest first."""
        with self._changed:
            return [mail for mail in self.mails if address in str(mail["To"])]

    def wait_for(self, found: Callable[[], Any], timeout_s: float) -> Any:
        """Wait until `found` returns something true, and return that; else its last answer."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not (result := found()) and (rest := deadline - time.monotonic()) > 0:
                self._changed.wait(min(rest, 0.2))
        return result

    async def handle_DATA(  # noqa: N802  aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Keep one mail."""
        del session
        refusal = self.refusals.pop(0) if self.refusals else None
        if refusal:
            return refusal
        content = envelope.original_content or b""
        mail = message_from_bytes(content, EmailMessage, policy=default)
        with self._changed:
            self.mails.append(mail)
            self._changed.notify_all()
        if refusal is not None and server.transport is not None:
            server.transport.close()
        return "250 kept"

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        del server, session, envelope, mechanism
        given = (
            (data.login.decode(), data.password.decode()) if isinstance(data, LoginPassword) else ()
        )
        return AuthResult(success=given == self._login)
