"""Outside CRMs with a REST API: a real server, with all that goes wrong there."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import requests
from sqlmodel import select

from prevenant.crm.source import CrmSource
from prevenant.crm.source_rest import RestSource
from prevenant.crm.syncing import Syncer, sync_source
from prevenant.crm.tables import CrmSync, Customer
from prevenant.errors import SourcesError
from prevenant.store import Store
from tests.moved_clock import MovedClock
from tests.servers import wait_until
from tests.their_api import Api, running
from tests.their_database import sources_of, sync


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """Keep our own on SQLite: what differs here is the other side."""
    return f"sqlite:///{tmp_path / 'ours.db'}"


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
    "missing": "{style: page, size_parameter: size, size: 2}",
    "clamped": "{style: page, size_parameter: size, size: 2}",
    "none": "{style: none}",
}


def rest(api: Api, tmp_path: Path, timeout: str = "30s") -> CrmSource:
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


@pytest.mark.parametrize(
    "style", ["page", "missing", "clamped", "offset", "cursor", "link", "none"]
)
def test_an_api_is_read_page_by_page_and_then_what_has_changed(
    store: Store, clock: MovedClock, api: Api, tmp_path: Path, style: str
) -> None:
    api.style = style
    clock.advance(days=10)
    source = rest(api, tmp_path)
    assert sync(store, clock, source) == {"customers": (5, 0, 0)}
    assert "since" not in api.asked[0]
    api.asked.clear()
    api.items[0] |= {"name": "ACME & Co", "changed": "2026-05-06T08:00:00Z"}
    api.items[1] |= {"gone": True, "changed": "2026-05-06T09:00:00Z"}
    assert sync(store, clock, source) == {"customers": (0, 1, 1)}
    assert api.asked[0]["since"] == "2026-05-05T07:59:59Z"


@pytest.mark.parametrize("moment", ["2026-05-05T08:00:00Z", "2026-05-05", 1_777_968_000])
def test_a_row_of_the_last_ones_moment_is_not_lost_where_an_api_gives_what_is_later_alone(
    store: Store, clock: MovedClock, api: Api, tmp_path: Path, moment: str | int
) -> None:
    api.style, api.is_strict = "none", True
    clock.advance(days=10)
    api.items = [{"ref": {"id": 1}, "name": "ACME", "changed": str(moment)}]
    source = rest(api, tmp_path)
    assert sync(store, clock, source) == {"customers": (1, 0, 0)}
    api.items.append({"ref": {"id": 2}, "name": "Bolt", "changed": str(moment)})
    assert sync(store, clock, source) == {"customers": (1, 0, 0)}


def make_haste(api: Api, source: CrmSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait long for every answer, but for one that is to come too late."""
    session = cast("RestSource", source)._session
    usual = session.get
    passed = [0.0]

    def get(url: str, **options: Any) -> requests.Response:
        left = len(api.trouble)
        trouble = api.trouble[0] if api.trouble else ""
        if trouble == "slow":
            try:
                return usual(url, **{**options, "timeout": 0.2})
            finally:
                # Given up by us, and only then heard by a busy server: the next one is not to overtake it.
                wait_until(lambda: len(api.trouble) < left, "the request that was given up")
        answer = usual(url, **options)
        if trouble == "drips":
            passed[0] += 3_600.0
        return answer

    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + passed[0])
    monkeypatch.setattr(session, "get", get)
    monkeypatch.setattr("prevenant.crm.source_rest.time", clock)


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ("500", "it answers with 500: trying again later"),
        ("429", "it answers with 429: trying again later"),
        ("404", "it answers with 404: check the path"),
        ("302", "it sends us elsewhere (302)"),
        ("slow", "it did not answer within 30 s"),
        ("broken", "something that is no JSON"),
        ("breaks", "it does not answer"),
        ("drips", "comes too slowly: ask for smaller pages"),
    ],
)
def test_whatever_an_api_does_instead_is_said_and_read_again_later(
    store: Store,
    clock: MovedClock,
    api: Api,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trouble: str,
    reason: str,
) -> None:
    api.style = "offset"
    source = rest(api, tmp_path)
    make_haste(api, source, monkeypatch)
    api.trouble = ["", "", *[trouble] * 4]
    outcomes = sync_source(store, clock, source, lambda _session, _now: None, lambda _s: True)
    assert reason in outcomes["customers"].error
    with store.read() as session:
        # What came before the trouble serves; the next time begins again, for the order is not known.
        assert len(session.exec(select(Customer)).all()) == 2
        assert session.get_one(CrmSync, ("desk", "customers")).cursor == ""
    api.trouble.clear()
    source = rest(api, tmp_path)
    assert sync(store, clock, source)["customers"] == (3, 0, 0)


