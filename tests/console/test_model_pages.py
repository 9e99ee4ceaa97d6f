"""A model is trained, judged, asked and put in force from the console, and nothing of it can run there."""

import dataclasses
import io
from pathlib import Path

import msgspec
import pandas as pd
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from models import leaks, training
from models.registry import Registry
from prevenant.console import model_work
from prevenant.tables import ModelState, ShadowScore
from prevenant.tasks import starting
from tests.console.browsing import check_accessible
from tests.models.made_data import made_engines
from tests.trained import LIFE, fans, small_training
from tests.world import World

LONG_MS = 400_000.0
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(autouse=True)
def _in_front(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tasks stand back for nobody: here they are what is waited for."""
    monkeypatch.setattr(starting, "NICENESS", 0)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two versions of a model that was really trained."""
    folder = tmp_path_factory.mktemp("models")
    report = "<script>document.title='taken'</script><h1>report</h1>"
    with small_training(5):
        for seed in (0, 1):
            model = training.train(fans(4), name="wears", target=LIFE, seed=seed)
            Registry(folder).save(model, lambda _card: report)
    return folder


@pytest.fixture
def wears(two: Path, world: World) -> World:
    """Return a world in whose folder those versions stand."""
    for path in two.rglob("*"):
        to = world.engine.settings.models / path.relative_to(two)
        if path.is_dir():
            to.mkdir(parents=True, exist_ok=True)
        else:
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(path.read_bytes())
    return world


def test_a_model_is_trained_from_a_file_and_asked(world: World, page: Page, tmp_path: Path) -> None:
    file = tmp_path / "engines.csv"
    made_engines(6).to_csv(file, index=False)
    page.goto("/models/work/train")
    page.get_by_label("Name").fill("pump")
    page.set_input_files("input[name=readings]", file)
    page.get_by_role("button", name="Train", exact=True).click()
    expect(page.locator("#task")).to_contain_text("running")
    page.reload()
    expect(page.locator("#task")).to_contain_text(
        "It is active, for it is the first", timeout=LONG_MS
    )
    check_accessible(page)
    assert Registry(world.engine.settings.models).standing("pump").active == 1
    assert not list((world.engine.settings.tasks / "1").glob("given-*"))

    page.get_by_role("link", name="To its versions").click()
    page.get_by_role("link", name="Ask it about devices").click()
    page.set_input_files("input[name=readings]", file)
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#task")).to_contain_text("6 with a prediction", timeout=LONG_MS)
    answer = page.request.get("/tasks/2/files/predictions.csv")
    found = pd.read_csv(io.BytesIO(answer.body()))
    assert list(found.columns) == ["device", "at", "prediction", "low", "high"]
    assert len(found) == 6


def test_what_cannot_be_learned_from_is_said_with_its_place(
    world: World, page: Page, tmp_path: Path
) -> None:
    del world
    file = tmp_path / "mine.csv"
    file.write_text("engine,when\n1,2\n")
    page.goto("/models/work/train?model=pump")
    page.set_input_files("input[name=readings]", file)
    page.get_by_role("button", name="Train", exact=True).click()
    expect(page.locator("#task")).to_contain_text(
        "readings.csv:1:1: there is no column 'device'", timeout=LONG_MS
    )
    expect(page.locator("#task")).not_to_contain_text(str(tmp_path))


def test_what_a_form_lacks_is_said_before_anything_begins(
    world: World, page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.goto("/models/work/train?model=pump")
    page.get_by_role("button", name="Train", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("no readings are chosen")
    file = tmp_path / "mine.xls"
    file.write_text("x")
    page.set_input_files("input[name=readings]", file)
    page.get_by_role("button", name="Train", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("choose one that ends in .csv")
    monkeypatch.setattr(model_work, "MOST_BYTES", 10)
    answer = page.request.post("/models/work/train", multipart={"model": "pump"})
    assert answer.status == 413
    assert not world.engine.settings.tasks.exists()


def test_versions_are_put_in_the_shadow_in_force_and_back(wears: World, page: Page) -> None:
    registry = Registry(wears.engine.settings.models)
    page.goto("/models/wears")
    page.get_by_role("button", name="Try version 2 in the shadow").click()
    expect(page.get_by_role("heading", name="in the shadow of")).to_be_visible()
    with wears.engine.store.write() as session:
        score = ShadowScore(
            model="wears", version=1, shadow_version=2, device_id="t2/F1", at=wears.clock.now()
        )
        score.value, score.shadow_value, score.count, score.difference = 10.0, 13.0, 4, 12.0
        session.add(score)
    page.reload()
    expect(page.locator("main")).to_contain_text("in the mean they are 3 apart")
    check_accessible(page)
    page.get_by_role("button", name="Put version 2 in force").first.click()
    expect(page.get_by_role("button", name="Back to version 1")).to_be_visible()
    assert registry.standing("wears").active == 2
    wears.expect_story("model.activated", "version 2 of wears", "administrator")
    page.get_by_role("button", name="Back to version 1").click()
    expect(page.get_by_role("button", name="Back to version 1")).to_have_count(0)
    assert registry.standing("wears").active == 1


def test_a_damaged_version_is_not_activated_and_says_why(wears: World, page: Page) -> None:
    folder = wears.engine.settings.models / "wears" / "v2"
    (folder / "estimator.skops").write_bytes(b"damaged")
    page.goto("/models/wears")
    expect(page.locator("main")).to_contain_text("refused")
    form: dict[str, str | float | bool] = {
        "csrf": page.locator("input[name=csrf]").first.input_value(),
        "version": "2",
    }
    page.request.post("/models/wears/activate", form=form, max_redirects=0)
    assert Registry(wears.engine.settings.models).standing("wears").active == 1


def test_a_report_runs_nothing(wears: World, context: BrowserContext) -> None:
    del wears
    # Not watched: that a script of the report is kept from running is said as an error.
    page = context.new_page()
    answer = page.goto("/models/wears/versions/1/report")
    assert answer is not None
    assert answer.headers["content-security-policy"].startswith("sandbox;")
    expect(page.get_by_role("heading", name="report")).to_be_visible()
    assert page.title() != "taken"


def test_a_version_is_downloaded_and_taken_elsewhere(
    wears: World, page: Page, tmp_path: Path
) -> None:
    page.goto("/models/wears/versions/1")
    check_accessible(page)
    answer = page.request.get("/models/wears/versions/1/file")
    file = tmp_path / "wears.zip"
    file.write_bytes(answer.body())
    page.goto("/models/work/take")
    page.set_input_files("input[name=archive]", file)
    page.get_by_role("button", name="Take it").click()
    expect(page.locator("#task")).to_contain_text("Version 3 of wears", timeout=LONG_MS)
    assert Registry(wears.engine.settings.models).versions("wears") == [1, 2, 3]


def test_what_looks_like_the_answer_stands_before_the_figures(wears: World, page: Page) -> None:
    registry = Registry(wears.engine.settings.models)
    model = registry.load("wears", 1)
    card = msgspec.structs.replace(model.card, leaks={"fault_code": leaks.COPY})
    number = registry.save(dataclasses.replace(model, card=card))[0].card.version
    page.goto(f"/models/wears/versions/{number}")
    notice = page.locator(".notice")
    expect(notice).to_contain_text("too good to be true. fault_code: by itself it tells")
    expect(notice).to_contain_text("leave it out of `features`")
    check_accessible(page)


def test_how_a_model_does_stands_on_its_page(wears: World, page: Page) -> None:
    with wears.engine.store.write() as session:
        session.merge(
            ModelState(
                id=99,
                name="wears",
                device_type="fan",
                version=1,
                state="drifting",
                reason="amps is not as in training",
                since=wears.clock.now(),
                findings=[{"name": "<i>amps</i>", "what": "beyond", "share": 0.62}],
            )
        )
    page.goto("/models/wears")
    expect(page.locator("main")).to_contain_text("<i>amps</i>")
    expect(page.locator("main")).to_contain_text("62 %")
    page.goto("/models")
    expect(page.locator("main")).to_contain_text("wears")
    check_accessible(page)
    assert page.request.get("/models/nothing").status == 404
    assert page.request.get("/models/..%2F..%2Fetc/versions/1/report").status == 404


def test_a_form_about_versions_is_of_a_model_that_has_some(page: Page) -> None:
    for what in ("judge", "predict"):
        for asked in ("", "?model=", "?model=nobody"):
            answer = page.goto(f"/models/work/{what}{asked}")
            assert answer is not None
            assert answer.status == 404
