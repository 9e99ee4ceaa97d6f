"""Making sure that people were reached. What workflows use of it stands here."""

from notify.invitation import is_invited
from notify.message import (
    COMMAND,
    WEBHOOK,
    Ask,
    Delivery,
    Draft,
    Errand,
    Message,
    Recipient,
    close_asks,
    is_stuck,
    queue_errand,
    queue_message,
    raise_urgency,
)
from notify.replies import find_conversation, list_choices
from notify.templating import Templates, local_zone

__all__ = [
    "COMMAND",
    "WEBHOOK",
    "Ask",
    "Delivery",
    "Draft",
    "Errand",
    "Message",
    "Recipient",
    "Templates",
    "close_asks",
    "find_conversation",
    "is_invited",
    "is_stuck",
    "list_choices",
    "local_zone",
    "queue_errand",
    "queue_message",
    "raise_urgency",
]
