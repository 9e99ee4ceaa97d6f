"""Making sure that people were reached. What workflows use of it stands here."""

from notify.message import (
    Ask,
    Delivery,
    Draft,
    Message,
    Recipient,
    close_asks,
    is_stuck,
    queue_message,
)
from notify.templating import Templates

__all__ = [
    "Ask",
    "Delivery",
    "Draft",
    "Message",
    "Recipient",
    "Templates",
    "close_asks",
    "is_stuck",
    "queue_message",
]
