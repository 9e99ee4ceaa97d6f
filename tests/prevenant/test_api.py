"""API, webhooks and console of a running engine, as a stranger meets them."""

import json
import threading
from typing import Any

import pytest
import requests
from sqlmodel import select
from twilio.request_validator import RequestValidator

from notify.consent import OptOut
from notify.message import Errand, queue_errand
from notify.replies import Reply
from prevenant.tables import add_timeline
from tests.world import World

NADIA = "+33639980001"


def get(world: World, path: str, token: str = "admin", **options: Any) -> requests.Response:
    """Ask the engine."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return requests.get(f"{world.engine.address}{path}", headers=headers, timeout=60, **options)


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Use SQLite alone: the stories run on both."""
    return sqlite_url


@pytest.fixture
def alarmed(world: World) -> World:
    """Return a world with an alarm."""
    world.publish("airport/t2/defibrillators/A2", in_cabinet=False, battery=90.0)
    world.phone(NADIA).expects_sms("URGENCE")
    return world


PATHS = (
    "/api/v1/alarms",
    "/api/v1/cases",
    "/api/v1/cases/1/candidates",
    "/api/v1/messages",
    "/api/v1/dead-letters",
    "/api/v1/quarantine",
    "/api/v1/book/versions",
    "/api/v1/on-call",
    "/api/v1/live",
)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("token", ["", "wrong"])
def test_nothing_is_told_without_the_token(world: World, path: str, token: str) -> None:
    assert get(world, path, token).status_code == 401


def test_alarms_cases_and_messages_are_told_without_addresses(alarmed: World) -> None:
    (alarm,) = get(alarmed, "/api/v1/alarms?state=active").json()
    assert (alarm["rule"], alarm["device_id"]) == ("defibrillator-removed", "t2/A2")
    (case,) = get(alarmed, "/api/v1/cases").json()
    told = get(alarmed, f"/api/v1/cases/{case['id']}").json()
    assert {one["rank"] for one in told["candidates"]} >= {1, 2, 3, 4, None}
    assert all(one["reason"] for one in told["candidates"])
    everything = json.dumps(told) + get(alarmed, "/api/v1/messages").text
    assert "URGENCE" in everything
    assert "+336" not in everything
    assert "valmont.example" not in everything.replace("camera.valmont.example", "").replace(
        "talk.valmont.example", ""
    )
    assert get(alarmed, "/api/v1/cases/999").status_code == 404


def test_dispatch_tells_why_this_technician_and_not_the_others(alarmed: World) -> None:
    alarmed.expect_story("candidates")
    told = get(alarmed, "/api/v1/cases/1/candidates").json()
    (last,) = told["rounds"]
    ranks = [one["rank"] for one in last["candidates"]]
    assert ranks[:3] == [1, 2, 3]
    assert last["candidates"][0]["scores"].keys() == {"way"}, "life is at stake"
    assert last["eligible"] + sum(last["counts"].values()) == last["total"]
    assert last["summary"]
    assert [one["state"] for one in told["offers"]] == ["open"] * 3
    assert "+336" not in json.dumps(told)
    assert get(alarmed, "/api/v1/cases/1/candidates?round=2").json()["rounds"] == []
    assert get(alarmed, "/api/v1/cases/999/candidates").status_code == 404


def test_a_book_is_published_and_what_is_wrong_with_it_told(world: World) -> None:
    def post(**body: Any) -> requests.Response:
        headers = {"Authorization": "Bearer admin"}
        address = f"{world.engine.address}/api/v1/book"
        return requests.post(address, json=body, headers=headers, timeout=60)

    types = "devices:\n  door: {topic: 'a/{device}', fields: {open: bool}}\n"
    text = "include: types.yaml\nrules:\n  shut: {on: door, when: not open}\n"
    wrong = post(text=text)
    assert wrong.status_code == 422
    assert wrong.json()["problems"][0] == {
        "file": "rules.yaml",
        "line": 1,
        "column": 10,
        "message": "include: there is no file types.yaml: its path counts from rules.yaml",
    }
    done = post(text=text, includes={"types.yaml": types}, note="try").json()
    assert (done["version"], done["is_new"], done["by"], done["note"]) == (
        2,
        True,
        "administrator",
        "try",
    )
    versions = get(world, "/api/v1/book/versions").json()
    assert [(one["version"], one["state"]) for one in versions] == [(2, "active"), (1, "earlier")]
    assert versions[0]["files"] == ["rules.yaml", "types.yaml"]
    for path in ("/etc/hostname", "../types.yaml"):
        assert post(text=text.replace("types.yaml", path)).status_code == 422