@pytest.mark.parametrize(
    ("trouble", "waited"),
    [
        (["500", "slow", "429"], [1.0, 4.0, 15.0]),
        (["429 7"], [7.0]),
        (["503 Mon, 04 May 2026 08:02:00 GMT"], [120.0]),
        (["429 soon"], [1.0]),
    ],
)
def test_trouble_amid_the_pages_does_not_cost_those_before(
    store: Store,
    clock: MovedClock,
    api: Api,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trouble: list[str],
    waited: list[float],
) -> None:
    api.at = clock.now().timestamp()
    source = rest(api, tmp_path)
    make_haste(api, source, monkeypatch)
    api.trouble = ["", *trouble]
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        if seconds:
            waits.append(seconds)
        return True

    outcomes = sync_source(store, clock, source, lambda _session, _now: None, wait)
    assert not outcomes["customers"].error
    assert outcomes["customers"].tally.new == 5
    assert waits == waited
    assert [one["page"] for one in api.asked] == ["1", *["2"] * len(trouble), "2", "3", "4"]


def test_an_api_that_tells_when_to_come_back_is_left_alone_until_then(
    store: Store, clock: MovedClock, api: Api, tmp_path: Path
) -> None:
    source = rest(api, tmp_path)
    syncer = Syncer(store, clock, source, lambda _session, _now: None)
    api.trouble = ["429 7200", "", "429 7201"]
    assert (syncer.sync_once() - clock.now()).total_seconds() == 7_200.0
    assert len(api.asked) == 1
    assert (syncer.sync_once() - clock.now()).total_seconds() == 7_201.0
    with store.read() as session:
        assert "in 7201 s" in session.get_one(CrmSync, ("desk", "customers")).error


def test_what_changed_while_it_was_read_is_read_again(
    store: Store, clock: MovedClock, api: Api, tmp_path: Path
) -> None:
    # Their clock goes ten minutes behind ours, and the fifth changes while the first pages are read.
    clock.advance(days=10)
    api.at = datetime(2026, 5, 14, 7, 50, tzinfo=UTC).timestamp()
    api.items[4]["changed"] = "2026-05-14T07:50:30Z"
    source = rest(api, tmp_path)
    sync(store, clock, source)
    # The first has changed just before, after its page was read.
    api.items[0] |= {"name": "ACME & Co", "changed": "2026-05-14T07:50:20Z"}
    assert sync(store, clock, source) == {"customers": (0, 1, 0)}


def test_one_id_on_several_pages_is_one_row_and_the_last_counts(
    store: Store, clock: MovedClock, api: Api, tmp_path: Path
) -> None:
    api.items[1]["ref"] = {"id": 1}
    api.items[4] |= {"ref": {"id": 1}, "name": "Last"}
    sync(store, clock, rest(api, tmp_path))
    with store.read() as session:
        assert session.get_one(Customer, "1").name == "Last"
        assert len(session.exec(select(Customer)).all()) == 3


