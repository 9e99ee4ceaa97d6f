"""Refused payloads are read again once the book was mended, and page nobody for what is over."""

from pathlib import Path
from typing import Any

import pytest
import requests
from sqlmodel import Session, col, func, select
from typer.testing import CliRunner

from ingest.decode import Rejected
from ingest.quarantine import Quarantined, RefusedCount, kind_of, quarantine
from prevenant.cli import app
from prevenant.clock import from_epoch
from prevenant.publishing import publish_edition, read_edition
from prevenant.store import Store
from prevenant.tables import Alarm
from tests.servers import wait_until
from tests.world import World, sign_in

WRONG = "airport/t2/doorz/D14"


def mend(world: World) -> None:
    """Publish a book that reads `doorz` as doors."""
    text = Path("rules.yaml").read_text("utf-8").replace("{site}/doors/", "{site}/doorz/")
    edition = read_edition(Path("rules.yaml"), {"rules.yaml": text})
    with world.engine.store.write() as session:
        publish_edition(session, edition, world.clock.now(), by="ana", origin="test")
    wait_until(lambda: world.engine.host.version.number == 2, "the mended book")


def refused(world: World, state: str) -> Any:
    def found(session: Session) -> Any:
        query = select(Quarantined).order_by(col(Quarantined.id))
        rows = [one for one in session.exec(query) if one.state == state]
        return rows or None

    return world.expect(found, f"refused payload that is {state}")


def replay(world: World, **body: Any) -> Any:
    return requests.post(
        f"{world.engine.address}/api/v1/quarantine/replay",
        json=body,
        headers={"Authorization": "Bearer admin"},
        timeout=30,
    ).json()


def alarms(world: World) -> list[Alarm]:
    with world.engine.store.read() as session:
        return list(session.exec(select(Alarm).where(Alarm.rule == "door-held-open")))


def test_what_is_over_is_recorded_and_pages_nobody(world: World) -> None:
    world.publish(WRONG, open=True, battery=80.0)
    world.clock.advance(minutes=10)
    world.publish(WRONG, open=True, battery=80.0)
    world.clock.advance(minutes=10)
    world.publish(WRONG, open=False, battery=80.0)
    assert len(refused(world, "waiting")) == 3
    world.clock.advance(hours=1)
    mend(world)
    assert replay(world) == {"due": 3}
    done = refused(world, "replayed")
    assert [one.outcome for one in done] == ["read: 1 readings"] * 3
    world.expect_story("alarm.passed", "door-held-open")
    world.clock.advance(minutes=5)
    (alarm,) = alarms(world)
    assert (alarm.state, alarm.onset_at) == ("cleared", done[0].received_at)
    assert world.carrier.sent == []


def test_what_is_still_so_is_told(world: World) -> None:
    world.badge("t2", "D14")
    world.publish(WRONG, open=True, battery=80.0)
    refused(world, "waiting")
    mend(world)
    replay(world)
    refused(world, "replayed")
    world.clock.advance(minutes=2)
    world.phone("+33639980001").expects_sms("Une porte est ouverte")


def test_a_device_that_spoke_since_keeps_its_state(world: World) -> None:
    world.publish(WRONG, open=True, battery=80.0)
    (one,) = refused(world, "waiting")
    world.clock.advance(minutes=1)
    world.publish("airport/t2/doors/D14", open=False, battery=79.0)
    mend(world)
    replay(world, ids=[one.id])
    refused(world, "replayed")
    world.clock.advance(minutes=5)
    assert alarms(world) == []


def test_what_cannot_be_read_still_says_why(world: World) -> None:
    world.publish("airport/t2/doors/D14", b"nonsense")
    refused(world, "waiting")
    replay(world)

    def tried(session: Session) -> Any:
        return session.exec(select(Quarantined).where(col(Quarantined.tried_at).is_not(None))).all()

    (one,) = world.expect(tried, "second attempt")
    assert one.state == "waiting"
    assert one.outcome.startswith("this is not JSON")


def test_the_page_shows_what_was_sent_as_text_and_acts(world: World) -> None:
    world.publish("airport/t2/doors/D14", b"<script>alert(1)</script>")
    refused(world, "waiting")
    with requests.Session() as browser:
        sign_in(browser, world)
        page = browser.get(f"{world.engine.address}/quarantine", timeout=30).text
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)" in page
        assert "Read 1 again" in page
        browser.post(f"{world.engine.address}/quarantine/discard", timeout=30)
    refused(world, "discarded")
    assert replay(world) == {"due": 0}


def test_the_commands(store: Store, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREVENANT_DATABASE_URL", database_url)
    with store.write() as session:
        rejected = [Rejected(n, (b"a/\x1b[31m/b", b"\x00x%d" % n, 0), "wrong") for n in range(3)]
        quarantine(session, 1, from_epoch(1_800_000_000.0), rejected)

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["quarantine", *arguments])

    listed = run("list", "--reason", "wron").output
    assert "3 shown, 3 refused ever" in listed
    assert "\x1b" not in listed
    assert "\\u0000x0" in run("show", "1").output
    assert "2 will be read again" in run("replay", "1", "2").output
    assert "3 discarded" in run("discard", "--all").output
    assert "name the ids" in str(run("replay").exception)
    assert "there is no refused payload 9" in str(run("replay", "9").exception)


def test_a_flood_of_rubbish_fills_nothing_and_is_counted(store: Store) -> None:
    at = from_epoch(1_800_000_000.0)
    with store.write() as session:
        for batch in range(1, 4):
            reasons = [f"open: expected bool, got '{n}'" for n in range(5_000)]
            rejected = [Rejected(n, (b"a", b"x", 0), one) for n, one in enumerate(reasons)]
            quarantine(session, batch, at, rejected)
            quarantine(session, batch, at, rejected)
    with store.read() as session:
        assert session.exec(select(func.count()).select_from(Quarantined)).one() == 60
        counts = session.exec(select(RefusedCount)).all()
    assert [(one.reason, one.count) for one in counts] == [("open: expected bool, got …", 15_000)]


def test_kinds_of_reasons() -> None:
    assert kind_of("the payload has 1048610 bytes, more than the 65536") == (
        "the payload has … bytes, more than the …"
    )
