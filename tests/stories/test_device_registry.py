"""Who was heard, whether they are online, and how an unknown device becomes a known one."""

import json
import math
from typing import Any

import pytest
import requests
from sqlmodel import Session, select

from prevenant.api.access import COOKIE
from prevenant.crm.tables import Device
from prevenant.tables import TimelineEntry
from tests.world import World, sign_in

ADMIN = {"Authorization": "Bearer admin"}
STRANGER = "airport/t2/thermometers/T99"


def ask(world: World, path: str, method: str = "get", **body: Any) -> Any:
    url = f"{world.engine.address}/api/v1/{path}"
    return requests.request(method, url, headers=ADMIN, json=body or None, timeout=30)


def heard(world: World, device_id: str, **expected: Any) -> dict[str, Any]:
    """Let the rhythm of writing pass and wait for a device with these values."""
    world.clock.advance(seconds=6)

    def found(_session: Session) -> Any:
        answer = ask(world, f"devices/{device_id}")
        if answer.status_code != 200:
            return None
        device = answer.json()
        return device if all(device[k] == v for k, v in expected.items()) else None

    result: dict[str, Any] = world.expect(found, f"device {device_id} with {expected}")
    return result


def test_a_device_is_listed_with_its_last_values(world: World) -> None:
    world.publish("airport/t2/doors/D14", open=False, battery=88.0)
    first = heard(world, "t2/D14", state="online", is_known=True)
    world.publish("airport/t2/doors/D14", open=False, battery=87.0)
    device = heard(world, "t2/D14", values={"open": False, "battery": 87.0})
    assert device["first_seen_at"] == first["first_seen_at"]
    assert device["last_seen_at"] > first["last_seen_at"]
    world.expect_story("device.heard", "t2/D14")


def test_an_unknown_device_is_adopted_and_its_next_case_knows_it(world: World) -> None:
    world.publish(STRANGER, temperature=22.0)
    heard(world, "t2/T99", is_known=False)
    assert [one["id"] for one in ask(world, "devices?unknown=true").json()] == ["t2/T99"]

    wrong = ask(world, "adopt/t2/T99", "post", site="t22")
    assert wrong.status_code == 422
    assert "did you mean 't2'" in wrong.json()["detail"]
    adopted = ask(world, "adopt/t2/T99", "post", site="t2", label="Gate 99", place="ceiling")
    assert (adopted.json()["is_known"], adopted.json()["label"]) == (True, "Gate 99")
    assert ask(world, "devices?unknown=true").json() == []
    world.expect_story("device.adopted", "Gate 99")

    world.publish(STRANGER, temperature=30.0)
    world.clock.advance(minutes=5)
    case = world.expect_case("terminal-temperature", state="open")
    page = requests.get(
        f"{world.engine.address}/cases/{case.id}", cookies={COOKIE: world.make_cookie()}, timeout=30
    )
    assert "Gate 99" in page.text


def test_a_device_that_was_not_heard_cannot_be_adopted(world: World) -> None:
    wrong = ask(world, "adopt/t2/none", "post", site="t2")
    assert wrong.status_code == 422
    assert "no device 't2/none' was heard" in wrong.json()["detail"]


def test_silence_is_seen_without_anything_being_sent(world: World) -> None:
    world.publish("airport/t2/defibrillators/A2", in_cabinet=True, battery=90.0)
    heard(world, "t2/A2", state="online")
    world.clock.advance(hours=30)
    assert ask(world, "devices/t2/A2").json()["state"] == "silent"
    assert [one["id"] for one in ask(world, "devices?state=silent").json()] == ["t2/A2"]


def test_pages_show_devices_and_adopt_them(world: World) -> None:
    world.publish(STRANGER, temperature=22.0)
    heard(world, "t2/T99")
    with requests.Session() as browser:
        sign_in(browser, world)
        address = world.engine.address
        page = browser.get(f"{address}/devices", timeout=30)
        assert "t2/T99" in page.text
        assert 'action="/devices/adopt"' in page.text
        wrong = browser.post(
            f"{address}/devices/adopt", data={"device": "t2/T99", "site": "<b>"}, timeout=30
        )
        assert "the CRM has no site &#39;&lt;b&gt;&#39;" in wrong.text
        browser.post(
            f"{address}/devices/adopt", data={"device": "t2/T99", "site": "t2"}, timeout=30
        )
    with world.engine.store.read() as session:
        assert session.get_one(Device, "t2/T99").label == "T99"
    refused = requests.post(
        f"{address}/devices/adopt", data={"device": "t2/T99", "site": "t2"}, timeout=30
    )
    assert refused.url.endswith("/login")


def test_crash_and_restart_lose_nobody(world: World) -> None:
    world.engine.host._register_due = math.inf
    world.publish("airport/t2/doors/D14", open=False, battery=88.0)
    with world.engine.store.read() as session:
        kinds = [one.kind for one in session.exec(select(TimelineEntry))]
    assert "device.heard" not in kinds
    world.engine.host._keep_snapshot()
    world.engine.host.decider.registry._heard.clear()
    world.engine.host.recover()
    world.engine.host._register_due = 0.0
    heard(world, "t2/D14", state="online")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_late_reading_does_not_replace_newer_values(world: World) -> None:
    now = world.clock.now().timestamp()
    world.publish("airport/t2/doors/D14", open=False, battery=88.0, observed_at=now)
    world.publish("airport/t2/doors/D14", open=True, battery=11.0, observed_at=now - 600)
    device = heard(world, "t2/D14")
    assert json.dumps(device["values"], sort_keys=True) == '{"battery": 88.0, "open": false}'
