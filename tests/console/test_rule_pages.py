"""An author changes the rule book in the console, from the first mistake to the version in force."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from prevenant.api import access
from prevenant.api.access import Actor, Grant, Role
from prevenant.publishing import find_active, publish_edition, read_edition
from prevenant.tasks import starting
from prevenant.tasks.folder import Tasks
from tests.console.browsing import check_accessible
from tests.world import World

LONG_MS = 400_000.0
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(autouse=True)
def _in_front(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tasks stand back for nobody: here they are what is waited for."""
    monkeypatch.setattr(starting, "NICENESS", 0)


def begin(page: Page) -> str:
    """Begin a draft; return its text."""
    page.goto("/rules")
    page.get_by_role("button", name="Change it").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your draft of the rule book")
    return page.locator("#text").input_value()


def in_force(world: World) -> int:
    with world.engine.store.read() as session:
        active = find_active(session)
        assert active is not None
        return active.number


def test_mistakes_are_shown_at_their_lines_and_a_good_book_decides(
    world: World, page: Page
) -> None:
    text = begin(page)
    line = text.split("\n").index("    when: open") + 1
    page.locator("#text").fill(text.replace("when: open\n", "when: opne\n"))
    page.get_by_role("button", name="Save and check").click()
    expect(page.locator("#found")).to_contain_text("did you mean 'open'?")
    expect(page.locator(".gutter span.s-critical")).to_have_text(str(line))
    page.locator("#found").get_by_role("link", name=f"rules.yaml:{line}:").first.click()
    expect(page.locator("#place")).to_have_text(re.compile(rf"^{line}:"))
    check_accessible(page)

    page.locator("#text").fill(text.replace("for: 60s", "for: 20s"))
    page.get_by_role("button", name="Save and check").click()
    expect(page.locator("#publish")).to_contain_text("changed door-held-open")
    page.get_by_label("Why, for the history").fill("Doors <b>sooner</b>")
    page.get_by_role("button", name="Publish").click()
    expect(page.locator("#book-state")).to_contain_text("Doors <b>sooner</b>")
    expect(page.locator("#book-state")).to_contain_text("in force")

    world.badge("t2", "D14")
    world.publish("airport/t2/doors/D14", open=True, battery=90.0)
    world.clock.advance(seconds=21)
    world.expect_case("door-held-open")

    page.get_by_role("link", name="Versions", exact=True).click()
    page.get_by_role("link", name="1", exact=True).click()
    page.get_by_label("Why, for the history").fill("Too soon")
    page.get_by_role("button", name="Put version 1 in force again").click()
    expect(page.locator("#book-state")).to_contain_text("Version 3")
    expect(page.locator("#book-state")).to_contain_text("Too soon")
    page.goto("/rules/versions/3")
    expect(page.locator(".changes")).to_contain_text("for: 60s")


def test_a_bad_draft_stays_and_is_not_published(world: World, page: Page) -> None:
    text = begin(page)
    page.locator("#text").fill(text.replace("for: 60s", "for: ever"))
    page.get_by_role("button", name="Save and check").click()
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_role("alert")).to_contain_text("the draft is not good yet: rules.yaml:")
    assert "for: ever" in page.locator("#text").input_value()
    assert in_force(world) == 1


def test_what_another_has_published_meanwhile_is_seen_first(world: World, page: Page) -> None:
    text = begin(page)
    page.locator("#text").fill(text.replace("for: 60s", "for: 20s"))
    with page.expect_response(lambda answer: answer.request.method == "POST"):
        page.get_by_role("button", name="Save and check").click()
    other = read_edition(Path("rules.yaml"), {"rules.yaml": f"# reviewed\n{text}"})
    with world.engine.store.write() as session:
        publish_edition(session, other, world.clock.now(), by="Noor", origin="test")
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_role("alert")).to_contain_text("version 2 was published meanwhile by Noor")
    expect(page.locator(".notice")).to_contain_text("would undo what it changed")
    assert in_force(world) == 2
    page.get_by_role("button", name="Publish").click()
    expect(page.locator("#book-state")).to_contain_text("Version 3")


