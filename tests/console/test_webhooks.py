"""The pages of webhooks in a browser: an endpoint is subscribed, tested, paused, rotated and ended."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from sqlmodel import select

from notify.message import HOOK, Delivery
from tests.console.browsing import Browsing, check_accessible
from tests.servers import wait_until
from tests.subscriber import Endpoint, endpoint
from tests.world import World

EVIL = "<script>document.title='taken'</script><img src=x onerror=alert(1)>"


@pytest.fixture
def told() -> Iterator[Endpoint]:
    """Run an endpoint."""
    with endpoint() as running:
        yield running


def subscribe(page: Page, told: Endpoint, name: str) -> None:
    page.goto("/settings/webhooks")
    form = page.locator('form[action="/settings/webhooks"]')
    form.get_by_label("Name").fill(name)
    form.get_by_label("Address").fill(told.url)
    form.get_by_label("cases", exact=True).check()
    form.get_by_label("Only of kinds").fill("case.* note")
    form.get_by_role("button", name="Subscribe").click()
    told.secret = page.locator(".secret").inner_text()
    assert told.secret.startswith("whsec_")


def test_every_page_of_webhooks_can_be_used_by_everybody(
    world: World, page: Page, context: BrowserContext, told: Endpoint
) -> None:
    del world
    subscribe(page, told, "desk")
    page.get_by_role("button", name="Send a test").click()
    expect(page.get_by_role("cell", name="test", exact=True)).to_be_visible()
    wait_until(lambda: told.given, "the test")
    for scheme, width, language in (("light", 1440, "en"), ("dark", 390, "fr")):
        with Browsing(context.new_page()).watched() as other:
            other.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
            other.set_viewport_size({"width": width, "height": 900})
            for path in ("/settings/webhooks", "/settings/webhooks/1"):
                other.goto(f"/language/{language}?to={path}")
                check_accessible(other)
                wide = other.evaluate("document.documentElement.scrollWidth - innerWidth")
                assert wide <= 0, f"{path} is {wide} pixels too wide at {width}"


def test_an_endpoint_is_told_from_the_page_until_it_is_ended(
    world: World, page: Page, told: Endpoint
) -> None:
    subscribe(page, told, EVIL)
    expect(page.get_by_role("heading", level=1)).to_have_text(EVIL)
    page.goto("/settings/webhooks")
    assert page.title().startswith("Webhooks")
    expect(page.get_by_text(told.secret)).to_have_count(0)
    page.get_by_role("link", name=EVIL).click()
    page.get_by_role("button", name="Send a test").click()
    expect(page.get_by_role("cell", name="test", exact=True)).to_be_visible()
    taken = select(Delivery).where(Delivery.channel == HOOK, Delivery.state == "delivered")
    world.expect(lambda session: session.exec(taken).first(), "test that was taken")
    assert [one.body["type"] for one in told.given] == ["test"]
    page.reload()
    expect(page.get_by_role("cell", name="delivered")).to_have_count(1)
    expect(page.get_by_role("cell", name="204")).to_have_count(1)
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("paused by administrator")).to_be_visible()
    world.publish("airport/t2/defibrillators/A2", in_cabinet=False, battery=90.0)
    world.expect_case("defibrillator-removed")
    assert [one.body["type"] for one in told.given] == ["test"]
    page.get_by_role("button", name="Tell it again").click()
    wait_until(lambda: [one for one in told.given if one.body["type"] == "case"], "the case")
    first = told.secret
    page.get_by_role("button", name="New secret").click()
    second = page.locator(".secret").inner_text()
    assert second != first
    expect(page.get_by_text("The one of before signs, too, until")).to_be_visible()
    page.get_by_label("Only of sites").fill("nowhere")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("there is no site 'nowhere'")
    page.get_by_role("button", name="End it").click()
    expect(page.get_by_text("No program outside is told of anything yet.")).to_be_visible()
