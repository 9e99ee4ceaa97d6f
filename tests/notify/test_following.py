"""Where no receipt can come in, the provider is asked: in one rhythm for all, and never for ever."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from pydantic import SecretStr
from sqlmodel import select

from notify.delivery import Channel
from notify.following import Follower, ask_again_at
from notify.message import FOR_EVER, Delivery, Draft, Patience, Recipient, queue_message
from notify.outbox import Outbox
from notify.sms import Sms, TwilioAccount
from notify.templating import Templates
from notify.voice import Voice
from prevenant.settings import Settings
from prevenant.store import Store
from simulators.carrier import Carrier
from tests.moved_clock import MovedClock
from tests.servers import wait_until

NUMBER = "+33639980041"
TEMPLATES = Templates()


class Followed:
    """An outbox at the carrier, and what follows its messages."""

    def __init__(self, store: Store, clock: MovedClock, carrier: Carrier, public_url: str) -> None:
        settings = Settings(
            twilio_account_sid=carrier.account,
            twilio_auth_token=SecretStr(carrier.token),
            twilio_from="+33939980000",
            twilio_base_url=carrier.url,
            public_url=public_url,
        )
        account = TwilioAccount(settings)
        channels: dict[str, Channel] = {"sms": Sms(account), "voice": Voice(account)}
        self.store, self.clock, self.carrier = store, clock, carrier
        self.outbox = Outbox(store, clock, channels)
        self.follower = Follower(store, clock, channels)

    def say(self, *turns: list[str], patience: Patience = FOR_EVER) -> None:
        """Queue a message, and hand it over."""
        recipient = Recipient(
            "camille", "Camille Roux", "customer", "en", "UTC", {"sms": NUMBER, "voice": NUMBER}
        )
        draft = Draft("m", recipient, "reply_stopped", {}, turns, 3, patience=patience)
        with self.store.write() as session:
            queue_message(session, TEMPLATES, draft, self.clock.now())
        self.work()

    def work(self) -> None:
        """Hand over what is queued."""
        wait_until(lambda: self.store.hears_others or not self.store.is_shared, "others")
        while claims := self.outbox._turn(self.clock.now()):
            for claim in claims:
                self.outbox._work(claim)

    def follow(self, **span: float) -> None:
        """Let time pass, and follow."""
        self.clock.advance(**span)
        self.follower.follow(self.clock.now())

    def deliveries(self) -> list[Delivery]:
        """Return all deliveries, in order."""
        with self.store.read() as session:
            return list(session.exec(select(Delivery).order_by("id")))

    def settled(self, channel: str, status: str) -> None:
        """Wait until the carrier has brought it to a state."""
        kind = "Messages" if channel == "sms" else "Calls"
        wait_until(lambda: self.carrier.sent_to(NUMBER, kind)[-1].status == status, status)


@pytest.fixture
def follow(
    store: Store, clock: MovedClock, carrier: Carrier
) -> Iterator[Callable[[str], Followed]]:
    """Return how to make an outbox whose carrier reaches us at an address, or cannot."""
    made: list[Followed] = []

    def make(public_url: str = "") -> Followed:
        made.append(Followed(store, clock, carrier, public_url))
        return made[-1]

    yield make
    for one in made:
        for channel in one.outbox._channels.values():
            channel.close()


Follow = Callable[..., Followed]


@pytest.mark.parametrize(("channel", "status"), [("sms", "delivered"), ("voice", "completed")])
def test_the_provider_is_asked_where_it_cannot_tell_us(
    follow: Follow, channel: str, status: str
) -> None:
    one = follow()
    one.say([channel])
    one.settled(channel, status)
    one.follow(seconds=4)
    assert [d.state for d in one.deliveries()] == ["sent"]
    one.follow(seconds=1)
    assert [d.state for d in one.deliveries()] == ["delivered"]
    assert one.deliveries()[0].poll_at is None


def test_what_did_not_arrive_is_found_out_and_the_next_channel_tried(follow: Follow) -> None:
    one = follow()
    one.carrier.unreachable.add(NUMBER)
    one.say(["sms"], ["voice"])
    one.settled("sms", "undelivered")
    one.follow(seconds=5)
    one.work()
    one.settled("voice", "no-answer")
    one.follow(seconds=5)
    assert [(d.channel, d.state) for d in one.deliveries()] == [
        ("sms", "undelivered"),
        ("voice", "undelivered"),
    ]
    assert "Twilio 30003" in one.deliveries()[0].reason


def test_a_voicemail_is_found_out_without_a_public_address(follow: Follow) -> None:
    one = follow()
    one.carrier.voicemails.add(NUMBER)
    one.say(["voice"], ["sms"])
    one.settled("voice", "completed")
    one.follow(seconds=5)
    assert one.deliveries()[0].state == "undelivered"
    assert "a machine has answered" in one.deliveries()[0].reason


def test_a_receipt_that_was_lost_is_asked_for(follow: Follow) -> None:
    one = follow("http://127.0.0.1:9")
    one.carrier.loses_receipts = True
    one.say(["sms"])
    one.settled("sms", "delivered")
    one.follow(minutes=4)
    assert [d.state for d in one.deliveries()] == ["sent"]
    one.follow(minutes=1)
    assert [d.state for d in one.deliveries()] == ["delivered"]


def test_a_carrier_that_does_not_answer_is_asked_again_later(follow: Follow) -> None:
    one = follow()
    one.say(["sms"])
    one.settled("sms", "delivered")
    one.carrier.token = "another"
    one.follow(seconds=5)
    asked_again_at = one.deliveries()[0].poll_at
    assert asked_again_at == one.clock.now() + timedelta(seconds=5)
    one.carrier.token = "carrier-token"
    one.follow(seconds=5)
    assert [d.state for d in one.deliveries()] == ["delivered"]


def test_no_receipt_in_time_is_found_by_the_follower(follow: Follow) -> None:
    one = follow()
    one.say(["sms"], ["voice"], patience=Patience(60.0))
    with one.store.write() as session:
        delivery = session.exec(select(Delivery)).one()
        delivery.poll_at = None
        session.add(delivery)
    one.follow(seconds=61)
    one.work()
    assert [(d.channel, d.state) for d in one.deliveries()] == [("sms", "sent"), ("voice", "sent")]


def test_it_is_asked_ever_more_seldom_and_at_last_no_more(clock: MovedClock) -> None:
    sent_at, asked = clock.now(), []
    at = sent_at + timedelta(seconds=5)
    while (again := ask_again_at(sent_at, at)) is not None:
        asked.append((again - at).total_seconds())
        at = again
    assert asked[:4] == [5, 10, 20, 40]
    assert max(asked) == 900
    assert at - sent_at >= timedelta(days=1)
    assert len(asked) < 110
