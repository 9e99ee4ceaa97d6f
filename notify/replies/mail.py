"""Inbound e-mail: whose it is, which of our mails it answers, and what it says without what it quotes."""

import hashlib
import re
from collections import deque
from collections.abc import Sequence
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import Message as Mail
from email.parser import BytesHeaderParser
from email.utils import parseaddr
from html import unescape

from notify.replies.inbound import Inbound

_ID = re.compile(r"<([^<>@\s]{1,200})@[^<>\s]{1,200}>")
_DELIVERY = re.compile(r"m\d{1,18}-\w{1,20}")
_THREAD = re.compile(r"case-(\d{1,18})")
_QUOTES = re.compile(
    r"^\W{0,3}(on|le|am|el)\b.{4,200}\b(wrote|a écrit|a ecrit|schrieb|escribió)\s*:?\W{0,3}$",
    re.IGNORECASE,
)
_QUOTED_BELOW = re.compile(
    r"^(-{2,}\s*(original message|message d.origine|message original|mail original|forwarded message"
    r"|message transféré).*|_{10,}|\*?(from|de|von)\s*:\s*.*@.*|\d{4}-\d\d-\d\d .*<\S+@\S+>\s*:|--\s?)$",
    re.IGNORECASE,
)
_HEADERS_BELOW = re.compile(
    r"^\*?(from|de|von)\s*:.*\n\*?(sent|date|envoyé|envoye|gesendet|to|à|subject|objet)\s*:",
    re.IGNORECASE,
)
_NOT_SAID = re.compile(
    r"^(>|sent from (my|yahoo|outlook|mail|gmail|samsung|proton)|envoyé (de|depuis|à partir) "
    r"|(get|obtenir|télécharger) outlook|provenance\s*:|\[cid:)",
    re.IGNORECASE,
)
_SUBJECT_BEGINS = re.compile(r"^((re|aw|sv|tr|fwd?|réf)\s*:\s*)+", re.IGNORECASE)
_MACHINES = ("mailer-daemon@", "postmaster@", "no-reply@", "noreply@")
_LONGEST, _LONGEST_PAGE = 20_000, 200_000
"""Of a page the styles come first."""
_MARKUP = re.compile(
    r"<(?P<ends>/?)(?P<tag>[a-z][a-z0-9]*)\b[^<>]*>|<!--.*?(-->|\Z)|<[!?][^<>]*>",
    re.IGNORECASE | re.DOTALL,
)
_HIDDEN = frozenset({"style", "script", "head", "title", "blockquote"})
_BREAKS = frozenset({"br", "p", "div", "tr", "li"})


def read_mail(data: bytes) -> Inbound:
    """Return a mail, as its bytes came, as an inbound message; whatever it is, that does not fail."""
    mail = parse_mail(data)
    address = parseaddr(_header(mail, "From"))[1].strip()
    own_id = _header(mail, "Message-ID").strip() or f"sha256:{hashlib.sha256(data).hexdigest()}"
    ids = _ID.findall(_header(mail, "In-Reply-To"))
    ids += reversed(_ID.findall(_header(mail, "References")))
    locals_ = list(dict.fromkeys(ids))
    keys = [one.partition(".")[0] for one in locals_]
    threads = [found[1] for one in locals_ if (found := _THREAD.fullmatch(one))]
    subject = _header(mail, "Subject").strip()
    # What answers a mail of ours has our words as its subject: they say nothing of what is meant.
    is_own_subject = not ids and not _SUBJECT_BEGINS.match(subject)
    text = strip_quotes(_text(mail)) or (subject if is_own_subject else "")
    return Inbound(
        provider_id=f"mail:{own_id[:300]}",
        channel="email",
        address=address,
        text=text.replace("\x00", ""),
        answers=tuple(key for key in keys if _DELIVERY.fullmatch(key)),
        thread=int(threads[0]) if threads else None,
        is_automatic=_is_automatic(mail, address),
        is_unproven="dmarc=fail" in _all(mail, "Authentication-Results").lower(),
    )


