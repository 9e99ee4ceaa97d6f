"""One table for all channels: what each kind of answer of a provider leads to.

not now      taken by nobody: tried again later, and no duplicate
in doubt     perhaps taken: looked up; sent again only where it is not there, or nobody can be asked
for good     never taken: the next channel
nobody       no one was there: tried again later
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr

from notify.chat import Chat
from notify.message import WEBHOOK, Errand, queue_errand
from notify.sms import TwilioAccount
from notify.webhook import Webhook
from notify.whatsapp import WhatsApp
from prevenant.settings import Settings
from simulators.chat_room import ChatRoom
from simulators.desk import Desk
from simulators.sms_gateway import SmsGateway
from tests.contracts.gateways import make_sms
from tests.contracts.patience import give_up_twilio_at_once
from tests.contracts.rig import NUMBER, Rig

TEMPLATE = "HX" + "0" * 32


@dataclass(frozen=True)
class Case:
    """A channel, and how its provider is made to answer."""

    rig: Rig
    channel: str
    not_now: Callable[[], object]
    in_doubt: Callable[[], object]
    for_good: Callable[[], object]
    close: Callable[[], object]
    taken: Callable[[], int]
    is_asked: bool
    """Whether the provider can be asked what it took."""
    knows_again: bool = False
    """Whether the receiver knows by the key what it has taken already."""

    def say(self) -> None:
        """Queue something, with another channel behind it where it is for a person."""
        if self.channel == WEBHOOK:
            address = self.rig.addresses[WEBHOOK]
            errand = Errand("one", WEBHOOK, address, '{"n": 1}', "the desk", 3, 7)
            with self.rig.store.write() as session:
                queue_errand(session, errand, self.rig.clock.now())
        else:
            self.rig.say("one", [self.channel], ["voice" if self.channel == "email" else "email"])


@pytest.fixture
def gateway() -> Iterator[SmsGateway]:
    """Run an SMS gateway."""
    gateway = SmsGateway().start()
    yield gateway
    gateway.stop()


@pytest.fixture
def room() -> Iterator[ChatRoom]:
    """Run a chat."""
    room = ChatRoom().start()
    yield room
    room.stop()


@pytest.fixture
def desk(rig: Rig) -> Iterator[Desk]:
    """Run a desk."""
    desk = Desk("between us", rig.clock).start()
    yield desk
    desk.stop()


def _twilio(rig: Rig, channel: str, kind: str, prefix: str = "") -> Case:
    return Case(
        rig,
        channel,
        not_now=lambda: rig.carrier.refuse(503),
        in_doubt=lambda: rig.carrier.refuse(0),
        for_good=lambda: rig.carrier.refuse(400, code=21606),
        close=rig.carrier.stop,
        taken=lambda: len(rig.carrier.sent_to(prefix + NUMBER, kind)),
        is_asked=True,
    )


NAMES = ("sms", "voice", "whatsapp", "whatsapp by template", "email", "gateway", "chat", "webhook")


@pytest.fixture(params=NAMES)
def case(
    request: pytest.FixtureRequest,
    rig: Rig,
    gateway: SmsGateway,
    room: ChatRoom,
    desk: Desk,
    tmp_path: Path,
) -> Case:
    """Return each channel in turn."""
    match request.param:
        case "sms":
            return _twilio(rig, "sms", "Messages")
        case "voice":
            return _twilio(rig, "voice", "Calls")
        case "whatsapp" | "whatsapp by template":
            account = TwilioAccount(rig.settings)
            give_up_twilio_at_once(rig.carrier, account)
            template = TEMPLATE if request.param.endswith("template") else ""
            rig.channels["whatsapp"] = WhatsApp(account, "+33939980000", template)
            rig.addresses["whatsapp"] = NUMBER
            return _twilio(rig, "whatsapp", "Messages", "whatsapp:")
        case "email":
            return Case(
                rig,
                "email",
                not_now=lambda: rig.mailbox.refusals.append("451 4.7.1 later, please"),
                in_doubt=lambda: rig.mailbox.refusals.append(""),
                for_good=lambda: rig.mailbox.refusals.append("550 5.1.1 no such mailbox"),
                close=rig.mailbox.stop,
                taken=lambda: len(rig.mailbox.mails),
                is_asked=False,
            )
        case "gateway":
            rig.channels["sms"] = make_sms(gateway, tmp_path)
            return Case(
                rig,
                "sms",
                not_now=lambda: gateway.refuse(503),
                in_doubt=lambda: gateway.refuse(0),
                for_good=lambda: gateway.refuse(404),
                close=gateway.stop,
                taken=lambda: len(gateway.taken),
                is_asked=False,
            )
        case "chat":
            rig.channels["chat"] = Chat()
            rig.addresses["chat"] = room.address
            return Case(
                rig,
                "chat",
                not_now=lambda: room.refuse(503),
                in_doubt=lambda: room.refuse(0),
                for_good=lambda: room.refuse(400),
                close=room.stop,
                taken=lambda: len(room.said),
                is_asked=False,
            )
    settings = Settings(webhook_secret=SecretStr("between us"))
    rig.channels[WEBHOOK] = Webhook(settings, rig.clock)
    rig.addresses[WEBHOOK] = desk.url
    return Case(
        rig,
        WEBHOOK,
        not_now=lambda: desk.refuse(503),
        in_doubt=lambda: desk.refuse(-1),
        for_good=lambda: desk.refuse(404),
        close=desk.stop,
        taken=lambda: len(desk.taken),
        is_asked=False,
        knows_again=True,
    )


def arrived(case: Case) -> str:
    """Return the state that a hand-over gives on this channel."""
    return "delivered" if case.channel == WEBHOOK else "sent"


def test_taken(case: Case) -> None:
    case.say()
    delivery = case.rig.expect(case.channel, state=arrived(case), attempts=1)
    assert delivery.provider_id
    assert delivery.possible_duplicate is False
    assert case.taken() == 1


def test_not_now(case: Case) -> None:
    case.not_now()
    case.say()
    case.rig.expect(case.channel, state="queued", attempts=1)
    assert case.taken() == 0
    case.rig.clock.advance(seconds=3)
    case.rig.expect(case.channel, state=arrived(case), attempts=2, possible_duplicate=False)
    assert case.taken() == 1


def test_in_doubt(case: Case) -> None:
    case.in_doubt()
    case.say()
    case.rig.expect(case.channel, state="uncertain", attempts=1)
    case.rig.clock.advance(seconds=6)
    attempts = 1 if case.is_asked else 2
    case.rig.expect(
        case.channel,
        state=arrived(case),
        attempts=attempts,
        possible_duplicate=not case.is_asked,
    )
    assert case.taken() == (1 if case.is_asked or case.knows_again else 2)


def test_for_good(case: Case) -> None:
    case.for_good()
    case.say()
    refused = case.rig.expect(case.channel, state="failed", attempts=1)
    assert refused.reason
    assert "room-secret" not in refused.reason
    assert case.taken() == 0
    if case.channel != WEBHOOK:
        case.rig.expect("voice" if case.channel == "email" else "email", state="sent")


def test_nobody(case: Case) -> None:
    case.close()
    case.say()
    delivery = case.rig.expect(case.channel, state="queued", attempts=1)
    assert "cannot be reached" in delivery.reason
    assert case.taken() == 0
