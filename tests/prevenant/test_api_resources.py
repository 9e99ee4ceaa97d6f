"""Work orders, technicians, customers, models and the rule book, as programs read them."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from models.registry import Registry
from notify.message import Draft, Recipient, queue_message
from prevenant.store import Store
from prevenant.tables import Alarm
from tests.asking import TEMPLATES, Asking, website_on
from tests.models.made import made_model, small_trees
from tests.moved_clock import MovedClock
from workflows.tables import Case, WorkflowVersion, WorkOrder

TYPES = "devices:\n  door: {topic: 'a/{device}', fields: {open: bool}}\n"
BOOK = TYPES + "rules:\n  shut: {on: door, when: not open}\n"


@pytest.fixture
def api(store: Store, clock: MovedClock, tmp_path: Any) -> Iterator[Asking]:
    """Return the API over a store, with people and places."""
    with website_on(store, clock, models=tmp_path / "models") as asking:
        yield asking


def add_jobs(api: Asking, *states: str, site: str = "h01", technician: str = "lea-moreau") -> None:
    """Add a case with a job for each state."""
    now = api.clock.now()
    with api.store.write() as session:
        session.merge(WorkflowVersion(version="v", name="visit", steps="[]"))
        for number, state in enumerate(states):
            alarm = Alarm(
                rule="warm",
                device_type="refrigerator",
                site_id=site,
                device_id=f"{site}/R{number}",
                severity=3,
                onset_at=now,
                raised_at=now,
                reason="it is warm",
            )
            session.add(alarm)
            session.flush()
            case = Case(
                alarm_id=alarm.id or 0,
                rule="warm",
                device_type="refrigerator",
                site_id=site,
                device_id=alarm.device_id,
                severity=3,
                workflow="visit",
                workflow_version="v",
                opened_at=now,
            )
            session.add(case)
            session.flush()
            session.add(
                WorkOrder(
                    case_id=case.id or 0,
                    technician_id=technician,
                    contact_id=technician,
                    technician_name="Léa Moreau",
                    device_id=alarm.device_id,
                    site_id=site,
                    customer_id="household-01",
                    state=state,
                    visit_start=now + timedelta(hours=number),
                    visit_end=now + timedelta(hours=number + 1),
                    accepted_at=now,
                    updated_at=now,
                )
            )
    api.clock.advance(seconds=1)


def test_work_orders_are_listed_and_filtered(api: Asking) -> None:
    add_jobs(api, "accepted", "done", "en_route", "cancelled")
    add_jobs(api, "arrived", site="t2", technician="karim-haddad")

    def states(query: str) -> list[str]:
        return [one["state"] for page in api.pages(f"work-orders?{query}") for one in page]

    assert states("limit=2") == ["arrived", "cancelled", "en_route", "done", "accepted"]
    assert states("is_under_way=true") == ["arrived", "en_route", "accepted"]
    assert states("is_under_way=false&site=h01") == ["cancelled", "done"]
    assert states("technician=karim-haddad") == ["arrived"]
    assert states("case=2") == ["done"]
    assert states("customer=nobody") == []
    assert api.get("work-orders?state=lost").status_code == 422
    job = api.get("work-orders/1").json()
    assert (job["technician_name"], job["site_id"]) == ("Léa Moreau", "h01")
    assert "contact_id" not in job
    assert api.get("work-orders/99").status_code == 404


def test_technicians_say_what_they_can_do_and_are_about(api: Asking) -> None:
    add_jobs(api, "accepted", "done")
    known = api.get("crm/technicians?limit=1000").json()
    rows = [row for page in api.pages("technicians?limit=3") for row in page]
    assert [one["id"] for one in rows] == sorted(one["id"] for one in known)
    lea = api.get("technicians/lea-moreau").json()
    assert lea["skills"] == {"refrigeration": 3, "hvac": 1}
    assert (lea["is_on_duty"], lea["why_not"], lea["position"]) == (True, "", None)
    assert [one["state"] for one in lea["jobs"]] == ["accepted"]
    put = api.ask("PUT", "technicians/lea-moreau/position", json={"latitude": 47.3, "longitude": 5})
    assert put.status_code == 200
    assert api.get("technicians/lea-moreau").json()["position"]["latitude"] == 47.3
    leave = {"ends_at": (api.clock.now() + timedelta(days=1)).isoformat(), "reason": "ill"}
    assert api.post("technicians/lea-moreau/leave", leave).status_code == 201
    away = api.get("technicians/lea-moreau").json()
    assert (away["is_on_duty"], away["why_not"]) == (False, "is away (ill)")
    api.clock.advance(seconds=14 * 3600)
    assert not api.get("technicians/karim-haddad").json()["is_on_duty"], "at midnight"
    assert {"lea-moreau", "jules-perrin"} <= {
        x["id"] for x in api.get("technicians?skill=hvac").json()
    }
    assert all("hvac" in one["skills"] for one in api.get("technicians?skill=hvac").json())
    assert api.get("technicians/nobody").status_code == 404
    assert "+33" not in api.get("technicians?limit=1000").text


def test_messages_are_filtered(api: Asking) -> None:
    add_jobs(api, "accepted")
    with api.store.write() as session:
        for number, (name, role) in enumerate((("camille", "customer"), ("nadia", "security"))):
            person = Recipient(name, name, role, "en", "UTC", {"sms": "+33639980041"})
            key, turns = f"case1:{number}", [["sms"]]
            draft = Draft(key, person, "job_gone", {"case": {"number": 1}}, turns, 3, 1)
            queue_message(session, TEMPLATES, draft, api.clock.now())

    def names(query: str) -> list[str]:
        return [one["name"] for page in api.pages(f"messages?{query}") for one in page]

    assert names("limit=1") == ["nadia", "camille"]
    assert names("role=customer&case=1&channel=sms&state=queued") == ["camille"]
    assert names("contact=nadia") == ["nadia"]
    assert names("channel=email") == names("state=sent") == names("case=9") == []
    assert names("since=2199-01-01T00:00:00Z") == []
    one = api.get("messages/1")
    assert one.json()["deliveries"][0]["channel"] == "sms"
    assert "+33" not in one.text
    assert api.get("messages/9").status_code == 404


def test_customers_are_shown_with_their_places_and_open_cases(api: Asking) -> None:
    add_jobs(api, "accepted", "done")
    rows = [row for page in api.pages("customers?limit=2") for row in page]
    assert [one["id"] for one in rows] == sorted(one["id"] for one in rows)
    assert {one["id"]: one["open_cases"] for one in rows}["household-01"] == 2
    roux = api.get("customers/household-01").json()
    assert [one["id"] for one in roux["places"]] == ["h01"]
    assert [one["id"] for one in roux["people"]] == ["camille-roux"]
    assert len(roux["cases"]) == 2
    everything = str(roux) + str(rows)
    assert "+33" not in everything
    assert "@" not in everything
    assert api.get("customers/nobody").status_code == 404


def test_figures_are_told_with_their_definitions(api: Asking) -> None:
    add_jobs(api, "accepted")
    found = api.get("kpis?since=2000-01-01T00:00:00Z&kpi=time_to_resolve&by=site")
    (figure,) = found.json()
    assert figure["name"] == "time_to_resolve"
    assert figure["counts"]
    assert len(api.get("kpis?since=2000-01-01T00:00:00Z").json()) > 10
    sheet = api.get("kpis.csv?since=2000-01-01T00:00:00Z")
    assert sheet.headers["Content-Type"].startswith("text/csv")
    assert sheet.text.startswith("kpi,title,unit")
    for wrong in ("kpi=luck", "every=hour", "severity=bad", "until=1999-01-01T00:00:00Z"):
        assert api.get(f"kpis?since=2000-01-01T00:00:00Z&{wrong}").status_code == 422


def test_a_model_takes_another_version_and_goes_back(api: Asking, tmp_path: Any) -> None:
    registry = Registry(tmp_path / "models")
    numbers = np.arange(30.0).reshape(10, 3)
    for slope in (1.0, 2.0):
        trees = small_trees(numbers, slope * numbers[:, 0])
        registry.save(made_model("compressor", trees))
    (found,) = api.get("models").json()
    assert (found["name"], found["versions"], found["active"]) == ("compressor", [1, 2], 1)
    assert api.post("models/compressor/shadow", {"version": 2}).json()["shadow"] == 2
    activated = api.post("models/compressor/activate", {"version": 2}).json()
    assert (activated["active"], activated["shadow"], activated["rollback_to"]) == (2, None, 1)
    assert api.post("models/compressor/rollback", {}).json()["active"] == 1
    assert api.post("models/compressor/activate", {"version": 7}).status_code == 422
    assert api.post("models/nobody/activate", {"version": 1}).status_code == 404
    assert api.get("models/nobody").status_code == 404
    whole = api.get("models/compressor").json()
    assert [one["version"] for one in whole["all_versions"]] == [1, 2]
    assert api.get("models/compressor/versions/2").json()["card"]["name"] == "compressor"
    assert api.get("models/compressor/versions/3").status_code == 404


def test_a_book_is_judged_published_read_and_taken_back(api: Asking) -> None:
    assert api.get("book").status_code == 404
    wrong = api.post("book/check", {"text": BOOK.replace("not open", "not opeen")}).json()
    assert not wrong["is_good"]
    assert [one["line"] for one in wrong["problems"]] == [4]
    assert api.post("book/check", {"text": BOOK}).json()["is_good"]
    assert api.get("book/versions").json() == [], "nothing was published by that"
    assert api.post("book", {"text": BOOK}).json()["version"] == 1
    read = api.get("book")
    assert read.json()["texts"] == {"rules.yaml": BOOK}
    seen = {"If-Match": read.headers["ETag"]}
    longer = BOOK + "  ajar: {on: door, when: open}\n"
    assert api.post("book", {"text": longer}, **seen).json()["version"] == 2
    late = api.post("book", {"text": TYPES}, **seen)
    assert late.status_code == 412
    assert api.post("book/versions/1/activate", {}, **seen).status_code == 412
    back = api.post("book/versions/1/activate", {"note": "too many alarms"}).json()
    assert (back["version"], back["note"]) == (3, "too many alarms")
    assert api.get("book").json()["texts"] == {"rules.yaml": BOOK}
    assert api.get("book/versions/2").json()["texts"] == {"rules.yaml": longer}
    assert api.get("book/versions/9").status_code == 404
    assert api.post("book/versions/9/activate", {}).status_code == 404
