"""A case's links over HTTP and on the command line: who has one, one more, none; and its pictures."""

import io
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from PIL import Image
from sqlmodel import Session, select
from typer.testing import CliRunner

from notify.links import JOB, VISIT, LinkFor, hide_all, issue_link, link_url
from notify.message import Ask, Draft, Recipient, queue_message
from prevenant.cli import app
from prevenant.crm.tables import Contact
from prevenant.store import Store
from prevenant.tables import Alarm, TimelineEntry
from tests.asking import TEMPLATES, Asking, website_on
from tests.moved_clock import MovedClock
from workflows.links import LIVES
from workflows.photos import keep_photo, read_picture
from workflows.tables import Case, Offer, WorkflowVersion, WorkOrder

CUSTOMER, TECHNICIAN, HOME = "camille-roux", "jules-perrin", "h01"


@pytest.fixture
def api(store: Store, clock: MovedClock) -> Iterator[Asking]:
    """Return the API over a store, with people and places."""
    with website_on(store, clock) as asking:
        yield asking


def add_case(session: Session, clock: MovedClock) -> WorkOrder:
    now = clock.now()
    session.add(WorkflowVersion(version="v1", name="visit", steps="[]"))
    alarm = Alarm(
        rule="refrigerator-warming",
        device_type="refrigerator",
        site_id=HOME,
        device_id=f"{HOME}/fridge",
        severity=3,
        onset_at=now,
        raised_at=now,
        reason="it is warm",
    )
    session.add(alarm)
    session.flush()
    case = Case(
        alarm_id=alarm.id or 0,
        rule=alarm.rule,
        device_type=alarm.device_type,
        site_id=HOME,
        device_id=alarm.device_id,
        severity=3,
        workflow="visit",
        workflow_version="v1",
        opened_at=now,
    )
    session.add(case)
    session.flush()
    number = case.id or 0
    offer = Offer(
        case_id=number,
        step="0",
        technician_id=TECHNICIAN,
        contact_id=TECHNICIAN,
        technician_name="Jules Perrin",
        message_key="m",
        state="accepted",
        offered_at=now,
        expires_at=now,
    )
    session.add(offer)
    order = WorkOrder(
        case_id=number,
        step="0",
        state="accepted",
        visit_start=now,
        visit_end=now,
        accepted_at=now,
        updated_at=now,
        technician_id=TECHNICIAN,
        contact_id=TECHNICIAN,
        technician_name="Jules Perrin",
    )
    session.add(order)
    session.flush()
    return order


def test_links_are_listed_given_and_revoked(api: Asking, clock: MovedClock) -> None:
    with api.store.write() as session:
        case_id = add_case(session, clock).case_id
        wanted = LinkFor(VISIT, CUSTOMER, LIVES[VISIT], case_id)
        token = issue_link(session, wanted, clock.now())
    path = f"cases/{case_id}/links"
    (one,) = api.get(path).json()
    assert (one["purpose"], one["name"], one["is_open"], one["uses"]) == (
        VISIT,
        "Camille Roux",
        True,
        0,
    )
    assert token not in json.dumps(one)
    given = api.post(path, {"purpose": JOB, "contact": TECHNICIAN})
    assert given.status_code == 201
    opened = re.search(r"/j/([\w-]{24})$", given.json()["url"])
    assert opened
    for contact in ("paul-mercier", CUSTOMER, "nobody"):
        refused = api.post(path, {"purpose": JOB, "contact": contact})
        assert refused.status_code == 422
        assert "not concerned" in refused.json()["detail"]
    assert api.ask("DELETE", path).status_code == 204
    assert [one["is_open"] for one in api.get(path).json()] == [False, False]
    assert api.get("cases/99/links").status_code == 404
    with api.store.read() as session:
        lines = session.exec(select(TimelineEntry).where(TimelineEntry.case_id == case_id))
        kinds = [one.kind for one in lines]
    assert kinds == ["link.given", "link.revoked"]


def test_pictures_are_shown_by_their_case_alone(api: Asking, clock: MovedClock) -> None:
    out = io.BytesIO()
    Image.new("RGB", (20, 10)).save(out, "PNG")
    with api.store.write() as session:
        order = add_case(session, clock)
        photo = keep_photo(session, order, read_picture(out.getvalue()), clock.now())
        case_id, number = order.case_id, photo.id
    assert api.get(f"cases/{case_id}/photos").json() == [{"id": number}]
    shown = api.get(f"cases/{case_id}/photos/{number}")
    assert shown.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(shown.content)).size == (20, 10)
    assert api.get(f"cases/{case_id}/photos/99").status_code == 404


