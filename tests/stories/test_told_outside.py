"""A service desk outside subscribes by the API, and is told of a case from its alarm to its end."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from sqlmodel import Session, select

from prevenant.access.grants import parse_grant
from prevenant.access.tables import Act
from prevenant.access.tokens import add_token
from tests.servers import wait_until
from tests.subscriber import Endpoint, Given, endpoint
from tests.world import World


@pytest.fixture
def told() -> Iterator[Endpoint]:
    """Run an endpoint."""
    with endpoint() as running:
        yield running


class Administrator:
    """Somebody with a token."""

    def __init__(self, world: World, token: str = "admin") -> None:
        self.base = f"{world.engine.address}/api/v1/webhooks"
        self.token = token

    def ask(self, method: str, path: str = "", **body: Any) -> requests.Response:
        """Ask for something under `/api/v1/webhooks`."""
        return requests.request(
            method,
            f"{self.base}{path}",
            json=body or ({} if method in {"POST", "PATCH"} else None),
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=30,
        )

    def subscribe(self, told: Endpoint, **values: Any) -> dict[str, Any]:
        """Have an endpoint told."""
        answer = self.ask("POST", **{"name": "desk", "url": told.url, **values})
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        told.secret = found["secret"]
        return found


def expect(told: Endpoint, kind: str, type_: str) -> Given:
    """Wait until something was told."""

    def found() -> Given | None:
        return next(
            (one for one in told.given if (one.body["kind"], one.body["type"]) == (kind, type_)),
            None,
        )

    one = wait_until(found, f"{type_} after {kind}")
    assert isinstance(one, Given)
    return one


def test_a_desk_is_told_of_a_case_from_its_alarm_to_its_end(world: World, told: Endpoint) -> None:
    who = Administrator(world)
    made = who.subscribe(told, topics=["story", "alarms", "cases", "work_orders", "messages"])
    number = made["id"]
    assert made["secret"].startswith("whsec_")
    listed = who.ask("GET").json()
    assert [(one["name"], "secret" in one, "secrets" in one) for one in listed] == [
        ("desk", False, False)
    ]
    world.publish("airport/t2/defibrillators/A2", in_cabinet=False, battery=90.0)
    alarm = expect(told, "alarm.raised", "alarm")
    assert (alarm.body["site"], alarm.body["data"]["device_id"]) == ("t2", "t2/A2")
    case = expect(told, "case.opened", "story")
    assert case.body["data"]["case"] == 1
    wait_until(lambda: "case" in {one.body["type"] for one in told.given}, "a case")
    wait_until(lambda: "message" in {one.body["type"] for one in told.given}, "a message")
    said = str([one.body for one in told.given])
    assert "+336" not in said
    assert "@" not in said.replace("@context", "")
    answer = requests.post(
        f"{world.engine.address}/api/v1/cases/1/resolve",
        json={"by": "Camille", "note": "put back"},
        headers={"Authorization": "Bearer admin"},
        timeout=30,
    )
    assert answer.status_code == 202, answer.text
    expect(told, "case.closed", "story")

    def is_closed() -> bool:
        cases = [one.body["data"] for one in told.given if one.body["type"] == "case"]
        return bool(cases[-1]["state"] == "closed")

    wait_until(is_closed, "the closed case")
    lines = [one.line for one in told.given]
    assert lines == sorted(lines)
    assert len({one.number for one in told.given}) == len(told.given)
    assert told.forged == 0
    deliveries = who.ask("GET", f"/{number}/deliveries").json()
    assert {one["state"] for one in deliveries} <= {"delivered", "sending", "queued"}
    assert {one["status"] for one in deliveries if one["state"] == "delivered"} == {204}
    # Of what people are told, and of dead letters, they are no part.
    messages = requests.get(
        f"{world.engine.address}/api/v1/messages?limit=1000",
        headers={"Authorization": "Bearer admin"},
        timeout=30,
    ).json()
    assert {one["role"] for one in messages}.isdisjoint({"subscriber"})
    assert who.ask("DELETE", f"/{number}").status_code == 204
    assert who.ask("GET", f"/{number}").status_code == 404

    def read_acts(session: Session) -> list[Act]:
        return list(session.exec(select(Act)))

    acts = str([one.model_dump() for one in world.expect(read_acts, "trail")])
    assert "/api/v1/webhooks/{subscription_id}" in acts
    assert "whsec_" not in acts
    assert told.url not in acts


def test_what_is_away_is_seen_and_goes_on_where_it_was(world: World, told: Endpoint) -> None:
    who = Administrator(world)
    number = who.subscribe(told, topics=["cases"])["id"]
    told.answer = lambda _: (503, {})
    world.publish("airport/t2/defibrillators/A2", in_cabinet=False, battery=90.0)
    wait_until(lambda: who.ask("GET", f"/{number}").json()["failing_since"], "failure")
    shown = who.ask("GET", f"/{number}").json()
    assert shown["failure"] == "the endpoint answers 503"
    told.answer = lambda _: (204, {})
    secret = who.ask("POST", f"/{number}/rotate", keeps="1h").json()["secret"]
    told.secret = secret
    answer = who.ask("POST", f"/{number}/test")
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")
    wait_until(lambda: {"test", "case"} <= {one.body["type"] for one in told.given}, "all of it")
    wait_until(lambda: not who.ask("GET", f"/{number}").json()["failing_since"], "word of it")
    assert told.forged == 0


def test_an_administrator_of_a_site_subscribes_for_it_alone(world: World, told: Endpoint) -> None:
    with world.engine.store.write() as session:
        grant = parse_grant("administrator@site:h01")
        token = add_token(session, "household", [grant], world.clock.now(), "test")
    everywhere, here = Administrator(world), Administrator(world, token)
    of_all = everywhere.subscribe(told, enabled=False)["id"]
    assert here.ask("POST", name="x", url=told.url, sites=["t2"]).status_code == 404
    made = here.subscribe(told, sites=None)
    assert made["sites"] == ["h01"]
    assert [one["id"] for one in here.ask("GET").json()] == [made["id"]]
    assert here.ask("GET", f"/{of_all}").status_code == 404
    for method, path in (("PATCH", ""), ("DELETE", ""), ("POST", "/rotate"), ("POST", "/test")):
        assert here.ask(method, f"/{of_all}{path}").status_code == 404, path
    assert here.ask("PATCH", f"/{made['id']}", sites=["t2"]).status_code == 404
    world.publish("airport/t2/defibrillators/A2", in_cabinet=False, battery=90.0)
    world.expect_case("defibrillator-removed")
    here.ask("POST", f"/{made['id']}/test")
    wait_until(lambda: told.given, "the test")
    assert {one.body["type"] for one in told.given} == {"test"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "https://10.0.0.1/"},
        {"url": "https://169.254.169.254/latest"},
        {"url": "not an address"},
        {"topics": ["weather"]},
        {"kinds": ["case; drop"]},
        {"sites": []},
        {"sites": ["nowhere"]},
        {"name": "  "},
    ],
)
def test_what_cannot_be_used_is_refused_with_the_remedy(
    world: World, told: Endpoint, wrong: dict[str, Any]
) -> None:
    answer = Administrator(world).ask("POST", **{"name": "desk", "url": told.url, **wrong})
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"]
