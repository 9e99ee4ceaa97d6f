"""Invitations: a visit as it stands in the calendar of whoever is told of it by e-mail (RFC 5545, 5546).

The first e-mail of a visit invites, a later one moves it under the same UID with a higher SEQUENCE, and
one that cancels takes it out. A visit after a cancelled one is another, with a UID of its own. What is
counted is what goes by e-mail: whoever was told by SMS alone has no entry that could be moved.
"""

from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from typing import Any

from icalendar import Calendar, Event, vCalAddress
from sqlmodel import Session, col, select

from notify.message import Message
from notify.templating import CANCEL, INVITE

EMAIL = "email"
_PRODUCT = "-//Prevenant//Visits//EN"
_VISIT = ("visit_start", "visit_end", "visit_place")


def number_visit(session: Session, message: Message) -> None:
    """Give a message that goes by e-mail now its place among the invitations before it."""
    words = message.texts.get(EMAIL)
    if not isinstance(words, dict) or "calendar" not in words or "entry" in words:
        return
    before = _last_entry(session, message.case_id, message.contact_id)
    is_there = before is not None and before["calendar"] == INVITE
    is_outdated = before is not None and before["entry"]["message"] > (message.id or 0)
    words = dict(words)
    if is_outdated or (words["calendar"] == CANCEL and not is_there):
        # What was said later stands in the calendar already, or there is nothing to be taken out.
        del words["calendar"]
    else:
        entry = {"number": 1, "sequence": 0, "message": message.id}
        if before is not None:
            number, sequence = before["entry"]["number"], before["entry"]["sequence"]
            entry["number"] = number if is_there else number + 1
            entry["sequence"] = sequence + 1 if is_there else 0
            if words["calendar"] == CANCEL:
                words |= {name: before[name] for name in _VISIT}
        words["entry"] = entry
    message.texts = {**message.texts, EMAIL: words}
    session.add(message)


def is_invited(session: Session, case_id: int, contact_id: str) -> bool:
    """Return whether a visit of a case stands in the calendar of a contact, and is to stay there."""
    mails = list(_mails(session, case_id, contact_id))
    return bool(mails) and mails[0]["calendar"] == INVITE and any("entry" in one for one in mails)


def _last_entry(session: Session, case_id: int | None, contact_id: str) -> dict[str, Any] | None:
    """Return the e-mail that last changed the calendar of a contact for a case, or None."""
    return next((one for one in _mails(session, case_id, contact_id) if "entry" in one), None)


def _mails(session: Session, case_id: int | None, contact_id: str) -> Iterator[dict[str, Any]]:
    """Yield what was to change the calendar of a contact for a case, the newest first."""
    query = (
        select(Message.texts)
        .where(Message.case_id == case_id, Message.contact_id == contact_id)
        .order_by(col(Message.id).desc())
    )
    for texts in session.exec(query):
        words = texts.get(EMAIL) if isinstance(texts, dict) else None
        if isinstance(words, dict) and "calendar" in words:
            yield words


def write_calendar(message: Message, sender: str, address: str, domain: str) -> tuple[str, str]:
    """Return the method and the text of a numbered invitation, from `sender` to `address`."""
    words = message.texts[EMAIL]
    entry = words["entry"]
    is_over = words["calendar"] == CANCEL
    whose = sha256(message.contact_id.encode()).hexdigest()[:16]
    attendee = vCalAddress(f"mailto:{address}")
    attendee.params["ROLE"] = "REQ-PARTICIPANT"
    attendee.params["PARTSTAT"] = "NEEDS-ACTION"
    attendee.params["RSVP"] = "FALSE"
    event = Event()
    event.add("uid", f"visit-{message.case_id}-{entry['number']}-{whose}@{domain}")
    event.add("sequence", entry["sequence"])
    event.add("dtstamp", message.created_at)
    event.add("dtstart", datetime.fromisoformat(words["visit_start"]))
    event.add("dtend", datetime.fromisoformat(words["visit_end"]))
    event.add("summary", words["subject"])
    if words["visit_place"]:
        event.add("location", words["visit_place"])
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
