"""Bounces: what mail servers report of our e-mails later (RFC 3464, RFC 6533), taken as receipts.

A report names the Message-ID of what it is about, which we can tell from one that somebody made up: a
part of it is a keyed digest. What is about no e-mail of ours is left alone. Some servers send nothing back
and name it as what they answer; older ones (Exim, qmail) write no report at all, but a text with a copy.
"""

import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from email import message_from_string
from email.message import Message as Mail

from sqlmodel import Session, select

from notify.delivery import take_receipt
from notify.letter import Letters
from notify.message import DELIVERED, UNDELIVERED, Delivery, Message
from notify.replies.mail import parse_mail
from notify.visible import one_line
from prevenant.errors import mask_addresses

_OURS = re.compile(r"<(m\d+-email)\.[0-9a-f]{24}@[^<>\s]+>")
_STATES = {"failed": UNDELIVERED, "delivered": DELIVERED}
"""What is delayed may still come, and what was relayed or expanded says nothing of an arrival."""
_QMAIL = "Hi. This is the "
"""How a failure begins that is written for people, and for machines by these very words."""
_CODE = re.compile(r"\b5\d\d[ -].*")
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_LONGEST_REASON = 200


_STATUS_PARTS = frozenset({"text/delivery-status", "text/global-delivery-status"})
_ORIGINALS = frozenset(
    {"text/rfc822", "text/global", "text/rfc822-headers", "text/global-headers"},
)
"""Of what type is what a report says, and what it sends back, as a `_Report` names them."""
_BLANK_LINE = re.compile(r"\r?\n[ \t]*\r?\n")


class _Report(Mail):
    """A mail whose parts are texts, also where Python would read an e-mail in them as it stands.

    Those with addresses that are not ASCII (RFC 6533) may be encoded, which Python does not expect.
    """

    def get_content_type(self) -> str:
        """Return the type, as a text where it is that of a message."""
        kind = super().get_content_type()
        return kind.replace("message/", "text/", 1) if kind.startswith("message/") else kind

    def get_content_maintype(self) -> str:
        """Return what kind of type it is."""
        return self.get_content_type().partition("/")[0]


@dataclass(frozen=True, slots=True)
class Bounce:
    """What a report says of one recipient of one e-mail."""

    message_id: str
    action: str
    """`failed`, `delayed`, `delivered`, `relayed` or `expanded`."""
    status: str = ""
    """The enhanced status, such as 5.1.1."""
    diagnostic: str = ""


def is_report(raw: bytes) -> bool:
    """Return whether an e-mail is a report on the delivery of another."""
    mail = parse_mail(raw, _Report)
    return _is_for_machines(mail) or _is_plain_failure(mail)


def read_bounces(raw: bytes) -> list[Bounce]:
    """Return what a report says; of anything else, and of what cannot be read, nothing."""
    mail = parse_mail(raw, _Report)
    if not _is_for_machines(mail):
        return _read_plain(mail) if _is_plain_failure(mail) else []
    original, recipients = "", list[Mail]()
    for part in _parts(mail):
        match part.get_content_type():
            case kind if kind in _STATUS_PARTS:
                blocks = map(message_from_string, _BLANK_LINE.split(_text_of(part)))
                recipients += [one for one in blocks if one["Action"]]
            case kind if kind in _ORIGINALS:
                original = original or _id_in(message_from_string(_text_of(part)))
    original = original or _id_in(mail, "In-Reply-To") or _id_in(mail, "References")
    return [_read_recipient(one, original) for one in recipients] if original else []


def take_bounces(session: Session, letters: Letters, raw: bytes, now: datetime) -> int:
    """Take what a report says of our e-mails as receipts; return of how many it said something."""
    taken = 0
    for bounce in read_bounces(raw):
        state = _STATES.get(bounce.action)
        key = _key_of(session, letters, bounce.message_id)
        if key is None:
            continue
        taken += 1
        if state is not None:
            reason = _reason(bounce) if state == UNDELIVERED else ""
            take_receipt(session, key, bounce.message_id, state, now, reason)
    return taken


def _key_of(session: Session, letters: Letters, message_id: str) -> str | None:
    """Return the key of the delivery that has a Message-ID, or None where it is none of ours."""
    match = _OURS.fullmatch(message_id)
    if match is None or not letters.is_keyed:
        return None
    query = select(Message.key).join(Delivery).where(Delivery.key == match[1])
    message_key = session.exec(query).first()
    if message_key is None:
        return None
    expected = letters.identify(match[1], message_key)
    is_ours = hmac.compare_digest(expected.encode(), message_id.encode())
    return match[1] if is_ours else None


def _reason(bounce: Bounce) -> str:
    said = f" {bounce.status}" if bounce.status else ""
    because = f": {bounce.diagnostic}" if bounce.diagnostic else ""
    return mask_addresses(f"the recipient's mail server reports a failure{said}{because}")


def _is_for_machines(mail: Mail) -> bool:
    if mail.get_content_type() != "multipart/report":
        return False
    kind = str(mail.get_param("report-type", "")).lower()
    return kind == "delivery-status" or any(
        part.get_content_type() in _STATUS_PARTS for part in _parts(mail)
    )


def _is_plain_failure(mail: Mail) -> bool:
    if mail.is_multipart():
        return False
    return mail.get("X-Failed-Recipients") is not None or _text_of(mail).startswith(_QMAIL)


def _read_plain(mail: Mail) -> list[Bounce]:
    """Return the failure that a text for people tells of, with a copy of an e-mail of ours."""
    text = _text_of(mail)
    original, code = _OURS.search(text), _CODE.search(text)
    if original is None:
        return []
    said = code[0] if code and code.start() < original.start() else ""
    status = _STATUS.search(said)
    return [
        Bounce(original[0], "failed", status[0] if status else "", one_line(said, _LONGEST_REASON))
    ]


def _text_of(part: Mail) -> str:
    content = part.get_payload(decode=True)
    return content.decode(errors="replace") if isinstance(content, bytes) else ""


def _parts(mail: Mail) -> Iterator[Mail]:
    """Yield the parts of a report, without going into the e-mail that it sends back."""
    payload = mail.get_payload()
    for part in payload if isinstance(payload, list) else ():
        if isinstance(part, Mail):
            yield part


def _id_in(mail: Mail, header: str = "Message-ID") -> str:
    """Return the last identity in a header: of several the nearest one."""
    found = re.findall(r"<[^<>\s]{1,200}>", str(mail.get(header, "")))
    return str(found[-1]) if found else ""


def _read_recipient(block: Mail, message_id: str) -> Bounce:
    status = _STATUS.search(str(block.get("Status", "")))
    # Its type comes first, as in `smtp; 550 …`; what follows may have semicolons of its own.
    kind, parted, words = str(block.get("Diagnostic-Code", "")).partition(";")
    diagnostic = (words if parted else kind).strip()
    return Bounce(
        message_id,
        next(iter(str(block["Action"]).lower().split()), ""),
        status[0] if status else "",
        one_line(diagnostic, _LONGEST_REASON),
    )
