"""Case, devices, map, customers and technicians, in a browser beside a running engine."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlmodel import col, select

from prevenant.api import access
from prevenant.api.access import COOKIE, Actor, Grant, Role
from prevenant.crm.tables import Contact, Customer, Device, Leave, Site
from tests.console.browsing import check_usable
from tests.world import World
from workflows import deskwork

CAMILLE = "+33639980041"
FRIDGE = "homes/h01/fridges/fridge"


@pytest.fixture
def warm(world: World) -> World:
    """Return a world in which a refrigerator has warmed and a technician is being looked for."""
    for minute in range(50):
        warmer = max(0, minute - 15)
        world.publish(
            FRIDGE, cabinet=4.0 + warmer / 2, setpoint=4.0, compressor_amps=1.0, door_open=False
        )
        world.clock.advance(minutes=1)
    world.expect_case("refrigerator-warming")
    world.expect_story("message.sent")
    return world


def case_of(world: World, rule: str = "refrigerator-warming") -> str:
    """Return the path of a case's page."""
    return f"/cases/{world.expect_case(rule).id}"


def test_every_page_can_be_used_by_everybody(warm: World, page: Page) -> None:
    case = case_of(warm)
    paths = (
        *(case, f"{case}?show=talk", f"{case}/readings", "/devices", "/devices/h01/fridge"),
        *("/map", "/customers", "/customers/household-01", "/technicians"),
        "/technicians/lea-moreau",
    )
    check_usable(page, *paths)


def test_readings_are_drawn_with_the_bounds_of_the_rule(warm: World, page: Page) -> None:
    page.goto(case_of(warm))
    figure = page.locator("figure.chart").first
    expect(figure.locator("canvas")).to_be_visible()
    expect(figure).to_contain_text("cabinet °C")
    expect(figure).to_contain_text("major > setpoint + 4")
    expect(figure).to_contain_text("clears at < setpoint + 2")
    said = figure.locator(".chart-now")
    figure.locator(".chart-plot").focus()
    page.keyboard.press("Home")
    expect(said).to_have_text("4 °C · 4 May, 10:00:00")
    page.keyboard.press("End")
    expect(said).to_contain_text("21")
    page.get_by_text("As a table").click()
    expect(page.locator(".charts table").first.locator("tbody tr")).to_have_count(22)


def test_who_sees_no_scripts_has_the_same_in_words(warm: World, chromium: Browser) -> None:
    context = chromium.new_context(base_url=warm.engine.address, java_script_enabled=False)
    context.add_cookies([{"name": COOKIE, "value": warm.make_cookie(), "url": warm.engine.address}])
    page = context.new_page()
    page.goto(case_of(warm))
    page.get_by_role("link", name="Show the readings").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Roux home")
    page.get_by_text("As a table").click()
    expect(page.locator("table").first).to_contain_text("cabinet")
    page.goto(case_of(warm))
    page.get_by_role("button", name="Acknowledge").click()
    warm.expect_case("refrigerator-warming", owner="administrator")
    context.close()


def test_a_case_is_acknowledged_and_shows_it_without_a_reload(warm: World, page: Page) -> None:
    page.goto(case_of(warm))
    page.get_by_label("Note, if there is something to say").fill("I look into it.")
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.locator("#case-head")).to_contain_text("Taken by administrator")
    expect(page.locator("#case-story")).to_contain_text(
        "administrator acknowledges it: I look into it."
    )


def test_what_happens_elsewhere_appears_and_what_is_being_written_stays(
    warm: World, page: Page
) -> None:
    page.goto(case_of(warm))
    page.get_by_role("textbox", name="Message").fill("Dear Camille,")
    warm.phone("+33639980022").replies("2")
    case = warm.expect_case("refrigerator-warming")
    now = warm.clock.now()
    with warm.engine.store.write() as session:
        deskwork.post(session, deskwork.TAKEN, case.id or 0, now, "Tom", "")
    expect(page.locator("#case-head")).to_contain_text("with a person")
    expect(page.locator("#case-story")).to_contain_text("Tom takes it over")
    expect(page.get_by_role("textbox", name="Message")).to_have_value("Dear Camille,")


