"""Making sure that people were reached. What workflows use of it stands here."""

from notify.message import (
    COMMAND,
    WEBHOOK,
    Ask,
    Draft,
    Errand,
    Message,
    Recipient,
    close_asks,
    queue_errand,
    queue_message,
    raise_urgency,
)
from notify.replies import list_choices
from notify.templating import Templates, local_zone

__all__ = [
    "COMMAND",
    "WEBHOOK",
    "Ask",
    "Draft",
    "Errand",
    "Message",
    "Recipient",
    "Templates",
    "close_asks",
    "list_choices",
    "local_zone",
    "queue_errand",
    "queue_message",
    "raise_urgency",
]