def test_the_story_streams_from_where_one_left_off(alarmed: World) -> None:
    before = alarmed.expect_story("book.in_force")

    def read(after: int, kinds: set[str]) -> list[dict[str, Any]]:
        """Return what is told after that line until one of each kind has come."""
        headers = {"Authorization": "Bearer admin", "Last-Event-ID": str(after)}
        address = f"{alarmed.engine.address}/api/v1/live"
        found = []
        with requests.get(address, headers=headers, stream=True, timeout=60) as answer:
            for line in answer.iter_lines(chunk_size=1):
                if line.startswith(b"data: "):
                    found.append(json.loads(line[6:]))
                    if kinds <= {one["kind"] for one in found}:
                        break
        return found

    # The device is registered beside the alarm: its line comes before, between or after these.
    first = read(before.id or 0, {"alarm.raised", "case.opened", "device.heard"})
    kinds = [one["kind"] for one in first]
    assert kinds.index("alarm.raised") < kinds.index("case.opened")
    assert read(first[0]["id"], {first[-1]["kind"]}) == first[1:]


def test_a_stream_hears_what_happens_next_at_once(alarmed: World) -> None:
    heard: list[str] = []
    answer = get(alarmed, "/api/v1/live", stream=True)
    lines = answer.iter_lines(chunk_size=1)
    # From its first word on everything is heard.
    assert next(lines) == b": still here"

    def listen() -> None:
        for line in lines:
            if b"technician.arrived" in line:
                heard.append(line.decode())
                answer.close()
                return

    listener = threading.Thread(target=listen)
    listener.start()
    lucas = alarmed.phone("+33639980028").expects_sms("URGENCE").replies("1")
    lucas.expects_sms("Allez-y").replies("2")
    listener.join(60)
    assert len(heard) == 1


def test_health_is_told_to_anybody(world: World) -> None:
    assert get(world, "/healthz", "").json() == {"status": "alive"}
    world.expect(lambda _: get(world, "/readyz", "").json()["lost"] == 0, "a round of the audit")
    assert get(world, "/readyz", "").json() == {
        "roles": "listen, decide, route, engage, console",
        "store": True,
        "broker": True,
        "missing": [],
        "lost": 0,
        "why_not": [],
    }
    world.broker.stop()
    world.expect(
        lambda _: get(world, "/readyz", "").status_code == 503, "word that the broker is away"
    )


def webhook(world: World, path: str, fields: dict[str, str], **changes: str) -> int:
    """Call a webhook, signed; `changes` replace the signature or the address that was signed."""
    url = f"{world.engine.settings.public_url}{path}"
    secret = changes.get("secret", world.carrier.token)
    signed = changes.get("signed", url)
    signature = RequestValidator(secret).compute_signature(signed, fields)
    headers = {"X-Twilio-Signature": changes.get("signature", signature)}
    return requests.post(url, data=fields, headers=headers, timeout=60).status_code


INBOUND = {"MessageSid": "SM1", "From": NADIA, "To": "+33939980000", "Body": "1"}


def test_only_what_the_carrier_has_signed_is_taken(alarmed: World) -> None:
    path = "/webhooks/twilio/sms"
    assert webhook(alarmed, path, INBOUND, secret="forged") == 403
    assert webhook(alarmed, path, INBOUND, signature="") == 403
    assert webhook(alarmed, path, INBOUND, signed="https://elsewhere.example/") == 403
    with alarmed.engine.store.read() as session:
        assert session.get(Reply, 1) is None
    assert webhook(alarmed, path, INBOUND) == 200
    alarmed.expect_story("acknowledged", "Nadia")


def test_receipts_come_twice_and_out_of_order(alarmed: World) -> None:
    alarmed.expect_story("message.delivered", "sms to Nadia")
    (message,) = [
        one
        for one in get(alarmed, "/api/v1/messages").json()
        if one["name"] == "Nadia Belkacem" and one["template"] == "life_safety_notice"
    ]
    key = next(one["key"] for one in message["deliveries"] if one["channel"] == "sms")
    path = f"/webhooks/twilio/status?key={key}"
    for status in ("sent", "delivered", "undelivered", "sent"):
        assert webhook(alarmed, path, {"MessageSid": "SM9", "MessageStatus": status}) == 204
    states = {
        one["key"]: one["state"]
        for found in get(alarmed, "/api/v1/messages").json()
        for one in found["deliveries"]
    }
    assert states[key] == "delivered"
    assert webhook(alarmed, "/webhooks/twilio/status?key=nobody", {"MessageStatus": "sent"}) == 204


@pytest.mark.parametrize(
    "path", ["sms", "voice?key=m1-voice", "status?key=m1-sms", "answered?key=x"]
)
def test_a_call_of_the_carrier_that_lacks_something_is_no_fault_of_ours(
    world: World, path: str
) -> None:
    for fields in ({}, {"Body": "1"}, {"From": NADIA}, {"MessageSid": "SM2", "CallStatus": "?"}):
        assert webhook(world, f"/webhooks/twilio/{path}", fields) in {200, 204, 422}
    fields = {**INBOUND, "Body": "no\0n", "MessageSid": "SM\0"}
    assert webhook(world, "/webhooks/twilio/sms", fields) == 200