def test_words_from_the_page_reach_the_customer(warm: World, page: Page) -> None:
    page.goto(case_of(warm))
    page.locator("select[name=to]").select_option(label="Camille Roux, text message")
    page.get_by_role("textbox", name="Message").fill("Nous arrivons <b>vite</b>.")
    page.get_by_role("button", name="Send").click()
    warm.phone(CAMILLE).expects_sms("Nous arrivons <b>vite</b>. administrator, dossier")
    story = page.locator("#case-story")
    expect(story).to_contain_text("administrator writes to Camille Roux by sms")
    expect(story.locator("blockquote").last).to_contain_text("Nous arrivons <b>vite</b>.")
    expect(story.locator("b")).to_have_count(0)


def test_a_case_goes_to_a_colleague_and_is_resolved(warm: World, page: Page) -> None:
    page.goto(case_of(warm))
    page.get_by_text("Hand it over to a colleague").click()
    colleague = page.get_by_label("Colleague").locator("option").first.inner_text()
    page.get_by_label("What they should know").fill("She is at home until noon.")
    page.get_by_role("button", name="Hand over").click()
    expect(page.locator("#case-head")).to_contain_text(f"Taken by {colleague}")
    expect(page.locator("#case-story")).to_contain_text("She is at home until noon.")
    page.get_by_role("button", name="Resolve").click()
    expect(page.locator("#case-head")).to_contain_text("resolved by administrator")
    expect(page.locator("#case-desk")).to_contain_text("The case is closed")
    page.get_by_role("button", name="Send").focus()


def test_curves_of_a_device_grow_as_it_sends(warm: World, page: Page) -> None:
    page.goto("/devices/h01/fridge?hours=1")
    said = page.locator("figure.chart").first.locator(".chart-now")
    expect(said).to_contain_text("21")
    warm.clock.advance(seconds=30)
    warm.publish(FRIDGE, cabinet=33.25, setpoint=4.0, compressor_amps=1.0, door_open=False)
    expect(said).to_contain_text("33.25 °C")
    expect(page.locator('[data-field="cabinet"]')).to_have_text("33.25")


def test_devices_are_found_and_adopted(warm: World, page: Page) -> None:
    warm.publish("airport/t9/doors/D77", open=False)
    warm.clock.advance(seconds=6)
    warm.publish("airport/t9/doors/D77", open=False)
    warm.expect_story("device.heard", "t9/D77")
    page.goto("/devices?q=d77")
    expect(page.locator("#known")).to_contain_text("No device of this kind")
    page.get_by_label("Site").fill("t2")
    page.get_by_label("Label").fill("Door 77 <i>")
    page.get_by_role("button", name="Adopt t9/D77").click()
    page.goto("/devices?q=77")
    page.get_by_role("link", name="Door 77 <i>").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Door 77 <i>, Terminal 2")
    page.goto("/devices?state=offline")
    expect(page.locator("#known")).to_contain_text("No device of this kind")


def test_the_map_shows_an_alarm_as_it_is_raised(world: World, page: Page) -> None:
    page.goto("/map")
    expect(page.locator(".leaflet-marker-icon .pin.person").first).to_be_attached()
    expect(page.locator(".pin.s-life_safety")).to_have_count(0)
    world.publish("airport/t2/defibrillators/A2", in_cabinet=False, battery=90.0)
    expect(page.locator("#places")).to_contain_text("life-safety")
    expect(page.locator(".leaflet-marker-icon .pin.s-life_safety").first).to_be_attached()
    page.get_by_role("button", name="Terminal 2").first.press("Enter")
    expect(page.locator(".map-popup").first.get_by_role("link")).to_have_text("Terminal 2")


