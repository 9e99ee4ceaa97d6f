"""The on-call calendar: days as the wall has them, gaps that are seen, and somebody who stands in."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Page, expect

from prevenant.console.duty_calendar import (
    DAYS_SHOWN,
    first_day,
    lay_out,
    midnight,
    read_wall_time,
)
from tests.console.browsing import check_usable
from tests.world import World

PARIS = ZoneInfo("Europe/Paris")


def duty(at: datetime, name: str | None) -> dict[str, Any]:
    return {"from": at, "name": name, "contact": None, "reason": "because"}


def test_a_night_is_two_stretches_and_one_duty() -> None:
    first = date(2026, 5, 4)
    start = midnight(first, PARIS)
    evening = datetime(2026, 5, 4, 18, 0, tzinfo=PARIS).astimezone(UTC)
    morning = datetime(2026, 5, 5, 8, 0, tzinfo=PARIS).astimezone(UTC)
    found = [duty(start, "Ada"), duty(evening, "Bob"), duty(morning, None)]
    days = lay_out(found, first, PARIS, now=morning - timedelta(hours=1))
    assert len(days) == DAYS_SHOWN
    monday, tuesday, *rest = days
    shown = [(one.name, one.is_hand_over, one.is_now, one.size) for one in monday.stretches]
    assert shown == [("Ada", False, False, 4), ("Bob", True, False, 2)]
    assert [one.hours for one in monday.stretches] == ["00:00 - 18:00", "18:00 - 24:00"]
    assert rest[0].stretches[0].hours == ""
    shown = [(one.name, one.is_hand_over, one.is_now, one.size) for one in tuesday.stretches]
    assert shown == [("Bob", False, True, 2), (None, True, False, 4)]
    assert (monday.has_gap, tuesday.has_gap, tuesday.is_today) == (False, True, True)
    assert all(len(one.stretches) == 1 and one.has_gap for one in rest)


def test_the_days_around_a_change_of_the_clock_are_whole() -> None:
    first = date(2026, 3, 23)
    days = lay_out([duty(midnight(first, PARIS), "Ada")], first, PARIS, now=midnight(first, PARIS))
    lasted = [one.stretches[0].ends_at - one.stretches[0].starts_at for one in days]
    assert lasted.count(timedelta(hours=23)) == 1
    assert lasted[6] == timedelta(hours=23)
    assert sum(lasted, timedelta()) == timedelta(days=DAYS_SHOWN, hours=-1)


@pytest.mark.parametrize(
    ("wanted", "monday"),
    [
        ("2026-05-06", date(2026, 5, 4)),
        ("2026-05-04", date(2026, 5, 4)),
        ("soon", date(2026, 4, 27)),
        ("", date(2026, 4, 27)),
        ("0001-01-01", date(1970, 1, 5)),
        ("9999-12-31", date(2200, 1, 6)),
    ],
)
def test_a_week_begins_on_monday(wanted: str, monday: date) -> None:
    assert first_day(wanted, date(2026, 5, 3)) == monday


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-05-04T18:00", datetime(2026, 5, 4, 16, 0, tzinfo=UTC)),
        # This hour comes twice, and this one never.
        ("2026-10-25T02:30", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
        ("2026-03-29T02:30", datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),
        (" ", None),
    ],
)
def test_a_form_says_times_by_the_wall(text: str, at: datetime | None) -> None:
    assert read_wall_time(text, PARIS) == at


def test_the_calendar_can_be_used_by_everybody(world: World, page: Page) -> None:
    del world
    check_usable(page, "/on-call")


def test_somebody_stands_in_and_no_longer(world: World, page: Page) -> None:
    page.goto("/on-call")
    expect(page.locator(".day.is-today")).to_have_count(1)
    now = page.locator(".stat", has_text="Now").locator(".person")
    regular = now.inner_text()
    page.get_by_label("Who").select_option("tom-harper")
    page.get_by_label("Until").fill("2026-05-04T18:00")
    page.get_by_label("Why").fill("swapped <b>with</b> Sofia")
    page.get_by_role("button", name="Let them stand in").click()
    expect(now).to_have_text("Tom Harper")
    expect(page.locator("table")).to_contain_text("swapped <b>with</b> Sofia")
    expect(page.locator(".stretch.is-now")).to_contain_text("Tom Harper")
    world.expect_story("on_call.override", "Tom Harper stands in for duty")
    page.get_by_role("button", name="End it").click()
    expect(now).to_have_text(regular)
    expect(page.locator(".stretch.is-now")).to_contain_text(regular)


def test_what_cannot_be_is_said_once(world: World, page: Page) -> None:
    del world
    page.goto("/on-call")
    page.get_by_label("Who").select_option("tom-harper")
    page.get_by_label("Until").fill("2026-05-01T18:00")
    page.get_by_role("button", name="Let them stand in").click()
    expect(page.get_by_role("alert")).to_have_text("it ends before it begins: name a later end")
    page.get_by_role("link", name="Later").click()
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.get_by_role("link", name="This week")).to_be_visible()
    expect(page.locator(".day.is-today")).to_have_count(0)
