"""A page under watch: none of its scripts may fail, and no other server may be asked for anything."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

PATIENCE_MS = 30_000.0
_PROGRAMS = ("chromium-headless-shell", "chromium")
"""The first is the same browser without what stands around a page, which takes half the time of a test."""
Sights = tuple[tuple[Literal["light", "dark"], int], ...]
"""Colours in which, and on how many pixels, a page is looked at."""
PHONE_BY_NIGHT: Sights = (("dark", 390), ("light", 1440))
PHONE_BY_DAY: Sights = (("light", 390), ("dark", 1440))
_WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
# Axe tells everything that it found well, too: to bring that here takes as long as to look for it.
_LOOK = """async tags => {
  const found = await axe.run({runOnly: {type: "tag", values: tags}, resultTypes: ["violations"]});
  return found.violations.flatMap(one => one.nodes.map(node => `${one.id}: ${one.help}: ${node.target}`));
}"""
_SCHEMES = {"http", "https", "ws", "wss"}


def find_chromium() -> str | None:
    """Return where a browser is, where there is one."""
    return next(filter(None, map(shutil.which, _PROGRAMS)), None)


class Browsing:
    """A page and what went wrong in it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.wrong: list[str] = []
        page.on("pageerror", lambda error: self.wrong.append(f"script: {error}"))
        page.on("console", lambda said: self._hear(said.type, said.text))
        page.on("request", lambda request: self._see(request.url))

    @contextmanager
    def watched(self) -> Iterator[Page]:
        """Give the page, and fail with what went wrong in it."""
        yield self.page
        self.page.close()
        assert not self.wrong, self.wrong

    def _hear(self, kind: str, text: str) -> None:
        # What the server refuses on purpose is the test's own affair.
        if kind == "error" and "Failed to load resource" not in text:
            self.wrong.append(text)

    def _see(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in _SCHEMES and parts.hostname != "127.0.0.1":
            self.wrong.append(f"asked another server: {url}")


def check_accessible(page: Page) -> None:
    """Let axe look for what breaks WCAG 2.2 AA."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(Axe().axe_script)
    told = page.evaluate(_LOOK, _WCAG)
    assert not told, "\n".join(told)


def check_usable(page: Page, *paths: str, sights: Sights = PHONE_BY_NIGHT) -> None:
    """Look at each page on a phone, then on a desk: axe finds nothing, and nothing is too wide."""
    for path in paths:
        for number, (scheme, width) in enumerate(sights):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            page.set_viewport_size({"width": width, "height": 900})
            if number == 0:
                page.goto(path)
                expect(page.get_by_role("heading", level=1)).to_be_visible()
            check_accessible(page)
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{path} is {wide} pixels too wide at {width}"
