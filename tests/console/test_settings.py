"""The page of settings: health at a glance, every setting with its source, and no secret."""

import pytest
import requests
from playwright.sync_api import Page, expect

from prevenant.settings import Settings
from prevenant.tables import Alarm
from tests.console.browsing import check_usable
from tests.world import World, sign_in
from workflows.own_alarm import AUDIT_RULE, AUDIT_SITE


def test_settings_can_be_used_by_everybody(world: World, page: Page) -> None:
    del world
    check_usable(page, "/settings")


def test_everything_that_runs_is_named(world: World, page: Page) -> None:
    world.publish("airport/t2/doors/D14", open=False, badge=None, battery=80.0)
    page.goto("/settings")
    parts = page.locator("section", has=page.get_by_role("heading", name="Parts"))
    for name in ("decide", "route", "engage", "audit", "console"):
        expect(parts.get_by_text(name, exact=True)).to_be_visible()
    assert parts.get_by_text("has ended").count() == 0
    brokers = page.locator("section", has=page.get_by_role("heading", name="Brokers"))
    expect(brokers.get_by_text("heard", exact=True)).to_be_visible()
    expect(brokers).to_contain_text("email, mqtt, sms, voice")
    decided = page.locator(".stat", has_text="Messages decided on")
    expect(decided.locator("dd").first).to_have_text("1")
    for name in Settings.model_fields:
        expect(page.get_by_text(f"PREVENANT_{name.upper()}", exact=True)).to_be_attached()


def test_no_secret_stands_there(world: World) -> None:
    browser = requests.Session()
    sign_in(browser, world)
    shown = browser.get(f"{world.engine.address}/settings", timeout=60).text
    assert "********" in shown
    settings = world.engine.settings
    for secret in (settings.twilio_auth_token, settings.email_webhook_secret):
        assert secret.get_secret_value() not in shown


def test_what_would_be_lost_stands_on_top(world: World, page: Page) -> None:
    now = world.clock.now()
    with world.engine.store.write() as session:
        session.add(
            Alarm(
                rule=AUDIT_RULE,
                device_type=AUDIT_SITE,
                site_id=AUDIT_SITE,
                device_id="prevenant/x/1",
                severity=3,
                onset_at=now,
                raised_at=now,
                reason="case 7 has <no> end and no timer",
            )
        )
    page.goto("/settings")
    expect(page.locator(".problem")).to_contain_text("case 7 has <no> end and no timer")


@pytest.mark.parametrize("path", ["/settings", "/metrics"])
def test_nobody_else_is_shown_them(world: World, path: str) -> None:
    answer = requests.get(f"{world.engine.address}{path}", timeout=60, allow_redirects=False)
    assert answer.status_code in {303, 401}
    assert "PREVENANT_" not in answer.text
