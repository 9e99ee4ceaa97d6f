"""Every page of the console in the middle of a busy Monday, as pictures: `make pictures`.

The engine is the real one with the shipped rule book, among the people and places of the demo; the
day is told to it reading by reading, on a clock that the story moves. Pictures are written to
`docs/pictures/`, light and dark, of a desk and of a phone; those that documents show are kept.
"""

import itertools
import math
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright
from pydantic import SecretStr

from prevenant import auditing
from prevenant.api.access import COOKIE
from prevenant.api.alarms import NewShelf, put_shelf
from prevenant.settings import Settings
from prevenant.stream import hearing
from simulators.broker import free_port
from simulators.carrier import Carrier
from simulators.mailbox import Mailbox
from tests.console.browsing import find_chromium
from tests.moved_clock import MovedClock
from tests.servers import running_broker
from tests.world import World

_FOLDER = Path("docs/pictures")
_DESK, _PHONE = (1440, 900), (390, 844)
_SCREENS = (_DESK, _PHONE)
_COLOURS = 256
"""So many are enough for a page, and make a picture a third as large."""
NADIA = "+33639980001"
JULES, CAMILLE = "+33639980022", "+33639980041"
LINKS = (("customer-link", CAMILLE, "v"), ("technician-link", JULES, "j"))
"""Pages that somebody opens by a link, without signing in."""

CALM = {
    "alarm-load": "/board/load",
    "shelve": "/board/shelve?rule=door-held-open&device=t2/D14",
    "map": "/map",
    "cases": "/cases",
    "case": "/cases/{visit}",
    "devices": "/devices",
    "device": "/devices/h01/fridge",
    "customers": "/customers",
    "customer": "/customers/{customer}",
    "technicians": "/technicians",
    "technician": "/technicians/{technician}",
    "deliveries": "/deliveries",
    "on-call": "/on-call",
    "rule-book": "/rules",
    "rule-book-versions": "/rules/versions",
    "models": "/models",
    "measures": "/measures",
    "quarantine": "/quarantine",
    "settings": "/settings",
    "access": "/settings/access",
    "webhooks": "/settings/webhooks",
    "trail": "/settings/trail",
    "account": "/account",
    "tasks": "/tasks",
}
URGENT = {
    "board": "/",
    "case-life-safety": "/cases/{taken}",
    "hand-over": "/board/cases/{taken}/hand-over",
}
"""By what each is called in the names of its pictures: before, and after somebody's safety is at stake."""


def main() -> None:
    """Tell the day, and take a picture of every page."""
    path = find_chromium()
    if path is None:
        sys.exit("chromium is not installed: make servers")
    _FOLDER.mkdir(parents=True, exist_ok=True)
    with _world() as world, sync_playwright() as playwright:
        numbers = _tell_the_morning(world)
        chromium = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        for page in _pages(chromium, world):
            _take_all(page, CALM, numbers)
            for name, number, prefix in LINKS:
                page.goto(_link_to(world, number, prefix))
                _take(page, name)
        numbers |= _take_defibrillator(world)
        for page in _pages(chromium, world):
            _take_all(page, URGENT, numbers)
        chromium.close()


@contextmanager
def _world() -> Iterator[World]:
    """Run the engine among people who answer."""
    clock = MovedClock()
    with (
        tempfile.TemporaryDirectory(prefix="prevenant-pictures-") as name,
        running_broker(Path(name) / "broker") as broker,
        # A clock that leaps makes nothing late.
        patch.object(hearing, "_BACKLOG_S", 0.0),
        patch.object(auditing, "LATE", timedelta(days=1)),
    ):
        folder, address = Path(name), f"127.0.0.1:{free_port()}"
        carrier, mailbox = Carrier(clock).start(), Mailbox().start()
        carrier.inbound_url = f"http://{address}/webhooks/twilio/sms"
        settings = Settings(
            mqtt_url=broker.url,
            database_url=f"sqlite:///{folder / 'prevenant.db'}",
            journal=folder / "journal.db",
            models=folder / "models",
            http=address,
            public_url=f"http://{address}",
            twilio_account_sid=carrier.account,
            twilio_auth_token=SecretStr(carrier.token),
            twilio_from="+33939980000",
            twilio_base_url=carrier.url,
            smtp_url=SecretStr(f"smtp://127.0.0.1:{mailbox.port}"),
            email_from="service@prevenant.example",
            admin_token=SecretStr("admin"),
        )
        world = World(settings, clock, broker, carrier, mailbox)
        try:
            yield world
        finally:
            world.stop()
            carrier.stop()
            mailbox.stop()


