"""What every channel owes: one hand-over for each message, and the right thing after each refusal."""

import ssl
from collections.abc import Callable

import pytest
import trustme
from pydantic import SecretStr
from sqlmodel import select

from notify.delivery import Channel
from notify.email import Email
from notify.message import Delivery, Draft, Message, Recipient, queue_message
from notify.outbox import Outbox
from notify.sms import Sms
from notify.voice import Voice
from prevenant.settings import Settings
from prevenant.store import Store
from simulators.mailbox import Mailbox
from tests.contracts.rig import ADDRESS, NUMBER, TEMPLATES, Rig, running
from tests.moved_clock import MovedClock
from tests.servers import wait_until


@pytest.mark.parametrize("channel", ["sms", "voice", "email"])
def test_a_message_is_handed_over_once(rig: Rig, channel: str) -> None:
    rig.say("one", [channel])
    rig.say("one", [channel])
    delivery = rig.expect(channel, state="sent", attempts=1)
    assert delivery.provider_id
    assert rig.taken(channel) == 1


@pytest.mark.parametrize(
    ("channel", "refuse"),
    [
        ("sms", lambda rig: rig.carrier.refuse(429)),
        ("sms", lambda rig: rig.carrier.refuse(503)),
        ("voice", lambda rig: rig.carrier.refuse(429)),
        ("email", lambda rig: rig.mailbox.refusals.append("451 4.7.1 later, please")),
    ],
    ids=["sms 429", "sms 503", "voice 429", "email 451"],
)
def test_not_now_is_tried_again_later(
    rig: Rig, channel: str, refuse: Callable[[Rig], object]
) -> None:
    refuse(rig)
    rig.say("one", [channel])
    rig.expect(channel, state="queued", attempts=1)
    assert rig.taken(channel) == 0
    rig.clock.advance(seconds=3)
    rig.expect(channel, state="sent", attempts=2, possible_duplicate=False)
    assert rig.taken(channel) == 1


def test_the_providers_own_advice_is_kept(rig: Rig) -> None:
    rig.carrier.refuse(429, retry_after_s=30)
    rig.say("one", ["sms"])
    delivery = rig.expect("sms", state="queued", attempts=1)
    assert delivery.next_at is not None
    assert (delivery.next_at - rig.clock.now()).total_seconds() == 30


@pytest.mark.parametrize("advice_s", [86_400, 10**15])
def test_advice_beyond_five_minutes_is_not_waited_for(rig: Rig, advice_s: int) -> None:
    rig.carrier.refuse(429, retry_after_s=advice_s)
    rig.say("one", ["sms"])
    rig.expect("sms", state="queued", attempts=1)
    rig.clock.advance(minutes=5)
    rig.expect("sms", state="sent", attempts=2)


def test_of_two_that_may_have_been_taken_and_read_the_same_only_one_was(rig: Rig) -> None:
    rig.carrier.refuse(0)
    rig.carrier.refuse(500)
    rig.say("one", ["sms"])
    rig.say("two", ["sms"])

    def deliveries() -> list[Delivery]:
        with rig.store.read() as session:
            return list(session.exec(select(Delivery)))

    wait_until(lambda: {one.state for one in deliveries()} == {"uncertain"}, "doubt")
    rig.clock.advance(seconds=6)
    wait_until(lambda: {one.state for one in deliveries()} == {"sent"}, "certainty")
    assert rig.taken("sms") == 2
    assert len({one.provider_id for one in deliveries()}) == 2


@pytest.mark.parametrize(("channel", "status"), [("sms", 0), ("voice", 0), ("sms", 500)])
def test_what_may_have_been_taken_is_looked_up_before_anything_is_sent_again(
    rig: Rig, channel: str, status: int
) -> None:
    rig.carrier.refuse(status)
    rig.say("one", [channel])
    rig.expect(channel, state="uncertain")
    rig.clock.advance(seconds=6)
    delivery = rig.expect(channel, state="sent")
    assert rig.taken(channel) == 1
    # A 500 had taken nothing: it was sent again, and says that it might be a second one.
    assert delivery.possible_duplicate is (status == 500)


def test_what_a_trial_account_writes_before_a_text_hides_it_not(rig: Rig) -> None:
    rig.carrier.refuse(0)
    rig.say("one", ["sms"])
    rig.expect("sms", state="uncertain")
    (taken,) = rig.carrier.sent_to(NUMBER, "Messages")
    taken.body = f"Sent from your Twilio trial account - {taken.body}"
    rig.clock.advance(seconds=6)
    rig.expect("sms", state="sent", possible_duplicate=False, provider_id=taken.sid)
    assert rig.taken("sms") == 1


def test_a_longer_text_that_ends_alike_is_another(rig: Rig) -> None:
    rig.carrier.refuse(0)
    rig.say("one", ["sms"])
    rig.expect("sms", state="uncertain")
    (taken,) = rig.carrier.sent_to(NUMBER, "Messages")
    taken.body = f"Somebody else says: {taken.body}"
    rig.clock.advance(seconds=6)
    rig.expect("sms", state="sent", possible_duplicate=True)
    assert rig.taken("sms") == 2


@pytest.mark.parametrize("channel", ["sms", "voice"])
def test_an_answer_that_does_not_come_is_given_up(rig: Rig, channel: str) -> None:
    del rig.carrier.withhold  # what the rig has put in its place
    given = rig.channels[channel]
    assert isinstance(given, Sms | Voice)
    given._account.client.http_client.timeout = 0.2
    rig.carrier.refuse(0)
    rig.say("one", [channel])
    assert "in time" in rig.expect(channel, state="uncertain", attempts=1).reason


