"""What arrived from a person, and what became of it."""

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Field

from prevenant.rows import TableRow
from prevenant.tables import utc_column

BOUND, UNCLEAR, AMBIGUOUS, UNKNOWN = "bound", "unclear", "ambiguous", "unknown sender"
THANKED, NOTED, HANDED_OFF, AUTOMATIC = "thanks", "noted", "handed off", "automatic"
OPTED_OUT, OPTED_IN, HELPED = "opted out", "opted in", "helped"
OUTCOMES = (
    *(BOUND, UNCLEAR, AMBIGUOUS, UNKNOWN, THANKED, NOTED),
    *(HANDED_OFF, AUTOMATIC, OPTED_OUT, OPTED_IN, HELPED),
)


@dataclass(frozen=True, slots=True)
class Inbound:
    """What arrived from a person."""

    provider_id: str
    channel: str
    address: str
    text: str
    contacts: tuple[str, ...] = ()
    """Whose address it is, where that is known from elsewhere than from what was sent there."""
    answers: tuple[str, ...] = ()
    """The keys of deliveries that it answers, the nearest first, as a mail says it."""
    thread: int | None = None
    """The number of the case whose mails it continues."""
    is_automatic: bool = False
    """Whether a machine wrote it: nobody is asked back."""
    is_last: bool = False
    """Whether nobody is asked back after it, as at the last try in a call."""
    is_unproven: bool = False
    """Whether its sender is known to be another than it says."""


class Reply(TableRow, table=True):
    """An inbound message, and what became of it."""

    id: int | None = Field(default=None, primary_key=True)
    provider_id: str = Field(unique=True)
    channel: str
    address: str
    contact_id: str = Field(default="", index=True, sa_column_kwargs={"server_default": ""})
    """Whose reply it is; empty where that is not known."""
    text: str
    received_at: datetime = utc_column()
    message_id: int | None = None
    """The question that it answers."""
    case_id: int | None = Field(default=None, index=True)
    intent: str | None = None
    outcome: str
    """`bound`, `thanks`, `noted`, `unclear`, `ambiguous`, `handed off`, `automatic`,
    `unknown sender`, `opted out`, `opted in`, `helped`."""
    reason: str = Field(default="", sa_column_kwargs={"server_default": ""})
    """Why it was understood so, or why not."""
