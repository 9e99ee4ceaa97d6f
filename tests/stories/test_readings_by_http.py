"""A device that speaks HTTP is heard as one that speaks MQTT, and what is not taken is not said to be."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from ingest.journal_file import Batch
from notify.webhook import sign
from prevenant.api.intake import Intake
from prevenant.clock import epoch_seconds
from prevenant.errors import JournalError
from tests.servers import wait_until
from tests.world import World

DOOR = "airport/t2/doors/D14"


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Use SQLite alone: the journal is the same beside both."""
    return sqlite_url


@pytest.fixture
def poster() -> Iterator[requests.Session]:
    """Return a device with a token."""
    session = requests.Session()
    session.headers["Authorization"] = "Bearer admin"
    yield session
    session.close()


def post(world: World, poster: requests.Session, body: Any, **headers: str) -> requests.Response:
    url = f"{world.engine.address}/api/v1/readings"
    return poster.post(url, json=body, headers=headers, timeout=30)


def journalled(world: World) -> list[bytes]:
    read = world.engine._journal.read(0)
    return [frame[0] for one in read if isinstance(one, Batch) for frame in one.frames]


def test_what_is_posted_raises_the_alarm_that_it_would_over_mqtt(
    world: World, poster: requests.Session
) -> None:
    readings = [
        {"topic": "airport/t2/badges/B14", "payload": {"door": "D14", "granted": True}},
        {"topic": DOOR, "payload": {"open": True, "badge": "", "battery": 80.0}},
    ]
    answer = post(world, poster, readings)
    assert (answer.status_code, answer.json()) == (202, {"taken": 2})
    assert journalled(world) == [b"airport/t2/badges/B14", DOOR.encode()], "before it is answered"
    wait_until(lambda: world.engine.host.frames == 2, "decision on the readings")
    world.clock.advance(seconds=60)
    world.expect_case("door-held-open")


def test_one_payload_goes_byte_for_byte(world: World, poster: requests.Session) -> None:
    url = f"{world.engine.address}/api/v1/readings/airport/t2/defibrillators/A2"
    answer = poster.post(url, data=b'{"in_cabinet": false, "battery": 90.0}', timeout=30)
    assert answer.status_code == 202
    world.expect_case("defibrillator-removed")


def test_of_what_cannot_be_read_nothing_is_taken_and_all_is_named(
    world: World, poster: requests.Session
) -> None:
    good = {"topic": DOOR, "payload": {"open": True}}
    answer = post(
        world,
        poster,
        [
            good,
            {"topic": "nobody/knows/this", "payload": {}},
            {"topic": DOOR, "payload": {"open": "wide"}},
            {"topic": DOOR, "payload": "{not json"},
        ],
    )
    assert answer.status_code == 422
    assert [one["place"] for one in answer.json()["problems"]] == ["body.1", "body.2", "body.3"]
    assert "no device type of the book" in answer.json()["problems"][0]["message"]
    bad = [{"topic": "airport/+/doors/D1", "payload": {}}, good | {"encoding": "base64"}]
    assert post(world, poster, bad).status_code == 422
    assert post(world, poster, []).status_code == 422
    url = f"{world.engine.address}/api/v1/readings/nobody/knows"
    assert poster.post(url, data=b"1", timeout=30).status_code == 422
    assert journalled(world) == []


def test_what_is_sent_again_under_its_key_is_in_the_journal_once(
    world: World, poster: requests.Session
) -> None:
    body = [{"topic": DOOR, "payload": {"open": False}}]
    answers = [post(world, poster, body, **{"Idempotency-Key": "one"}) for _ in range(2)]
    assert [one.status_code for one in answers] == [202, 202]
    assert journalled(world) == [DOOR.encode()]


