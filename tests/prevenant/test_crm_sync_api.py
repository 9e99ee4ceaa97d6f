"""Outside CRMs with a REST API: a real server, with all that goes wrong there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from prevenant.crm.source import CrmSource
from prevenant.crm.source_book import load_sources
from prevenant.crm.syncing import sync_source
from prevenant.crm.tables import CrmSync, Customer
from prevenant.store import Store
from tests.moved_clock import MovedClock
from tests.their_api import Api, running


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """Keep our own on SQLite: what differs here is the other side."""
    return f"sqlite:///{tmp_path / 'ours.db'}"


_OPENED: list[CrmSource] = []


@pytest.fixture(autouse=True)
def _closing() -> Iterator[None]:
    """Close what a test has opened."""
    yield
    while _OPENED:
        _OPENED.pop().close()


def sources_of(tmp_path: Path, text: str, **environment: str) -> list[CrmSource]:
    """Read a file of sources."""
    path = tmp_path / "crm.yaml"
    path.write_text(text, "utf-8")
    found = load_sources(path, environment)
    _OPENED.extend(found)
    return found


def sync(store: Store, clock: MovedClock, source: CrmSource) -> dict[str, tuple[int, int, int]]:
    """Read an outside CRM; return new, changed and removed rows by kind."""
    outcomes = sync_source(store, clock, source, lambda _session, _now: None)
    assert not any(one.error for one in outcomes.values()), outcomes
    return {n: (o.tally.new, o.tally.changed, o.tally.removed) for n, o in outcomes.items()}


@pytest.fixture
def api() -> Iterator[Api]:
    """Return an outside CRM's REST API with five customers."""
    names = ("ACME", "Bolt", "Cog", "Dot", "Eon")
    items = [
        {"ref": {"id": n}, "name": name, "changed": f"2026-05-0{n}T08:00:00Z"}
        for n, name in enumerate(names, 1)
    ]
    with running(Api(items=items)) as server:
        yield server


PAGES = {
    "page": "{style: page, parameter: page, size_parameter: size, size: 2}",
    "offset": "{style: offset, parameter: offset, size_parameter: size, size: 2}",
    "cursor": "{style: cursor, parameter: cursor, next: next}",
    "link": "{style: link}",
    "same": "{style: page}",
    "none": "{style: none}",
}


def rest(api: Api, tmp_path: Path, timeout: str = "10s") -> CrmSource:
    """Return the source for an API."""
    text = f"""
sources:
  desk:
    api: {api.url}
    auth: {{bearer: env:TOKEN}}
    timeout: {timeout}
    rows:
      customers:
        path: /customers
        items: data.items
        columns: {{id: ref.id, name: name}}
        pages: {PAGES[api.style]}
        cursor: changed
        since: since
        deleted: gone
"""
    (source,) = sources_of(tmp_path, text, TOKEN="secret")
    return source


@pytest.mark.parametrize("style", ["page", "offset", "cursor", "link", "none"])
def test_an_api_is_read_page_by_page_and_then_what_has_changed(
    store: Store, clock: MovedClock, api: Api, tmp_path: Path, style: str
) -> None:
    api.style = style
    source = rest(api, tmp_path)
    assert sync(store, clock, source) == {"customers": (5, 0, 0)}
    assert "since" not in api.asked[0]
    api.asked.clear()
    api.items[0] |= {"name": "ACME & Co", "changed": "2026-05-06T08:00:00Z"}
    api.items[1] |= {"gone": True, "changed": "2026-05-06T09:00:00Z"}
    assert sync(store, clock, source) == {"customers": (0, 1, 1)}
    assert api.asked[0]["since"] == "2026-05-05T08:00:00Z"


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ("500", "it answers with 500: trying again later"),
        ("429", "it answers with 429"),
        ("404", "it answers with 404: check the path"),
        ("302", "it sends us elsewhere (302)"),
        ("slow", "it did not answer within 0.2 s"),
        ("broken", "something that is no JSON"),
    ],
)
def test_whatever_an_api_does_instead_is_said_and_read_again_later(
    store: Store, clock: MovedClock, api: Api, tmp_path: Path, trouble: str, reason: str
) -> None:
    source = rest(api, tmp_path, timeout="200ms" if trouble == "slow" else "10s")
    api.trouble = ["", "", trouble]
    outcomes = sync_source(store, clock, source, lambda _session, _now: None)
    assert reason in outcomes["customers"].error
    with store.read() as session:
        # What came before the trouble serves; the next time begins again, for the order is not known.
        assert len(session.exec(select(Customer)).all()) == 2
        assert session.get_one(CrmSync, ("desk", "customers")).cursor == ""
    source = rest(api, tmp_path)
    assert sync(store, clock, source)["customers"] == (3, 0, 0)


def test_no_row_of_theirs_can_stop_us(
    store: Store, clock: MovedClock, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.style = "none"
    hostile: list[Any] = ["\0", "\ud800", {"a": 1}, [], 1e308, None, "x" * 100_000, True]
    for number, name in enumerate(hostile, 10):
        api.items.append({"ref": {"id": number}, "name": name, "changed": "2026-05-06T08:00:00Z"})
    outcomes = sync_source(store, clock, rest(api, tmp_path), lambda _session, _now: None)
    assert not outcomes["customers"].error
    assert {"10", "11", "12", "13", "15"} <= set(outcomes["customers"].skipped)
    assert outcomes["customers"].tally.new == 5 + 3
    # What is no list of objects at all is said of the whole.
    api.style = "none"
    source = rest(api, tmp_path)
    monkeypatch.setattr(api, "answer", lambda _query: ([1], {}))
    outcomes = sync_source(store, clock, source, lambda _session, _now: None)
    assert "there is no list of objects at `items`" in outcomes["customers"].error


def test_an_api_that_repeats_its_page_is_found_out(
    store: Store, clock: MovedClock, api: Api, tmp_path: Path
) -> None:
    api.style = "same"
    source = rest(api, tmp_path)
    outcomes = sync_source(store, clock, source, lambda _session, _now: None)
    assert "every page is the same: 'page' is not how it is paged" in outcomes["customers"].error


def test_secrets_go_nowhere_else(store: Store, clock: MovedClock, api: Api, tmp_path: Path) -> None:
    api.style = "link"
    source = rest(api, tmp_path)
    api.url = "http://elsewhere.example"
    outcomes = sync_source(store, clock, source, lambda _session, _now: None)
    assert "our secrets do not go there" in outcomes["customers"].error


def test_an_api_that_refuses_us_is_named_without_the_secret(
    store: Store, clock: MovedClock, api: Api, tmp_path: Path
) -> None:
    text = f"""
sources:
  desk:
    api: {api.url}
    auth: {{user: me, password: hush}}
    rows:
      customers: {{path: customers, items: data.items, columns: {{id: ref.id, name: name}}}}
"""
    (source,) = sources_of(tmp_path, text)
    outcomes = sync_source(store, clock, source, lambda _session, _now: None)
    assert outcomes["customers"].error == "it refuses us with 401: check `auth`"
