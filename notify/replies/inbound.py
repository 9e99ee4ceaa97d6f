"""What arrived from a person, and what became of it."""

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Field, SQLModel

from prevenant.tables import utc_column


@dataclass(frozen=True, slots=True)
class Inbound:
    """What arrived from a person."""

    provider_id: str
    channel: str
    address: str
    text: str


class Reply(SQLModel, table=True):
    """An inbound message, and what became of it."""

    id: int | None = Field(default=None, primary_key=True)
    provider_id: str = Field(unique=True)
    channel: str
    address: str
    text: str
    received_at: datetime = utc_column()
    message_id: int | None = None
    """The question that it answers."""
    case_id: int | None = Field(default=None, index=True)
    intent: str | None = None
    outcome: str
    """`bound`, `unclear`, `ambiguous`, `unknown sender`, `opted out`, `opted in`."""
