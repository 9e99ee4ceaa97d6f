"""Making sure that people were reached. What workflows use of it stands here."""

from notify.in_turn import is_stuck
from notify.invitation import is_invited
from notify.links import JOB, VISIT, LinkFor, issue_link, link_url
from notify.message import (
    ANSWER,
    COMMAND,
    FOR_EVER,
    OUTBOX,
    WEBHOOK,
    Ask,
    Delivery,
    Draft,
    Errand,
    Message,
    Patience,
    Recipient,
    close_asks,
    is_unfollowed,
    outdate_messages,
    queue_errand,
    queue_messages,
    raise_urgency,
    word_message,
)
from notify.replies import CORRECTED_WITHIN, find_conversation, list_choices
from notify.templating import WORDING_ERRORS, Templates, local_zone

__all__ = [
    "ANSWER",
    "COMMAND",
    "CORRECTED_WITHIN",
    "FOR_EVER",
    "JOB",
    "OUTBOX",
    "VISIT",
    "WEBHOOK",
    "WORDING_ERRORS",
    "Ask",
    "Delivery",
    "Draft",
    "Errand",
    "LinkFor",
    "Message",
    "Patience",
    "Recipient",
    "Templates",
    "close_asks",
    "find_conversation",
    "is_invited",
    "is_stuck",
    "is_unfollowed",
    "issue_link",
    "link_url",
    "list_choices",
    "local_zone",
    "outdate_messages",
    "queue_errand",
    "queue_messages",
    "raise_urgency",
    "word_message",
]
