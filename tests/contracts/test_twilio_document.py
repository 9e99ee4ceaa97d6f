"""Every request that we make of Twilio, and every answer of the carrier, is as Twilio documents it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from unittest.mock import Mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openapi_core.exceptions import OpenAPIError
from pydantic import SecretStr

from notify.message import Delivery, Message
from notify.sms import Sms, TwilioAccount
from notify.voice import Voice
from prevenant.errors import DeliveryError
from prevenant.settings import Settings
from simulators.carrier import Carrier
from tests.twilio_document import CheckedAdapter, needs_document

pytestmark = needs_document

NUMBER, FROM = "+33639980041", "+33939980000"
NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def phones() -> Iterator[Carrier]:
    carrier = Carrier()
    # Receipts would be for a public address, and each would wait until that is not found.
    carrier._post = Mock(return_value="")  # type: ignore[method-assign]
    carrier.start()
    yield carrier
    carrier.stop()


@pytest.fixture(scope="module", params=["https://prevenant.example", ""])
def account(request: pytest.FixtureRequest, phones: Carrier) -> Iterator[TwilioAccount]:
    """Return an account with a public address, and one without."""
    settings = Settings(
        twilio_account_sid=phones.account,
        twilio_auth_token=SecretStr(phones.token),
        twilio_from=FROM,
        twilio_base_url=phones.url,
        public_url=request.param,
    )
    account = TwilioAccount(settings)
    yield account
    account.close()


@pytest.fixture(scope="module")
def checked(account: TwilioAccount) -> CheckedAdapter:
    """Check what goes through the account's connection."""
    adapter = CheckedAdapter()
    account.client.http_client.session.mount("http://", adapter)
    return adapter


def message(channel: str, text: str, ask: str | None = None, language: str = "en") -> Message:
    return Message(
        key="case17",
        contact_id="camille",
        name="Camille Roux",
        role="customer",
        template="t",
        language=language,
        severity=3,
        turns=[[channel]],
        texts={channel: text},
        ask=ask,
        created_at=NOW,
    )


def delivery(channel: str, address: str = NUMBER) -> Delivery:
    return Delivery(
        key=f"m1-{channel}",
        message_id=1,
        channel=channel,
        address=address,
        severity=3,
        updated_at=NOW,
    )


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=500)


@settings(max_examples=25)
@given(text=TEXTS.filter(str.strip))
def test_a_text_is_created_and_found(
    account: TwilioAccount, checked: CheckedAdapter, phones: Carrier, text: str
) -> None:
    checked.checked.clear()
    phones.sent.clear()
    sms = Sms(account)
    sid = sms.send(delivery("sms"), message("sms", text))
    assert sms.find(delivery("sms"), message("sms", text), frozenset()) == sid
    assert checked.checked == ["POST Messages 201", "GET Messages 200"]


@settings(max_examples=25)
@given(
    text=TEXTS,
    ask=st.sampled_from([None, "offer", "confirm"]),
    language=st.sampled_from(["en", "fr", "de"]),
)
def test_a_call_is_ordered_and_found(
    account: TwilioAccount,
    checked: CheckedAdapter,
    phones: Carrier,
    text: str,
    ask: str | None,
    language: str,
) -> None:
    checked.checked.clear()
    phones.sent.clear()
    voice, said = Voice(account), message("voice", text, ask, language)
    assert voice.send(delivery("voice"), said)
    assert voice.find(delivery("voice"), said, frozenset())
    assert checked.checked == ["POST Calls 201", "GET Calls 200"]


def test_whatever_becomes_of_it_can_be_fetched(
    account: TwilioAccount, checked: CheckedAdapter, phones: Carrier
) -> None:
    lost = "+33639980099"
    phones.unreachable.add(lost)
    sms, voice = Sms(account), Voice(account)
    sids = [sms.send(delivery("sms", to), message("sms", "Hi")) for to in (NUMBER, lost)]
    calls = [voice.send(delivery("voice", to), message("voice", "Hi")) for to in (NUMBER, lost)]
    ended = {"delivered", "undelivered", "completed", "no-answer"}
    phones.wait_for(lambda: {one.status for one in phones.sent} <= ended, 60)
    states = [account.client.messages(sid).fetch() for sid in sids]
    assert [(one.status, one.error_code) for one in states] == [
        ("delivered", None),
        ("undelivered", 30003),
    ]
    states = [account.client.calls(sid).fetch() for sid in calls]
    assert [one.status for one in states] == ["completed", "no-answer"]
    assert checked.checked[-4:] == [*["GET Messages 200"] * 2, *["GET Calls 200"] * 2]


def test_long_lists_are_documented_on_every_page(
    account: TwilioAccount, checked: CheckedAdapter
) -> None:
    checked.checked.clear()
    for number in range(5):
        account.client.messages.create(to="+33639980077", from_=FROM, body=f"n{number}")
    found = account.client.messages.list(to="+33639980077", page_size=2)
    assert len(found) >= 5
    assert checked.checked.count("GET Messages 200") == -(-len(found) // 2)


@pytest.mark.usefixtures("checked")
def test_what_is_not_documented_does_not_pass(
    account: TwilioAccount,
    phones: Carrier,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The check can fail: a request that Twilio does not know, and an answer that it would not give."""
    with pytest.raises(AssertionError, match="Twilio knows no \\['Text'\\]"):
        account.client.request("POST", _messages(phones), data={"To": NUMBER, "Text": "Hi"})
    accept = phones.accept

    def misnumbered(kind: str, fields: dict[str, str]) -> object:
        one = accept(kind, fields)
        one.sid = "XX"
        return one

    monkeypatch.setattr(phones, "accept", misnumbered)
    with pytest.raises((OpenAPIError, DeliveryError)):
        Sms(account).send(delivery("sms"), message("sms", "Hi"))


def _messages(phones: Carrier) -> str:
    return f"{phones.url}/2010-04-01/Accounts/{phones.account}/Messages.json"
