"""A browser for the pages: Debian's chromium, signed in at a running engine."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from prevenant.api.access import COOKIE
from tests.console.browsing import PATIENCE_MS, Browsing, find_chromium
from tests.world import World


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Use SQLite alone: pages read what both stores hold."""
    return sqlite_url


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Run one browser for the session."""
    path = find_chromium()
    if path is None:
        pytest.fail("chromium is not installed: make servers")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@pytest.fixture
def context(chromium: Browser, world: World) -> Iterator[BrowserContext]:
    """Return a browser that is signed in as the administrator, and fails on any error of a page."""
    context = chromium.new_context(
        base_url=world.engine.address, locale="en-GB", timezone_id="Europe/Paris"
    )
    context.set_default_timeout(PATIENCE_MS)
    context.add_cookies(
        [{"name": COOKIE, "value": world.make_cookie(), "url": world.engine.address}]
    )
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """Return a page whose scripts must not fail, and that must ask nothing of other servers."""
    with Browsing(context.new_page()).watched() as page:
        yield page
