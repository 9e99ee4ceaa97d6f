"""Receipts: what a provider says became of a delivery, in its webhook or when it is asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from notify.message import DELIVERED, FAILED, READ, SENT, SUPPRESSED, UNDELIVERED, Delivery
from notify.opting_out import end_of
from notify.twilio_codes import judge_code
from prevenant.errors import DeliveryError, Refused

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
_MACHINES = ("machine", "fax")


@dataclass(frozen=True, slots=True)
class Receipt:
    """A provider's word on one delivery."""

    state: str
    reason: str = ""
    refusal: DeliveryError | None = None
    """Why it has not arrived."""
    takes_back: bool = False
    """Whether it counts although it was said before that it has arrived: a machine took the call."""


@runtime_checkable
class AnswersWhenAsked(Protocol):
    """A channel whose provider can be asked what became of one delivery."""

    @property
    def knows_what_it_took(self) -> bool:
        """Whether it can be asked at all."""

    def ask_after_s(self, delivery: Delivery) -> float | None:
        """Return how long a receipt is waited for before the provider is asked; None: for ever."""

    def ask(self, delivery: Delivery) -> Receipt | None:
        """Return what became of a delivery that was handed over; None while it is under way.

        Raises the errors of `DeliveryError`.
        """


@runtime_checkable
class HasProviders(Protocol):
    """A channel with several providers, each with its own receipts."""

    def provider_of(self, delivery: Delivery) -> object:
        """Return the provider that has a delivery; None where it is not set any more."""


def can_confirm(channel: object, delivery: Delivery) -> bool:
    """Return whether a receipt for a delivery can be expected, by itself or when the provider is asked."""
    provider = channel.provider_of(delivery) if isinstance(channel, HasProviders) else channel
    return bool(getattr(provider, "confirms", False)) or asks(provider) is not None


def asks(channel: object) -> AnswersWhenAsked | None:
    """Return a channel as one whose provider can be asked, or None."""
    if isinstance(channel, AnswersWhenAsked) and channel.knows_what_it_took:
        return channel
    return None


def read_twilio(status: str, code: str = "", answered_by: str = "") -> Receipt | None:
    """Return what a status of Twilio's means, or None where it says nothing yet.

    A call that a machine has answered has reached nobody, whatever its status.
    """
    is_machine = answered_by.startswith(_MACHINES)
    state = UNDELIVERED if is_machine and status in {"", "completed"} else _TWILIO.get(status)
    if state is None:
        return None
    if state not in {UNDELIVERED, FAILED}:
        return Receipt(state)
    said = "a machine has answered, no person" if is_machine else f"the carrier says {status}"
    refusal = judge_code(code, f"{said} (code {code})") if code else Refused(said)
    state = SUPPRESSED if end_of(refusal) == SUPPRESSED else state
    return Receipt(state, refusal.reason, refusal, takes_back=is_machine)
