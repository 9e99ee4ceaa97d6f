"""The carrier as Twilio's own client sees it."""

from collections.abc import Iterator

import pytest
import requests
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from simulators import people
from simulators.carrier import Carrier
from tests.moved_clock import MovedClock

FROM, TO = "+33939980000", "+33639980041"


@pytest.fixture
def client(carrier: Carrier) -> Iterator[Client]:
    """Return Twilio's client, with the simulator's address."""
    http = TwilioHttpClient(timeout=60, max_retries=0)
    client = Client(carrier.account, carrier.token, http_client=http)
    client.api.base_url = carrier.url
    yield client
    http.session.close()


def test_messages_are_created_fetched_and_listed(client: Client, carrier: Carrier) -> None:
    sid = client.messages.create(to=TO, from_=FROM, body="Bonjour").sid
    assert sid.startswith("SM")
    assert client.messages(sid).fetch().body == "Bonjour"
    client.messages.create(to="+33639980042", from_=FROM, body="Hello")
    (found,) = client.messages.list(to=TO)
    assert (found.sid, found.from_, found.body) == (sid, FROM, "Bonjour")
    assert found.date_created is not None
    assert carrier.sent_to(TO)[0].sid == sid


def test_long_lists_come_in_pages_newest_first(client: Client) -> None:
    for number in range(7):
        client.messages.create(to=TO, from_=FROM, body=f"n{number}")
    bodies = [one.body for one in client.messages.list(to=TO, page_size=3)]
    assert bodies == [f"n{number}" for number in reversed(range(7))]


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"to": "", "from_": FROM, "body": "x"}, 400, 21604),
        ({"to": "12", "from_": FROM, "body": "x"}, 400, 21211),
        ({"to": TO, "body": "x"}, 400, 21603),
        ({"to": TO, "from_": FROM}, 400, 21602),
        ({"to": TO, "from_": FROM, "body": "x" * 1601}, 400, 21617),
    ],
)
def test_mistakes_get_twilios_codes(
    client: Client, fields: dict[str, str], status: int, code: int
) -> None:
    with pytest.raises(TwilioRestException) as refused:
        client.messages.create(**fields)
    assert (refused.value.status, refused.value.code) == (status, code)


def test_a_wrong_token_is_refused(carrier: Carrier) -> None:
    answer = requests.get(
        f"{carrier.url}/2010-04-01/Accounts/{carrier.account}/Messages.json",
        auth=(carrier.account, "wrong"),
        timeout=60,
    )
    assert (answer.status_code, answer.json()["code"]) == (401, 20003)


def test_it_refuses_when_told_to(client: Client, carrier: Carrier) -> None:
    carrier.refuse(429, times=2, retry_after_s=7)
    for _ in range(2):
        with pytest.raises(TwilioRestException) as refused:
            client.messages.create(to=TO, from_=FROM, body="x")
        assert refused.value.status == 429
    assert client.messages.create(to=TO, from_=FROM, body="x").sid
    assert len(carrier.sent) == 1


def test_a_time_out_after_accepting_is_one(client: Client, carrier: Carrier) -> None:
    client.http_client.timeout = 0.3
    carrier.refuse(0)
    with pytest.raises(requests.Timeout):
        client.messages.create(to=TO, from_=FROM, body="taken all the same")
    # It may be taken only after we have given up.
    carrier.wait_for(lambda: carrier.sent, 60)
    assert [one.body for one in carrier.sent] == ["taken all the same"]


def test_receipts_and_answers_are_signed(carrier: Carrier, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, dict[str, str], bool]] = []

    class Taken:
        ok, text = True, "<Response><Say>Merci.</Say></Response>"

    def post(url: str, data: dict[str, str], headers: dict[str, str], timeout: float) -> Taken:
        assert timeout
        validator = RequestValidator(carrier.token)
        calls.append((url, data, validator.validate(url, data, headers["X-Twilio-Signature"])))
        return Taken()

    monkeypatch.setattr("simulators.carrier.requests.post", post)
    carrier.inbound_url = "http://127.0.0.1:9/sms"
    carrier.answers_to = lambda text, _number: [people.Answer(0.0, f"re: {text}")]
    carrier.key_for = lambda spoken, _number: "1" if "Press 1" in spoken else None
    carrier.accept(
        "Messages", {"From": FROM, "To": TO, "Body": "Hi", "StatusCallback": "http://x/s"}
    )
    twiml = '<Response><Gather action="http://x/v"><Say>Press 1</Say></Gather></Response>'
    call = carrier.accept("Calls", {"From": FROM, "To": TO, "Twiml": twiml})
    carrier.wait_for(lambda: len(calls) >= 4 and "Merci." in call.body, 60)
    assert all(valid for _, _, valid in calls)
    statuses = [data.get("MessageStatus") for url, data, _ in calls if url == "http://x/s"]
    assert statuses == ["sent", "delivered"]
    assert [data["Body"] for url, data, _ in calls if url.endswith("/sms")] == ["re: Hi"]
    assert [data["Digits"] for url, data, _ in calls if url == "http://x/v"] == ["1"]
    assert call.keys == ["1"]


def test_what_people_are_going_to_answer_outlives_the_carrier(
    carrier: Carrier, clock: MovedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts: list[tuple[str, str]] = []

    def text_from(_carrier: Carrier, number: str, text: str, to: str) -> str:
        texts.append((number, text))
        return to

    monkeypatch.setattr(Carrier, "text_from", text_from)
    carrier.answers_to = lambda _text, _number: [people.Answer(0.0, "1"), people.Answer(600.0, "2")]
    carrier.accept("Messages", {"From": FROM, "To": TO, "Body": "Can you come?"})
    carrier.wait_for(lambda: texts and [one.text for one in carrier.expected()] == ["2"], 60)
    assert texts == [(TO, "1")]
    (later,) = carrier.expected()
    assert (later.number, later.to, later.text) == (TO, FROM, "2")
    assert (later.at - clock.now()).total_seconds() == 600

    clock.advance(seconds=600)
    another = Carrier(clock).start()
    another.expect(later)
    another.wait_for(lambda: not another.expected(), 60)
    another.stop()
    assert texts == [(TO, "1"), (TO, "2")]


def test_people_read_what_they_are_told_in_both_languages() -> None:
    for number in ("+33639980020", "+33639980099"):
        for text, answer in (
            ("Reply 1 to take it, 2 to decline, until 10:30.", "1"),
            ("Répondez 1 pour accepter, 2 pour refuser, avant 10:30.", "1"),
            ("Votre avis, de 1 (mauvais) à 5 (très bien) ?", "5"),
            ("Reply 1 if that suits you, 2 for another time.", "1"),
        ):
            assert [one.text for one in people.answers_to(text, number)] == [answer]
        assert people.answers_to("All is well.", number) == []
    decliner = next(iter(people.DECLINING))
    assert people.answers_to("Reply 1 to take it, 2 to decline", decliner)[0].text == "2"
