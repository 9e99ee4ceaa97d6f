"""Replies: what a person answered, to which question of which case. What others use stands here."""

from notify.replies.answering import list_choices
from notify.replies.inbound import Inbound, Reply
from notify.replies.meaning import intent_for, read_meaning
from notify.replies.receiving import receive

__all__ = ["Inbound", "Reply", "intent_for", "list_choices", "read_meaning", "receive"]
