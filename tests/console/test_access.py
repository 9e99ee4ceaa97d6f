"""The pages of access in a browser: signing in, one's account, people and tokens, the trail."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from prevenant.access import openid
from prevenant.access.openid import make_provider
from simulators.openid_provider import OpenIdProvider
from tests.console.browsing import Browsing, check_accessible, check_usable
from tests.moved_clock import MovedClock
from tests.world import World

PATHS = ("/settings/access", "/settings/access/users/zoe", "/settings/trail", "/account", "/login")


@pytest.fixture
def peopled(world: World, page: Page) -> World:
    """Return a world in which people were let in, by the page."""
    page.goto("/settings/access")
    form = page.locator('form[action="/settings/access/users"]')
    for name, shown in (("zoe", "Zoé Martin"), ("camille", "Camille Roux")):
        form.get_by_label("User name").fill(name)
        form.get_by_label("Shown as").fill(shown)
        form.get_by_label("Role").select_option("operator")
        form.get_by_label("Where").fill("area:airport")
        form.get_by_role("button").click()
        expect(page.get_by_role("heading", name=f"First password of {name}")).to_be_visible()
    return world


@pytest.fixture
def stranger(chromium: Browser, world: World) -> Iterator[BrowserContext]:
    """Return a browser in which nobody is signed in."""
    context = chromium.new_context(base_url=world.engine.address, locale="en-GB")
    yield context
    context.close()


def test_every_page_of_access_can_be_used_by_everybody(peopled: World, page: Page) -> None:
    del peopled
    check_usable(page, *PATHS)


def test_somebody_is_let_in_and_chooses_a_password(
    peopled: World, page: Page, stranger: BrowserContext
) -> None:
    del peopled
    page.goto("/settings/access/users/zoe")
    page.get_by_role("button", name="New first password").click()
    first = page.locator(".secret").inner_text()
    with Browsing(stranger.new_page()).watched() as hers:
        hers.goto("/cases")
        hers.get_by_label("User name").fill("zoe")
        hers.get_by_label("Password").fill(first)
        hers.get_by_role("button", name="Sign in", exact=True).click()
        expect(hers.get_by_role("heading", level=1)).to_have_text("Zoé Martin")
        check_accessible(hers)
        hers.get_by_label("Present password").fill(first)
        for label in ("New password", "New password, again"):
            hers.get_by_label(label, exact=True).fill("four words are enough")
        hers.get_by_role("button", name="Change the password").click()
        expect(hers.get_by_role("heading", level=1)).to_have_text("Board")
        expect(hers.get_by_role("link", name="Access")).to_have_count(0)
        hers.goto("/settings/access")
        expect(hers.get_by_role("heading", level=1)).to_have_text("This is not for you")
        check_accessible(hers)
        page.goto("/settings/access")
        expect(page.get_by_role("row", name=re.compile("Zoé Martin.*Chrome"))).to_have_count(1)
        page.get_by_role("button", name="Sign Zoé Martin out").click()
        hers.goto("/cases")
        expect(hers.get_by_role("heading", level=1)).to_have_text("Sign in")


def test_a_page_left_open_asks_to_sign_in_once_that_is_over(
    world: World, page: Page, context: BrowserContext
) -> None:
    page.goto("/")
    expect(page.locator("#link")).to_have_text("live")
    context.clear_cookies()
    world.publish("airport/t2/defibrillators/A2", in_cabinet=False, battery=90.0)
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    expect(page.get_by_label("Password")).to_have_count(1)


def test_grants_are_given_and_taken_and_stand_in_the_trail(peopled: World, page: Page) -> None:
    del peopled
    page.goto("/settings/access/users/zoe")
    page.get_by_label("Role").select_option("author")
    page.get_by_role("button", name="Give", exact=True).click()
    expect(page.get_by_text("Rule author · everywhere")).to_be_visible()
    page.get_by_role("button", name="Take operator@area:airport away").click()
    expect(page.get_by_text("area:airport", exact=True)).to_have_count(0)
    page.get_by_label("Where").fill("site:nowhere")
    page.get_by_role("button", name="Give", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("the CRM has no site 'nowhere'")
    page.get_by_role("button", name="Let sign in no more").click()
    expect(page.get_by_text("may not sign in")).to_be_visible()
    page.goto("/settings/trail?on=/settings/access/users/zoe")
    expect(page.locator("tbody tr")).to_have_count(4)
    expect(page.locator("tbody tr").nth(1)).to_contain_text("was refused")
    page.get_by_label("Outcome").select_option("done")
    page.get_by_role("button", name="Find").click()
    expect(page.locator("tbody tr")).to_have_count(3)


def test_a_token_is_made_shown_once_and_revoked(peopled: World, page: Page) -> None:
    del peopled
    page.goto("/settings/access")
    form = page.locator('form[action="/settings/access/tokens"]')
    form.get_by_label("Name").fill("desk")
    form.get_by_label("Parts of the API").fill("cases:read, alarms")
    form.get_by_label("Lasts").fill("90d")
    form.get_by_role("button").click()
    secret = page.locator(".secret").inner_text()
    assert secret.startswith("prv_")
    page.goto("/settings/access")
    expect(page.get_by_text(secret)).to_have_count(0)
    expect(page.get_by_role("row", name=re.compile("desk"))).to_contain_text("alarms, cases:read")
    page.get_by_role("button", name="Revoke desk").click()
    expect(page.get_by_role("row", name=re.compile("desk"))).to_contain_text("revoked")


def test_a_provider_brings_somebody_back_to_what_they_wanted(
    world: World, clock: MovedClock, stranger: BrowserContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openid, "_TIMEOUT_S", 60.0)
    provider = OpenIdProvider(clock, client_secret="").start()
    website, settings = world.engine.website, world.engine.settings
    assert website
    settings.openid_issuer, settings.openid_client_id = provider.issuer, provider.client_id
    settings.openid_groups, settings.openid_name = "desk=viewer", "the airport"
    provider.person["groups"] = ["desk"]
    website._app.state.openid = make_provider(settings)
    with Browsing(stranger.new_page()).watched() as page:
        page.goto("/cases")
        page.get_by_role("link", name="Sign in with the airport").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Cases")
        expect(page.get_by_role("link", name="Camille Roux")).to_be_visible()
    provider.stop()
