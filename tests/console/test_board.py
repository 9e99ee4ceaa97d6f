"""The board in a browser: what needs somebody, what people do with it, and how it calls for them."""

import json

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from prevenant.shelving import Shelf
from tests.console.browsing import PHONE_BY_DAY, Browsing, check_accessible, check_usable
from tests.servers import wait_until
from tests.world import World
from workflows.tables import HANDED_OVER

CARD = "#case-1"


def take_defibrillator(world: World, name: str = "A2") -> None:
    world.publish(f"airport/t2/defibrillators/{name}", in_cabinet=False, battery=90.0)


def warm_terminal(world: World) -> None:
    """Let a temperature leave its band for five minutes."""
    world.publish("airport/t2/thermometers/T3", temperature=28.7)
    world.clock.advance(minutes=5, seconds=1)


@pytest.fixture
def board(world: World, page: Page) -> Page:
    del world
    page.goto("/")
    expect(page.locator("#link")).to_have_text("live")
    return page


def test_a_case_is_acknowledged_and_taken_over_where_it_stands(world: World, board: Page) -> None:
    take_defibrillator(world)
    card = board.locator(CARD)
    expect(card).to_contain_text("nobody yet")
    card.get_by_role("button", name="Acknowledge").click()
    expect(card).to_contain_text("administrator")
    expect(card.get_by_role("button", name="Acknowledge")).to_have_count(0)
    card.get_by_role("button", name="Take over").click()
    expect(card).to_contain_text("with administrator")
    world.expect_case("defibrillator-removed", state=HANDED_OVER, owner="administrator")
    # Nothing of it has loaded the page anew.
    assert board.evaluate("performance.getEntriesByType('navigation').length") == 1


def test_the_keyboard_keeps_its_place(world: World, board: Page) -> None:
    take_defibrillator(world)
    button = board.locator(CARD).get_by_role("button", name="Acknowledge")
    button.focus()
    board.keyboard.press("Enter")
    expect(button).to_have_count(0)
    expect(board.locator(f"{CARD} h3 a")).to_be_focused()


def test_a_case_is_handed_over_to_a_colleague_in_a_dialog(world: World, board: Page) -> None:
    take_defibrillator(world)
    board.locator(CARD).get_by_role("link", name="Hand over").click()
    dialog = board.get_by_role("dialog")
    check_accessible(board)
    dialog.locator('[name="to"]').select_option(label="Nadia Belkacem")
    dialog.get_by_label("What they need to know").fill("beside the escalator")
    dialog.get_by_role("button", name="Hand over").click()
    expect(board.locator(CARD)).to_contain_text("with Nadia Belkacem")
    world.phone("+33639980001").expects_sms("beside the escalator")


def test_an_alarm_is_shelved_with_its_reason(world: World, board: Page) -> None:
    take_defibrillator(world)
    board.locator(CARD).get_by_role("link", name="Shelve").click()
    dialog = board.get_by_role("dialog")
    dialog.get_by_label("For how long").select_option("8h")
    dialog.get_by_label("Why").fill("being serviced")
    dialog.get_by_role("button", name="Shelve").click()

    def shelf(session: object) -> Shelf | None:
        return session.get(Shelf, 1)  # type: ignore[attr-defined,no-any-return]

    found = world.expect(shelf, "shelf")
    assert (found.rule, found.device_id) == ("defibrillator-removed", "t2/A2")
    assert (found.owner, found.reason) == ("administrator", "being serviced")
    board.goto("/board/load")
    row = board.locator("#shelved tr", has_text="being serviced")
    row.get_by_role("button", name="End").click()
    expect(board.locator("#shelved")).not_to_contain_text("being serviced")


def test_a_dialog_that_is_cancelled_changes_nothing(world: World, board: Page) -> None:
    take_defibrillator(world)
    board.locator(CARD).get_by_role("link", name="Shelve").click()
    board.get_by_role("dialog").get_by_role("link", name="Cancel").click()
    expect(board.get_by_role("dialog")).to_have_count(0)
    expect(board.locator(CARD)).to_be_visible()


def test_filters_leave_out_the_rest_but_never_life_safety(world: World, board: Page) -> None:
    warm_terminal(world)
    expect(board.locator(".needs .card")).to_have_count(1)
    take_defibrillator(world)
    expect(board.locator(".needs .card")).to_have_count(2)
    expect(board.locator(".needs .card").first).to_contain_text("Defibrillator")
    board.get_by_text("Filters").click()
    board.get_by_label("Site").select_option(label="Terminal 1")
    board.get_by_role("button", name="Show", exact=True).click()
    expect(board.locator(".needs .card")).to_have_count(0)
    expect(board.locator(".urgent")).to_contain_text("Defibrillator 2")


