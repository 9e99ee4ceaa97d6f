"""Who does not want to be told on which channel, with the words that prove it."""

import re
import unicodedata
from datetime import datetime
from hashlib import sha256

from sqlmodel import Field, Session, SQLModel, col, select

from prevenant.consent import WITHDRAWN, find_consent
from prevenant.tables import utc_column

_STOP = frozenset(
    {"stop", "stopall", "unsubscribe", "cancel", "end", "quit"}
    | {"arret", "arreter", "arretez", "desabonner", "desinscrire"}
)
_START = frozenset(["start", "unstop", "reprendre"])


class OptOut(SQLModel, table=True):
    """An address that is not to be written to on a channel."""

    __tablename__ = "opt_out"

    channel: str = Field(primary_key=True)
    address: str = Field(primary_key=True)
    since: datetime = utc_column()
    proof: str
    """What the person said."""


def plain_words(text: str) -> list[str]:
    """Return the words of a reply in lower case, without accents and punctuation."""
    bare = unicodedata.normalize("NFKD", text.lower())
    bare = "".join(c for c in bare if not unicodedata.combining(c))
    return re.findall(r"[a-z0-9]+", bare)


def wants_stop(text: str) -> bool:
    """Return whether a reply says STOP, alone or with a please."""
    words = plain_words(text)
    return bool(words) and words[0] in _STOP and len(words) <= 3  # noqa: PLR2004  "stop s'il vous"


def wants_start(text: str) -> bool:
    """Return whether a reply takes STOP back."""
    words = plain_words(text)
    return len(words) == 1 and words[0] in _START


def record_stop(session: Session, channel: str, address: str, proof: str, now: datetime) -> None:
    """Write nothing more to `address` on `channel`."""
    if session.get(OptOut, (channel, address)) is None:
        session.add(OptOut(channel=channel, address=address, since=now, proof=proof[:200]))


def record_start(session: Session, channel: str, address: str) -> None:
    """Allow `channel` to `address` again."""
    for one in (address, digest_address(address)):
        known = session.get(OptOut, (channel, one))
        if known is not None:
            session.delete(known)


def has_opted_out(session: Session, channel: str, address: str) -> bool:
    """Return whether nothing may go to `address` on `channel`."""
    known = [address, digest_address(address)]
    query = select(OptOut).where(OptOut.channel == channel, col(OptOut.address).in_(known))
    return session.exec(query).first() is not None


def find_objection(session: Session, channel: str, address: str, contact_id: str) -> str:
    """Return why nothing may be said to a contact on a channel, or nothing where it may."""
    if has_opted_out(session, channel, address):
        return "the contact has opted out"
    word = find_consent(session, contact_id, channel)
    if word is None or word.state != WITHDRAWN:
        return ""
    where = f" ({word.source})" if word.source else ""
    return f"the contact has withdrawn consent for {word.channel} on {word.at:%Y-%m-%d}{where}"


def digest_address(address: str) -> str:
    """Return what is kept of the address of somebody who was erased, so that STOP still holds."""
    return f"sha256:{sha256(address.encode()).hexdigest()}"
