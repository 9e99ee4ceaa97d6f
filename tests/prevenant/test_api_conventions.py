"""What holds for every request of the API: problems, pages, entity tags, keys."""

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import select

from prevenant.idempotency import KEPT, KeptAnswer, forget_answers
from prevenant.store import Store
from prevenant.tables import Alarm
from tests.asking import Asking, website_on
from tests.moved_clock import MovedClock


@pytest.fixture
def api(store: Store, clock: MovedClock) -> Iterator[Asking]:
    """Return the API over a store, with people and places."""
    with website_on(store, clock) as asking:
        yield asking


def add_alarms(api: Asking, count: int) -> None:
    now = api.clock.now()
    with api.store.write() as session:
        session.add_all(
            Alarm(
                rule="door-held-open",
                device_type="door",
                site_id="t2",
                device_id=f"t2/D{number}",
                severity=3,
                onset_at=now,
                raised_at=now,
                reason="it stands open",
            )
            for number in range(count)
        )


SHELF = {"device": "t2/D14", "lasts": "2h", "by": "Camille", "reason": "new lock"}


def count_shelves(api: Asking) -> int:
    return len(api.get("shelves").json())


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "cases/99", 404, "there is no case 99"),
        ("GET", "nowhere", 404, "/api/v1/openapi.json says what is"),
        ("PATCH", "cases", 405, "this takes GET"),
        ("GET", "cases/abc", 422, "path.case_id"),
        ("GET", "cases/99999999999999999999", 422, "path.case_id"),
        ("GET", "alarms?limit=0", 422, "query.limit"),
        ("GET", "cases?severity=nonsense", 422, "'nonsense' is no severity"),
        ("GET", "alarms?cursor=nonsense", 422, "begin without one"),
        ("GET", "alarms?state=activ", 422, "query.state"),
        ("GET", "cases?state=active", 422, "query.state"),
        ("GET", "messages?state=lost", 422, "query.state"),
        ("GET", "devices?state=asleep", 422, "query.state"),
        ("GET", "quarantine?state=open", 422, "query.state"),
        ("GET", "surveys?kind=mood", 422, "query.kind"),
        (
            "GET",
            "alarms?stat=active",
            422,
            "query.stat: this request has no such name: did you mean",
        ),
        ("GET", "cases?severity=major&colour=red", 422, "query.colour"),
    ],
)
def test_every_refusal_is_a_problem(
    api: Asking, method: str, path: str, status: int, words: str
) -> None:
    answer = api.ask(method, path)
    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (status, status)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert words in problem["detail"]
    assert problem["title"]
    assert problem["type"] == "about:blank" or problem["type"].startswith("urn:prevenant:")
    assert problem["instance"] == f"/api/v1/{path.partition('?')[0]}"


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/xml", ""])
def test_what_is_no_json_is_refused_as_such(api: Asking, kind: str) -> None:
    answer = api.ask("POST", "shelves", headers={"Content-Type": kind}, data="rule=door-held-open")
    assert answer.status_code == 415
    assert answer.json()["detail"] == "send it as JSON, with Content-Type: application/json"
    assert count_shelves(api) == 0


def test_broken_json_is_no_other_kind(api: Asking) -> None:
    headers = {"Content-Type": "application/json"}
    assert api.ask("POST", "shelves", headers=headers, data="{").status_code == 422
    assert api.ask("POST", "shelves", headers=headers, data="[]").status_code == 422


def test_a_name_that_is_not_known_in_a_body_is_refused(api: Asking) -> None:
    wanted = {"rule": "door-held-open", "device_id": "t2/D14", "lasts": "2h", "reason": "lock"}
    answer = api.post("shelves", wanted)
    assert answer.status_code == 422
    assert [one["place"] for one in answer.json()["problems"]] == ["body.device_id"]
    assert count_shelves(api) == 0


def test_who_is_not_known_is_told_so_by_a_problem(api: Asking) -> None:
    answer = api.ask("GET", "cases", headers={"Authorization": "Bearer wrong"})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json()["title"] == "Unauthorized"


def test_all_that_is_wrong_is_told_at_once_and_nothing_of_what_was_sent(api: Asking) -> None:
    answer = api.post("shelves", {"device": 4711, "reason": ["secret"]})
    problems = answer.json()["problems"]
    assert [one["place"] for one in problems] == ["body.device", "body.reason"]
    assert "secret" not in answer.text
    assert "4711" not in answer.text
    wrong = api.ask("PUT", "crm/contacts/zoe", json={"phone": "12", "age": 7}).json()
    assert [one["place"] for one in wrong["problems"]] == ["contacts/zoe: age"]
    wrong = api.ask("PUT", "crm/contacts/zoe", json={"phone": "12", "email": "zoe"}).json()
    assert {one["place"] for one in wrong["problems"]} >= {
        "contacts/zoe: phone",
        "contacts/zoe: email",
    }
    assert "more: see `problems`" in wrong["detail"]


