"""WhatsApp through Twilio.

A business may write freely to somebody for 24 hours after their last message; at any other time WhatsApp
takes an approved template alone. Where one is set, whose only variable is the text, every message goes by
it.
"""

import json
from typing import Any

from notify.message import Delivery, Message
from notify.numbers import dialled
from notify.receipts import Receipt
from notify.sms import TwilioAccount, ask_about, ask_after_s, call_twilio, given, is_since

PREFIX = "whatsapp:"
"""What Twilio writes before a number of this channel."""
_LOOKED_THROUGH = 50


class WhatsApp:
    """WhatsApp messages. Raises the errors of `DeliveryError`."""

    knows_what_it_took = True

    def __init__(self, account: TwilioAccount, sender: str, template: str = "") -> None:
        """Write from the number `sender`, by the approved `template` (HX…) where there is one."""
        self._account = account
        self._sender = sender
        self._template = template

    @property
    def confirms(self) -> bool:
        """Receipts come where there is a public address."""
        return self._account.hears_back

    def send(self, delivery: Delivery, message: Message) -> str:
        """Hand one message to Twilio; return its SID."""
        sent = call_twilio(
            self._account.client.messages.create,
            to=PREFIX + dialled(delivery.address),
            from_=PREFIX + self._sender,
            **self._content(str(message.texts[delivery.channel])),
            **given(status_callback=self._account.callback("status", delivery)),
        )
        return str(sent.sid)

    def ask_after_s(self, _: Delivery) -> float:
        """Return how soon Twilio is asked: where it can bring a receipt, only once it may be lost."""
        return ask_after_s(self._account)

    def ask(self, delivery: Delivery) -> Receipt | None:
        """Ask Twilio what became of a message."""
        return ask_about(self._account, delivery)

    def find(self, delivery: Delivery, message: Message, known: frozenset[str]) -> str | None:
        """Look through Twilio's list for a message that we may have handed over."""
        sent = call_twilio(
            self._account.client.messages.list,
            to=PREFIX + dialled(delivery.address),
            limit=_LOOKED_THROUGH,
        )
        for one in sent:
            if one.sid in known or one.direction == "inbound":
                continue
            # What a template makes of the text, its author alone knows.
            is_alike = bool(self._template) or one.body == message.texts[delivery.channel]
            if is_alike and is_since(one.date_created, delivery):
                return str(one.sid)
        return None

    def close(self) -> None:
        """Give back the account's connections."""
        self._account.close()

    def _content(self, text: str) -> dict[str, Any]:
        if not self._template:
            return {"body": text}
        # A variable takes neither line ends nor many spaces.
        variables = {"1": " ".join(text.split())}
        return {
            "content_sid": self._template,
            "content_variables": json.dumps(variables, ensure_ascii=False),
        }
