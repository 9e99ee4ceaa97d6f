"""Who does not want to be told on which channel, with the words that prove it."""

import re
import unicodedata
from collections.abc import Collection
from datetime import datetime

from sqlmodel import Field, Session, SQLModel, col, select

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
    known = session.get(OptOut, (channel, address))
    if known is not None:
        session.delete(known)


def find_opt_outs(session: Session, wanted: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return those among some pairs of channel and address that nothing may go to."""
    channels, addresses = zip(*wanted, strict=True)
    query = select(OptOut.channel, OptOut.address).where(
        col(OptOut.channel).in_(set(channels)), col(OptOut.address).in_(set(addresses))
    )
    return set(session.exec(query).all()) & set(wanted)


def has_opted_out(session: Session, channel: str, address: str) -> bool:
    """Return whether nothing may go to `address` on `channel`."""
    query = select(OptOut).where(OptOut.channel == channel, OptOut.address == address)
    return session.exec(query).first() is not None