@pytest.mark.parametrize("written", ["a%7Fb", "a%1B[31m", "a%E2%80%A8b"])
def test_an_id_that_nobody_can_read_is_refused_with_its_place(api: Asking, written: str) -> None:
    answer = api.ask("PUT", f"crm/customers/{written}", json={"name": "A"})
    assert answer.status_code == 422, answer.text
    (problem,) = answer.json()["problems"]
    assert problem["place"].startswith("customers/a")
    assert problem["message"].startswith("id: it holds U+")
    device = api.ask(
        "PUT", f"crm/devices/t2/{written}", json={"type": "door", "label": "Gate", "site": "t2"}
    )
    assert device.status_code == 422, device.text


def test_what_no_column_can_hold_is_refused(api: Asking) -> None:
    answer = api.post("shelves", SHELF | {"reason": "a\0b"})
    assert answer.status_code in {201, 422}
    assert api.get("alarms?device=%00").status_code in {200, 422}


def test_what_is_too_large_is_refused(api: Asking) -> None:
    answer = api.ask("POST", "shelves", data=b"x" * (10 * 1024 * 1024 + 1))
    assert answer.status_code == 413
    parts = iter([b"x" * 1024 * 1024] * 11)
    assert api.ask("POST", "shelves", data=parts).status_code == 413


def test_pages_hold_every_row_once_although_more_come(api: Asking) -> None:
    add_alarms(api, 7)
    first = api.get("alarms?state=active&limit=3")
    assert [one["id"] for one in first.json()] == [7, 6, 5]
    following = first.links["next"]["url"]
    assert following.startswith("/api/v1/alarms?state=active&limit=3&cursor=")
    add_alarms_later(api)
    rest = [[one["id"] for one in page] for page in api.pages(following)]
    assert rest == [[4, 3, 2], [1]]


def add_alarms_later(api: Asking) -> None:
    api.clock.advance(seconds=1)
    add_alarms(api, 2)


def test_no_further_page_is_named_where_there_is_none(api: Asking) -> None:
    add_alarms(api, 3)
    assert api.get("alarms?limit=3").links == {}
    assert [len(page) for page in api.pages("alarms?limit=1")] == [1, 1, 1]


def test_a_cursor_is_of_its_own_list_alone(api: Asking) -> None:
    add_alarms(api, 3)
    cursor = api.get("alarms?limit=1").links["next"]["url"].partition("cursor=")[2]
    assert api.get(f"messages?cursor={cursor}").status_code == 422


@pytest.mark.parametrize("entity", ["contacts", "devices", "technicians", "roles"])
def test_rows_of_the_crm_come_in_pages(api: Asking, entity: str) -> None:
    whole = api.get(f"crm/{entity}?limit=1000").json()
    assert [row for page in api.pages(f"crm/{entity}?limit=4") for row in page] == whole
    later = api.pages(f"crm/{entity}?limit=3&offset=2")
    assert [row for page in later for row in page] == whole[2:]