@pytest.fixture
def tiles() -> Iterator[tuple[str, list[str]]]:
    """Run a server of map pictures; return its address and what it was asked for."""
    asked: list[str] = []

    class Tiles(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Type", "image/svg+xml")
            self.end_headers()
            self.wfile.write(b'<svg xmlns="http://www.w3.org/2000/svg" width="256" height="256"/>')

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Tiles)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/{{z}}/{{x}}/{{y}}.svg", asked
    server.shutdown()
    server.server_close()


def test_pictures_below_the_map_come_from_the_server_that_is_set(
    world: World, page: Page, tiles: tuple[str, list[str]]
) -> None:
    url, asked = tiles
    world.engine.settings.map_tiles = url
    world.engine.settings.map_credit = "© <b>mapmakers</b>"
    page.goto("/map")
    expect(page.locator(".leaflet-tile-loaded").first).to_be_attached()
    assert asked
    expect(page.locator("figcaption")).to_contain_text("© <b>mapmakers</b>")
    policy = page.request.get("/devices").headers["content-security-policy"]
    assert url.split("/{z}")[0] not in policy, "no other page may ask for them"


def test_a_customer_with_everything_that_there_is(warm: World, page: Page) -> None:
    page.goto("/customers?q=moulin")
    page.get_by_role("link", name="Household Roux").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Household Roux")
    for words in ("Camille Roux", CAMILLE, "refrigerator-warming", "Roux home", "preferred"):
        expect(page.locator("main")).to_contain_text(words)
    warm.phone(CAMILLE).replies("STOP")
    warm.expect(lambda s: s.get(Contact, "camille-roux"), "Camille")
    page.reload()
    expect(page.locator("main")).to_contain_text("the contact has opted out")


def test_technicians_and_their_leave(warm: World, page: Page) -> None:
    page.goto("/technicians?q=refrigeration&duty=on")
    page.get_by_role("link", name="Marta Nowak").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Marta Nowak")
    page.get_by_text("Add leave").click()
    page.get_by_label("From").fill("2026-05-04T11:00")
    page.get_by_label("Until").fill("2026-05-06T18:00")
    page.get_by_label("Reason").fill("ill")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("main")).to_contain_text("6 May 2026, 18:00 ill")
    with warm.engine.store.read() as session:
        (leave,) = session.exec(select(Leave).where(Leave.technician_id == "marta-nowak"))
    assert leave.starts_at.isoformat() == "2026-05-04T09:00:00+00:00", (
        "in the technician's own time"
    )
    page.get_by_text("Add leave").click()
    page.get_by_label("Until").fill("2026-05-01T18:00")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_be_visible()


@pytest.fixture
def viewer(monkeypatch: pytest.MonkeyPatch) -> Callable[[Role, str], None]:
    """Return how to make everybody who asks somebody with a role at one site."""

    def become(role: Role, site: str) -> None:
        someone = Actor("Vera", (Grant(role, frozenset({site})),))
        monkeypatch.setattr(access, "find_actor", lambda _request: someone)

    return become


def test_who_may_look_at_one_site_sees_that_one_alone(
    warm: World, page: Page, viewer: Callable[[Role, str], None]
) -> None:
    case = case_of(warm)
    of_device = ("/devices/h01/fridge", "/device-readings/h01/fridge", "/device-live/h01/fridge")
    hidden = (case, f"{case}/readings", *of_device, "/customers/household-01")
    viewer(Role.VIEWER, "t2")
    for path in hidden:
        assert page.request.get(path).status == 404, path
    for path in ("/map", "/customers", "/devices", "/technicians/lea-moreau"):
        text = page.request.get(path).text()
        assert "Roux" not in text, path
        assert "+33" not in text, path
    viewer(Role.VIEWER, "h01")
    seen = page.request.get("/customers/household-01").text()
    assert "Camille Roux" in seen
    assert CAMILLE not in seen, "addresses are for who has to call"
    page.goto(case)
    expect(page.get_by_role("heading", name="What to do")).to_have_count(0)


