"""The page of measures: figures with their definitions, by group and as CSV."""

import csv
import io
import re

import pytest
import requests
from playwright.sync_api import Page, expect
from sqlmodel import select

from prevenant.console.trend import HEIGHT, WIDTH, draw_trend
from prevenant.crm.tables import Site
from prevenant.kpis import KPIS
from tests.console.browsing import check_usable
from tests.console.history import write_history
from tests.world import World, sign_in

PATHS = ("/measures", "/measures?by=site&days=90", "/measures?by=severity")


@pytest.fixture
def served(world: World) -> World:
    """Return a world in which two months of service lie behind."""
    with world.engine.store.write() as session:
        assert write_history(session, world.clock.now()) == 120
    return world


def test_figures_can_be_used_by_everybody(served: World, page: Page) -> None:
    del served
    check_usable(page, *PATHS)


def test_every_figure_says_what_it_is(served: World, page: Page) -> None:
    del served
    page.goto("/measures")
    assert page.locator(".kpi").count() == len(KPIS)
    told = page.locator("#time_to_tell")
    expect(told.locator(".kpi-value")).to_have_text(re.compile(r"^1 min \d+ sec$"))
    expect(told).to_contain_text("than before")
    assert told.locator("svg circle").count() >= 4
    told.get_by_text("What this is").click()
    expect(told.get_by_text("From the alarm to the hand-over")).to_be_visible()
    expect(told.locator("tbody tr").first).to_contain_text("2026")


def test_a_group_leads_to_its_own_figures(served: World, page: Page) -> None:
    del served
    page.goto("/measures")
    page.get_by_label("Grouped by").select_option("rule")
    page.get_by_role("button", name="Show").click()
    page.get_by_role("link", name="terminal-temperature").first.click()
    expect(page.get_by_text("Rule: terminal-temperature")).to_be_visible()
    expect(page.locator(".kpi")).to_have_count(len(KPIS))
    page.get_by_role("link", name="90 days").click()
    expect(page).to_have_url(re.compile("days=90"))
    expect(page.get_by_text("Rule: terminal-temperature")).to_be_visible()


def test_the_same_figures_as_csv(served: World) -> None:
    browser = requests.Session()
    sign_in(browser, served)
    headers = {"Accept-Language": "fr"}
    address = f"{served.engine.address}/measures.csv?by=site&every=month&severity=critical"
    answer = browser.get(address, headers=headers)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert re.search(r'filename="measures-2026-05-04.csv"', answer.headers["content-disposition"])
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert {row["title"] for row in rows} <= {kpi.said_in("fr").title for kpi in KPIS}
    with served.engine.store.read() as session:
        names = set(session.exec(select(Site.name)))
    assert {row["label"] for row in rows} <= names


def test_words_in_an_address_that_mean_nothing_are_left_aside(world: World, page: Page) -> None:
    del world
    page.goto("/measures?days=soon&by=town&every=hour&severity=bad&site=nowhere")
    expect(page.get_by_text("Nothing falls into this time yet.")).to_be_visible()
    expect(page.locator("#csat .kpi-value")).to_have_text("\u2013")


def test_a_trend_is_interrupted_where_nothing_was() -> None:
    trend = draw_trend([0.0, 10.0, None, 5.0])
    assert [(dot.number, dot.y) for dot in trend.dots] == [(0, 66.0), (1, 6.0), (3, 36.0)]
    assert trend.lines == (f"6.0,66.0 {trend.dots[1].x},6.0",)
    assert draw_trend([None, None]).dots == ()
    (alone,) = draw_trend([3.0]).dots
    assert (alone.x, alone.y) == (WIDTH / 2, 6.0)
    flat = draw_trend([-2.0, -2.0], None)
    assert {dot.y for dot in flat.dots} == {HEIGHT / 2}
