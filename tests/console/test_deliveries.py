"""The pages of messages: how each attempt went, found again by filters, live; dead letters given again."""

import re

import pytest
from playwright.sync_api import Page, expect
from sqlmodel import Session, select

from notify.message import Delivery, Errand, Message, queue_errand
from prevenant.api.access import Actor, Grant, Role
from prevenant.console.deliveries import Choice, Chosen, may_see, read_choice
from tests.console.browsing import check_usable
from tests.console.history import write_history
from tests.world import World

NADIA = "+33639980001"


@pytest.fixture
def told(world: World) -> World:
    """Return a world in which people were told, and a machine could not be."""
    with world.engine.store.write() as session:
        write_history(session, world.clock.now(), days=30)
    world.publish("airport/t2/defibrillators/A2", in_cabinet=False, battery=90.0)
    world.phone(NADIA).expects_sms("URGENCE")
    errand = Errand("one", "webhook", "http://127.0.0.1:9/secret", "{}", "the desk", 3, 1)
    with world.engine.store.write() as session:
        queue_errand(session, errand, world.clock.now())
    world.expect_story("message.suppressed", "webhook to the desk")
    return world


def test_deliveries_can_be_used_by_everybody(told: World, page: Page) -> None:
    with told.engine.store.read() as session:
        number = session.exec(select(Message.id).where(Message.name == "Nadia Belkacem")).first()
    check_usable(page, "/deliveries", "/deliveries?view=lost", f"/deliveries/{number}")


def test_a_message_with_its_attempts_and_no_number(told: World, page: Page) -> None:
    del told
    page.goto("/outbox")
    expect(page.get_by_role("heading", level=1)).to_have_text("Deliveries")
    page.get_by_role("link", name="Nadia Belkacem").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("To Nadia Belkacem")
    expect(page.locator("blockquote").first).to_contain_text("URGENCE")
    expect(page.locator(".facts").first).to_contain_text("Attempts")
    assert "+336" not in page.content()


def test_what_was_not_delivered_is_found_with_its_reason(told: World, page: Page) -> None:
    del told
    page.goto("/deliveries")
    page.get_by_role("link", name="Not arrived").click()
    expect(page).to_have_url(re.compile("view=lost"))
    rows = page.locator(".deliveries tbody tr")
    expect(rows.first).to_be_visible()
    assert all(re.search("undelivered|failed", text) for text in rows.all_text_contents())
    page.get_by_label("To whom").select_option("technician")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("No message is like that.")).to_be_visible()
    page.goto("/deliveries?name=marie")
    expect(rows).to_have_count(50)
    page.get_by_role("link", name="Older").click()
    expect(rows).to_have_count(10)
    page.get_by_role("link", name="Newest").click()
    expect(rows).to_have_count(50)


def test_a_new_message_appears_without_a_reload(world: World, page: Page) -> None:
    page.goto("/deliveries")
    expect(page.get_by_text("Nothing has been said yet.")).to_be_visible()
    world.publish("airport/t2/defibrillators/A2", in_cabinet=False, battery=90.0)
    expect(page.get_by_role("link", name="Nadia Belkacem").first).to_be_visible()


def test_a_dead_letter_is_given_again(told: World, page: Page) -> None:
    page.goto("/deliveries")
    letters = page.locator("#dead-letters")
    expect(letters).to_contain_text("the desk")
    letters.get_by_role("button", name="Give again").click()
    told.expect_story("message.resent", "says administrator")
    # There is still no secret to sign it with, so that it comes back; it is refused once it is no more.
    told.expect(
        lambda session: session.exec(
            select(Delivery).where(Delivery.channel == "webhook", Delivery.state == "suppressed")
        ).first(),
        "the dead letter again",
    )
    page.goto("/deliveries")
    letters.get_by_role("button", name="Give all again").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Deliveries")


def test_who_may_see_one_site_sees_its_messages_alone(told: World) -> None:
    def count(session: Session, *sites: str) -> int:
        actor = Actor("Ada", (Grant(Role.VIEWER, frozenset(sites)),))
        return len(session.exec(select(Message.id).where(may_see(actor))).all())

    with told.engine.store.read() as session:
        everything = len(session.exec(select(Message.id)).all())
        assert 0 < count(session, "t2") < everything
        assert count(session, "nowhere") == count(session) == 0
        operator = Actor("Ada", (Grant(Role.VIEWER), Grant(Role.OPERATOR, frozenset({"t2"}))))
        assert len(session.exec(select(Message.id).where(may_see(operator))).all()) == everything
        mine = session.exec(select(Message.id).where(may_see(operator, Role.OPERATOR))).all()
        assert len(mine) == count(session, "t2")


def test_what_an_address_asks_for_and_means_nothing() -> None:
    odd = Chosen(view="all", channel="fax", who="them", case="-1", name=" Ada ", before="9" * 30)
    assert read_choice(odd) == Choice(name="Ada")
    assert Choice(view="lost", case=3).address(before=7) == "/deliveries?view=lost&case=3&before=7"
