"""Two providers of SMS: the second takes over what the first certainly has not, and nothing else."""

import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlmodel import select

from notify.message import Delivery, Draft, Recipient, queue_message
from notify.receipts import can_confirm
from notify.templating import Templates
from prevenant.tables import TimelineEntry
from simulators.sms_gateway import SmsGateway
from tests.contracts.gateways import make_sms, use_both
from tests.contracts.rig import NUMBER, Rig, running
from tests.servers import wait_until

LOOK = timedelta(seconds=5)
WORDS = Templates({"words": {"en": {"sms": "{{ words }}"}}})


@pytest.fixture
def gateway() -> Iterator[SmsGateway]:
    """Run the second provider."""
    gateway = SmsGateway().start()
    yield gateway
    gateway.stop()


@pytest.fixture
def both(rig: Rig, gateway: SmsGateway, tmp_path: Path) -> Rig:
    """Ask Twilio first, then the gateway."""
    use_both(rig, make_sms(gateway, tmp_path))
    return rig


def lines(rig: Rig) -> list[str]:
    """Return what the story says of providers."""
    with rig.store.read() as session:
        return [
            one.summary
            for one in session.exec(select(TimelineEntry))
            if one.kind.startswith("provider.")
        ]


def queue(rig: Rig, words: str) -> None:
    """Queue a text of its own words."""
    recipient = Recipient("c", "Zoe", "customer", "en", "UTC", {"sms": NUMBER})
    draft = Draft(words, recipient, "words", {"words": words}, [["sms"]], 3)
    with rig.store.write() as session:
        queue_message(session, WORDS, draft, rig.clock.now())


@pytest.mark.parametrize("status", [429, 503, 400])
def test_what_the_first_has_not_taken_goes_to_the_second_at_once(
    both: Rig, gateway: SmsGateway, status: int
) -> None:
    both.carrier.refuse(status, code=21606 if status == 400 else 0)
    both.say("one", ["sms"])
    both.expect("sms", state="sent", provider="gateway", attempts=2, possible_duplicate=False)
    (text,) = gateway.taken
    assert (text.to, text.sender, text.reference) == (NUMBER, "Prevenant", "m1-sms")
    assert both.taken("sms") == 0


def test_nobody_there_goes_to_the_second(both: Rig, gateway: SmsGateway) -> None:
    both.carrier.stop()
    both.say("one", ["sms"])
    both.expect("sms", state="sent", provider="gateway")
    assert len(gateway.taken) == 1


def test_a_refusal_of_the_message_is_not_asked_of_the_second(
    both: Rig, gateway: SmsGateway
) -> None:
    both.carrier.refuse(400, code=21610)
    both.say("one", ["sms"])
    both.expect("sms", state="suppressed", provider="twilio")
    assert gateway.posts == 0


def test_where_both_refuse_for_now_it_is_tried_later(both: Rig, gateway: SmsGateway) -> None:
    both.carrier.refuse(503)
    gateway.refuse(503)
    both.say("one", ["sms"])
    both.expect("sms", state="queued", attempts=2)
    both.clock.advance(seconds=5)
    both.expect("sms", state="sent", attempts=3)


def test_one_that_cannot_send_it_for_us_gives_nothing_up_for_the_other(
    both: Rig, gateway: SmsGateway
) -> None:
    both.carrier.refuse(429)
    gateway.refuse(200, code="41")
    both.say("one", ["sms"], ["email"])
    both.expect("sms", state="queued", attempts=2)
    both.clock.advance(seconds=5)
    both.expect("sms", state="sent", provider="twilio", attempts=3)


def test_where_neither_can_send_it_for_us_the_next_channel_is_taken(
    both: Rig, gateway: SmsGateway
) -> None:
    both.carrier.refuse(400, code=21408)
    gateway.refuse(200, code="41")
    both.say("one", ["sms"], ["email"])
    both.expect("sms", state="failed", attempts=2)
    both.expect("email", state="sent")


def test_a_country_that_is_not_enabled_keeps_nobody_elsewhere_waiting(
    both: Rig, gateway: SmsGateway
) -> None:
    both.carrier.refuse(400, code=21408, times=6)
    for number in range(6):
        queue(both, f"text {number}")
        wait_until(lambda number=number: len(gateway.taken) == number + 1, "the gateway's turn")
    queue(both, "elsewhere")
    wait_until(lambda: both.taken("sms") == 1, "Twilio's turn")
    assert lines(both) == []


def test_a_gateway_without_receipts_is_waited_for_by_nobody(both: Rig, gateway: SmsGateway) -> None:
    assert gateway.url
    sms = both.channels["sms"]
    at_gateway = Delivery(message_id=1, key="k", channel="sms", address=NUMBER, severity=3)
    at_gateway.provider = "gateway"
    assert not can_confirm(sms, at_gateway)
    at_gateway.provider = "twilio"
    assert can_confirm(sms, at_gateway)