def test_what_is_written_by_whatsapp_comes_in_as_such(alarmed: World) -> None:
    fields = {**INBOUND, "From": f"whatsapp:{NADIA}"}
    assert webhook(alarmed, "/webhooks/twilio/sms", fields) == 200
    with alarmed.engine.store.read() as session:
        reply = session.get_one(Reply, 1)
    assert (reply.channel, reply.address, reply.outcome) == ("whatsapp", NADIA, "bound")


@pytest.mark.parametrize(
    ("code", "words", "opted_out"),
    [(30005, "wrong address: no phone", False), (21610, "told the carrier to stop", True)],
)
def test_a_code_in_a_receipt_says_why_and_keeps_an_opt_out(
    world: World, code: int, words: str, *, opted_out: bool
) -> None:
    world.carrier.unreachable.add(NADIA)
    world.carrier.codes[NADIA] = code
    world.publish("airport/t2/defibrillators/A2", in_cabinet=False, battery=90.0)
    world.expect_story("message.suppressed", "sms to Nadia", words, f"Twilio {code}")
    with world.engine.store.read() as session:
        found = session.exec(select(OptOut)).all()
    assert [(one.channel, one.address) for one in found] == [("sms", NADIA)] * opted_out


def test_dead_letters_are_told_and_given_again(alarmed: World) -> None:
    errand = Errand("one", "webhook", "http://127.0.0.1:9/secret", "{}", "the desk", 3, 1)
    with alarmed.engine.store.write() as session:
        queue_errand(session, errand, alarmed.clock.now())
    # The world has no secret for webhooks, so that nothing is handed over.
    alarmed.expect_story("message.suppressed", "webhook to the desk")
    (letter,) = get(alarmed, "/api/v1/dead-letters").json()
    assert (letter["to"], letter["body"], letter["state"]) == ("the desk", "{}", "suppressed")
    assert "secret" not in str(letter)

    def resend(number: int) -> int:
        url = f"{alarmed.engine.address}/api/v1/dead-letters/{number}/resend"
        headers = {"Authorization": "Bearer admin"}
        return requests.post(url, json={"by": "Camille"}, headers=headers, timeout=60).status_code

    assert resend(letter["id"]) == 202
    alarmed.expect_story("message.resent", "says Camille")
    assert resend(99) == 404


def test_the_console_shows_the_board_to_who_has_the_token(alarmed: World) -> None:
    browser = requests.Session()
    login = browser.get(f"{alarmed.engine.address}/", timeout=60)
    assert login.url.endswith("/login")
    wrong = browser.post(login.url, data={"token": "wrong"}, timeout=60)
    assert wrong.status_code == 403
    assert "That token opens nothing here" in wrong.text
    board = browser.get(f"{alarmed.engine.address}/?token=admin", timeout=60)
    assert board.status_code == 200
    assert board.url == f"{alarmed.engine.address}/"
    assert "Defibrillator 2" in board.text
    assert "life-safety" in board.text
    assert "default-src 'self'" in board.headers["Content-Security-Policy"]
    case = browser.get(f"{alarmed.engine.address}/cases/1", timeout=60)
    assert "Who was considered, and why" in case.text
    assert "has not learned first-aid" in case.text
    outbox = browser.get(f"{alarmed.engine.address}/outbox", timeout=60)
    assert "URGENCE" in outbox.text
    assert "+336" not in outbox.text + case.text + board.text
    for nowhere in ("/cases/999", "/cases/abc", "/nowhere", "/devices/x"):
        lost = browser.get(f"{alarmed.engine.address}{nowhere}", timeout=60)
        assert lost.status_code == 404
        assert "There is nothing here" in lost.text
    program = browser.get(f"{alarmed.engine.address}/api/v1/nowhere", timeout=60)
    assert (program.status_code, program.json()["title"]) == (404, "Not Found")
    program = browser.get(f"{alarmed.engine.address}/api/v1/cases/abc", timeout=60)
    assert program.status_code == 422
    for path in ("/static/board.js", "/static/console.css", "/partials/board"):
        assert browser.get(f"{alarmed.engine.address}{path}", timeout=60).ok


def test_what_a_device_says_cannot_script_the_console(world: World) -> None:
    hostile = "<script>alert(1)</script>"
    world.badge("t2", "D14")
    world.publish("airport/t2/doors/D14", open=True, badge=hostile, battery=80.0)
    world.clock.advance(seconds=60)
    world.expect_case("door-held-open")
    with world.engine.store.write() as session:
        add_timeline(session, world.clock.now(), "reply", f"Nadia says {hostile}", case_id=1)
    browser = requests.Session()
    board = browser.get(f"{world.engine.address}/?token=admin", timeout=60).text
    case = browser.get(f"{world.engine.address}/cases/1", timeout=60).text
    assert hostile not in board + case
    assert "&lt;script&gt;" in case
