"""A conversation: what was said to somebody and by somebody about a case, on whatever channel."""

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from notify.message import Message
from notify.replies.inbound import Reply

_LATEST = 6


@dataclass(frozen=True, slots=True)
class Said:
    """Something that one side of a conversation said."""

    at: datetime
    who: str
    """The contact's name; empty for what Prevenant said."""
    text: str


def find_conversation(session: Session, case_id: int, contact_id: str) -> list[Said]:
    """Return the last of what was said to a contact and by a contact about a case, oldest first."""
    about = (Message.case_id == case_id, Message.contact_id == contact_id)
    messages = session.exec(
        select(Message).where(*about).order_by(col(Message.id).desc()).limit(_LATEST)
    ).all()
    replies = session.exec(
        select(Reply)
        .where(Reply.case_id == case_id, Reply.contact_id == contact_id)
        .order_by(col(Reply.id).desc())
        .limit(_LATEST)
    ).all()
    name = messages[0].name if messages else ""
    said = [Said(one.created_at, "", _text_of(one)) for one in messages if one.texts]
    said += [Said(one.received_at, name, one.text) for one in replies]
    return sorted(said, key=lambda one: one.at)[-_LATEST:]


def _text_of(message: Message) -> str:
    """Return the shortest of a message's texts: all say the same."""
    texts = [one if isinstance(one, str) else str(one["text"]) for one in message.texts.values()]
    return min(texts, key=len)
