"""An SMS gateway that a file describes: what it is given; its answers, receipts and replies."""

import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from pydantic import SecretStr
from sqlmodel import select

from notify.gateway import GatewaySms, judge_answer, sign_key
from notify.gateway_file import load_gateway
from notify.replies import Reply
from prevenant.errors import GatewayError, Refused, Throttled
from prevenant.settings import Settings
from prevenant.website import Website, bind_pages
from simulators.sms_gateway import SmsGateway
from tests.contracts.gateways import ENVIRONMENT, FILE, SECRET, describe, make_sms, read
from tests.contracts.rig import NUMBER, TEMPLATES, Rig
from tests.servers import wait_until


@pytest.fixture
def gateway() -> Iterator[SmsGateway]:
    """Run the gateway."""
    gateway = SmsGateway().start()
    yield gateway
    gateway.stop()


@pytest.fixture
def website(
    rig: Rig, gateway: SmsGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Serve what the gateway calls, and let the rig send by it; yield the address."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    settings = Settings(
        http="127.0.0.1:0",
        sms_gateway=describe(gateway, tmp_path),
        admin_token=SecretStr("admin"),
    )
    website = Website(settings, bind_pages(settings), rig.store, rig.clock, TEMPLATES)
    thread = threading.Thread(target=website.run)
    thread.start()
    wait_until(lambda: website.started, "web server")
    rig.channels["sms"] = make_sms(gateway, tmp_path, website.address)
    yield website.address
    website.stop()
    thread.join(60)


def test_it_is_given_what_its_file_says(rig: Rig, gateway: SmsGateway, website: str) -> None:
    rig.say("one", ["sms"])
    rig.expect("sms", state="sent", provider_id="G1", provider="")
    (text,) = gateway.taken
    assert (text.to, text.sender, text.reference) == (NUMBER, "Prevenant", "m1-sms")
    assert text.text == rig.message().texts["sms"]
    assert text.callback.startswith(f"{website}/webhooks/gateway/status?key=m1-sms&proof=")


@pytest.mark.parametrize(
    ("status", "code", "state", "words"),
    [
        (202, "11", "queued", "does not take it now (code 11)"),
        (429, "", "queued", "answers 429"),
        (503, "", "queued", "answers 503"),
        (0, "", "uncertain", "in time"),
        (-1, "", "uncertain", "broke"),
        (500, "", "uncertain", "answers 500"),
        (200, "", "uncertain", "whether it has taken it"),
        (200, "21", "suppressed", "wrong address: the SMS gateway knows nobody"),
        (400, "22", "suppressed", "wrong address"),
        (200, "31", "suppressed", "told the SMS gateway to stop"),
        (200, "41", "failed", "cannot send it for us"),
        (200, "99", "failed", "refuses it (code 99)"),
        (401, "", "failed", "check the credentials"),
        (404, "", "failed", "refuses it with 404"),
    ],
)
def test_each_answer_leads_to_what_it_means(
    rig: Rig, gateway: SmsGateway, website: str, status: int, code: str, state: str, words: str
) -> None:
    assert website
    gateway.refuse(status, code=code)
    rig.say("one", ["sms"])
    assert words in rig.expect("sms", state=state, attempts=1).reason


def test_an_answer_that_does_not_come_is_given_up(
    rig: Rig, gateway: SmsGateway, tmp_path: Path
) -> None:
    described = replace(read(gateway, tmp_path), timeout_s=0.2)
    rig.channels["sms"] = GatewaySms(described, "")
    gateway.refuse(0)
    rig.say("one", ["sms"])
    assert "in time" in rig.expect("sms", state="uncertain", attempts=1).reason


def test_its_advice_is_honoured(rig: Rig, gateway: SmsGateway, website: str) -> None:
    assert website
    gateway.refuse(429, retry_after_s=40)
    rig.say("one", ["sms"])
    delivery = rig.expect("sms", state="queued", attempts=1)
    assert delivery.next_at is not None
    assert (delivery.next_at - rig.clock.now()).total_seconds() == 40