def test_a_disk_that_refuses_takes_nothing(
    world: World, poster: requests.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = [{"topic": DOOR, "payload": {"open": False}}]

    def refuse(*_: Any) -> None:
        message = "the disk is full"
        raise JournalError(message)

    monkeypatch.setattr(world.engine.host, "_append", refuse)
    answer = post(world, poster, body)
    assert answer.status_code == 503
    assert "Retry-After" in answer.headers
    assert journalled(world) == []


def test_where_the_disk_is_slow_the_rest_is_sent_away() -> None:
    frame = (DOOR.encode(), b"{}", 0)
    begun, is_free = threading.Semaphore(0), threading.Event()

    def wait(_: Any) -> None:
        begun.release()
        assert is_free.wait(30)

    intake = Intake(wait, lambda: False)
    waiting = [threading.Thread(target=intake.take, args=([frame],)) for _ in range(4)]
    for thread in waiting:
        thread.start()
    for _ in waiting:
        assert begun.acquire(timeout=30)
    with pytest.raises(JournalError):
        intake.take([frame])
    is_free.set()
    for thread in waiting:
        thread.join()
    intake.take([frame])
    with pytest.raises(JournalError):
        Intake(wait, lambda: True).take([frame])


def hand_in(world: World, body: bytes, at: float, secret: str = "readings-secret") -> int:
    """Hand readings in as a platform does, signed at a time."""
    headers = {"Prevenant-Signature": sign(secret, int(at), body)}
    url = f"{world.engine.address}/webhooks/readings"
    return requests.post(url, data=body, headers=headers, timeout=30).status_code


def test_a_platform_hands_in_what_it_has_signed_once(world: World) -> None:
    body = json.dumps([{"topic": DOOR, "payload": {"open": False}}]).encode()
    now = epoch_seconds(world.clock.now())
    assert hand_in(world, body, now, secret="forged") == 403
    assert hand_in(world, body, now - 301) == 403
    assert hand_in(world, body, now + 301) == 403
    assert hand_in(world, b"[]", now) == 422
    assert hand_in(world, b'[{"topic": "nobody/knows", "payload": 1}]', now) == 422
    assert hand_in(world, b"{", now) == 422
    assert journalled(world) == []
    assert hand_in(world, body, now) == 202
    assert hand_in(world, body, now) == 409, "somebody's copy"
    assert hand_in(world, body, now - 1) == 202, "signed anew"
    assert journalled(world) == [DOOR.encode()] * 2


def test_what_was_sent_is_read_back_page_by_page_and_as_it_arrives(
    world: World, poster: requests.Session
) -> None:
    url = f"{world.engine.address}/api/v1"

    def get(path: str, **options: Any) -> requests.Response:
        return poster.get(f"{url}/{path}", timeout=30, **options)

    assert get("readings?device=t2/T1").status_code == 404
    for degrees in (20.0, 21.0, 22.0):
        world.publish("airport/t2/thermometers/T1", temperature=degrees)
        world.clock.advance(seconds=6)
    world.expect(lambda _: get("readings?device=t2/T1").ok, "the device to be known")
    first = get("readings?device=t2/T1&limit=2")
    assert [one["values"]["temperature"] for one in first.json()] == [22.0, 21.0]
    following = first.links["next"]["url"]
    (last,) = poster.get(f"{world.engine.address}{following}", timeout=30).json()
    assert last["values"]["temperature"] == 20.0
    assert (last["site"], last["device"]) == ("t2", "t2/T1")
    later = {"since": last["received_at"], "until": first.json()[0]["received_at"]}
    chosen = get("readings?device=t2/T1", params=later).json()
    assert [one["values"]["temperature"] for one in chosen] == [21.0, 20.0]
    curves = get("curves?device=t2/T1").json()["curves"]
    assert {one["name"]: one["points"][1] for one in curves}["temperature"] == [20.0, 21.0, 22.0]
    with get("live/readings?device=t2/T1", stream=True) as stream:
        lines = stream.iter_lines(chunk_size=1)
        assert next(lines) == b": still here"
        world.publish("airport/t2/thermometers/T1", temperature=23.0)
        data = next(one for one in lines if one.startswith(b"data: "))
        assert json.loads(data[6:])[0]["values"]["temperature"] == 23.0


def test_nobody_posts_without_a_token(world: World) -> None:
    with requests.Session() as stranger:
        assert post(world, stranger, [{"topic": DOOR, "payload": {}}]).status_code == 401
