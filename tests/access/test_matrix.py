"""Every route, by every role, about a foreign site: nobody gets or does what they were not granted.

Routes are those of the running application, so that a new one is judged without being named here.
"""

from typing import Any

import pytest
import requests
from sqlmodel import Session, select

from ingest.registry import HeardDevice
from notify.message import Delivery, Errand, Message, queue_errand
from notify.subscription import PAUSED, Subscription, begin, make_secret, make_tag
from prevenant.access.grants import parse_grant
from prevenant.access.roles import Role
from prevenant.access.tokens import add_token
from prevenant.crm.tables import Device
from prevenant.shelving import Shelf, add_shelf
from tests.access.matrix import IDS, Asked, ask, asked_of
from tests.world import World
from workflows.tables import Case, Photo, WorkOrder

MARKS = (
    "t2/A2",
    "Terminal 2",
    "Defibrillator 2",
    "defibrillator-removed on",
    "claire-vasseur",
    "Valmont Airport, Terminal",
)
"""Words that stand in what is told of the terminal, and in nothing else."""


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Use SQLite alone: what both have in common is tried elsewhere."""
    return sqlite_url


@pytest.fixture
def busy(world: World) -> World:
    """Return a world in which something of everything is at the terminal."""
    world.publish("airport/t2/defibrillators/A2", in_cabinet=False, battery=90.0)
    world.expect_case("defibrillator-removed")
    now = world.clock.now()
    with world.engine.store.write() as session:
        shelf = Shelf(
            kind="shelved",
            device_id="t2/A2",
            starts_at=now,
            ends_at=now.replace(year=now.year + 1),
            owner="claire-vasseur",
            reason="new lock",
            created_at=now,
        )
        add_shelf(session, shelf)
        queue_errand(
            session,
            Errand("one", "webhook", "http://127.0.0.1:9/", "{}", "claire-vasseur", 3, 1),
            now,
        )
        subscription = Subscription(
            name="Desk of Terminal 2",
            url="https://desk.example.org/",
            topics=["story"],
            sites=["t2"],
            state=PAUSED,
            secrets=[{"secret": make_secret(), "until": None}],
            tag=make_tag(),
            created_at=now,
            created_by="claire-vasseur",
            changed_at=now,
        )
        begin(session, subscription)
        assert str(subscription.id) == IDS["subscription_id"]
        order = WorkOrder(
            case_id=1,
            technician_id="omar-diallo",
            contact_id="omar-diallo",
            technician_name="Omar",
            site_id="t2",
            state="accepted",
            accepted_at=now,
            updated_at=now,
            visit_start=now,
            visit_end=now,
        )
        session.add(order)
        session.flush()
        session.add(
            Photo(
                case_id=1,
                work_order_id=order.id or 0,
                contact_id="omar-diallo",
                at=now,
                width=1,
                height=1,
                picture=b"x",
            )
        )
    world.expect_story("message.suppressed", "claire-vasseur")
    world.clock.advance(seconds=6)  # by then it is written who was heard
    world.expect(lambda session: session.get(HeardDevice, "t2/A2"), "device that was heard")
    delivery, message = world.expect(_dead_letter, "dead letter")
    IDS.update(delivery_id=str(delivery), message_id=str(message))
    return world


def _dead_letter(session: Session) -> Any:
    query = select(Delivery.id, Message.id).join(Message).where(Message.name == "claire-vasseur")
    return session.exec(query).first()


def make_token(world: World, name: str, *grants: str) -> str:
    """Make a token."""
    with world.engine.store.write() as session:
        wanted = [parse_grant(one) for one in grants]
        return add_token(session, name, wanted, world.clock.now(), "test")


def get(world: World, path: str, token: str) -> requests.Response:
    """Ask the API."""
    return requests.get(
        f"{world.engine.address}/api/v1/{path}",
        headers={"Authorization": f"Bearer {token}"},
        timeout=30,
    )


def test_no_route_lets_anybody_in_who_may_not(busy: World) -> None:
    routes = asked_of(busy)
    wrong = [f"{one.name} asks nobody who it is" for one in routes if not one.is_guarded]
    wrong += [
        f"{asked.name} with {token!r}: {answer.status_code}"
        for asked in routes
        for token in ("", "wrong")
        if not _is_turned_away(asked, answer := ask(busy, asked, token))
    ]
    for role in Role:
        token = make_token(busy, f"a {role.word}", role.word)
        above = [one for one in routes if one.role is not None and one.role > role]
        wrong += _not_refused(busy, above, token, role.word)
    token = make_token(busy, "terminal", "administrator@site:t2")
    wrong += _not_refused(busy, [one for one in routes if one.everywhere], token, "of one site")
    assert not wrong, "\n".join(wrong)


def _is_turned_away(asked: Asked, answer: requests.Response) -> bool:
    # A part of a page leads the whole of it away.
    to = answer.headers.get("location", answer.headers.get("hx-redirect", ""))
    is_sent_to_sign_in = to.startswith("/login")
    return answer.status_code == 401 or (asked.is_page and is_sent_to_sign_in)


def _not_refused(world: World, routes: list[Asked], token: str, who: str) -> list[str]:
    codes = [(asked, ask(world, asked, token).status_code) for asked in routes]
    return [f"{asked.name} as {who}: {code}" for asked, code in codes if code != 403]


def test_an_administrator_of_one_site_neither_sees_nor_touches_another(busy: World) -> None:
    token = make_token(busy, "household", "administrator@site:h01")
    wrong = []
    for asked in asked_of(busy):
        if asked.role is not None:
            wrong += _leaks(asked, ask(busy, asked, token))
    assert not wrong, "\n".join(wrong)
    with busy.engine.store.read() as session:
        case = session.get_one(Case, 1)
        assert (case.owner, case.state) == ("", "open")
        assert session.get_one(Delivery, int(IDS["delivery_id"])).state == "suppressed"
        assert session.get_one(Device, "t2/A2").label == "Defibrillator 2"
        assert session.get_one(Subscription, 1).state == PAUSED


def _leaks(asked: Asked, answer: requests.Response) -> list[str]:
    """Say what an answer about the terminal tells or does that it must not."""
    if answer.headers.get("content-type", "").startswith("text/event-stream"):
        return []  # what is told there is tried by itself
    # A page goes on to the next one, and says there what was refused.
    is_refused = answer.status_code in {403, 404} or "notice" in answer.cookies
    # What was asked for is said again by whoever refuses it.
    marks = [one for one in MARKS if not (is_refused and one == IDS["device_id"])]
    told = [mark for mark in marks if mark in answer.text]
    if answer.status_code >= 500 or told:
        return [f"{asked.name}: {answer.status_code} tells {told}"]
    if asked.is_of_something and not (is_refused or asked.is_everybodys):
        return [f"{asked.name}: {answer.status_code} {answer.text[:200]}"]
    return []


def test_what_a_viewer_and_an_operator_of_a_site_may(busy: World) -> None:
    guard = make_token(busy, "guard", "viewer@site:t2")
    for path in ("alarms", "cases", "devices", "messages", "shelves", "work-orders"):
        answer = get(busy, path, guard)
        assert (answer.status_code, len(answer.json()) > 0) == (200, True), path
    case = get(busy, "cases/1", guard)
    assert case.status_code == 200
    assert "+336" not in case.text
    assert get(busy, "crm/contacts", guard).status_code == 403
    for place in ("site:t2", "area:airport", "customer:valmont-airport"):
        desk = make_token(busy, f"desk {place[:4]}", f"operator@{place}")
        answer = requests.post(
            f"{busy.engine.address}/api/v1/cases/1/acknowledge",
            json={"by": "Camille"},
            headers={"Authorization": f"Bearer {desk}"},
            timeout=30,
        )
        assert answer.status_code == 202, place
    busy.expect_story("acknowledged", "Camille (via desk site)")


ENTITIES = ("customers", "contacts", "sites", "devices", "assets", "areas", "roles", "consents")


def test_rows_of_the_crm_are_those_of_the_sites_alone(world: World) -> None:
    one = make_token(world, "one", "operator@site:h01")
    for entity in ENTITIES:
        mine = get(world, f"crm/{entity}?limit=1000", one).json()
        everything = get(world, f"crm/{entity}?limit=1000", "admin").json()
        assert len(mine) < len(everything) or not everything, entity
        assert all(row in everything for row in mine)
        for foreign in ("t2", "h02", "bennett", "Bennett", "airport"):
            assert foreign not in str(mine), f"{entity} tells {foreign}"
