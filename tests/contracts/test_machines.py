"""What the channels to machines owe: a webhook signed and given until it was taken, a command."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
import pytest
from pydantic import SecretStr
from sqlmodel import select

from ingest.listener import Listeners
from notify.command import Command
from notify.dead_letters import list_dead_letters, resend, view_dead_letter
from notify.delivery import Channel
from notify.message import COMMAND, WEBHOOK, Delivery, Errand, Message, queue_errand
from notify.outbox import Outbox
from notify.webhook import Webhook
from prevenant.errors import ConfigurationError
from prevenant.settings import Settings
from prevenant.store import Store
from prevenant.tables import CaseEvent, TimelineEntry
from simulators.desk import Desk
from simulators.fleet import connect, take_leave
from tests.contracts.patience import give_up_at_once
from tests.moved_clock import MovedClock
from tests.servers import Broker, wait_until

SECRET = "between us"
TOPIC = "airport/t2/doors/D14/set"


@dataclass
class Rig:
    """A store, an outbox that works on it, and a desk behind the webhooks."""

    store: Store
    clock: MovedClock
    desk: Desk
    channels: dict[str, Channel]

    def hand(self, channel: str, address: str, body: str = '{"n": 1}', key: str = "one") -> None:
        """Queue something for a machine."""
        errand = Errand(key, channel, address, body, "the machine", 3, 7)
        with self.store.write() as session:
            queue_errand(session, errand, self.clock.now())

    def call(self, body: str = '{"n": 1}', key: str = "one") -> None:
        """Queue a call of the desk."""
        self.hand(WEBHOOK, self.desk.url, body, key)

    def expect(self, **values: object) -> Delivery:
        """Wait until the only delivery has these values."""

        def found() -> Delivery | None:
            with self.store.read() as session:
                one = session.exec(select(Delivery)).one()
            return one if all(getattr(one, k) == v for k, v in values.items()) else None

        result = wait_until(found, f"a delivery with {values}")
        assert isinstance(result, Delivery)
        return result

    def heard(self) -> dict[str, Any]:
        """Return what the case hears of it."""
        with self.store.read() as session:
            event = session.exec(select(CaseEvent)).one()
        return {"kind": event.kind, **event.data}


@pytest.fixture
def desk(clock: MovedClock) -> Iterator[Desk]:
    """Run a service desk."""
    desk = Desk(SECRET, clock).start()
    yield desk
    desk.stop()


@pytest.fixture
def rig(
    sqlite_url: str,
    clock: MovedClock,
    desk: Desk,
) -> Iterator[Rig]:
    """Run an outbox that calls webhooks."""
    store = Store(sqlite_url)
    store.upgrade()
    settings = Settings(webhook_secret=SecretStr(SECRET))
    webhook = Webhook(settings, clock)
    give_up_at_once(desk, "wait_closed", webhook._session)
    rig = Rig(store, clock, desk, {WEBHOOK: webhook})
    outbox = Outbox(store, clock, rig.channels)
    thread = threading.Thread(target=outbox.run)
    thread.start()
    yield rig
    outbox.stop()
    thread.join(60)
    store.close()


def test_a_call_is_signed_and_taken_once_and_its_answer_is_heard(rig: Rig) -> None:
    rig.desk.answer = lambda _taken: {"ticket": "T-1"}
    rig.call('{"case": 7, "said": "é"}')
    rig.expect(state="delivered", attempts=1, possible_duplicate=False)
    assert [one.body for one in rig.desk.taken] == [{"case": 7, "said": "é"}]
    assert (rig.desk.forged, rig.desk.posts) == (0, 1)
    heard = rig.heard()
    assert (heard["kind"], heard["message"], heard["answer"]) == (
        "message.delivered",
        "one",
        {"ticket": "T-1"},
    )


def test_who_does_not_know_the_secret_is_refused_for_good(rig: Rig) -> None:
    rig.desk.secret = "another"
    rig.call()
    assert "401" in rig.expect(state="failed", attempts=1).reason
    assert (rig.desk.forged, rig.desk.taken) == (1, [])
    assert rig.heard()["kind"] == "message.failed"


def test_a_signature_grows_old(rig: Rig) -> None:
    rig.desk._clock = MovedClock()
    rig.clock.advance(minutes=6)
    rig.call()
    rig.expect(state="failed")
    assert rig.desk.forged == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_not_now_is_tried_again_later(rig: Rig, status: int) -> None:
    rig.desk.refuse(status)
    rig.call()
    rig.expect(state="queued", attempts=1)
    rig.clock.advance(seconds=3)
    rig.expect(state="delivered", attempts=2)
    assert len(rig.desk.taken) == 1


def test_the_receivers_own_advice_is_kept(rig: Rig) -> None:
    rig.desk.refuse(503, retry_after_s=40)
    rig.call()
    delivery = rig.expect(state="queued", attempts=1)
    assert delivery.next_at is not None
    assert (delivery.next_at - rig.clock.now()).total_seconds() == 40


def test_the_advice_to_come_back_at_once_uses_up_no_attempts(rig: Rig) -> None:
    rig.desk.refuse(503, times=50, retry_after_s=0)
    rig.call()
    delivery = rig.expect(state="queued", attempts=1)
    assert delivery.next_at is not None
    assert (delivery.next_at - rig.clock.now()).total_seconds() == 2


@pytest.mark.parametrize("status", [0, -1], ids=["no answer", "broken off"])
def test_what_may_have_been_taken_is_given_again_under_the_same_key(rig: Rig, status: int) -> None:
    rig.desk.refuse(status)
    rig.call()
    rig.expect(state="uncertain")
    rig.clock.advance(seconds=6)
    rig.expect(state="delivered", possible_duplicate=True)
    assert rig.desk.posts == 2
    assert len(rig.desk.taken) == 1, "the receiver knows it by its key"


def test_an_answer_that_does_not_come_is_given_up(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    del rig.desk.wait_closed  # what the rig has put in its place
    monkeypatch.setattr("notify.webhook.TIMEOUT_S", 0.2)
    rig.desk.refuse(0)
    rig.call()
    assert "in time" in rig.expect(state="uncertain").reason


@pytest.mark.parametrize("status", [400, 404, 410, 302])
def test_for_good_is_not_tried_again_and_stays_listed(rig: Rig, status: int) -> None:
    rig.desk.refuse(status)
    rig.call()
    delivery = rig.expect(state="failed", attempts=1)
    assert str(status) in delivery.reason
    assert rig.desk.posts == 1, "a redirect is not followed"
    with rig.store.write() as session:
        ((letter, whole),) = list_dead_letters(session)
        assert view_dead_letter(letter, whole)["body"] == '{"n": 1}'
        resend(session, letter.id or 0, rig.clock.now(), "Camille")
    rig.expect(state="delivered")
    with rig.store.read() as session:
        assert list_dead_letters(session) == []
        told = session.exec(select(TimelineEntry).where(TimelineEntry.kind == "message.resent"))
        assert told.one().summary == "webhook to the machine is given again, says Camille"


def test_after_eight_attempts_it_is_given_up(rig: Rig) -> None:
    rig.desk.refuse(500, times=50)
    rig.call()
    for attempt in range(1, 8):
        rig.expect(state="queued", attempts=attempt)
        rig.clock.advance(minutes=6)
    rig.expect(state="failed", attempts=8)


def test_nobody_there_is_tried_again(rig: Rig) -> None:
    rig.desk.stop()
    rig.call()
    assert "cannot be reached" in rig.expect(state="queued", attempts=1).reason


@pytest.mark.parametrize(
    "answer", [b"", b"no json", b"[1]", b'"text"', b"\xff", b'{"a": "' + b"x" * 70_000 + b'"}']
)
def test_an_answer_that_is_no_object_is_none(rig: Rig, answer: bytes) -> None:
    rig.desk.answer = lambda _taken: answer
    rig.call()
    assert rig.expect(state="delivered").answer == {}


def test_an_address_that_cannot_be_called_fails(rig: Rig) -> None:
    rig.hand(WEBHOOK, "http://[::bad")
    rig.expect(state="failed", attempts=1)


def test_only_what_failed_and_is_for_a_machine_is_given_again(rig: Rig) -> None:
    rig.call()
    delivery = rig.expect(state="delivered")
    with rig.store.write() as session:
        with pytest.raises(ConfigurationError, match="only one that failed"):
            resend(session, delivery.id or 0, rig.clock.now())
        with pytest.raises(ConfigurationError, match="there is no delivery"):
            resend(session, 99, rig.clock.now())


@pytest.fixture
def listeners(broker: Broker) -> Iterator[Listeners]:
    """Listen to the broker."""
    listeners = Listeners([broker.url], ["nothing/#"], lambda _batch: None, lambda _connected: None)
    threads = [threading.Thread(target=run) for run in listeners.runs().values()]
    for thread in threads:
        thread.start()
    wait_until(listeners.connected.is_set, "subscription")
    yield listeners
    listeners.stop()
    for thread in threads:
        thread.join(60)


def _device(broker: Broker, heard: list[tuple[str, bytes]]) -> paho.Client:
    client = connect(broker.url)
    subscribed = threading.Event()
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = lambda _c, _d, message: heard.append(
        (message.topic, bytes(message.payload))
    )
    client.subscribe(TOPIC, qos=1)
    assert subscribed.wait(30)
    return client


def _message(channel: str, body: str) -> tuple[Delivery, Message]:
    delivery = Delivery(
        key="m1-mqtt",
        message_id=1,
        channel=channel,
        address=TOPIC,
        severity=3,
        updated_at=MovedClock().now(),
    )
    message = Message(
        id=1,
        key="one",
        contact_id="",
        name=TOPIC,
        role="machine",
        template="",
        language="",
        severity=3,
        turns=[[channel]],
        texts={channel: body},
        created_at=MovedClock().now(),
    )
    return delivery, message


def test_a_command_reaches_the_device(broker: Broker, listeners: Listeners) -> None:
    heard: list[tuple[str, bytes]] = []
    device = _device(broker, heard)
    try:
        delivery, message = _message(COMMAND, json.dumps({"lock": True}))
        assert Command(listeners.hand_over).send(delivery, message) == "m1-mqtt"
        wait_until(lambda: heard, "the command")
        assert heard == [(TOPIC, b'{"lock": true}')]
    finally:
        take_leave(device)


def test_a_topic_that_nobody_can_publish_to_fails(listeners: Listeners) -> None:
    with pytest.raises(ValueError, match=r"."):
        listeners.hand_over("a/#", b"x", 1.0)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(None, "Throttled"), (False, "Uncertain")],
    ids=["no broker", "not confirmed"],
)
def test_a_command_that_nobody_has_taken_is_tried_again(
    answer: Callable[[], bool] | None, kind: str
) -> None:
    command = Command(lambda _topic, _payload, _patience: answer)  # type: ignore[arg-type,return-value]
    delivery, message = _message(COMMAND, "{}")
    with pytest.raises(Exception, match=r".") as refused:
        command.send(delivery, message)
    assert type(refused.value).__name__ == kind


def test_while_the_broker_is_away_nothing_is_published(
    broker: Broker, listeners: Listeners
) -> None:
    broker.kill()
    wait_until(lambda: bool(listeners.missing()), "word that the broker is away")
    assert listeners.hand_over(TOPIC, b"x", 1.0) is None
