"""Invitations: a visit as it stands in the calendar of whoever is told of it by e-mail (RFC 5545, 5546).

The first e-mail of a visit invites, a later one moves it under the same UID with a higher SEQUENCE, and
one that cancels takes it out. A visit after a cancelled one is another, with a UID of its own. What is
counted is what goes by e-mail: whoever was told by SMS alone has no entry that could be moved.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from icalendar import Calendar, Event, vCalAddress
from sqlmodel import Session, col, select

from notify.message import Delivery, Message
from notify.templating import CANCEL, INVITE

EMAIL = "email"
_PRODUCT = "-//Prevenant//Visits//EN"
_VISIT = ("visit_start", "visit_end", "visit_place")


def number_visit(session: Session, message: Message) -> dict[str, Any] | None:
    """Return the entry of a calendar that a message changes by e-mail, numbered after those before it.

    None where it changes nothing: what was said later stands in the calendar already, or there is
    nothing to be taken out.
    """
    words = _words_of(message.texts)
    if "calendar" not in words:
        return None
    before = next(
        (one for _, one in _entries(session, message.case_id, message.contact_id) if one), None
    )
    is_there = before is not None and before["calendar"] == INVITE
    is_outdated = before is not None and before["message"] > (message.id or 0)
    if is_outdated or (words["calendar"] == CANCEL and not is_there):
        return None
    entry = {"message": message.id, "calendar": words["calendar"], "number": 1, "sequence": 0}
    entry |= {name: words.get(name, "") for name in _VISIT}
    if before is not None:
        entry["number"] = before["number"] if is_there else before["number"] + 1
        entry["sequence"] = before["sequence"] + 1 if is_there else 0
        if words["calendar"] == CANCEL:
            entry |= {name: before[name] for name in _VISIT}
    return entry


def is_invited(session: Session, case_id: int, contact_id: str) -> bool:
    """Return whether a visit of a case stands in the calendar of a contact, and is to stay there."""
    said = list(_entries(session, case_id, contact_id))
    return bool(said) and said[0][0] == INVITE and any(entry for _, entry in said)


def _entries(
    session: Session, case_id: int | None, contact_id: str
) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Yield what e-mails were to do to a contact's calendar, and what they did; the newest first."""
    query = (
        select(Message.texts, Delivery.letter)
        .where(
            Delivery.message_id == Message.id,
            Delivery.channel == EMAIL,
            Message.case_id == case_id,
            Message.contact_id == contact_id,
        )
        .order_by(col(Message.id).desc())
    )
    for texts, letter in session.exec(query):
        words = _words_of(texts)
        if "calendar" in words:
            yield words["calendar"], letter.get("entry")


def _words_of(texts: Any) -> dict[str, str]:
    """Return the words of an e-mail; nothing where there is none, or where they were erased."""
    words = texts.get(EMAIL) if isinstance(texts, dict) else None
    return words if isinstance(words, dict) else {}


def write_calendar(
    delivery: Delivery, message: Message, sender: str, domain: str
) -> tuple[str, str]:
    """Return the method and the text of what an e-mail from `sender` does to a calendar."""
    words, entry = message.texts[EMAIL], delivery.letter["entry"]
    is_over = entry["calendar"] == CANCEL
    whose = sha256(message.contact_id.encode()).hexdigest()[:16]
    attendee = vCalAddress(f"mailto:{delivery.address}")
    attendee.params["ROLE"] = "REQ-PARTICIPANT"
    attendee.params["PARTSTAT"] = "NEEDS-ACTION"
    attendee.params["RSVP"] = "FALSE"
    event = Event()
    event.add("uid", f"visit-{message.case_id}-{entry['number']}-{whose}@{domain}")
    event.add("sequence", entry["sequence"])
    event.add("dtstamp", message.created_at)
    event.add("dtstart", _moment(entry["visit_start"]))
    event.add("dtend", _moment(entry["visit_end"]))
    event.add("summary", words["subject"])
    if entry["visit_place"]:
        event.add("location", entry["visit_place"])
    event.add("description", words["text"])
    event.add("organizer", vCalAddress(f"mailto:{sender}"))
    event.add("attendee", attendee)
    event.add("status", "CANCELLED" if is_over else "CONFIRMED")
    event.add("transp", "OPAQUE")
    method = "CANCEL" if is_over else "REQUEST"
    calendar = Calendar()
    calendar.add("prodid", _PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("method", method)
    calendar.add_component(event)
    return method, calendar.to_ical().decode()


def _moment(text: str) -> datetime:
    """Return a time as calendars have to be given it: an offset alone would be lost."""
    return datetime.fromisoformat(text).astimezone(UTC)
