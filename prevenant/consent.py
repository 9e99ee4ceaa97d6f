"""Consent: what people have said about being told on a channel, with the proof; the newest word counts.

The history is only added to. Where a contact has said nothing, nothing stands against a message but the
opt-outs that replies have brought.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from sqlalchemy import Index, bindparam
from sqlmodel import Field, Session, col, select

from prevenant.rows import TableRow
from prevenant.tables import utc_column

GRANTED, WITHDRAWN = "granted", "withdrawn"
EVERY_CHANNEL = "any"


class Consent(TableRow, table=True):
    """What a contact said of one channel, or of `any`, and when."""

    __table_args__ = (Index("ix_consent_contact_channel", "contact_id", "channel"),)

    id: int | None = Field(default=None, primary_key=True)
    contact_id: str
    channel: str
    """`sms`, `voice`, `email` or `any`."""
    state: str
    """`granted` or `withdrawn`."""
    at: datetime = utc_column()
    source: str = ""
    """Where it was said: `reply`, `contract`, a form's address."""
    proof: str = ""
    """The words, or where they are kept."""


def record_consent(session: Session, consent: Consent) -> bool:
    """Add to the history; return whether it was news: the same word of the same time comes once."""
    query = select(Consent.id).where(
        Consent.contact_id == consent.contact_id,
        Consent.channel == consent.channel,
        Consent.state == consent.state,
        Consent.at == consent.at,
    )
    if session.exec(query).first() is not None:
        return False
    session.add(consent)
    session.flush()
    return True


def find_consent(session: Session, contact_id: str, channel: str) -> Consent | None:
    """Return the newest word of a contact about a channel, or None where nothing was said."""
    return newest_word(find_words(session, [contact_id]), contact_id, channel)


def find_words(session: Session, contact_ids: Collection[str]) -> Sequence[Consent]:
    """Return all that some contacts have ever said, the newest first."""
    return session.exec(_WORDS, params={"contacts": list(contact_ids)}).all()


def newest_word(words: Iterable[Consent], contact_id: str, channel: str) -> Consent | None:
    """Return the first of some words, the newest first, that a contact has said about a channel."""
    channels = channel, EVERY_CHANNEL
    of_it = (one for one in words if one.contact_id == contact_id and one.channel in channels)
    return next(of_it, None)


_WORDS = (
    select(Consent)
    .where(col(Consent.contact_id).in_(bindparam("contacts", expanding=True)))
    .order_by(col(Consent.at).desc(), col(Consent.id).desc())
)