def test_what_nobody_can_be_asked_about_any_more_goes_on_to_the_next_channel(rig: Rig) -> None:
    rig.carrier.refuse(0)
    rig.say("one", ["sms"], ["email"])
    rig.expect("sms", state="uncertain")
    del rig.channels["sms"]
    rig.clock.advance(seconds=6)
    delivery = rig.expect("sms", state="failed", possible_duplicate=True)
    assert "no credentials any more" in delivery.reason
    rig.expect("email", state="sent")


def test_a_crash_during_the_hand_over_is_reconciled_against_the_providers_list(rig: Rig) -> None:
    rig.carrier.refuse(0)
    rig.say("one", ["sms"])
    rig.expect("sms", state="uncertain")
    with rig.store.write() as session:
        delivery = session.exec(select(Delivery)).one()
        delivery.state = "sending"
        session.add(delivery)
    with running(rig):
        rig.expect("sms", state="uncertain")
        rig.clock.advance(seconds=6)
        rig.expect("sms", state="sent", possible_duplicate=False)
    assert rig.taken("sms") == 1


def test_for_good_is_not_tried_again_and_the_next_channel_is_taken(rig: Rig) -> None:
    rig.mailbox.refusals.append("550 5.1.1 no such mailbox")
    rig.say("one", ["email"], ["sms"])
    failed = rig.expect("email", state="failed", attempts=1)
    assert "550" in failed.reason
    rig.expect("sms", state="sent")
    assert rig.message().state == "sent"


def test_a_reason_never_holds_the_address(rig: Rig) -> None:
    rig.mailbox.refusals.append(f"550 5.1.1 <{ADDRESS}> is not known, nor is +33 6 39 98 00 41")
    rig.say("one", ["email"])
    failed = rig.expect("email", state="failed")
    assert ADDRESS not in failed.reason
    assert "39 98" not in failed.reason


def test_wrong_credentials_are_a_matter_for_the_operator_and_are_tried_again(rig: Rig) -> None:
    rig.carrier.token = "another"
    rig.say("one", ["sms"])
    delivery = rig.expect("sms", state="queued", attempts=1)
    assert "PREVENANT_TWILIO_ACCOUNT_SID" in delivery.reason


def test_a_channel_without_credentials_sends_nothing_and_says_so(rig: Rig) -> None:
    del rig.channels["sms"]
    rig.say("one", ["sms"])
    delivery = rig.expect("sms", state="suppressed")
    assert "no credentials" in delivery.reason
    assert rig.taken("sms") == 0
    assert rig.message().state == "suppressed"


def test_nobody_listening_is_tried_again(rig: Rig) -> None:
    rig.carrier.stop()
    rig.say("one", ["sms"])
    assert "cannot be reached" in rig.expect("sms", state="queued", attempts=1).reason


def test_after_eight_attempts_it_is_given_up(rig: Rig) -> None:
    rig.carrier.refuse(429, times=50)
    rig.say("one", ["sms"])
    for attempt in range(1, 8):
        rig.expect("sms", state="queued", attempts=attempt)
        rig.clock.advance(minutes=6)
    rig.expect("sms", state="failed", attempts=8)


def test_more_urgent_messages_go_first(store: Store, clock: MovedClock) -> None:
    for number, severity in enumerate([1, 5, 3], 1):
        recipient = Recipient("c", "C", "customer", "en", "UTC", {"sms": f"+3363998005{number}"})
        draft = Draft(f"m{number}", recipient, "reply_stopped", {}, [["sms"]], severity)
        with store.write() as session:
            queue_message(session, TEMPLATES, draft, clock.now())
    channels: dict[str, Channel] = {"sms": Email(Settings(smtp_url=SecretStr("smtp://localhost")))}
    outbox = Outbox(store, clock, channels)
    wait_until(lambda: store.hears_others or not store.is_shared, "others")
    claims = outbox._turn(clock.now())
    assert [claim.delivery.id for claim in claims] == [2, 3, 1]


def test_mail_goes_over_tls_with_a_login(
    clock: MovedClock, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    folder = tmp_path_factory.mktemp("tls")
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
    mailbox = _tls_mailbox(certificate)
    settings = Settings(
        smtp_url=SecretStr(f"smtp+starttls://us%40er:p%40ss@localhost:{mailbox.port}"),
        email_from="Prevenant <service@prevenant.example>",
    )
    email = Email(settings)
    message = Message(
        id=1,
        key="k1",
        case_id=7,
        contact_id="c",
        name="Zoé Roux",
        role="customer",
        template="t",
        language="fr",
        severity=3,
        turns=[["email"]],
        texts={"email": {"subject": "Café prêt", "text": "Bonjour Zoé", "html": "<p>Bonjour</p>"}},
        created_at=clock.now(),
    )
    delivery = Delivery(
        key="m1-email",
        message_id=1,
        channel="email",
        address=ADDRESS,
        severity=3,
        updated_at=clock.now(),
    )
    try:
        first = email.send(delivery, message)
        assert email.send(delivery, message) == first
        assert [mail["Subject"] for mail in mailbox.mails] == ["Café prêt"] * 2
        assert mailbox.mails[0]["Message-ID"] == first
    finally:
        email.close()
        mailbox.stop()


def _tls_mailbox(certificate: trustme.LeafCert) -> Mailbox:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    return Mailbox(context, ("us@er", "p@ss")).start()