def test_receipts_move_the_delivery_also_late_and_twice(
    rig: Rig, gateway: SmsGateway, website: str
) -> None:
    assert website
    rig.say("one", ["sms"], ["email"])
    rig.expect("sms", state="sent")
    (text,) = gateway.taken
    assert gateway.tell(text, "a word that is not described") == 204
    assert gateway.tell(text, "failed", f"no such {NUMBER}") == 204
    failed = rig.expect("sms", state="undelivered")
    assert failed.reason == "the SMS gateway says failed (no such (number hidden))"
    assert gateway.tell(text, "delivered") == 204
    assert gateway.tell(text, "failed") == 204
    rig.expect("email", state="sent")
    rig.expect("sms", state="undelivered")


def test_a_receipt_with_the_gateways_own_identity_and_the_token(
    rig: Rig, gateway: SmsGateway, website: str
) -> None:
    assert gateway.url
    rig.say("one", ["sms"])
    rig.expect("sms", state="sent")
    url = f"{website}/webhooks/gateway/status"
    told = {"id": "G1", "status": "DELIVRD", "token": SECRET}
    assert requests.get(url, params=told, timeout=30).status_code == 204
    rig.expect("sms", state="delivered")


@pytest.mark.parametrize("called", ["application/json", "text/plain"])
def test_a_failure_counts_where_the_gateway_does_not_say_which_attempt(
    rig: Rig, gateway: SmsGateway, website: str, called: str
) -> None:
    assert gateway.url
    rig.say("one", ["sms"], ["email"])
    rig.expect("sms", state="sent")
    url = f"{website}/webhooks/gateway/status?key=m1-sms&proof={sign_key(SECRET, 'm1-sms')}"
    told = b' {"status": "expired"}'
    answer = requests.post(url, told, headers={"Content-Type": called}, timeout=30)
    assert answer.status_code == 204
    rig.expect("sms", state="undelivered", provider_id="G1")
    rig.expect("email", state="sent")


@pytest.mark.parametrize(
    "query",
    [
        "",
        "key=m1-sms",
        "key=m1-sms&proof=forged",
        f"key=m2-sms&proof={sign_key(SECRET, 'm1-sms')}",
        f"key=m1-sms&proof={sign_key('another', 'm1-sms')}",
        "token=guessed",
    ],
)
def test_a_forged_receipt_is_refused(
    rig: Rig, gateway: SmsGateway, website: str, query: str
) -> None:
    assert gateway.url
    rig.say("one", ["sms"])
    rig.expect("sms", state="sent")
    told = {"id": "G1", "status": "delivered"}
    url = f"{website}/webhooks/gateway/status?{query}"
    assert requests.post(url, json=told, timeout=30).status_code == 403
    assert requests.post(f"{website}/webhooks/gateway/reply?{query}", timeout=30).status_code == 403
    assert rig.delivery("sms").state == "sent"


def test_what_people_write_comes_in_and_stop_ends_it(rig: Rig, website: str) -> None:
    rig.say("one", ["sms"])
    rig.expect("sms", state="sent")
    url = f"{website}/webhooks/gateway/reply?token={SECRET}"
    told = {"msisdn": NUMBER.replace("+", "00"), "text": "STOP", "id": "in-1"}
    for _ in range(2):
        assert requests.post(url, data=told, timeout=30).status_code == 204
    with rig.store.read() as session:
        assert session.exec(select(Reply.outcome)).all() == ["opted out"]
    rig.say("two", ["sms"])
    wait_until(lambda: "opted out" in rig.latest("sms").reason, "suppression")
    for nobody in ({}, {"msisdn": "INFO"}, {"msisdn": "12"}):
        answer = requests.post(url, data={"text": "hello", **nobody}, timeout=30)
        assert answer.status_code == 422