def _tell_the_morning(world: World) -> dict[str, str]:
    """Let a morning happen; return the numbers by which its pages are found."""
    _breathe(world, minutes=40, homes=range(1, 7))
    # A door that was held open, and is shut again.
    world.badge("t2", "D14")
    world.publish("airport/t2/doors/D14", open=True)
    world.clock.advance(seconds=61)
    world.phone(NADIA).expects_sms("Door 14").replies("1")
    world.expect_case("door-held-open", owner="Nadia Belkacem")
    world.publish("airport/t2/doors/D14", open=False)
    world.expect_case("door-held-open", state="closed")
    # A visit that is under way, which the customer has confirmed.
    for minute in range(21):
        world.publish(
            "homes/h01/fridges/fridge",
            cabinet=round(8.9 + minute / 50, 2),
            setpoint=4.0,
            compressor_amps=0.1,
            door_open=False,
        )
        world.clock.advance(minutes=1)
    jules = world.phone(JULES).expects_sms("Roux home").replies("oui")
    jules.expects_sms("Elle est à vous")
    world.phone(CAMILLE).expects_sms("Bonjour Camille").replies("1")
    world.expect_story("customer.confirmed", "Camille Roux")
    jules.replies("1")
    visit = world.expect_story("technician.en_route", "Jules").case_id
    # A temperature out of its band, and a device that nobody knows.
    _breathe(world, minutes=2, terminal=28.7)
    world.publish("airport/t2/thermometers/T9", temperature=21.4)
    world.publish("airport/t2/doors/D14", b"{not json")
    _breathe(world, minutes=6, terminal=29.1)
    world.expect_case("terminal-temperature")
    with world.engine.store.write() as session:
        wanted = NewShelf(
            rule="door-held-open", device="t1/D03", lasts="4h", by="Paul", reason="new lock today"
        )
        put_shelf(session, wanted, world.clock.now())
    # A door without a badge.
    world.publish("airport/t2/doors/D03", open=True)
    world.clock.advance(seconds=6)
    world.expect_case("door-without-badge")
    world.clock.advance(seconds=10)
    return {"visit": str(visit), "customer": "household-01", "technician": "jules-perrin"}


def _take_defibrillator(world: World) -> dict[str, str]:
    """Let what matters most happen; return the number of its case."""
    world.publish("airport/t2/defibrillators/A2", in_cabinet=False, battery=92.0)
    taken = world.expect_case("defibrillator-removed").id
    world.phone(NADIA).expects_sms("URGENCE")
    world.clock.advance(seconds=30)
    return {"taken": str(taken)}


def _breathe(
    world: World, minutes: int, terminal: float = 22.5, homes: Sequence[int] = range(2, 7)
) -> None:
    """Let rooms and refrigerators say each minute what they are like."""
    for minute in range(minutes):
        swing = math.sin(minute / 5)
        for number in (1, 2, 3):
            warm = terminal if number == 3 else 22.0
            value = round(warm + swing / 3 + number / 10, 2)
            world.publish(f"airport/t2/thermometers/T{number}", temperature=value)
        for home in homes:
            world.publish(
                f"homes/h{home:02d}/fridges/fridge",
                cabinet=round(4.2 + swing / 2 + home / 20, 2),
                setpoint=4.0,
                compressor_amps=round(1.1 + swing / 20, 2),
                door_open=False,
            )
        world.clock.advance(minutes=1)


def _pages(chromium: Browser, world: World) -> Iterator[Page]:
    """Yield a page for each screen, light and dark, in which somebody is signed in."""
    for (width, height), scheme in itertools.product(_SCREENS, ("light", "dark")):
        context = chromium.new_context(
            base_url=world.engine.address,
            viewport={"width": width, "height": height},
            color_scheme=scheme,  # type: ignore[arg-type]
            reduced_motion="reduce",
            locale="en-GB",
            timezone_id="Europe/Paris",
        )
        page = context.new_page()
        page.goto("/login")
        _take(page, "sign-in")
        cookie = {"name": COOKIE, "value": world.make_cookie(), "url": world.engine.address}
        context.add_cookies([cookie])  # type: ignore[list-item]
        yield page
        context.close()


def _take_all(page: Page, pages: Mapping[str, str], numbers: Mapping[str, str]) -> None:
    for name, path in pages.items():
        answer = page.goto(path.format(**numbers))
        if answer is None or not answer.ok:
            sys.exit(f"{path.format(**numbers)} cannot be shown: {answer and answer.status}")
        _take(page, name)


def _link_to(world: World, number: str, prefix: str) -> str:
    """Return the link of a kind that somebody was sent last."""
    texts = [one.body for one in world.carrier.sent_to(number, "Messages")]
    pattern = rf"http://\S+/{prefix}/[\w-]+"
    found: list[str] = [link for text in texts for link in re.findall(pattern, text)]
    if not found:
        sys.exit(f"{number} was sent no link to /{prefix}/")
    return found[-1]


def _take(page: Page, name: str) -> None:
    """Take a picture of what is in sight, once nothing is asked for any more."""
    page.wait_for_load_state("load")
    page.evaluate("document.fonts.ready")
    expect(page.locator(".htmx-request")).to_have_count(0)
    is_dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    size = page.viewport_size
    assert size is not None
    screen = "desk" if size["width"] > _PHONE[0] else "phone"
    path = _FOLDER / f"{name}-{'dark' if is_dark else 'light'}-{screen}.png"
    page.screenshot(path=path)
    with Image.open(path) as picture:
        fewer = picture.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    fewer.save(path, optimize=True)


if __name__ == "__main__":
    main()
