"""A shelf over what nobody has would keep nothing: it is refused, with what is near."""

from collections.abc import Iterator

import pytest
from sqlmodel import select

from ingest.registry import HeardDevice
from prevenant.api.alarms import NewShelf, put_shelf
from prevenant.crm.tables import Customer, Device, Site
from prevenant.errors import ConfigurationError
from prevenant.store import Store
from prevenant.tables import TimelineEntry
from tests.asking import Asking, website_on
from tests.moved_clock import MovedClock


@pytest.fixture
def api(store: Store, clock: MovedClock) -> Iterator[Asking]:
    """Return the API over a store where some doors have spoken, and the CRM knows a site without one."""
    now = clock.now()
    with website_on(store, clock) as asking:
        with store.write() as session:
            session.add_all(
                HeardDevice(
                    id=f"dock/D{number}",
                    type="door",
                    site_id="dock",
                    first_seen_at=now,
                    presence_at=now,
                    values={},
                )
                for number in (14, 15)
            )
            session.add(Customer(id="port", name="Port"))
            session.flush()
            session.add(
                Site(id="quay", name="Quay", customer_id="port", latitude=48.0, longitude=2.0)
            )
            session.flush()
            session.add(Device(id="quay/lamp", site_id="quay", type="lamp", label="Lamp"))
        yield asking


@pytest.mark.parametrize(
    "names",
    [
        {"device": "dock/D14"},
        {"site": "dock"},
        {"device": "quay/lamp"},
        {"site": "quay"},
        {"site": "quay", "device": "dock/D14"},
    ],
)
def test_what_was_heard_or_stands_in_the_crm_can_be_shelved(
    api: Asking, names: dict[str, str]
) -> None:
    assert api.post("shelves", {**names, "lasts": "1h"}).status_code == 201


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (
            {"device": "dock/D41"},
            "no device 'dock/D41' was heard, and the CRM has none: did you mean 'dock/D1",
        ),
        ({"device": "D14"}, "did you mean 'dock/D14'"),
        ({"device": "dok/D14"}, "did you mean 'dock/D14'"),
        ({"device": "quay/lump"}, "did you mean 'quay/lamp'"),
        ({"device": "zzz"}, "write it as SITE/DEVICE, as `prevenant devices list` does"),
        (
            {"site": "dcok"},
            "at a site 'dcok' was heard, and the CRM has no such site: did you mean 'dock'",
        ),
        ({"site": "QUAY"}, "did you mean 'quay'?"),
        ({"site": "zzzzz"}, "`prevenant devices list`"),
        (
            {"site": "QUAI", "device": "dock/D41"},
            "; no device at a site 'QUAI' was heard, and the CRM has no such site: ",
        ),
    ],
)
def test_a_name_that_nobody_has_is_refused_with_the_nearest(
    api: Asking, names: dict[str, str], words: str
) -> None:
    answer = api.post("shelves", {**names, "lasts": "1h"})
    assert answer.status_code == 422
    assert words in answer.json()["detail"]
    assert api.get("shelves").json() == []


def test_an_empty_store_knows_no_device_and_says_so(store: Store, clock: MovedClock) -> None:
    wanted = NewShelf(device="dock/D14", site="dock", lasts="1h", by="Lea")
    with (
        pytest.raises(ConfigurationError, match=r"no device .dock.D14.+no device at a site .dock."),
        store.write() as session,
    ):
        put_shelf(session, wanted, clock.now())


def test_while_no_book_is_published_the_rule_is_taken_and_the_story_says_so(
    store: Store, clock: MovedClock
) -> None:
    wanted = NewShelf(rule="door-held-opne", lasts="1h", by="Lea")
    with store.write() as session:
        put_shelf(session, wanted, clock.now())
    with store.read() as session:
        (line,) = session.exec(select(TimelineEntry.summary)).all()
    assert line.endswith(
        "no rule book is published, so that nobody can tell whether it has this rule"
    )
