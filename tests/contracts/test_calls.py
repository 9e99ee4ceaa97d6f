"""Calls: said twice in the contact's language, answered by a key, and not by a machine."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlmodel import col, select

from notify.delivery import Channel, take_receipt
from notify.message import (
    Ask,
    Delivery,
    Draft,
    Message,
    Recipient,
    close_asks,
    queue_message,
)
from notify.outbox import Outbox
from notify.replies import Reply
from notify.sms import Sms, TwilioAccount
from notify.templating import Templates
from notify.voice import Voice, call_twiml, person_twiml
from prevenant.book_uses import EXTRAS, sample_variables
from prevenant.settings import Settings
from prevenant.store import Store
from prevenant.tables import CaseEvent, TimelineEntry
from prevenant.website import Website, bind_pages
from simulators.broker import free_port
from simulators.carrier import Carrier, Sent
from tests.moved_clock import MovedClock
from tests.servers import wait_until

NUMBER, DESK = "+33639980041", "+33939980001"
TEMPLATES = Templates()
SAMPLES = sample_variables(after_dispatch=True, extra=EXTRAS)


@dataclass
class Exchange:
    """An outbox and the webhooks, behind a carrier whose phones are answered."""

    store: Store
    clock: MovedClock
    carrier: Carrier
    settings: Settings

    def call(
        self,
        language: str = "en",
        ask: str | None = "offer",
        turns: Sequence[Sequence[str]] = (["voice"], ["sms"]),
    ) -> None:
        recipient = Recipient(
            "camille",
            "Camille Roux",
            "technician",
            language,
            "UTC",
            {"voice": NUMBER, "sms": NUMBER},
        )
        asked = Ask(ask) if ask else None
        draft = Draft("one", recipient, "job_offer", SAMPLES, turns, 3, 17, asked)
        with self.store.write() as session:
            queue_message(session, TEMPLATES, draft, self.clock.now())

    def expect_call(self) -> Sent:
        """Wait until a call to the phone is over."""

        def over() -> Sent | None:
            calls = self.carrier.sent_to(NUMBER, "Calls")
            return next((one for one in calls if one.status == "completed"), None)

        call = wait_until(over, "the end of the call")
        assert isinstance(call, Sent)
        return call

    def expect(self, channel: str, state: str) -> Delivery:
        def found() -> Delivery | None:
            with self.store.read() as session:
                query = select(Delivery).where(Delivery.channel == channel)
                one = session.exec(query).first()
            return one if one is not None and one.state == state else None

        delivery = wait_until(found, f"{channel} that is {state}")
        assert isinstance(delivery, Delivery)
        return delivery

    def replies(self) -> list[Reply]:
        with self.store.read() as session:
            return list(session.exec(select(Reply)))


@pytest.fixture(params=[""])
def exchange(
    request: pytest.FixtureRequest, store: Store, clock: MovedClock, carrier: Carrier
) -> Iterator[Exchange]:
    address = f"127.0.0.1:{free_port()}"
    settings = Settings(
        http=address,
        public_url=f"http://{address}",
        twilio_account_sid=carrier.account,
        twilio_auth_token=SecretStr(carrier.token),
        twilio_from="+33939980000",
        twilio_base_url=carrier.url,
        admin_token=SecretStr("admin"),
        desk_phone=request.param,
    )
    account = TwilioAccount(settings)
    channels: dict[str, Channel] = {"sms": Sms(account), "voice": Voice(account)}
    website = Website(settings, bind_pages(settings), store, clock, TEMPLATES)
    outbox = Outbox(store, clock, channels)
    threads = [threading.Thread(target=part.run) for part in (website, outbox)]
    for thread in threads:
        thread.start()
    wait_until(lambda: website.started, "web server")
    yield Exchange(store, clock, carrier, settings)
    outbox.stop()
    website.stop()
    for thread in threads:
        thread.join(60)


def says(twiml: str) -> list[tuple[str, str]]:
    return [(str(one.get("language")), one.text or "") for one in ET.fromstring(twiml).iter("Say")]


@pytest.mark.parametrize(
    ("language", "accent", "person"),
    [("en", "en-GB", "Press 9 to speak to a person."), ("fr", "fr-FR", "Tapez 9 pour parler")],
)
def test_it_is_said_twice_in_the_contacts_language_with_the_way_to_a_person(
    exchange: Exchange, language: str, accent: str, person: str
) -> None:
    exchange.call(language)
    said = says(exchange.expect_call().twiml)
    assert {one for one, _ in said} == {accent}
    texts = [text for _, text in said]
    assert texts[:2] == texts[2:]
    assert texts[1].startswith(person)
    assert str(TEMPLATES.render("job_offer", language, "voice", SAMPLES)) in texts[0]


@pytest.mark.parametrize(
    ("written", "reads", "accent"),
    [("en", "fr", "en-GB"), ("de", "fr", "de-DE"), ("de", "de", "de-DE"), ("fr", "fr", "fr-FR")],
)
def test_a_text_is_spoken_in_the_language_it_is_written_in(
    store: Store, clock: MovedClock, written: str, reads: str, accent: str
) -> None:
    templates = Templates({"of_the_book": {written: {"voice": "said"}}})
    person = Recipient("ada", "Ada", "customer", reads, "UTC", {"voice": NUMBER})
    draft = Draft("one", person, "of_the_book", {}, [["voice"]], 3, 17, Ask("confirm"))
    with store.write() as session:
        message = queue_message(session, templates, draft, clock.now())
        said = says(call_twiml(message, "https://prevenant.example/x"))
    assert said[0] == (accent, "said")
    by_person = ("fr-FR", "Tapez 9") if written == "fr" else ("en-GB", "Press 9")
    assert (said[1][0], said[1][1][:7]) == by_person


@pytest.mark.parametrize(("key", "intent"), [("1", "accept"), ("2", "decline")])
def test_a_key_is_the_answer(exchange: Exchange, key: str, intent: str) -> None:
    exchange.carrier.key_for = lambda spoken, _: key if "Press 1" in spoken else None
    exchange.call()
    assert "Thank you." in exchange.expect_call().body
    (reply,) = exchange.replies()
    assert (reply.intent, reply.outcome, reply.case_id) == (intent, "bound", 17)
    exchange.expect("voice", "delivered")


def test_key_9_reaches_a_person_who_calls_back(exchange: Exchange) -> None:
    exchange.carrier.key_for = lambda spoken, _: "9" if "Press 9" in spoken else None
    exchange.call()
    assert "A person will call you back." in exchange.expect_call().body
    (reply,) = exchange.replies()
    assert (reply.intent, reply.case_id) == ("talk", 17)


@pytest.mark.parametrize("exchange", [DESK], indirect=True)
def test_key_9_connects_with_the_desk_where_it_has_a_number(exchange: Exchange) -> None:
    exchange.carrier.key_for = lambda spoken, _: "9" if "Press 9" in spoken else None
    exchange.call()
    assert "You are being connected." in exchange.expect_call().body
    dial = ET.fromstring(person_twiml("fr", DESK)).find("Dial")
    assert dial is not None
    assert dial.text == DESK


def test_a_key_that_means_nothing_is_asked_about_again(exchange: Exchange) -> None:
    pressed: list[str] = []

    def press(spoken: str, _number: str) -> str:
        pressed.append("1" if "Sorry, that key means nothing here." in spoken else "5")
        return pressed[-1]

    exchange.carrier.key_for = press
    exchange.call()
    call = exchange.expect_call()
    assert pressed[:2] == ["5", "1"]
    assert call.keys[:2] == ["5", "1"]
    assert [one.intent for one in exchange.replies()][:2] == [None, "accept"]


@pytest.mark.parametrize(("ask", "at_last"), [("offer", "handed off"), ("rating", "unclear")])
def test_nobody_is_asked_for_ever_and_a_person_calls_back(
    exchange: Exchange, ask: str, at_last: str
) -> None:
    exchange.carrier.key_for = lambda spoken, _: None if spoken.startswith("Thank you.") else "7"
    exchange.call(ask=ask)
    call = exchange.expect_call()
    assert call.keys == ["7"] * 3
    assert ("A person will call you back." in call.body) is (at_last == "handed off")
    assert [one.outcome for one in exchange.replies()] == ["unclear", "unclear", at_last]
    with exchange.store.read() as session:
        events = session.exec(select(CaseEvent).where(CaseEvent.kind == "reply"))
        heard = [one.data["intent"] for one in events]
    assert heard == (["misunderstood"] if at_last == "handed off" else [])


def test_a_voicemail_is_no_answer_and_the_next_channel_is_taken(exchange: Exchange) -> None:
    exchange.carrier.voicemails.add(NUMBER)
    exchange.carrier.key_for = lambda _spoken, _number: "1"
    exchange.call()
    voice = exchange.expect("voice", "undelivered")
    assert voice.reason == "a machine has answered, no person"
    exchange.expect("sms", "delivered")
    assert exchange.replies() == []
    assert exchange.expect_call().keys == []


def test_a_voicemail_is_found_out_from_the_receipt_alone(exchange: Exchange) -> None:
    exchange.carrier.voicemails.add(NUMBER)
    tell = exchange.carrier._post
    exchange.carrier._post = lambda url, fields: (  # type: ignore[method-assign]
        "" if "/answered" in url else tell(url, fields)
    )
    exchange.call(ask=None)
    exchange.expect("voice", "undelivered")


def _tell_of_the_machine_last(exchange: Exchange) -> None:
    """Let Twilio say that the call is over before it says who has answered."""
    exchange.carrier.voicemails.add(NUMBER)
    tell, later = exchange.carrier._post, list[tuple[str, dict[str, str]]]()

    def post(url: str, fields: dict[str, str]) -> str:
        if "/answered" in url:
            later.append((url, fields))
            return ""
        status = {name: value for name, value in fields.items() if name != "AnsweredBy"}
        answer = tell(url, status)
        if fields.get("CallStatus") == "completed":
            exchange.expect("voice", "delivered")
            for one in later:
                tell(*one)
        return answer

    exchange.carrier._post = post  # type: ignore[method-assign]


def test_a_voicemail_that_is_found_out_after_the_call_takes_its_receipt_back(
    exchange: Exchange,
) -> None:
    _tell_of_the_machine_last(exchange)
    exchange.call()
    said = "a machine has answered, no person; it was taken for delivered before"
    assert exchange.expect("voice", "undelivered").reason == said
    exchange.expect("sms", "delivered")
    with exchange.store.read() as session:
        assert session.exec(select(Message)).one().state == "delivered"
        lines = session.exec(select(TimelineEntry).order_by(col(TimelineEntry.id))).all()
    voice = [one for one in lines if one.summary.startswith("voice")]
    assert [one.kind for one in voice][-2:] == ["message.delivered", "message.undelivered"]
    assert voice[-1].summary.endswith(f"undelivered: {said}")


def test_what_is_taken_back_and_has_no_further_channel_has_failed(exchange: Exchange) -> None:
    _tell_of_the_machine_last(exchange)
    exchange.call(ask=None, turns=[["voice"]])
    exchange.expect("voice", "undelivered")
    with exchange.store.read() as session:
        assert session.exec(select(Message)).one().state == "undelivered"
        events = session.exec(select(CaseEvent).order_by("id")).all()
    assert [one.kind for one in events] == ["message.delivered", "message.failed"]
    assert "it was taken for delivered" in events[-1].data["reason"]


def test_a_machine_that_has_pressed_a_key_was_a_person(exchange: Exchange) -> None:
    exchange.call()
    exchange.expect("voice", "delivered")
    with exchange.store.write() as session:
        close_asks(session, 17, ["offer"])
        reason = "a machine has answered, no person"
        now = exchange.clock.now()
        take_receipt(session, "m1-voice", "", "undelivered", now, reason, takes_back=True)
    exchange.expect("voice", "delivered")


def test_whoever_answers_in_person_is_reached(exchange: Exchange) -> None:
    exchange.call(ask=None)
    exchange.expect("voice", "delivered")
    assert len(says(exchange.expect_call().twiml)) == 2
    with exchange.store.read() as session:
        assert session.exec(select(Message)).one().state == "delivered"


def spoken(text: str, ask: str | None) -> Message:
    """Return a message that is said in a call."""
    return Message(
        key="k",
        contact_id="c",
        name="C",
        role="customer",
        template="t",
        language="fr",
        severity=3,
        turns=[["voice"]],
        texts={"voice": text},
        ask=ask,
        created_at=MovedClock().now(),
    )


@pytest.mark.parametrize(("ask", "digits"), [("nps", "2"), ("ces", "1"), ("offer", "1")])
def test_on_a_scale_up_to_ten_a_key_may_be_the_first_of_two(ask: str, digits: str) -> None:
    twiml = call_twiml(spoken("How likely?", ask), "https://prevenant.example/x")
    gather = ET.fromstring(twiml).find("Gather")
    assert gather is not None
    assert (gather.get("numDigits"), gather.get("finishOnKey")) == (digits, "#")


@given(
    text=st.one_of(st.text(st.characters(exclude_categories=["Cs", "Cc"])), st.just("<&>" * 2_000)),
    ask=st.sampled_from([None, "offer", "nps"]),
)
def test_no_text_makes_a_document_that_twilio_would_not_take(text: str, ask: str | None) -> None:
    message = spoken(text, ask)
    answer = "https://prevenant.example/webhooks/twilio/voice?key=m1-voice&tries=2" if ask else None
    twiml = call_twiml(message, answer, "again" if ask else "")
    assert len(twiml) <= 4_000
    assert ("9" in "".join(text for _, text in says(twiml) if "Tapez" in text)) is (ask == "offer")
