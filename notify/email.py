"""E-mail by SMTP, over a connection that is kept for the next one."""

import smtplib
import socket
import ssl
import threading
from email.message import EmailMessage
from typing import Any
from urllib.parse import unquote, urlsplit

from notify.letter import Letters
from notify.message import Delivery, Message
from notify.unsubscribing import StopLinks
from prevenant.clock import steady_seconds
from prevenant.errors import Refused, StoreUnavailable, Throttled, Uncertain
from prevenant.settings import Settings

TIMEOUT_S = 20.0
_PORTS = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}
_PERMANENT = 500
_ATTEMPT_S, _LEAST_S = 40.0, 0.05
"""How long one attempt takes at most: no other process may take the e-mail up meanwhile."""


class _Bounded(smtplib.SMTP):
    """A connection whose attempt ends in time, however many commands it takes."""

    def __init__(self, host: str, port: int, ends_at: float, **options: Any) -> None:
        self.ends_at = ends_at
        super().__init__(host, port, timeout=TIMEOUT_S, **options)

    def send(self, s: Any) -> None:
        """Send, as long as there is time."""
        self._hurry()
        super().send(s)

    def getreply(self) -> tuple[int, bytes]:
        """Wait for the server's answer, as long as there is time."""
        self._hurry()
        return super().getreply()

    def _hurry(self) -> None:
        left_s = self.ends_at - steady_seconds()
        if self.sock is not None:
            self.sock.settimeout(max(_LEAST_S, min(TIMEOUT_S, left_s)))


class _BoundedTls(_Bounded, smtplib.SMTP_SSL):
    """The same, encrypted from the start."""


class Email:
    """E-mail. Each of the sending threads keeps a connection of its own."""

    confirms = False

    def __init__(self, settings: Settings, stop_links: StopLinks | None = None) -> None:
        """Prepare. With `stop_links`, customers can end such mail by a link in it."""
        parts = urlsplit(settings.smtp_url.get_secret_value())
        self._scheme = parts.scheme
        self._host = parts.hostname or ""
        self._port = parts.port or _PORTS[parts.scheme]
        self._user = unquote(parts.username or "")
        self._password = unquote(parts.password or "")
        # To read the authorities that are trusted takes as long as many e-mails.
        self._tls = ssl.create_default_context() if self._scheme != "smtp" else None
        self._letters = letters_of(settings)
        self._stop_links = stop_links
        self._local = threading.local()
        self._connections: list[_Bounded] = []

    def send(self, delivery: Delivery, message: Message) -> str:
        """Hand one e-mail to the server; return its Message-ID."""
        mail = self._write(delivery, message)
        connection = self._connection()
        try:
            connection.send_message(mail)
        except smtplib.SMTPRecipientsRefused as error:
            code, text = next(iter(error.recipients.values()))
            raise _refusal(code, text) from None
        except smtplib.SMTPResponseException as error:
            raise _refusal(error.smtp_code, error.smtp_error) from None
        except (smtplib.SMTPNotSupportedError, UnicodeError):
            reason = "the mail server takes no address beyond ASCII"
            raise Refused(reason) from None
        except (smtplib.SMTPException, OSError) as error:
            self._forget(connection)
            reason = f"the connection to the mail server broke: {type(error).__name__}"
            raise Uncertain(reason) from None
        return str(mail["Message-ID"])

    def find(self, delivery: Delivery, message: Message, known: frozenset[str]) -> str | None:
        """Return None: SMTP has no list. The Message-ID lets the receiver drop a second copy."""
        del delivery, message, known
        return None

    def close(self) -> None:
        """Close every thread's connection."""
        for connection in self._connections:
            connection.close()

    def _write(self, delivery: Delivery, message: Message) -> EmailMessage:
        try:
            stop_url = self._stop_links.url_for(delivery, message) if self._stop_links else ""
            return self._letters.write(delivery, message, stop_url)
        except StoreUnavailable:
            reason = "the store does not answer, and the e-mail needs a link of its own"
            raise Throttled(reason) from None
        except ValueError:
            reason = "no e-mail can be written to this address: correct it in the CRM"
            raise Refused(reason) from None

    def _connection(self) -> _Bounded:
        """Return the thread's connection; a new one where the old one has gone."""
        ends_at = steady_seconds() + _ATTEMPT_S
        connection: _Bounded | None = getattr(self._local, "connection", None)
        if connection is not None:
            connection.ends_at = ends_at
            try:
                if connection.noop()[0] == 250:  # noqa: PLR2004  SMTP's "fine"
                    return connection
            except (smtplib.SMTPException, OSError):
                pass
            self._forget(connection)
        try:
            connection = self._connect(ends_at)
        except smtplib.SMTPAuthenticationError:
            message = "the mail server refuses the credentials: check PREVENANT_SMTP_URL"
            raise Throttled(message, retry_after_s=30.0) from None
        except (smtplib.SMTPException, OSError, socket.gaierror) as error:
            message = f"the mail server cannot be reached: {type(error).__name__}"
            raise Throttled(message) from None
        self._local.connection = connection
        self._connections.append(connection)
        return connection

    def _forget(self, connection: _Bounded) -> None:
        connection.close()
        self._connections.remove(connection)
        self._local.connection = None

    def _connect(self, ends_at: float) -> _Bounded:
        if self._scheme == "smtps":
            connection: _Bounded = _BoundedTls(self._host, self._port, ends_at, context=self._tls)
        else:
            connection = _Bounded(self._host, self._port, ends_at)
        if self._scheme == "smtp+starttls":
            connection.starttls(context=self._tls)
        if self._user:
            connection.login(self._user, self._password)
        return connection


def letters_of(settings: Settings) -> Letters:
    """Return who writes our e-mails, and knows again what is reported of them."""
    return Letters(settings.email_from, settings.webhook_secret.get_secret_value())


def _refusal(code: int, text: bytes | str) -> Refused | Throttled:
    words = text.decode(errors="replace") if isinstance(text, bytes) else text
    reason = f"the mail server answers {code}: {' '.join(words.split())}"
    return Refused(reason, str(code)) if code >= _PERMANENT else Throttled(reason, str(code))
