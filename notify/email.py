"""E-mail by SMTP, over a connection that is kept for the next one."""

import smtplib
import socket
import ssl
import threading
from email.message import EmailMessage
from email.utils import formataddr, formatdate
from urllib.parse import unquote, urlsplit

from notify.message import Delivery, Message
from prevenant.errors import Refused, Throttled, Uncertain
from prevenant.settings import Settings

TIMEOUT_S = 20.0
_PORTS = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}
_PERMANENT = 500


class Email:
    """E-mail. Each of the sending threads keeps a connection of its own."""

    confirms = False

    def __init__(self, settings: Settings) -> None:
        parts = urlsplit(settings.smtp_url.get_secret_value())
        self._scheme = parts.scheme
        self._host = parts.hostname or ""
        self._port = parts.port or _PORTS[parts.scheme]
        self._user = unquote(parts.username or "")
        self._password = unquote(parts.password or "")
        self._sender = settings.email_from
        self._domain = settings.email_from.rpartition("@")[2].strip("> ") or "localhost"
        self._local = threading.local()
        self._connections: list[smtplib.SMTP] = []

    def send(self, delivery: Delivery, message: Message) -> str:
        """Hand one e-mail to the server; return its Message-ID."""
        mail = self._compose(delivery, message)
        connection = self._connection()
        try:
            connection.send_message(mail)
        except smtplib.SMTPRecipientsRefused as error:
            code, text = next(iter(error.recipients.values()))
            raise _refusal(code, text) from None
        except smtplib.SMTPResponseException as error:
            raise _refusal(error.smtp_code, error.smtp_error) from None
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

    def _compose(self, delivery: Delivery, message: Message) -> EmailMessage:
        words = message.texts[delivery.channel]
        mail = EmailMessage()
        mail["From"] = self._sender
        mail["To"] = formataddr((message.name, delivery.address))
        mail["Subject"] = words["subject"]
        mail["Date"] = formatdate()
        mail["Message-ID"] = f"<{delivery.key}.{message.key}@{self._domain}>"
        if message.case_id is not None:
            thread = f"<case-{message.case_id}@{self._domain}>"
            mail["References"] = thread
        mail.set_content(words["text"])
        mail.add_alternative(words["html"], subtype="html")
        mail["Content-Language"] = message.language
        return mail

    def _connection(self) -> smtplib.SMTP:
        """Return the thread's connection; a new one where the old one has gone."""
        connection: smtplib.SMTP | None = getattr(self._local, "connection", None)
        if connection is not None:
            try:
                if connection.noop()[0] == 250:  # noqa: PLR2004  SMTP's "fine"
                    return connection
            except (smtplib.SMTPException, OSError):
                pass
            self._forget(connection)
        try:
            connection = self._connect()
        except smtplib.SMTPAuthenticationError:
            message = "the mail server refuses the credentials: check PREVENANT_SMTP_URL"
            raise Throttled(message, retry_after_s=30.0) from None
        except (smtplib.SMTPException, OSError, socket.gaierror) as error:
            message = f"the mail server cannot be reached: {type(error).__name__}"
            raise Throttled(message) from None
        self._local.connection = connection
        self._connections.append(connection)
        return connection

    def _forget(self, connection: smtplib.SMTP) -> None:
        connection.close()
        self._connections.remove(connection)
        self._local.connection = None

    def _connect(self) -> smtplib.SMTP:
        context = ssl.create_default_context()
        if self._scheme == "smtps":
            connection: smtplib.SMTP = smtplib.SMTP_SSL(
                self._host, self._port, timeout=TIMEOUT_S, context=context
            )
        else:
            connection = smtplib.SMTP(self._host, self._port, timeout=TIMEOUT_S)
        if self._scheme == "smtp+starttls":
            connection.starttls(context=context)
        if self._user:
            connection.login(self._user, self._password)
        return connection


def _refusal(code: int, text: bytes | str) -> Refused | Throttled:
    words = text.decode(errors="replace") if isinstance(text, bytes) else text
    reason = f"the mail server answers {code}: {' '.join(words.split())}"
    return Refused(reason, str(code)) if code >= _PERMANENT else Throttled(reason, str(code))