def parse_mail(data: bytes, kind: type[Mail] = Mail) -> Mail:
    """Return a mail; of one with parts within parts without end its headers alone."""
    try:
        mail = message_from_bytes(data, _class=kind)
        # To go through all parts goes as deep as to read them.
        deque(mail.walk(), 0)
    except RecursionError:
        return BytesHeaderParser(_class=kind).parsebytes(data)
    return mail


def strip_quotes(text: str) -> str:
    """Return what a mail says itself: without what it quotes, and without a signature."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:1_000]
    said: list[str] = []
    for index, line in enumerate(lines):
        if line.strip() and _begins_quote([one.strip() for one in lines[index : index + 3]]):
            break
        if not _NOT_SAID.match(line.strip()):
            said.append(line.strip())
    return "\n".join(said).strip()


def _begins_quote(lines: Sequence[str]) -> bool:
    """Return whether a quotation begins with the first of some lines; it may be said in up to three."""
    return (
        _QUOTED_BELOW.match(lines[0]) is not None
        or _HEADERS_BELOW.match("\n".join(lines)) is not None
        or any(_QUOTES.match(" ".join(lines[:count])) for count in (1, 2, 3))
    )


def _is_automatic(mail: Mail, address: str) -> bool:
    """Return whether a machine wrote it: an absence, a bounce, a list."""
    submitted = _header(mail, "Auto-Submitted").strip().lower()
    return (
        submitted not in {"", "no"}
        or _header(mail, "Precedence").strip().lower() in {"bulk", "junk", "list", "auto_reply"}
        or any(mail.get(name) is not None for name in ("X-Autoreply", "X-Autorespond", "List-Id"))
        or mail.get_content_type() == "multipart/report"
        or _header(mail, "Return-Path").strip() == "<>"
        or address.lower().startswith(_MACHINES)
    )


def _header(mail: Mail, name: str) -> str:
    """Return a header in plain text; one that cannot be decoded as it stands."""
    value = mail.get(name)
    return "" if value is None else _decoded(str(value))


def _all(mail: Mail, name: str) -> str:
    return " ".join(str(value) for value in mail.get_all(name) or ())


def _decoded(value: str) -> str:
    try:
        text = str(make_header(decode_header(value)))
    except (ValueError, LookupError, UnicodeError):
        text = value
    clean = text.encode("utf-8", "replace").decode("utf-8")
    return " ".join(clean.replace("\x00", "").split())


def _text(mail: Mail) -> str:
    """Return the plain text of a mail, else its HTML without tags."""
    parts = [part for part in mail.walk() if not part.is_multipart() and not part.get_filename()]
    for kind in ("text/plain", "text/html"):
        for part in parts:
            if part.get_content_type() == kind:
                if kind == "text/plain":
                    return _payload(part, _LONGEST)
                return _without_tags(_payload(part, _LONGEST_PAGE))
    return ""


def _payload(part: Mail, longest: int) -> str:
    data = part.get_payload(decode=True)
    if not isinstance(data, bytes):
        return ""
    try:
        return data[:longest].decode(part.get_content_charset() or "utf-8", "replace")
    except (LookupError, ValueError):
        return data[:longest].decode("utf-8", "replace")


def _without_tags(page: str) -> str:
    """Return what a page shows, up to what it quotes.

    Python's own reader takes minutes for a page that somebody made for that.
    """
    said: list[str] = []
    hidden: list[str] = []
    end = 0
    for found in _MARKUP.finditer(page):
        if not hidden:
            said.append(_shown(page[end : found.start()]))
        end = found.end()
        tag = (found["tag"] or "").lower()
        if found["ends"]:
            if hidden and hidden[-1] == tag:
                hidden.pop()
        elif tag == "body":
            # What stands before it may have no end of its own.
            hidden.clear()
        elif tag in _HIDDEN:
            hidden.append(tag)
        elif tag in _BREAKS:
            said.append("" if hidden else "\n")
    if not hidden:
        said.append(_shown(page[end:]))
    return re.sub(r"\n{3,}", "\n\n", "".join(said))[:_LONGEST]


def _shown(text: str) -> str:
    return re.sub(r"\s+", " ", unescape(text))