def test_half_an_emoji_and_nul_are_no_end_of_a_reply(rig: Rig, website: str) -> None:
    rig.say("one", ["sms"])
    rig.expect("sms", state="sent")
    reply = f"{website}/webhooks/gateway/reply?token={SECRET}"
    texts = ["oui \ud83d", "no\0n"]
    for number, text in enumerate(texts):
        told = {"msisdn": NUMBER, "text": text, "id": f"in\ud83d{number}\0"}
        assert requests.post(reply, json=told, timeout=30).status_code == 204
    with rig.store.read() as session:
        assert session.exec(select(Reply.text)).all() == ["oui ?", "non"]
    headers = {"Content-Type": "application/json"}
    for url in (reply, reply.replace("reply", "status")):
        answer = requests.post(url, "[" * 50_000, headers=headers, timeout=30)
        assert answer.status_code == 422
    told = {"id": "G1", "status": "failed", "reason": "\0 no such \udc00"}
    url = f"{website}/webhooks/gateway/status?token={SECRET}"
    assert requests.post(url, json=told, timeout=30).status_code == 204
    rig.expect("sms", state="undelivered")
    assert rig.delivery("sms").reason == "the SMS gateway says failed ( no such ?)"


@pytest.mark.parametrize(
    ("change", "place", "words"),
    [
        (("url: URL", "url: ftp://x"), "3:8", "this is no address"),
        (("url: URL", "url: https://x.example/{to}"), "3:8", "write what changes under `fields`"),
        (("state: status", "state: messages.0.status"), "20:10", "is written messages[0].status"),
        (("timeout: 20s", "timeout: 21s"), "6:12", "given up after 20 s at most"),
        (("{text}", "{words}"), "8:5", "{words} is not known here"),
        (('to: "{to}"', "to: nobody"), "8:5", "have to hold {text}, and {to}"),
        (("body: json", "body: form"), "8:5", "only in JSON can fields be nested"),
        (("body: json", "body: xml"), "4:9", "'xml' is not known here"),
        (("env:SMS_KEY", "env:SMS_NONE"), "5:28", "the environment has no SMS_NONE"),
        (("senders: US", "senders: XX"), "14:10", "no country"),
        (("code: code, ", ""), "16:3", "say where the code stands"),
        (("later: 11", "later: [11, 21]"), "16:3", "'21' means both `later` and `wrong_address`"),
        (
            ("failed, expired", "failed, DELIVRD"),
            "18:3",
            "'DELIVRD' means both `delivered` and `failed`",
        ),
        (("state: status", "states: status"), "20:3", "'states' is not known here"),
        (("secret: env:SMS_SECRET\n", "secret: short\n"), "18:11", "it can be guessed"),
    ],
)
def test_a_file_that_cannot_be_used_says_where_and_why(
    tmp_path: Path, change: tuple[str, str], place: str, words: str
) -> None:
    path = tmp_path / "sms-gateway.yaml"
    path.write_text(FILE.replace(*change).replace("URL", "https://sms.example.com"), "utf-8")
    with pytest.raises(GatewayError) as refused:
        load_gateway(path, ENVIRONMENT)
    found = [f"{one.line}:{one.column}: {one.message}" for one in refused.value.problems]
    assert any(one.startswith(f"{place}: ") and words in one for one in found), found
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("written", ["true", "True"])
@pytest.mark.parametrize(
    ("answer", "error"),
    [({"code": True}, None), ({"code": False}, Refused), ({"code": 11}, Throttled)],
)
def test_a_gateway_that_says_yes_and_no_as_json_has_it_is_understood(
    tmp_path: Path, written: str, answer: dict[str, object], error: type[Exception] | None
) -> None:
    path = tmp_path / "sms-gateway.yaml"
    path.write_text(
        FILE.replace("taken: 0", f"taken: {written}").replace("URL", "https://x.example"), "utf-8"
    )
    gateway = load_gateway(path, ENVIRONMENT)
    assert gateway is not None
    found = judge_answer(gateway.answers, answer)
    assert found is None if error is None else isinstance(found, error)


def test_where_there_is_no_file_there_is_no_gateway(tmp_path: Path) -> None:
    assert load_gateway(tmp_path / "sms-gateway.yaml") is None


def test_the_example_of_the_documents_is_good(tmp_path: Path) -> None:
    (example,) = re.findall(
        r"```yaml\n(send:.*?)```", Path("docs/operating.md").read_text("utf-8"), re.DOTALL
    )
    path = tmp_path / "sms-gateway.yaml"
    path.write_text(example, "utf-8")
    found = load_gateway(path, ENVIRONMENT)
    assert found is not None
    assert found.receipts is not None
    assert found.replies is not None
    assert found.senders.for_text("+12025550143") == "+15005550006"
