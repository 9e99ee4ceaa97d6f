"""Consent, positions and leave: what people say of themselves, and what follows."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import Session, select

from notify.consent import find_objection, record_start, record_stop
from notify.message import Delivery
from prevenant.clock import from_epoch
from prevenant.consent import Consent, find_consent, record_consent
from prevenant.crm.adopting import adopt_device
from prevenant.crm.directory import (
    find_customer,
    find_role_holders,
    find_role_positions,
    find_technicians,
)
from prevenant.crm.positions import Heard, judge_position
from prevenant.crm.tables import CRM, Contact, Customer, RoleHolder, Technician
from prevenant.store import Store
from prevenant.stream.positions import Positions, position_urls, read_position
from prevenant.tables import CaseEvent
from tests.moved_clock import MovedClock
from tests.servers import wait_until
from tests.stories.test_refrigerator_warming import CAMILLE, JULES, warm_up
from tests.world import World
from workflows.absence import announce_absences
from workflows.office import read_views

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
HERE = Heard(47.30, 5.00, NOW)


def add_technician(session: Session, name: str = "t1") -> None:
    """Write a technician."""
    session.add(Contact(id=f"c-{name}", name=name))
    session.flush()
    session.add(
        Technician(
            id=name, contact_id=f"c-{name}", latitude=47.2, longitude=5.1, skills={}, shifts=[]
        )
    )
    session.flush()


def say(state: str, minutes: int, channel: str = "sms") -> Consent:
    """Return a word on consent."""
    at = NOW + timedelta(minutes=minutes)
    return Consent(contact_id="ann", channel=channel, state=state, at=at, source="form")


def test_the_newest_word_on_consent_counts(store: Store) -> None:
    with store.write() as session:
        assert find_consent(session, "ann", "sms") is None
        assert find_objection(session, "sms", "+331", "ann") == ""
        assert record_consent(session, say("withdrawn", 5))
        assert not record_consent(session, say("withdrawn", 5))
        objection = find_objection(session, "sms", "+331", "ann")
        assert objection == "the contact has withdrawn consent for sms on 2026-05-04 (form)"
        assert find_objection(session, "email", "a@x.example", "ann") == ""
        # What was said before, and is written down only now, changes nothing.
        record_consent(session, say("granted", 1))
        assert find_objection(session, "sms", "+331", "ann")
        record_consent(session, say("granted", 9))
        assert find_objection(session, "sms", "+331", "ann") == ""
        record_consent(session, say("withdrawn", 12, "any"))
        assert "for any" in find_objection(session, "email", "a@x.example", "ann")
        assert len(session.exec(select(Consent)).all()) == 4


def test_stop_stands_beside_consent(store: Store) -> None:
    with store.write() as session:
        record_consent(session, say("granted", 1))
        record_stop(session, "sms", "+331", "STOP", NOW)
        assert find_objection(session, "sms", "+331", "ann") == "the contact has opted out"
        record_start(session, "sms", "+331")
        session.flush()
        assert find_objection(session, "sms", "+331", "ann") == ""


def test_withdrawn_consent_keeps_a_message_back_and_the_next_channel_is_tried(world: World) -> None:
    with world.engine.store.write() as session:
        word = Consent(contact_id="camille-roux", channel="sms", state="withdrawn", at=NOW)
        record_consent(session, word)
    warm_up(world, "h01")
    world.phone(JULES).expects_sms("Roux home").replies("1")
    world.expect_mail("camille-roux@home.example", "Camille")
    world.phone(CAMILLE).has_no_sms()
    with world.engine.store.read() as session:
        query = select(Delivery).where(Delivery.address == CAMILLE)
        kept = session.exec(query).one()
    assert (kept.state, kept.reason) == (
        "suppressed",
        "the contact has withdrawn consent for sms on 2026-05-04",
    )


def test_who_is_not_there_any_more_is_not_told(store: Store) -> None:
    with store.write() as session:
        session.add(Contact(id="ann", name="Ann", is_active=False))
        session.add(Contact(id="bob", name="Bob"))
        session.flush()
        for name in ("ann", "bob"):
            session.add(RoleHolder(contact_id=name, role="guard"))
        session.flush()
        assert [one.contact_id for one in find_role_holders(session, "guard", "s1")] == ["bob"]
        assert [one.contact_id for one, _ in find_role_positions(session, "guard")] == ["bob"]
        # The first by id would be told where a site names nobody, were she there.
        session.add(Customer(id="acme", name="ACME"))
        session.flush()
        for name in ("ann", "bob"):
            session.get_one(Contact, name).customer_id = "acme"
        session.flush()
        customer = find_customer(session, "acme")
        assert customer is not None
        assert customer.contact_id == "bob"
        session.get_one(Contact, "bob").is_active = False
        assert find_customer(session, "acme") is None


def test_a_technician_who_is_told_nothing_is_not_sent(store: Store) -> None:
    with store.write() as session:
        add_technician(session)
        add_technician(session, "t2")
        session.get_one(Contact, "c-t1").is_active = False
        session.flush()
        assert [one.id for one in find_technicians(session)] == ["t2"]
        assert [one.id for one in read_views(session, None)] == ["t2"]
        assert [one.id for one in read_views(session, ["t1"])] == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"latitude": 91.0}, "there is no such place"),
        ({"latitude": 0.0, "longitude": 0.0}, "does not know"),
        ({"observed_at": NOW + timedelta(minutes=2)}, "from the future"),
        ({"observed_at": NOW - timedelta(hours=25)}, "older than 24 hours"),
        ({"accuracy_m": 9_000.0}, "good to 9000 m only"),
        ({"observed_at": NOW - timedelta(minutes=30)}, "a newer one is known"),
        ({"latitude": 52.0}, "nobody moves"),
        ({"latitude": float("nan")}, "there is no such place"),
    ],
)
def test_a_position_that_cannot_be_is_refused_with_the_reason(
    changes: dict[str, Any], reason: str
) -> None:
    known = Heard(47.31, 5.01, NOW - timedelta(minutes=10))
    good = Heard(47.30, 5.00, NOW, 10.0)
    verdict = judge_position(replace(good, **changes), known, NOW)
    assert not verdict.taken
    assert reason in verdict.reason
    assert judge_position(good, known, NOW).taken


FIXES = st.lists(st.tuples(st.integers(0, 600), st.floats(-0.02, 0.02)), min_size=1, max_size=12)


@given(FIXES)
def test_whatever_the_order_the_newest_position_is_kept(fixes: list[tuple[int, float]]) -> None:
    known: Heard | None = None
    for second, north in fixes:
        heard = Heard(47.3 + north / 10, 5.0, NOW - timedelta(seconds=second))
        verdict = judge_position(heard, known, NOW)
        assert verdict.taken == (not verdict.reason)
        if verdict.taken:
            assert known is None or heard.observed_at > known.observed_at
            known = heard
    # Half a kilometre in ten seconds is no speed that is refused, so that no fix but an older one is.
    assert known is not None
    assert known.observed_at == NOW - timedelta(seconds=min(second for second, _ in fixes))


def test_phones_say_where_they_are_as_json_or_as_owntracks() -> None:
    plain = b'{"latitude": 47.3, "longitude": 5, "observed_at": "2026-05-04T08:00:00Z"}'
    assert read_position(plain, NOW) == HERE
    at = int(NOW.timestamp())
    own = f'{{"_type":"location","lat":47.3,"lon":5.0,"tst":{at},"acc":12,"batt":80}}'.encode()
    assert read_position(own, NOW) == Heard(47.3, 5.0, from_epoch(at), 12.0)
    assert read_position(b'{"_type":"lwt","tst":1}', NOW) is None
    assert read_position(b'{"latitude": 1, "longitude": 2, "accuracy": 9}', NOW) == Heard(
        1.0, 2.0, NOW, 9.0
    )
    for bad in (b"", b"[]", b'{"lat": 1}', b"\xff", b'{"latitude": "x", "longitude": 1}'):
        with pytest.raises(ValueError, match="this is no position"):
            read_position(bad, NOW)
    with pytest.raises(ValueError, match="no offset"):
        read_position(b'{"latitude":1,"longitude":2,"observed_at":"2026-05-04T08:00:00"}', NOW)
    with pytest.raises(ValueError, match="too long"):
        read_position(b" " * 5_000, NOW)


def test_the_last_of_many_positions_is_written_once(store: Store, clock: MovedClock) -> None:
    with store.write() as session:
        add_technician(session)
        add_technician(session, "t2")
    rings: list[int] = []
    store.call(CRM, lambda: rings.append(1))
    # What rings once others are heard is what may have been missed before.
    wait_until(lambda: rings or not store.is_shared, "the bells of other processes")
    rings.clear()
    positions = Positions(store, clock, "phones/{technician}/+")
    assert positions.subscription == "phones/+/+"
    for second in range(50):
        at = (NOW - timedelta(seconds=50 - second)).isoformat()
        text = f'{{"latitude": 47.3{second:02}, "longitude": 5.0, "observed_at": "{at}"}}'
        positions.take([(b"phones/t1/x", text.encode(), 0), (b"phones/nobody/x", b"{}", 0)])
    late = (NOW - timedelta(seconds=30)).isoformat()
    positions.take(
        [
            (b"phones/t1/x", f'{{"latitude":1,"longitude":1,"observed_at":"{late}"}}'.encode(), 0),
            (b"phones/t2/x", b'{"latitude": 0, "longitude": 0}', 0),
            (b"phones/t9/x", b'{"latitude": 47, "longitude": 5}', 0),
            (b"other/t1", b'{"latitude": 47, "longitude": 5}', 0),
            (b"phones//x", b'{"latitude": 47, "longitude": 5}', 0),
        ]
    )
    assert positions.write() == 1
    assert len(rings) == 1
    assert positions.write() == 0
    with store.read() as session:
        one = session.get_one(Technician, "t1")
        assert (one.position_latitude, one.position_at) == (47.349, NOW - timedelta(seconds=1))
        assert session.get_one(Technician, "t2").position_at is None
    assert positions.refused == 50 + 2


def test_positions_have_a_session_of_their_own() -> None:
    urls = ["mqtts://u:p@h:8883?client_id=a&ca=ca.pem&will=x&qos=1", "mqtt://h"]
    first, second = position_urls(urls)
    assert first == ("mqtts://u:p@h:8883?client_id=a-positions&ca=ca.pem&qos=0&session_expiry=1m")
    assert "client_id=prevenant-positions" in second


def test_a_phone_on_the_broker_moves_its_technician(world: World) -> None:
    wait_until(world.engine._phones.connected.is_set, "the phones' session")
    body = b'{"_type":"location","lat":47.33,"lon":5.05}'
    world._client.publish("technicians/lea-moreau/position", body, qos=1).wait_for_publish(60)
    wait_until(lambda: world.engine._positions._latest, "the position")
    frames = world.engine.host.frames
    world.clock.advance(seconds=6)

    def moved(session: Session) -> bool:
        return session.get_one(Technician, "lea-moreau").position_latitude == 47.33

    world.expect(moved, "the technician's position")
    assert world.engine.host.frames == frames, "no reading, so nothing for the journal"


def ask(world: World, method: str, path: str, **options: Any) -> requests.Response:
    """Ask the engine."""
    headers = {"Authorization": "Bearer admin"}
    url = f"{world.engine.address}/api/v1{path}"
    return requests.request(method, url, headers=headers, timeout=60, **options)


def test_an_illness_frees_the_jobs_and_each_case_hears_it_once(world: World) -> None:
    warm_up(world, "h01")
    world.phone(JULES).expects_sms("Roux home").replies("1")
    world.phone(CAMILLE).expects_sms("Bonjour Camille")
    body = {"ends_at": "2026-05-06T18:00:00Z", "reason": "ill"}
    answer = ask(world, "POST", "/technicians/jules-perrin/leave", json=body)
    assert answer.status_code == 201
    assert answer.json()["jobs_told"] == 1
    with world.engine.store.write() as session:
        assert announce_absences(session, world.clock.now()) == 0
        query = select(CaseEvent).where(CaseEvent.kind == "technician.unavailable")
        event = session.exec(query).one()
    assert event.data["technician"] == "jules-perrin"
    # Why somebody is away is nobody's business.
    assert "ill" not in event.data["reason"].split()
    assert ask(world, "POST", "/technicians/nobody/leave", json=body).status_code == 404
    body["ends_at"] = "2026-05-01T00:00:00Z"
    wrong = ask(world, "POST", "/technicians/jules-perrin/leave", json=body)
    assert (wrong.status_code, "before it begins" in wrong.text) == (422, True)


def test_a_technician_whose_contact_is_removed_has_the_jobs_no_more(world: World) -> None:
    warm_up(world, "h01")
    world.phone(JULES).expects_sms("Roux home").replies("1")
    world.phone(CAMILLE).expects_sms("Bonjour Camille")
    assert ask(world, "DELETE", "/crm/contacts/jules-perrin").json() == {"removed": 1}
    world.expect_story("technician.unavailable", "Jules Perrin cannot come: works for us no more")


def test_the_api_judges_rows_as_files_are_judged(world: World) -> None:
    row = {"name": "Zoé", "phone": "12", "timezone": "Mars", "colour": 1}
    wrong = ask(world, "PUT", "/crm/contacts/zoe", json=row)
    assert wrong.status_code == 422
    assert wrong.json()["problems"] == [
        {"place": "contacts/zoe: colour", "message": "this column is not known"}
    ]
    del row["colour"]
    messages = [
        x["message"] for x in ask(world, "PUT", "/crm/contacts/zoe", json=row).json()["problems"]
    ]
    assert [message.split(":")[0] for message in messages] == ["phone", "timezone"]
    row |= {"phone": "+33639980999", "timezone": "UTC", "roles": ["guard@t1"]}
    made = ask(world, "PUT", "/crm/contacts/zoe", json=row)
    assert (made.status_code, made.json()["roles"]) == (200, ["guard@t1"])
    technician = {
        "contact": "zoe",
        "latitude": 47.3,
        "longitude": 5,
        "skills": {"hvac": 2},
        "shifts": [{"days": [0, 1], "start": "08:00", "end": "18:00"}],
    }
    assert ask(world, "PUT", "/crm/technicians/zoe", json=technician).status_code == 200
    changed = ask(world, "PUT", "/crm/technicians/zoe", json={"parts": "relay:2"}).json()
    assert (changed["parts"], changed["skills"]) == ({"relay": 2}, {"hvac": 2})
    technician["shifts"] = [{"days": [9], "start": "08:00", "end": "18:00"}]
    assert ask(world, "PUT", "/crm/technicians/zoe", json=technician).status_code == 422
    assert ask(world, "PUT", "/crm/devices/t1/D99", json={"type": "door", "label": "D"}).ok
    assert ask(world, "GET", "/crm/devices/t1/D99").json()["device"] == "D99"
    assert ask(world, "PUT", "/crm/roles/zoe/guard/t2", json={}).ok
    assert ask(world, "GET", "/crm/roles/zoe/guard/t2").json()["site"] == "t2"
    assert ask(world, "DELETE", "/crm/technicians/zoe").json() == {"removed": 1}
    assert ask(world, "GET", "/crm/technicians/zoe").json()["active"] is False
    listed = ask(world, "GET", "/crm/technicians?limit=2&offset=1").json()
    assert [one["id"] for one in listed] == ["chloe-renard", "elena-costa"]
    assert ask(world, "GET", "/crm/technician").status_code == 404
    assert "did you mean 'technicians'?" in ask(world, "GET", "/crm/technician").text
    assert ask(world, "GET", "/crm/technicians/nobody").status_code == 404
    summary = ask(world, "GET", "/crm").json()
    assert summary["rows"]["technicians"] == {"rows": 15, "removed": 1}
    assert summary["as_of"] is None


def test_a_position_over_the_api_says_why_it_is_not_believed(world: World) -> None:
    path = "/technicians/lea-moreau/position"
    good = ask(world, "PUT", path, json={"latitude": 47.33, "longitude": 5.05})
    assert good.status_code == 200
    far = {"latitude": 60.0, "longitude": 5.05, "observed_at": "2026-05-04T08:00:30Z"}
    refused = ask(world, "PUT", path, json=far)
    assert (refused.status_code, "nobody moves" in refused.text) == (422, True)
    assert ask(world, "PUT", "/technicians/nobody/position", json=far).status_code == 404


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("roles/camille-roux/guard", "roles/camille-roux/guard/"),
        ("roles/camille-roux/guard/", "roles/camille-roux/guard/"),
        ("roles/camille-roux/guard/t1", "roles/camille-roux/guard/t1"),
        (
            "consents/camille-roux/sms/granted/2026-05-04T10:00:00+02:00",
            "consents/camille-roux/sms/granted/2026-05-04T08:00:00+00:00",
        ),
        (
            "consents/camille-roux/any/withdrawn/2026-05-04",
            "consents/camille-roux/any/withdrawn/2026-05-04T00:00:00+00:00",
        ),
    ],
)
def test_a_row_is_found_again_however_its_id_is_written(world: World, path: str, form: str) -> None:
    more = {"proof": "page 3"} if path.startswith("consents") else {}
    made = ask(world, "PUT", f"/crm/{path}", json=more)
    assert made.status_code == 200, made.text
    kind = path.partition("/")[0]
    (found,) = [
        one for one in ask(world, "GET", f"/crm/{kind}?limit=1000").json() if one == made.json()
    ]
    for one in (path, form):
        again = ask(world, "GET", f"/crm/{one}")
        assert (again.status_code, again.json()) == (200, found)
    assert ask(world, "PUT", f"/crm/{path}", json={}).json() == found, "the same row, and no other"
    listed = ask(world, "GET", f"/crm/{kind}?limit=1000").json()
    assert listed.count(found) == 1
    assert ask(world, "DELETE", f"/crm/{path}").json() == {"removed": 1}
    # A role ends; what somebody has said of being told stays said.
    gone = ask(world, "GET", f"/crm/{path}").status_code
    assert gone == (404 if kind == "roles" else 200)


@pytest.mark.parametrize(
    "path", ["roles/camille-roux", "consents/camille-roux/sms", "consents/x/y/z/no"]
)
def test_an_id_without_all_its_parts_names_nothing(world: World, path: str) -> None:
    assert ask(world, "GET", f"/crm/{path}").status_code == 404
    assert ask(world, "PUT", f"/crm/{path}", json={}).status_code == 422


def test_a_device_at_another_site_than_its_topic_says_has_its_own_id(world: World) -> None:
    with world.engine.store.write() as session:
        adopt_device(session, "t1/D77", "door", "h01", "Spare", "cellar")
    row = ask(world, "GET", "/crm/devices/t1/D77").json()
    assert (row["id"], row["site"], row["device"]) == ("t1/D77", "h01", "D77")
    changed = ask(world, "PUT", "/crm/devices/t1/D77", json={"label": "Side door"}).json()
    assert changed == {**row, "label": "Side door"}
    moved = ask(world, "PUT", "/crm/devices/t1/D77", json={"site": "t2"}).json()
    assert (moved["id"], moved["site"]) == ("t1/D77", "t2")
    assert ask(world, "GET", "/crm/devices/t2/D77").status_code == 404
    assert ask(world, "DELETE", "/crm/devices/t1/D77").json() == {"removed": 1}
    # One whose topic names no site.
    lone = {"site": "t1", "type": "door", "label": "Lone"}
    assert ask(world, "PUT", "/crm/devices/D88", json=lone).json()["id"] == "D88"
    assert (
        ask(world, "PUT", "/crm/devices/D89", json={"type": "door", "label": "L"}).status_code
        == 422
    )


def test_a_position_put_as_a_row_is_judged_as_one_that_was_heard(world: World) -> None:
    path = "/crm/positions/lea-moreau"
    first = {"latitude": 47.33, "longitude": 5.05, "observed_at": "2026-05-04T07:59:00Z"}
    assert ask(world, "PUT", path, json=first).json()["latitude"] == 47.33
    assert ask(world, "PUT", path, json=first).status_code == 200
    for changes, reason in (
        ({"latitude": 47.34, "observed_at": "2026-05-04T07:58:00Z"}, "a newer one is known"),
        ({"latitude": 60.0, "observed_at": "2026-05-04T08:00:00Z"}, "nobody moves"),
        ({"observed_at": "2027-05-04T08:00:00Z"}, "from the future"),
        ({"latitude": 0.0, "longitude": 0.0}, "does not know"),
    ):
        refused = ask(world, "PUT", path, json={**first, **changes})
        assert (refused.status_code, reason in refused.text) == (422, True), refused.text
    partly = ask(world, "PUT", path, json={"latitude": 47.4})
    assert (partly.status_code, "longitude, observed_at" in partly.text) == (422, True)
    assert ask(world, "GET", path).json()["observed_at"] == "2026-05-04T07:59:00Z"


@pytest.mark.parametrize("path", ["/crm", "/crm/contacts", "/crm/contacts/camille-roux"])
def test_the_crm_tells_nobody_without_the_token(world: World, path: str) -> None:
    url = f"{world.engine.address}/api/v1{path}"
    assert requests.get(url, timeout=60).status_code == 401
