"""An outbox with real channels, and the providers behind them on 127.0.0.1."""

import threading
from dataclasses import dataclass, field

from sqlmodel import col, select

from notify.delivery import Channel
from notify.message import Ask, Delivery, Draft, Message, Recipient, queue_message
from notify.outbox import Outbox
from notify.templating import Templates
from prevenant.settings import Settings
from prevenant.store import Store
from simulators.carrier import Carrier
from simulators.mailbox import Mailbox
from tests.moved_clock import MovedClock
from tests.servers import wait_until

NUMBER, ADDRESS = "+33639980041", "camille@home.example"
TEMPLATES = Templates()


@dataclass
class Rig:
    """A store, an outbox that works on it, and the providers behind its channels."""

    store: Store
    clock: MovedClock
    carrier: Carrier
    mailbox: Mailbox
    channels: dict[str, Channel]
    settings: Settings
    addresses: dict[str, str] = field(default_factory=dict)
    """Where the contact is reached besides, by channel."""

    def say(self, key: str, *turns: list[str], number: str = NUMBER) -> int:
        """Queue a message and return its id."""
        recipient = Recipient(
            "camille",
            "Camille Roux",
            "customer",
            "en",
            "Europe/Paris",
            {"sms": number, "voice": number, "email": ADDRESS, **self.addresses},
        )
        draft = Draft(
            key,
            recipient,
            "reply_stopped" if turns[0] != ["voice"] else "reply_started",
            {},
            turns,
            3,
            ask=Ask("confirm"),
        )
        with self.store.write() as session:
            return queue_message(session, TEMPLATES, draft, self.clock.now()).id or 0

    def delivery(self, channel: str) -> Delivery:
        """Return the only delivery on a channel."""
        with self.store.read() as session:
            return session.exec(select(Delivery).where(Delivery.channel == channel)).one()

    def latest(self, channel: str) -> Delivery:
        """Return the latest delivery on a channel."""
        query = (
            select(Delivery).where(Delivery.channel == channel).order_by(col(Delivery.id).desc())
        )
        with self.store.read() as session:
            return session.exec(query.limit(1)).one()

    def expect(self, channel: str, **values: object) -> Delivery:
        """Wait until the delivery on a channel has these values."""

        def found() -> Delivery | None:
            one = self.delivery(channel)
            return one if all(getattr(one, k) == v for k, v in values.items()) else None

        result = wait_until(found, f"{channel} with {values}")
        assert isinstance(result, Delivery)
        return result

    def message(self) -> Message:
        """Return the only message."""
        with self.store.read() as session:
            return session.exec(select(Message)).one()

    def taken(self, channel: str) -> int:
        """Return how many hand-overs the provider of a channel has taken."""
        if channel == "email":
            return len(self.mailbox.mails)
        kind = "Messages" if channel == "sms" else "Calls"
        return len(self.carrier.sent_to(NUMBER, kind))


class running:  # noqa: N801  used as a statement
    """Runs an outbox as long as the block lasts."""

    def __init__(self, rig: Rig) -> None:
        self._outbox = Outbox(rig.store, rig.clock, rig.channels)
        self._thread = threading.Thread(target=self._outbox.run)

    def __enter__(self) -> Outbox:
        self._thread.start()
        return self._outbox

    def __exit__(self, *_: object) -> None:
        self._outbox.stop()
        self._thread.join(60)
