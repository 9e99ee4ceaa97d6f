"""Making sure that people were reached. What workflows use of it stands here."""

from notify.message import Ask, Draft, Message, Recipient, close_asks, queue_message
from notify.templating import Templates

__all__ = ["Ask", "Draft", "Message", "Recipient", "Templates", "close_asks", "queue_message"]