def test_what_has_not_changed_is_not_sent_again(api: Asking) -> None:
    add_alarms(api, 1)
    first = api.get("alarms")
    tag = first.headers["ETag"]
    again = api.get("alarms", **{"If-None-Match": f'"other", W/{tag}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == tag
    assert "Authorization" in again.headers["Vary"]
    add_alarms_later(api)
    changed = api.get("alarms", **{"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != tag


def test_a_change_goes_through_only_on_what_was_seen(api: Asking) -> None:
    def put(changes: dict[str, Any], **headers: str) -> Any:
        return api.ask("PUT", "crm/customers/valmont-airport", json=changes, headers=headers)

    tag = api.get("crm/customers/valmont-airport").headers["ETag"]
    changed = put({"name": "Valmont SA"}, **{"If-Match": tag})
    assert changed.status_code == 200
    late = put({"name": "Valmont & Cie"}, **{"If-Match": tag})
    assert late.status_code == 412
    assert late.json()["type"] == "urn:prevenant:changed"
    assert api.get("crm/customers/valmont-airport").json()["name"] == "Valmont SA"
    assert put({"name": "x"}, **{"If-None-Match": "*"}).status_code == 412
    new = changed.headers["ETag"]
    assert new == api.get("crm/customers/valmont-airport").headers["ETag"]
    assert put({"name": "Valmont"}, **{"If-Match": new}).status_code == 200
    gone = {"If-Match": new}
    assert api.ask("DELETE", "crm/customers/valmont-airport", headers=gone).status_code == 412


def test_what_is_sent_again_under_a_key_is_done_once(api: Asking) -> None:
    first = api.post("shelves", SHELF, **{"Idempotency-Key": "one"})
    again = api.post("shelves", SHELF, **{"Idempotency-Key": "one"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert count_shelves(api) == 1
    other = api.post("shelves", SHELF | {"lasts": "3h"}, **{"Idempotency-Key": "one"})
    assert other.status_code == 422
    assert other.json()["type"] == "urn:prevenant:key-used-otherwise"
    assert api.post("shelves", SHELF, **{"Idempotency-Key": "two"}).status_code == 201
    assert count_shelves(api) == 2


def test_what_was_refused_may_be_put_right_under_its_key(api: Asking) -> None:
    key = {"Idempotency-Key": "one"}
    assert api.post("shelves", SHELF | {"lasts": "long"}, **key).status_code == 422
    assert api.post("shelves", SHELF, **key).status_code == 201
    assert count_shelves(api) == 1


def test_a_key_is_forgotten_after_a_day_and_an_answer_when_somebody_is_erased(api: Asking) -> None:
    key = {"Idempotency-Key": "one"}
    assert api.post("shelves", SHELF, **key).status_code == 201
    with api.store.write() as session:
        forget_answers(session)
    lost = api.post("shelves", SHELF, **key)
    assert lost.status_code == 409
    assert lost.json()["type"] == "urn:prevenant:done-already"
    api.clock.advance(seconds=(KEPT + timedelta(seconds=1)).total_seconds())
    assert api.post("shelves", SHELF, **key).status_code == 201
    assert count_shelves(api) == 1
    assert len(api.get("shelves?past=true").json()) == 2
    with api.store.read() as session:
        assert len(session.exec(select(KeptAnswer)).all()) == 1


def test_a_key_that_cannot_be_kept_is_refused(api: Asking) -> None:
    answer = api.post("shelves", SHELF, **{"Idempotency-Key": "k" * 256})
    assert answer.status_code == 400
    assert count_shelves(api) == 0


def test_of_many_at_once_under_a_key_one_is_done(api: Asking) -> None:
    codes: list[int] = []

    def post() -> None:
        other = Asking(api.address, api.store, api.clock, api.website)
        codes.append(other.post("shelves", SHELF, **{"Idempotency-Key": "one"}).status_code)

    threads = [threading.Thread(target=post) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(codes) <= {201, 409}
    assert 201 in codes
    assert count_shelves(api) == 1


@pytest.mark.parametrize(
    "moment", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00", "9999-12-31T23:59:59Z"]
)
def test_a_time_at_the_ends_of_the_calendar_is_refused(api: Asking, moment: str) -> None:
    words = "a time has to lie between 1900 and 9990"
    for path, body in (
        ("shelves", {"rule": "x", "starts_at": moment, "lasts": "2h"}),
        ("technicians/lea-moreau/leave", {"ends_at": moment}),
        ("on-call/overrides", {"schedule": "x", "contact": "x", "ends_at": moment}),
    ):
        answer = api.post(path, body)
        assert answer.status_code == 422
        assert words in answer.text
    answer = api.get(f"cases?since={moment.replace('+', '%2B')}")
    assert (answer.status_code, words in answer.text) == (422, True)


@pytest.mark.parametrize("lasts", ["9999999d", "9" * 400 + "h"])
def test_a_length_of_time_beyond_all_is_refused(api: Asking, lasts: str) -> None:
    assert api.post("shelves", {"rule": "x", "lasts": lasts}).status_code == 422
    assert api.post("tokens", {"name": "x", "role": "viewer", "lasts": lasts}).status_code == 422


def test_holidays_of_what_is_no_country_are_refused(api: Asking) -> None:
    row = api.get("crm/technicians/lea-moreau").json()
    for name in ("SAT", "sat-", "JAN", "CHRISTIAN"):
        answer = api.ask(
            "PUT",
            "crm/technicians/lea-moreau",
            data=json.dumps(row | {"holidays": name}),
            headers={"Content-Type": "application/json"},
        )
        assert answer.status_code == 422
        assert "there are no public holidays for" in answer.text


def test_an_origin_that_is_no_address_is_another_site(api: Asking) -> None:
    page = api.address + "/login"
    answer = api.session.post(page, data={"token": "x"}, headers={"Origin": "http://["}, timeout=30)
    assert answer.status_code == 403
