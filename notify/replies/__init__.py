"""Replies: what a person answered, to which question of which case. What others use stands here."""

from notify.replies.answering import list_choices
from notify.replies.conversation import find_conversation
from notify.replies.inbound import Inbound, Reply
from notify.replies.intents import CORRECTED_WITHIN
from notify.replies.mail import read_mail
from notify.replies.meaning import Meaning, intent_for, read_meaning
from notify.replies.pressing import Pressed, find_question, take_pressed
from notify.replies.receiving import receive

__all__ = [
    "CORRECTED_WITHIN",
    "Inbound",
    "Meaning",
    "Pressed",
    "Reply",
    "find_conversation",
    "find_question",
    "intent_for",
    "list_choices",
    "read_mail",
    "read_meaning",
    "receive",
    "take_pressed",
]
