"""What is answered to a reply that is not clear: one question, on the channel on which it came."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session

from notify.message import Draft, Message, Recipient, queue_message
from notify.replies.inbound import Reply
from notify.replies.intents import QUESTION
from notify.templating import Templates

_ANSWERED = frozenset({"sms", "email", "whatsapp"})
"""The channels on which a reply can be answered; a key pressed in a call cannot."""
_CHOICES = {
    "en": {
        "offer": "Reply 1 to take the job, 2 to decline.",
        "acknowledge": "Reply 1 to take it.",
        "person": "Reply 1 to take it.",
        "confirm": "Reply 1 if the visit suits you, 2 for another time, 3 to cancel it.",
        "progress": "Reply 1 on your way, 2 on arrival, 3 and the cause when done.",
        "rating": "Reply with a number from 1 to 5.",
        "nps": "Reply with a number from 0 to 10.",
        "ces": "Reply with a number from 1 to 7.",
        "question": "Reply with the number: {choices}.",
    },
    "fr": {
        "offer": "Répondez 1 pour accepter, 2 pour refuser.",
        "acknowledge": "Répondez 1 pour vous en charger.",
        "person": "Répondez 1 pour vous en charger.",
        "confirm": "Répondez 1 si la visite vous convient, 2 pour un autre moment, 3 pour annuler.",
        "progress": "Répondez 1 en route, 2 sur place, 3 et la cause à la fin.",
        "rating": "Répondez par un chiffre de 1 à 5.",
        "nps": "Répondez par un nombre de 0 à 10.",
        "ces": "Répondez par un chiffre de 1 à 7.",
        "question": "Répondez par le numéro : {choices}.",
    },
}


@dataclass(frozen=True, slots=True)
class Answerer:
    """Answers one reply, on the channel on which it came."""

    session: Session
    templates: Templates
    reply: Reply
    now: datetime

    def ask_which(self, messages: Sequence[Message]) -> None:
        """Ask which of several cases is meant, with the number of each."""
        first = next(iter(self.reply.text.split()), "")
        by_case = {m.case_id: m for m in reversed(messages)}
        if first in {str(case_id) for case_id in by_case}:
            # The case came first: what is to be said about it has been said.
            first = ""
        choices = ", ".join(f"“{f'{first} {case_id}'.strip()}”" for case_id in by_case)
        self._say(messages[0], "reply_which", {"choices": choices})

    def ask_again(self, message: Message, question: Message | None) -> None:
        """Say that a reply was not understood, with the answers that `question` has."""
        choices = _say_choices(question, message.language) if question else ""
        self._say(message, "reply_unclear", {"choices": choices})

    def promise_no_calls(self, message: Message) -> None:
        """Say that the contact of a message will be called no more."""
        self._say(message, "reply_no_calls", {})

    def welcome_back(self, message: Message) -> None:
        """Say that the contact of a message will be written to again."""
        self._say(message, "reply_started", {})

    def help(self, message: Message) -> None:
        """Say who we are, and how to have no more messages."""
        self._say(message, "reply_help", {})

    def _say(self, message: Message, template: str, variables: Mapping[str, Any]) -> None:
        """Say something to the contact of `message`."""
        channel = self.reply.channel
        if channel not in _ANSWERED:
            return
        recipient = Recipient(
            message.contact_id,
            message.name,
            message.role,
            message.language,
            "UTC",
            {channel: self.reply.address},
        )
        draft = Draft(
            key=f"answer:{self.reply.provider_id}",
            recipient=recipient,
            template=template,
            variables=variables,
            turns=[[channel]],
            severity=message.severity,
            case_id=None,
        )
        queue_message(self.session, self.templates, draft, self.now)


def _say_choices(question: Message, language: str) -> str:
    words = _CHOICES.get(language, _CHOICES["en"])
    if not question.ask_choices:
        return words.get(question.ask or "", "")
    return words[QUESTION].format(choices=list_choices(question.ask_choices))


def list_choices(choices: Sequence[Mapping[str, Any]]) -> str:
    """Return the answers to a question with their numbers: `1: at home, 2: with the neighbour`."""
    shown = [next(iter(choice["words"]), choice["name"]) for choice in choices]
    return ", ".join(f"{number}: {words}" for number, words in enumerate(shown, 1))