def test_a_draft_is_tested_and_replayed_by_processes_of_their_own(world: World, page: Page) -> None:
    world.badge("t2", "D14")
    for is_open in (True, True, False):
        world.publish("airport/t2/doors/D14", open=is_open, battery=90.0)
        world.clock.advance(seconds=40)
    text = begin(page)
    page.locator("#text").fill(text.replace("for: 60s", "for: 5m"))
    page.get_by_label("Only tests whose name holds").fill("closed in time")
    page.get_by_role("button", name="Run the tests").click()
    page.reload()
    expect(page.locator("#task")).to_contain_text("1 passed", timeout=LONG_MS)

    page.goto("/rules/draft")
    assert "for: 5m" in page.locator("#text").input_value()
    page.get_by_label("Since: a time, or how long ago").fill("24h")
    page.get_by_role("button", name="Replay history").click()
    expect(page.locator("#task")).to_contain_text("The draft against version 1", timeout=LONG_MS)
    page.reload()
    check_accessible(page)
    row = page.locator("#differences tbody tr", has_text="alarm").first
    expect(row).to_contain_text("gone")
    expect(row).to_contain_text("door-held-open")
    page.get_by_label("Change").select_option("new")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#differences tbody")).to_contain_text("Nothing of the kind.")
    answer = page.request.get("/tasks/2/files/differences.csv")
    assert answer.text().startswith("change,what,at,rule,device,before,after\n")
    assert "gone,alarm," in answer.text()
    assert page.request.get("/tasks/2/files/asked.json").status == 404
    assert page.request.get("/tasks/2/files/..%2F1%2Flog").status == 404


def test_a_task_can_be_ended_from_its_page(
    world: World, page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However slow the browser is, this one is not over before.
    endless = tmp_path / "endless"
    endless.write_text("#!/bin/sh\nexec sleep 600\n")
    endless.chmod(0o755)
    monkeypatch.setattr(starting, "sys", SimpleNamespace(executable=str(endless)))
    begin(page)
    page.get_by_role("button", name="Run the tests").click()
    page.get_by_role("button", name="End it").click()
    expect(page.locator("#task")).to_contain_text("ended by administrator")
    assert Tasks(world.engine.settings.tasks).find(1).state == "ended"


def test_whatever_a_draft_holds_stays_text(world: World, page: Page) -> None:
    del world
    begin(page)
    page.locator("#text").fill(
        "</textarea><script>document.title='taken'</script>\n<b>x</b>: &amp;"
    )
    page.get_by_role("button", name="Save and check").click()
    expect(page.locator("#found")).to_contain_text("mistake")
    page.reload()
    assert "taken" not in page.title()
    assert page.locator("#text").input_value().endswith("<b>x</b>: &amp;")


@pytest.mark.parametrize(
    ("grant", "may"),
    [
        (Grant(Role.VIEWER), False),
        (Grant(Role.OPERATOR), False),
        (Grant(Role.AUTHOR, frozenset({"t2"})), False),
        (Grant(Role.AUTHOR), True),
    ],
)
def test_only_authors_of_every_site_change_what_concerns_every_site(
    world: World, context: BrowserContext, monkeypatch: pytest.MonkeyPatch, grant: Grant, may: bool
) -> None:
    del world
    monkeypatch.setattr(access, "find_actor", lambda _request: Actor("Camille", (grant,)))
    page = context.new_page()
    for path in ("/rules", "/rules/versions", "/rules/versions/1", "/models"):
        assert page.request.get(path).status == 200
    page.goto("/rules")
    expect(page.get_by_role("button", name="Change it")).to_have_count(int(may))
    for path in ("/rules/draft", "/tasks", "/models/work/train"):
        assert (page.request.get(path).status == 200) == may
    csrf = page.locator("input[name=csrf]").first.input_value()
    form: dict[str, str | float | bool] = {"csrf": csrf, "version": "1"}
    for path in ("/rules/draft", "/rules/versions/1/draft", "/models/engine/activate"):
        answer = page.request.post(path, form=form, max_redirects=0)
        assert answer.status == (303 if may else 403)
