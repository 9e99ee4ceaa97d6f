"""Commands: what a case publishes to a device, by the brokers that we listen to."""

from collections.abc import Callable

from notify.message import Delivery, Message
from prevenant.errors import Refused, Throttled, Uncertain

PATIENCE_S = 10.0

HandOver = Callable[[str, bytes, float], bool | None]
"""Publishes to a topic, and returns whether a broker has confirmed it in time; None: none is there."""


class Command:
    """Publications to devices, at QoS 1. Raises the errors of `DeliveryError`."""

    confirms = False

    def __init__(self, hand_over: HandOver) -> None:
        self._hand_over = hand_over

    def send(self, delivery: Delivery, message: Message) -> str:
        """Publish once, and wait until a broker has it."""
        payload = str(message.texts[delivery.channel]).encode()
        try:
            is_taken = self._hand_over(delivery.address, payload, PATIENCE_S)
        except ValueError as error:
            reason = f"it cannot be published: {error}"
            raise Refused(reason) from None
        if is_taken is None:
            reason = "no broker is connected"
            raise Throttled(reason)
        if not is_taken:
            reason = "no broker has confirmed it in time"
            raise Uncertain(reason)
        return delivery.key

    def find(self, delivery: Delivery, message: Message, known: frozenset[str]) -> None:
        """Return None: a broker cannot be asked what it was given."""
        del delivery, message, known

    def close(self) -> None:
        """Do nothing: the connections belong to those who listen."""
