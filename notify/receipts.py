"""Receipts: what a provider says became of a delivery, in its webhook or when it is asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from notify.message import DELIVERED, FAILED, READ, SENT, UNDELIVERED, Delivery

_TWILIO: Mapping[str, str] = {
    "sent": SENT,
    "delivered": DELIVERED,
    "read": READ,
    "undelivered": UNDELIVERED,
    "failed": FAILED,
    "completed": DELIVERED,
    "busy": UNDELIVERED,
    "no-answer": UNDELIVERED,
    "canceled": UNDELIVERED,
}


@dataclass(frozen=True, slots=True)
class Receipt:
    """A provider's word on one delivery."""

    state: str
    reason: str = ""


@runtime_checkable
class AnswersWhenAsked(Protocol):
    """A channel whose provider can be asked what became of one delivery."""

    @property
    def ask_after_s(self) -> float:
        """How long a receipt is waited for before the provider is asked the first time."""

    def ask(self, delivery: Delivery) -> Receipt | None:
        """Return what became of a delivery that was handed over; None while it is under way.

        Raises the errors of `DeliveryError`.
        """


def asks(channel: object) -> AnswersWhenAsked | None:
    """Return a channel as one whose provider can be asked, or None."""
    return channel if isinstance(channel, AnswersWhenAsked) else None


def read_twilio(status: str, code: str = "") -> Receipt | None:
    """Return what a status of Twilio's means, or None where it says nothing yet."""
    state = _TWILIO.get(status)
    if state is None:
        return None
    if state not in {UNDELIVERED, FAILED}:
        return Receipt(state)
    because = f" (code {code})" if code else ""
    return Receipt(state, f"the carrier says {status}{because}")