def test_life_safety_calls_until_somebody_has_it(world: World, board: Page) -> None:
    usual = board.title()
    board.locator("h1").click()
    take_defibrillator(world)
    expect(board.locator(".urgent")).to_contain_text("Defibrillator 2")
    board.wait_for_function("document.title.includes('Defibrillator')")
    board.wait_for_function("Number(document.body.dataset.calls) > 0")
    board.locator(CARD).get_by_role("button", name="Acknowledge").click()
    expect(board.locator(".urgent")).to_have_count(0)
    board.wait_for_function("title => document.title === title", arg=usual)


def test_it_calls_on_every_page(world: World, page: Page) -> None:
    page.goto("/devices")
    page.locator("h1").click()
    take_defibrillator(world)
    expect(page.locator(".urgent")).to_contain_text("Defibrillator 2")
    page.wait_for_function("Number(document.body.dataset.calls) > 0")
    page.get_by_role("button", name="Silence").click()
    expect(page.get_by_role("button", name="Silence")).to_be_hidden()
    # What is known already is silent; what comes after it is not.
    take_defibrillator(world, "A1")
    expect(page.get_by_role("button", name="Silence")).to_be_visible()


def test_a_browser_in_which_the_sound_is_off_stays_silent(
    world: World, page: Page, context: BrowserContext
) -> None:
    page.goto("/devices")
    page.get_by_role("button", name="Sound on").click()
    expect(page.get_by_role("button", name="Sound off")).to_be_visible()
    take_defibrillator(world)
    expect(page.locator(".urgent")).to_contain_text("Defibrillator 2")
    assert page.evaluate("document.body.dataset.calls") is None
    with Browsing(context.new_page()).watched() as another:
        another.goto("/devices")
        expect(another.get_by_role("button", name="Sound off")).to_be_visible()


def test_without_scripts_everything_essential_works(world: World, context: BrowserContext) -> None:
    take_defibrillator(world)
    world.expect_case("defibrillator-removed")
    browser = context.browser
    assert browser is not None
    plain = browser.new_context(
        base_url=world.engine.address,
        java_script_enabled=False,
        storage_state=json.loads(json.dumps(context.storage_state())),
    )
    page = plain.new_page()
    page.goto("/")
    page.locator(CARD).get_by_role("button", name="Acknowledge").click()
    world.expect_case("defibrillator-removed", owner="administrator")

    def is_owned() -> bool:
        page.goto("/")
        return "administrator" in page.locator(CARD).inner_text()

    wait_until(is_owned, "owner on the page")
    page.locator(CARD).get_by_role("link", name="Shelve").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Shelve")
    plain.close()


def test_a_window_follows_by_itself_where_all_together_cannot(world: World, page: Page) -> None:
    page.add_init_script(
        """window.SharedWorker = class {
             port = { postMessage() {} };
             constructor() { setTimeout(() => this.onerror(new Event("error"))); }
           }"""
    )
    page.goto("/")
    expect(page.locator("#link")).to_have_text("live")
    take_defibrillator(world)
    expect(page.locator(CARD)).to_contain_text("nobody yet")


def test_what_devices_are_called_is_text(world: World, board: Page) -> None:
    name = "<img src=x onerror=alert(1)>"
    world.publish(f"airport/t2/defibrillators/{name}", in_cabinet=False, battery=90.0)
    expect(board.locator(CARD)).to_contain_text(name)
    expect(board.locator("#story")).to_contain_text(name)
    assert board.locator("main img").count() == 0


def test_what_cannot_be_done_is_said(world: World, page: Page) -> None:
    take_defibrillator(world)
    world.expect_case("defibrillator-removed")
    page.goto("/cases")
    csrf = page.locator('input[name="csrf"]').first.get_attribute("value")
    headers = {"X-CSRF": str(csrf)}
    assert page.request.post("/board/cases/1/take", headers=headers, max_redirects=0).status == 303
    answer = page.request.post("/board/cases/99/take", headers=headers | {"HX-Request": "true"})
    assert "there is no case 99" in answer.text()
    assert page.request.post("/board/alarms/99/acknowledge", headers=headers).ok


def test_the_list_of_cases_is_asked_by_state_and_device(world: World, page: Page) -> None:
    take_defibrillator(world)
    warm_terminal(world)
    world.expect_case("terminal-temperature")
    page.goto("/cases?state=open")
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_label("Number or device").fill("defib")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name="closed").click()
    expect(page.locator("main")).to_contain_text("No case is like this.")


def test_the_pages_of_the_board_can_be_used_by_everybody(world: World, page: Page) -> None:
    take_defibrillator(world)
    warm_terminal(world)
    world.expect_case("terminal-temperature")
    paths = (
        "/",
        "/cases",
        "/board/load",
        "/board/shelve?rule=door-held-open&device=t2/D14",
        "/board/cases/1/hand-over",
    )
    check_usable(page, *paths, sights=PHONE_BY_DAY)
