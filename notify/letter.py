"""An e-mail as it is written: its parts, its thread, what it does to a calendar, how to end such mail."""

import hmac
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import formatdate, parseaddr
from hashlib import sha256
from html import escape
from typing import Any

from sqlmodel import Session, col, select

from notify.invitation import EMAIL, number_visit, write_calendar
from notify.message import FAILED, SUPPRESSED, Delivery, Message
from notify.visible import one_line

_LONGEST_NAME = 100
_LONGEST_THREAD = 20
_LISTS = frozenset({"List-Unsubscribe", "In-Reply-To", "References"})
_STOP_WORDS = {
    "en": "No more e-mails from us:",
    "fr": "Ne plus recevoir d'e-mails de notre part :",
}


class _Wire(EmailPolicy):
    """How an e-mail is sent: lists of addresses and identities as they are, one a line.

    A long one would else be encoded as words are, and no mail program would know it.
    """

    def fold(self, name: str, value: str) -> str:
        """Return a header as it is sent."""
        if name not in _LISTS or not value.isascii():
            return str(super().fold(name, value))
        return f"{name}: {f'{self.linesep} '.join(value.split())}{self.linesep}"

    def fold_binary(self, name: str, value: str) -> bytes:
        """Return a header as it is sent, in bytes."""
        is_list = name in _LISTS and value.isascii()
        return self.fold(name, value).encode() if is_list else super().fold_binary(name, value)


_WIRE = _Wire()


class Letters:
    """Writes e-mails from one sender."""

    def __init__(self, sender: str, secret: str) -> None:
        self._sender = sender
        self._address = parseaddr(sender)[1] or sender
        self._secret = secret
        self.domain = self._address.rpartition("@")[2].strip() or "localhost"

    @property
    def is_keyed(self) -> bool:
        """Whether nobody else can make a Message-ID of ours."""
        return bool(self._secret)

    def identify(self, delivery_key: str, message_key: str) -> str:
        """Return the Message-ID of a delivery: the same at every attempt, and guessed by nobody."""
        word = hmac.new(
            self._secret.encode(), f"{delivery_key} {message_key}".encode(), sha256
        ).hexdigest()
        return f"<{delivery_key}.{word[:24]}@{self.domain}>"

    def write(self, delivery: Delivery, message: Message, stop_url: str = "") -> EmailMessage:
        """Write one e-mail. Raises ValueError where its address cannot stand in one."""
        words = message.texts[delivery.channel]
        mail = EmailMessage(policy=_WIRE)
        mail["From"] = self._sender
        local, _, domain = _ascii(delivery.address).rpartition("@")
        # A name that is joined to its address as text is not encoded where one of its words is already.
        mail["To"] = Address(one_line(message.name, _LONGEST_NAME), local, domain)
        mail["Subject"] = words["subject"]
        mail["Date"] = formatdate()
        mail["Message-ID"] = self.identify(delivery.key, message.key)
        self._thread(mail, delivery, message)
        # Machines that answer by themselves, as for somebody on holiday, are not to answer.
        mail["Auto-Submitted"] = "auto-generated"
        stop_words = _STOP_WORDS.get(message.language, _STOP_WORDS["en"])
        text, html = words["text"], words["html"]
        if stop_url:
            mail["List-Unsubscribe"] = f"<{stop_url}>"
            if stop_url.startswith("https://"):
                mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
            text = f"{text}\n\n-- \n{stop_words} {stop_url}"
            html = _with_stop_link(html, stop_words, stop_url)
        mail.set_content(text)
        mail.add_alternative(html, subtype="html")
        if "entry" in delivery.letter:
            method, calendar = write_calendar(delivery, message, self._address, self.domain)
            mail.add_alternative(calendar, subtype="calendar", params={"method": method})
        mail["Content-Language"] = message.language
        return mail

    def _thread(self, mail: EmailMessage, delivery: Delivery, message: Message) -> None:
        if message.case_id is None:
            return
        before = delivery.letter.get("follows", [])
        root = f"<case-{message.case_id}@{self.domain}>"
        mail["References"] = " ".join([root, *before])
        if before:
            mail["In-Reply-To"] = before[-1]


def prepare_mail(session: Session, delivery: Delivery, message: Message) -> None:
    """Give an e-mail that is to be sent now its place in the thread, and in calendars; once."""
    if message.case_id is None or delivery.letter:
        return
    letter: dict[str, Any] = {}
    entry = number_visit(session, message)
    if entry is not None:
        letter["entry"] = entry
    earlier = (
        select(Delivery.provider_id)
        .join(Message)
        .where(
            Message.case_id == message.case_id,
            Message.contact_id == message.contact_id,
            Delivery.channel == EMAIL,
            col(Delivery.state).not_in([FAILED, SUPPRESSED]),
            col(Delivery.provider_id).is_not(None),
        )
        .order_by(col(Delivery.id).desc())
        .limit(_LONGEST_THREAD)
    )
    follows = [one for one in session.exec(earlier) if one][::-1]
    if follows:
        letter["follows"] = follows
    delivery.letter = letter
    session.add(delivery)


def _ascii(address: str) -> str:
    """Return an address. Raises ValueError where it has letters that few mail servers take."""
    if not address.isascii():
        raise ValueError(address)
    return address


def _with_stop_link(html: str, words: str, url: str) -> str:
    """Return a page with a link at its end."""
    style = "font-size:.8rem;text-align:center;color:#5b6675"
    link = f'<p style="{style}">{escape(words)} <a href="{escape(url)}">{escape(url)}</a></p>'
    body, end, rest = html.rpartition("</body>")
    return f"{body}{link}\n{end}{rest}" if end else f"{html}{link}"