def test_the_command_line_shows_and_revokes(
    sqlite_url: str, clock: MovedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREVENANT_DATABASE_URL", sqlite_url)
    store = Store(sqlite_url)
    with website_on(store, clock) as asking, asking.store.write() as session:
        case_id = add_case(session, clock).case_id
        issue_link(session, LinkFor(VISIT, CUSTOMER, LIVES[VISIT] * 400, case_id), clock.now())
    runner = CliRunner()
    shown = runner.invoke(app, ["cases", "links", str(case_id), "--json"])
    assert shown.exit_code == 0, shown.output
    assert [one["is_open"] for one in json.loads(shown.output)] == [True]
    revoked = runner.invoke(app, ["cases", "links", str(case_id), "--revoke", "--by", "Zoe"])
    assert revoked.exit_code == 0, revoked.output
    assert "over" in revoked.output
    store.close()


def test_what_opens_a_link_is_hidden_wherever_it_stands() -> None:
    token = "AbCdEfGhIjKlMnOpQrSt_-Wx"
    told = {"sms": f"See https://x.example/v/{token}.", "list": [f"/j/{token}", 1], "n": None}
    assert hide_all(told) == {"sms": "See https://x.example/v/….", "list": ["/j/…", 1], "n": None}


def ask_something(session: Session, who: str, case_id: int, clock: MovedClock) -> None:
    kind = "progress" if who == TECHNICIAN else "confirm"
    recipient = Recipient(who, "Zoë", kind, "fr", "UTC", {"sms": "+33639980041"})
    draft = Draft("ask", recipient, "reply_stopped", {}, [["sms"]], 3, case_id, Ask(kind))
    queue_message(session, TEMPLATES, draft, clock.now())


@pytest.mark.parametrize("purpose", [VISIT, JOB])
def test_nothing_that_is_sent_to_a_page_by_link_ends_in_an_error(
    api: Asking, store: Store, clock: MovedClock, purpose: str
) -> None:
    who = CUSTOMER if purpose == VISIT else TECHNICIAN
    with store.write() as session:
        order = add_case(session, clock)
        ask_something(session, who, order.case_id, clock)
        wanted = LinkFor(purpose, who, LIVES[purpose], order.case_id)
        token = issue_link(session, wanted, clock.now())
    path = link_url("", token, purpose)
    codes = {}

    def call(method: str, at: str, **options: Any) -> int:
        options |= {"timeout": 30, "allow_redirects": False}
        return api.session.request(method, f"{api.address}{at}", **options).status_code

    for query in (
        "",
        "?said=waiting&of=%00",
        "?said=%00",
        "?of=%ED%A0%80&said=waiting",
        "?said=" + "x" * 5_000,
    ):
        codes[query] = call("GET", path + query)
    for nasty in ("\0", "\ud800", "🙂" * 13):
        for do in ("talk", "confirm", "done", "expert"):
            form = {
                "do": do,
                "key": nasty,
                "note": nasty,
                "slot": f"{nasty}/{nasty}",
                "cause": nasty,
            }
            body = urlencode(form, errors="surrogatepass")
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            codes[f"{do!r} {nasty!r}"] = call("POST", path, data=body, headers=headers)
    assert codes[""] == 200
    assert {what: code for what, code in codes.items() if code >= 500} == {}
    for bad in (token + "%00", "%00", "%ED%A0%80", "x" * 3_000):
        assert call("GET", link_url("", bad, purpose)) in {404, 410}, bad


@pytest.mark.parametrize(("purpose", "who"), [(VISIT, CUSTOMER), (JOB, TECHNICIAN)])
def test_whoever_has_no_name_has_a_page_too(
    api: Asking, clock: MovedClock, purpose: str, who: str
) -> None:
    with api.store.write() as session:
        order = add_case(session, clock)
        order.technician_name = " "
        session.add(order)
        session.get_one(Contact, who).name = " "
        token = issue_link(
            session, LinkFor(purpose, who, LIVES[purpose], order.case_id), clock.now()
        )
    page = api.session.get(f"{api.address}{link_url('', token, purpose)}", timeout=30)
    assert page.status_code == 200
