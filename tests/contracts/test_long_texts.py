"""What an SMS takes is in the ledger before it goes, and what is too long goes shortened."""

from notify.message import Draft, Recipient, queue_message
from notify.segments import count_segments
from notify.templating import Templates
from notify.visible import cut
from tests.contracts.rig import NUMBER, Rig

WORDS = " ".join(["door"] * 1_000)
LONG = Templates({"long": {"en": {"sms": WORDS, "voice": WORDS}}})


def test_segments_and_encoding_stand_in_the_ledger(rig: Rig) -> None:
    rig.say("one", ["sms"])
    rig.expect("sms", state="sent", segments=1, encoding="GSM-7")
    rig.say("two", ["email"])
    rig.expect("email", state="sent", segments=0, encoding="")


def test_a_text_beyond_the_limit_goes_shortened_and_is_found_again(rig: Rig) -> None:
    recipient = Recipient("c", "Zoe", "customer", "en", "UTC", {"sms": NUMBER, "voice": NUMBER})
    link = "https://prevenant.example/c/7"
    draft = Draft("one", recipient, "long", {"link": link}, [["sms"], ["voice"]], 3)
    rig.carrier.refuse(0)
    with rig.store.write() as session:
        queue_message(session, LONG, draft, rig.clock.now())
    rig.expect("sms", state="uncertain", segments=10)
    wanted = rig.message().texts["sms"]
    assert wanted.endswith(f"door... {link}")
    assert count_segments(wanted) == 10
    assert rig.message().left_out == len(WORDS) - len(wanted.removesuffix(f"... {link}"))
    rig.clock.advance(seconds=6)
    rig.expect("sms", state="sent", possible_duplicate=False)
    (sent,) = rig.carrier.sent_to(NUMBER)
    assert sent.body == wanted
    assert rig.message().texts["voice"] == cut(WORDS, 1_500), "what is spoken has its own limit"