def test_what_the_first_may_have_is_asked_of_it_alone(both: Rig, gateway: SmsGateway) -> None:
    both.carrier.refuse(0)
    both.say("one", ["sms"])
    both.expect("sms", state="uncertain", provider="twilio")
    token, both.carrier.token = both.carrier.token, "cannot be asked"
    for _ in range(3):
        both.clock.advance(seconds=6)
        both.expect("sms", state="uncertain", next_at=both.clock.now() + LOOK)
    both.carrier.token = token
    both.clock.advance(seconds=6)
    both.expect("sms", state="sent", provider="twilio", possible_duplicate=False)
    assert gateway.posts == 0
    assert both.taken("sms") == 1


def test_what_a_gateway_may_have_stays_with_it(
    rig: Rig, gateway: SmsGateway, tmp_path: Path
) -> None:
    use_both(rig, make_sms(gateway, tmp_path), first="gateway")
    gateway.refuse(0)
    gateway.refuse(503, times=2)
    rig.say("one", ["sms"])
    rig.expect("sms", state="uncertain", provider="gateway")
    rig.clock.advance(seconds=6)
    for attempt in (2, 3):
        rig.expect("sms", state="queued", attempts=attempt, possible_duplicate=True)
        rig.clock.advance(seconds=20)
    rig.expect("sms", state="sent", provider="gateway", possible_duplicate=True)
    assert [text.reference for text in gateway.taken] == ["m1-sms", "m1-sms"]
    assert rig.carrier.sent == []


def test_a_crash_in_the_hand_over_is_a_matter_of_the_provider_that_was_written_down(
    both: Rig, gateway: SmsGateway
) -> None:
    both.carrier.refuse(0)
    both.say("one", ["sms"])
    both.expect("sms", state="uncertain")
    with both.store.write() as session:
        delivery = session.exec(select(Delivery)).one()
        delivery.state = "sending"
        session.add(delivery)
    with running(both):
        both.expect("sms", state="uncertain", provider="twilio")
        both.clock.advance(seconds=6)
        both.expect("sms", state="sent", possible_duplicate=False)
    assert both.taken("sms") == 1
    assert gateway.posts == 0


def test_a_provider_that_fails_again_and_again_rests_and_is_tried_and_comes_back(
    both: Rig, gateway: SmsGateway
) -> None:
    both.carrier.refuse(503, times=6)
    for number in range(5):
        queue(both, f"text {number}")
        wait_until(lambda number=number: len(gateway.taken) == number + 1, "the gateway's turn")
    wait_until(lambda: len(lines(both)) == 1, "a line of the story")
    assert lines(both) == [
        "sms: twilio rests for 30 s, 5 failures within 60 s: Twilio answers 503: too much at once"
    ]
    queue(both, "while it rests")
    wait_until(lambda: len(gateway.taken) == 6, "the gateway's turn")
    assert both.latest("sms").attempts == 1, "the one that rests was not asked"
    both.clock.advance(seconds=31)
    queue(both, "the trial that fails")
    wait_until(lambda: len(gateway.taken) == 7 and len(lines(both)) == 3, "a trial")
    assert lines(both)[1:] == [
        "sms: twilio is tried again",
        "sms: twilio rests for 60 s, the trial failed: Twilio answers 503: too much at once",
    ]
    both.clock.advance(seconds=61)
    queue(both, "the trial that is taken")
    wait_until(lambda: len(lines(both)) == 5, "another trial")
    assert lines(both)[3:] == ["sms: twilio is tried again", "sms: twilio takes messages again"]
    assert both.taken("sms") == 1


@pytest.mark.parametrize("seed", range(3))
def test_no_two_providers_ever_have_one_message(both: Rig, gateway: SmsGateway, seed: int) -> None:
    chance = random.Random(seed)
    texts = [f"text {number}" for number in range(12)]
    for words in texts:
        for _ in range(chance.randrange(3)):
            both.carrier.refuse(chance.choice([429, 503, 500, 0]))
            gateway.refuse(chance.choice([429, 503, 500, 0, -1]))
        queue(both, words)

    def settled() -> bool:
        with both.store.read() as session:
            states = set(session.exec(select(Delivery.state)))
        both.clock.advance(seconds=2)
        return states <= {"sent", "failed"}

    wait_until(settled, "end of all deliveries", 60.0)
    at_twilio = {one.body for one in both.carrier.sent}
    at_gateway = {one.text for one in gateway.taken}
    assert at_twilio & at_gateway == set()
    with both.store.read() as session:
        doubtful = {
            one.message_id for one in session.exec(select(Delivery)) if one.possible_duplicate
        }
    assert len(both.carrier.sent) + len(gateway.taken) - len(at_twilio | at_gateway) <= len(
        doubtful
    )
