"""What is left of a refusal for good: a reason, the next channel, an opt-out with its proof."""

import pytest
from sqlmodel import select

from notify.consent import OptOut
from prevenant.consent import Consent
from tests.contracts.rig import NUMBER, Rig
from tests.servers import wait_until


@pytest.mark.parametrize("channel", ["sms", "voice"])
@pytest.mark.parametrize(
    ("status", "code", "state", "words"),
    [
        (400, 21606, "failed", "PREVENANT_TWILIO_SENDERS"),
        (403, 21408, "failed", "not enabled"),
        (400, 21617, "failed", "1600 characters"),
        (400, 21211, "suppressed", "wrong address: there is no such number"),
        (400, 21614, "suppressed", "wrong address: it is no mobile number"),
        (400, 99999, "failed", "Twilio refuses it"),
        (429, 63038, "failed", "daily limit"),
    ],
)
def test_a_refusal_for_good_takes_the_next_channel(
    rig: Rig, channel: str, status: int, code: int, state: str, words: str
) -> None:
    rig.carrier.refuse(status, code=code)
    rig.say("one", [channel], ["email"])
    refused = rig.expect(channel, state=state, attempts=1)
    assert words in refused.reason
    rig.expect("email", state="sent")


@pytest.mark.parametrize(("status", "code"), [(400, 21611), (429, 20429), (400, 14107)])
def test_a_code_that_means_not_now_is_tried_again(rig: Rig, status: int, code: int) -> None:
    rig.carrier.refuse(status, code=code)
    rig.say("one", ["sms"])
    rig.expect("sms", state="queued", attempts=1)
    rig.clock.advance(seconds=3)
    rig.expect("sms", state="sent", attempts=2)


def test_an_opt_out_at_the_provider_is_kept_with_its_proof(rig: Rig) -> None:
    rig.carrier.refuse(400, code=21610)
    rig.say("one", ["sms"], ["email"])
    assert "told the carrier to stop" in rig.expect("sms", state="suppressed").reason
    rig.expect("email", state="sent")
    with rig.store.read() as session:
        opted_out = session.exec(select(OptOut)).one()
        word = session.exec(select(Consent)).one()
    assert (opted_out.channel, opted_out.address) == ("sms", NUMBER)
    assert "21610" in opted_out.proof
    assert (word.contact_id, word.state, word.source) == ("camille", "withdrawn", "provider")
    rig.say("two", ["sms"])
    wait_until(lambda: "opted out" in rig.latest("sms").reason, "suppression of the next")
    assert rig.taken("sms") == 0


def test_a_number_that_cannot_be_one_is_never_handed_over(rig: Rig) -> None:
    rig.say("one", ["sms"], ["email"], number="+33639")
    assert rig.expect("sms", state="suppressed").reason == "wrong address: it is too short"
    rig.expect("email", state="sent")
    assert rig.carrier.sent == []
