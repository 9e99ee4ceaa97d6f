"""A thousand alarms at once: the board stays one page that a person can work with."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from pydantic import SecretStr

from prevenant import auditing
from prevenant.settings import Settings
from simulators.broker import free_port
from simulators.carrier import Carrier
from simulators.fleet import connect, take_leave
from simulators.mailbox import Mailbox
from tests.moved_clock import MovedClock
from tests.servers import Broker, wait_until
from tests.world import PATIENCE_S, World

ALARMS = 1_000
_LONG_MS = 300_000.0
"""So long may cases, messages and the browser together take on a busy machine."""
BOOK = """
devices:
  unit: {topic: 'storm/{site}/units/{device}', fields: {hot: bool, gone: bool?}}
rules:
  hot: {on: unit, when: hot, severity: major, workflow: callout, message: 'It is hot.'}
  gone: {on: unit, when: gone, severity: life_safety, workflow: callout, message: 'It is gone.'}
workflows:
  callout:
    - tell: security
      template: told
      channels: sms
      ask: acknowledge
    - wait: acknowledged
      within: 12h
      otherwise: {hand_off: security}
templates:
  told: {en: {sms: '{{ device.label }}: {{ alarm.message }} Case {{ case.number }}.'}}
"""


@pytest.fixture
def world(
    tmp_path: Path,
    clock: MovedClock,
    database_url: str,
    broker: Broker,
    carrier: Carrier,
    mailbox: Mailbox,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    """Run an engine whose every device raises at once, and which sends nothing."""
    # A clock that stands still while a thousand cases wait makes nothing late.
    monkeypatch.setattr(auditing, "LATE", timedelta(days=1))
    book = tmp_path / "storm.yaml"
    book.write_text(BOOK, "utf-8")
    settings = Settings(
        book=book,
        mqtt_url=broker.url,
        database_url=database_url,
        journal=tmp_path / "journal.db",
        models=tmp_path / "models",
        http=f"127.0.0.1:{free_port()}",
        admin_token=SecretStr("admin"),
    )
    world = World(settings, clock, broker, carrier, mailbox)
    yield world
    world.stop()


@pytest.mark.timeout(600)
def test_a_thousand_alarms_leave_the_board_in_hand(world: World, page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url) if "/partials/board" in one.url else None)
    page.goto("/")
    expect(page.locator("#link")).to_have_text("live")
    client = connect(world.broker.url)
    try:
        sent = [
            client.publish(
                f"storm/t{1 + n % 2}/units/U{n}", json.dumps({"hot": True, "gone": n == 500}), qos=1
            )
            for n in range(ALARMS)
        ]
        # What matters most is in sight, and can be acted on, while all the others still come.
        urgent = page.locator(".urgent")
        expect(urgent).to_contain_text("U500")
        card = page.locator(".card.s-life_safety")
        card.get_by_role("button", name="Acknowledge").click()
        # That is all that its workflow waits for.
        expect(card).to_have_count(0)
        expect(urgent).to_have_count(0)
        world.expect_case("gone", owner="administrator")
        for one in sent:
            one.wait_for_publish(PATIENCE_S)
        wait_until(lambda: world.engine.host.frames >= ALARMS, "decisions", PATIENCE_S)
    finally:
        take_leave(client)
    figure = page.locator(".burden-flood")
    expect(figure).to_contain_text(f"{ALARMS + 1:,}", timeout=_LONG_MS)
    expect(figure).to_contain_text("flood")
    # However much there is, a page shows what a person can look at, and asks for it now and then.
    assert page.locator(".needs .card").count() <= 60
    assert page.locator("#story > li").count() <= 120
    assert len(asked) < ALARMS / 5
    page.goto("/board/load")
    expect(page.locator("#floods")).to_contain_text("goes on")