def test_who_may_look_may_not_act(
    warm: World, page: Page, viewer: Callable[[Role, str], None]
) -> None:
    case = case_of(warm)
    (cookie,) = [one["value"] for one in page.context.cookies() if one["name"] == COOKIE]
    proof = {"csrf": access.csrf_proof(cookie)}
    acts = {
        f"{case}/do/acknowledge": {},
        f"{case}/do/resolve": {},
        f"{case}/done": {},
        f"{case}/say": {"to": "sms:camille-roux", "text": "x"},
        f"{case}/hand-over": {"contact": "x"},
        "/technician-leave/lea-moreau": {"ends": "2026-06-01"},
        "/devices/adopt": {"device": "h01/fridge", "site": "h01"},
    }
    for role, site, status in ((Role.VIEWER, "h01", 403), (Role.OPERATOR, "t2", 404)):
        viewer(role, site)
        for path, form in acts.items():
            if path.startswith("/technician-leave") and role is Role.OPERATOR:
                continue
            answer = page.request.post(path, form={**proof, **form}, max_redirects=0)
            assert answer.status == status, f"{path}: {answer.status}"
    assert warm.expect_case("refrigerator-warming").owner == ""


def test_what_others_have_written_is_text_everywhere(world: World, page: Page) -> None:
    bad = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
    with world.engine.store.write() as session:
        session.get_one(Customer, "household-01").name = bad
        session.get_one(Site, "h01").name = bad
        for device in session.exec(select(Device).where(col(Device.site_id) == "h01")):
            device.label = device.place = bad
        session.get_one(Contact, "camille-roux").name = f"Camille {bad}"
    world.publish("airport/t2/badges/B14", door=bad, granted=True, badge=bad)
    for _ in range(30):
        world.publish(FRIDGE, cabinet=20.0, setpoint=4.0, compressor_amps=1.0, door_open=False)
        world.clock.advance(minutes=1)
    case = case_of(world)
    world.phone(CAMILLE).replies(bad)
    paths = ("/map", "/customers", "/customers/household-01", "/devices", "/devices/h01/fridge")
    for path in (case, *paths, "/devices/t2/B14"):
        page.goto(path)
        expect(page.locator("main")).to_be_visible()
        assert page.locator('img[src="x"]').count() == 0, path
        assert page.title() not in {"1", "2"}, path


@pytest.mark.usefixtures("warm")
def test_the_heads_of_the_list_of_cases_stand_over_its_columns(page: Page) -> None:
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto("/cases")
    heads = page.locator("thead th").evaluate_all("all => all.map(one => one.offsetLeft)")
    cells = page.locator("tbody tr").first.locator("td")
    assert heads == cells.evaluate_all("all => all.map(one => one.offsetLeft)")


def test_a_single_reading_is_drawn_in_its_hour_and_not_in_its_century(
    world: World, page: Page
) -> None:
    world.publish("airport/t2/defibrillators/A2", in_cabinet=False, battery=92.0)
    page.goto(case_of(world, "defibrillator-removed"))
    figure = page.locator("figure.chart").first
    expect(figure.locator("canvas")).to_be_visible()
    span = figure.evaluate("one => one.chart.plot.scales.x.max - one.chart.plot.scales.x.min")
    assert span < 86_400


def test_values_and_days_are_told_in_the_readers_language(warm: World, chromium: Browser) -> None:
    context = chromium.new_context(base_url=warm.engine.address, locale="fr-FR")
    context.add_cookies([{"name": COOKIE, "value": warm.make_cookie(), "url": warm.engine.address}])
    page = context.new_page()
    page.goto("/devices/h01/fridge")
    expect(page.locator('[data-field="door_open"]')).to_have_text("non")
    expect(page.locator('[data-field="cabinet"]')).to_have_text("21")
    expect(page.get_by_text("15 janv. 2018", exact=True)).to_be_visible()
    expect(page.locator("#device-head")).to_contain_text("une mesure est arrivée")
    page.goto("/technicians")
    expect(page.locator("main")).to_contain_text("hors de ses horaires")
    expect(page.locator("main")).not_to_contain_text("is off shift")
    context.close()
