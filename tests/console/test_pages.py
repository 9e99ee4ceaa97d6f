"""Each page of the console in a browser, light and dark, on a desk and on a phone, in two languages."""

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.console.browsing import check_usable
from tests.world import World

NADIA = "+33639980001"
PAGES = ("/", "/cases/1", "/devices", "/quarantine", "/deliveries")


@pytest.fixture
def busy(world: World) -> World:
    """Return a world in which something of everything has happened."""
    world.publish("airport/t2/defibrillators/A2", in_cabinet=False, battery=90.0)
    world.phone(NADIA).expects_sms("URGENCE")
    world.publish("airport/t2/doors/D14", b"not JSON")
    world.publish("airport/t9/doors/D1", open=False)
    return world


def test_every_page_can_be_used_by_everybody(busy: World, page: Page) -> None:
    del busy
    check_usable(page, *PAGES)


def test_an_alarm_appears_without_a_reload(world: World, page: Page) -> None:
    page.goto("/")
    expect(page.locator("#link")).to_have_text("live")
    world.publish("airport/t2/defibrillators/A2", in_cabinet=False, battery=90.0)
    expect(page.locator(".cards")).to_contain_text("Defibrillator")


def test_the_console_speaks_french(busy: World, page: Page) -> None:
    del busy
    page.goto("/")
    page.get_by_role("link", name="Français").click()
    expect(page.locator("html")).to_have_attribute("lang", "fr")
    expect(page.get_by_role("heading", level=1)).to_have_text("Tableau de bord")


def test_who_is_not_known_is_asked_and_then_sees_what_was_wanted(
    world: World, page: Page, context: BrowserContext
) -> None:
    del world
    context.clear_cookies()
    page.goto("/devices")
    page.get_by_label("Token", exact=True).fill("admin")
    page.get_by_role("button", name="Sign in with this token").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Devices")


def test_a_form_of_another_site_changes_nothing(world: World, page: Page) -> None:
    del world
    page.goto("/quarantine")
    answer = page.request.post("/quarantine/discard", form={"csrf": "guessed"})
    assert answer.status == 403
