"""Whatever changes something stands in the trail, and nothing secret does."""

import csv
import io
from datetime import timedelta
from typing import Any

import pytest
import requests
from sqlmodel import select

from notify.links import UNSUBSCRIBE, LinkFor, issue_link
from prevenant.access.tables import Act
from prevenant.access.trail import BEGUN, DONE, FAILED, REFUSED, What, begin_act, forget_acts
from prevenant.api.access import COOKIE, CSRF_HEADER, csrf_proof
from prevenant.api.trail import write_csv
from prevenant.store import Store
from tests.moved_clock import MovedClock
from tests.world import World
from workflows import deskwork


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Use SQLite alone: what both have in common is tried elsewhere."""
    return sqlite_url


def send(world: World, method: str, path: str, **options: Any) -> requests.Response:
    """Ask the engine as the administrator's token."""
    return requests.request(
        method,
        f"{world.engine.address}{path}",
        headers={"Authorization": "Bearer admin"},
        timeout=30,
        allow_redirects=False,
        **options,
    )


def acts(world: World) -> list[Act]:
    """Return the trail, the oldest first."""
    with world.engine.store.read() as session:
        return list(session.exec(select(Act).order_by(Act.id)))  # type: ignore[arg-type]


def test_every_act_is_told_with_its_outcome(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.publish("airport/t2/defibrillators/A2", in_cabinet=False, battery=90.0)
    world.expect_case("defibrillator-removed")
    assert send(world, "GET", "/api/v1/cases").status_code == 200
    assert send(world, "POST", "/api/v1/cases/1/acknowledge", json={}).status_code == 202
    assert send(world, "POST", "/api/v1/cases/9/take", json={}).status_code == 404
    assert send(world, "POST", "/api/v1/cases/1/done", json={}).status_code == 422

    def fail(*_: object) -> None:
        # What was begun is there before anything is done.
        assert acts(world)[-1].outcome == BEGUN
        raise RuntimeError

    monkeypatch.setattr(deskwork, "post", fail)
    assert send(world, "POST", "/api/v1/cases/1/take", json={}).status_code == 500
    found = [(one.method, one.route, one.path, one.outcome, one.status) for one in acts(world)]
    route = "/api/v1/cases/{case_id}"
    assert found == [
        ("POST", f"{route}/acknowledge", "/api/v1/cases/1/acknowledge", DONE, 202),
        ("POST", f"{route}/take", "/api/v1/cases/9/take", REFUSED, 404),
        ("POST", f"{route}/done", "/api/v1/cases/1/done", REFUSED, 422),
        ("POST", f"{route}/take", "/api/v1/cases/1/take", FAILED, 500),
    ]
    assert {(one.actor, one.key) for one in acts(world)} == {
        ("administrator", "token administrator")
    }
    (origin,) = {one.origin for one in acts(world)}
    assert len(origin) == 12
    assert "127" not in origin


def test_a_page_that_says_why_not_has_refused(world: World) -> None:
    cookie = world.make_cookie()
    browser = requests.Session()
    browser.cookies.set(COOKIE, cookie)
    browser.headers[CSRF_HEADER] = csrf_proof(cookie)
    address = world.engine.address
    browser.post(f"{address}/settings/access/users/nobody/sign-out", timeout=30)
    browser.post(f"{address}/settings/access/users", data={"name": "zoe"}, timeout=30)
    refused, done = acts(world)
    assert (refused.outcome, done.outcome) == (REFUSED, DONE)
    assert "there is no user 'nobody'" in refused.detail["reason"]


def test_secrets_of_a_path_are_left_out_and_strangers_write_nothing(world: World) -> None:
    with world.engine.store.write() as session:
        wanted = LinkFor(UNSUBSCRIBE, "camille-roux", lives=timedelta())
        token = issue_link(session, wanted, world.clock.now())
    for path in (f"/l/{token}", "/l/unknown", "/api/v1/shelves", "/nowhere"):
        requests.post(f"{world.engine.address}{path}", timeout=30)
    requests.post(
        f"{world.engine.address}/api/v1/shelves",
        headers={"Authorization": "Bearer wrong"},
        timeout=30,
    )
    assert acts(world) == []
    send(world, "POST", "/api/v1/users", json={"name": "zoe"})
    made = send(world, "POST", "/api/v1/tokens", json={"name": "desk", "grants": ["viewer"]})
    with world.engine.store.read() as session:
        everything = str([one.model_dump() for one in session.exec(select(Act))])
    assert made.json()["token"] not in everything
    assert [one.detail for one in acts(world)] == [{"about": "zoe"}, {"about": "desk"}]
    assert token not in everything


def test_the_trail_is_read_page_by_page_and_taken_as_csv(world: World) -> None:
    now = world.clock.now()
    with world.engine.store.write() as session:
        for number in range(2_500):
            what = What("POST", "/x", f"/x/{number}")
            begin_act(session, what, now, actor="=cmd|' /C calc'!A0", key="", origin="")
    page = send(world, "GET", "/api/v1/trail?limit=2&path=/x/").json()
    assert [one["path"] for one in page] == ["/x/2499", "/x/2498"]
    page = send(world, "GET", f"/api/v1/trail?limit=1&before={page[-1]['id']}").json()
    assert [one["path"] for one in page] == ["/x/2497"]
    taken = send(world, "GET", "/api/v1/trail/csv?path=/x/")
    rows = list(csv.DictReader(io.StringIO(taken.text)))
    assert len(rows) == 2_500
    assert rows[0]["actor"].startswith("'=")
    assert acts(world)[-1].path == "/api/v1/trail/csv", "that it was taken is an act"
    text = send(world, "GET", "/settings/trail?on=/x/").text
    assert "/x/2499" in text
    assert "Older ones" in text


def test_the_trail_forgets_what_is_old(store: Store, clock: MovedClock) -> None:
    with store.write() as session:
        for _ in range(3):
            begin_act(session, What("POST", "/x", "/x"), clock.now(), actor="", key="", origin="")
            clock.advance(days=10)
        forget_acts(session, clock.now(), timedelta(days=25))
        assert len(session.exec(select(Act)).all()) == 2
    assert list(write_csv([])) == [
        "id,at,actor,key,method,route,path,outcome,status,origin,detail\n"
    ]