KEYED = """
sources:
  desk:
    api: {url}
    auth: {{bearer: secret}}
    rows:
      customers:
        path: /customers
        items: data.items
        columns: {{id: ref.id, name: name}}
        parameters: {{key: env:DESK_KEY, kind: person}}
        pages: {{style: {style}}}
"""


@pytest.mark.parametrize("style", ["none", "link"])
def test_a_parameter_may_be_a_secret(
    store: Store, clock: MovedClock, api: Api, tmp_path: Path, style: str
) -> None:
    api.key, api.style = "hush", style
    text = KEYED.format(url=api.url, style=style)
    with pytest.raises(SourcesError, match="the environment has no DESK_KEY: set it"):
        sources_of(tmp_path, text)
    (source,) = sources_of(tmp_path, text, DESK_KEY="hush")
    assert sync(store, clock, source) == {"customers": (5, 0, 0)}
    assert all(one["kind"] == "person" for one in api.asked)
    assert "hush" not in repr(source.feeds)
    # Another secret is no other mapping.
    (other,) = sources_of(tmp_path, text, DESK_KEY="quiet")
    assert other.feeds["customers"].mapping == source.feeds["customers"].mapping


def test_a_page_that_is_missing_at_once_is_a_wrong_path(
    store: Store, clock: MovedClock, api: Api, tmp_path: Path
) -> None:
    api.style, api.items = "missing", []
    outcomes = sync_source(store, clock, rest(api, tmp_path), lambda _session, _now: None)
    assert "it answers with 404: check the path" in outcomes["customers"].error


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


def test_no_id_of_theirs_can_stop_us(
    store: Store, clock: MovedClock, api: Api, tmp_path: Path
) -> None:
    api.style = "none"
    hostile: list[Any] = ["\ud800", "a\0b", "x" * 100_000, {"a": "\ud800"}, [], "\x1b[31m"]
    for name in hostile:
        api.items.append({"ref": {"id": name}, "name": "A", "changed": "2026-05-06T08:00:00Z"})
        api.items.append({**api.items[-1], "gone": True})
        api.items.append(api.items[-2])
    outcomes = sync_source(store, clock, rest(api, tmp_path), lambda _session, _now: None)
    assert not outcomes["customers"].error
    assert outcomes["customers"].tally.new == 5
    assert {"\\ud800", "a\\0b", "x" * 500, "\\x1b[31m"} <= set(outcomes["customers"].skipped)
    again = sync_source(store, clock, rest(api, tmp_path), lambda _session, _now: None)
    assert not again["customers"].error


@pytest.mark.parametrize(
    "body", [b"[" * 200_000, b'{"a":' * 200_000, b'{"id": ' + b"9" * 5_000 + b"}", b"\xff"]
)
def test_json_beyond_all_is_none(
    store: Store,
    clock: MovedClock,
    api: Api,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    body: bytes,
) -> None:
    api.style = "none"
    source = rest(api, tmp_path)
    written = SimpleNamespace(encode=lambda: body)
    monkeypatch.setattr("tests.their_api.json", SimpleNamespace(dumps=lambda _: written))
    outcomes = sync_source(store, clock, source, lambda _session, _now: None)
    assert "something that is no JSON" in outcomes["customers"].error


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


def test_a_link_that_is_no_address_is_told(
    store: Store, clock: MovedClock, api: Api, tmp_path: Path
) -> None:
    api.style = "link"
    source = rest(api, tmp_path)
    api.url = "http://["
    outcomes = sync_source(store, clock, source, lambda _session, _now: None)
    assert "its link to the next page is no address" in outcomes["customers"].error


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


def test_an_answer_without_content_is_no_row(
    store: Store, clock: MovedClock, api: Api, tmp_path: Path
) -> None:
    source = rest(api, tmp_path)
    api.trouble = ["204"]
    assert sync(store, clock, source) == {"customers": (0, 0, 0)}
    assert sync(store, clock, source) == {"customers": (5, 0, 0)}
