"""`prevenant models`: from a folder with nothing but files to a version in force, and back."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pandas as pd
import pytest
from threadpoolctl import threadpool_limits
from typer.testing import CliRunner

from ingest.journal import Journal
from models import estimators, task
from prevenant.cli import app
from prevenant.errors import ConfigurationError, HistoryError, ModelRefused
from tests.models.made_data import START, made_engines, made_fridges, made_parts

BOOK = """
devices:
  fridge:
    topic: 'homes/{site}/{device}'
    fields: {compressor_amps: ampere, cabinet: celsius, door_open: bool?}
"""


@pytest.fixture(scope="module", autouse=True)
def _small_estimators() -> Iterator[None]:
    """Grow few trees, on one thread: what is tried here is not how well they predict."""

    def make(*arguments: Any) -> Any:
        made = estimators.make_estimator(*arguments)
        rounds = "max_iter" if "max_iter" in made.get_params() else "n_estimators"
        return made.set_params(**{rounds: 15})

    with pytest.MonkeyPatch.context() as patch, threadpool_limits(1):
        patch.setattr(task, "make_estimator", make)
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which two versions of `engine` were trained, and what was said."""
    folder = tmp_path_factory.mktemp("trained")
    made_engines(8).to_csv(folder / "engines.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for seed in ("0", "1"):
            shown = run("train", "engine", "--data", "engines.csv", "--seed", seed)
            assert shown.exit_code == 0
            (folder / f"said-{seed}.txt").write_text(shown.output)
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of one's own with what was trained."""
    for path in trained.rglob("*"):
        to = tmp_path / path.relative_to(trained)
        if path.is_dir():
            to.mkdir()
        else:
            to.write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["models", *arguments], catch_exceptions=False)


def test_a_stranger_trains_in_an_empty_folder(folder: Path) -> None:
    said = (folder / "said-0.txt").read_text()
    for words in (
        "of 8 devices, 8 failures; each device's last row was taken as its failure",
        "--predicts is not given, and the rows count cycles",
        "predicts remaining life in cycles",
        "failures caught",
        "version 1 of engine is active, for it is the first",
    ):
        assert words in said
    assert "version 2 of engine waits, version 1 goes on" in (folder / "said-1.txt").read_text()
    report = (folder / "var/models/engine/v1/report.html").read_text()
    for words in ("engine, version 1", "Lead time", "What it costs", "Calibration", "heat"):
        assert words in report
    assert "it is always the same" in report
    assert "<script" not in report
    assert "http" not in report.replace("http-equiv", "")


def test_how_far_it_is_can_be_read_in_a_file_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del folder
    monkeypatch.setattr("prevenant.cli.models_data._TOLD_EVERY_S", 0.0)
    said = run("train", "engine", "--data", "engines.csv").stderr
    assert "training: 0%, fold 1 of 5\n" in said
    assert "training: 100%, trained\n" in said


def test_versions_are_listed_shown_and_put_in_force(folder: Path) -> None:
    assert "active" in run("list").output
    assert len(json.loads(run("list", "--json").output)) == 2
    shown = run("show", "engine").output
    assert "engine, version 1: predicts remaining life in cycles" in shown
    assert "listens to heat, flow, noise" in shown
    assert "version 2 is in shadow" in run("shadow", "engine", "2").output
    moved = run("activate", "engine", "2").output
    assert moved == "version 2 of engine is active; a rollback goes to version 1\n"
    assert "version 1 of engine is active" in run("rollback", "engine").output
    run("shadow", "engine", "latest")
    assert "shadow" not in run("shadow", "engine", "off").output
    assert "nothing is older" in run("retire", "engine").output
    run("export", "engine", "--to", "engine.zip")
    with ZipFile(folder / "engine.zip") as archive:
        assert len(archive.namelist()) == 6
    taken = run("import", "engine.zip").output
    assert taken == "version 3 of engine waits: `prevenant models activate engine 3`\n"
    assert "removed version 2" in run("retire", "engine", "--keep", "1").output


def test_devices_never_seen_are_predicted(folder: Path) -> None:
    others = made_engines(3, seed=9).groupby("device").head(50)
    others["device"] = "new-" + others["device"]
    others.to_csv("others.csv", index=False)
    run("predict", "engine", "--data", "others.csv", "--out", "said.csv")
    last = pd.read_csv("said.csv")
    assert list(last.columns) == ["device", "at", "prediction", "low", "high"]
    assert last["device"].tolist() == ["new-e00", "new-e01", "new-e02"]
    assert last["at"].tolist() == [50, 50, 50]
    assert (last["low"] <= last["prediction"]).all()
    assert (last["prediction"] <= last["high"]).all()
    run("predict", "engine", "--data", "others.csv", "--at", "all", "--out", "said.parquet")
    every = pd.read_parquet("said.parquet")
    assert len(every) == 150
    ends = every.groupby("device").tail(1).reset_index(drop=True)
    pd.testing.assert_frame_equal(ends, last, check_dtype=False)
    printed = run("predict", "engine", "--data", "others.csv").output
    assert printed.startswith("device,at,prediction,low,high\nnew-e00,50,")
    assert sorted(path.name for path in folder.glob(".*")) == []


def test_versions_are_judged_on_other_data(folder: Path) -> None:
    made_engines(4, seed=5).to_csv("other.csv", index=False)
    shown = run("evaluate", "engine", "--data", "other.csv", "--report", "other.html").output
    assert "version 1 of engine, remaining life in cycles" in shown
    assert "RMSE" in shown
    assert "data that the model was judged on: other.csv" in (folder / "other.html").read_text()
    found = json.loads(run("evaluate", "engine", "--data", "other.csv", "--json").output)
    assert found["metrics"]["failures"] == 4
    table = run("compare", "engine", "--data", "other.csv").output
    assert "version 1 (active)" in table
    assert "version 2" in table
    alone = run("compare", "engine", "2", "--data", "other.csv", "--json").output
    assert list(json.loads(alone)["metrics"]) == ["2"]


def test_what_a_model_needs_and_the_data_has_not_is_named(folder: Path) -> None:
    del folder
    made_engines(2).drop(columns="heat").to_csv("less.csv", index=False)
    with pytest.raises(ConfigurationError, match="the data has no heat"):
        run("predict", "engine", "--data", "less.csv")
    with pytest.raises(HistoryError, match="there is no such file"):
        run("predict", "engine", "--data", "none.csv")
    with pytest.raises(ConfigurationError, match="write last or all"):
        run("predict", "engine", "--data", "less.csv", "--at", "first")
    with pytest.raises(ConfigurationError, match="is no version"):
        run("activate", "engine", "best")
    with pytest.raises(ConfigurationError, match="did you mean 'engine'"):
        run("show", "engin")
    with pytest.raises(ConfigurationError, match="did you mean 'engine'"):
        run("rollback", "engin")
    with pytest.raises(ConfigurationError, match=r"names 'het', which the data has not.*'heat'"):
        run("train", "engine", "--data", "engines.csv", "--features", "flow, het * 3")
    for command, option in (("predict", "--out"), ("evaluate", "--report")):
        with pytest.raises(ConfigurationError, match="there is no folder none: make it"):
            run(command, "engine", "--data", "engines.csv", option, "none/said.csv")


def test_times_of_failures_and_a_horizon_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows, failures = made_fridges(6, days=20)
    rows.to_parquet("rows.parquet")
    failures.to_csv("failures.csv", index=False)
    shown = run("train", "fridge", "--data", "rows.parquet", "--labels", "failures.csv").output
    assert "predicts failure within 24h" in shown
    assert "average precision" in shown
    said = run("predict", "fridge", "--data", "rows.parquet").output
    assert "home-0/fridge,2026-01-20T23:00:00Z," in said
    report = (tmp_path / "var/models/fridge/v1/report.html").read_text()
    assert "probability that was said" in report


def test_an_export_that_cannot_be_written_or_is_damaged_says_which_file(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"there is no folder nowhere"):
        run("export", "engine", "--to", "nowhere/engine.zip")
    (folder / "closed").mkdir(mode=0o500)
    (folder / "closed" / ".engine.zip.partial").mkdir()
    with pytest.raises(ConfigurationError, match=r"closed/engine.zip cannot be written.*--to"):
        run("export", "engine", "--to", "closed/engine.zip")
    run("export", "engine", "--to", "engine.zip")
    with ZipFile("engine.zip") as whole, ZipFile("damaged.zip", "w") as damaged:
        for name in whole.namelist():
            damaged.writestr(name, b"{}" if name.endswith("skops") else whole.read(name))
    with pytest.raises(ModelRefused, match=r"damaged.zip is damaged: estimator.skops"):
        run("import", "damaged.zip")


def test_rows_on_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows, failures = made_parts(400)
    rows.to_csv("rows.csv", index=False)
    failures.to_csv("failures.csv", index=False)
    arguments = ["--data", "rows.csv", "--failures", "failures.csv"]
    shown = run("train", "part", *arguments, "--features", "torque * speed, torque")
    assert "predicts failure now" in shown.output
    as_asked = run("train", "part", *arguments, "--predicts", "failure now")
    assert as_asked.exit_code == 0
    assert json.loads(run("show", "part", "--version", "2", "--json").output)["target"] == {
        "kind": "failure",
        "unit": "cycles",
        "horizon": 0.0,
    }
    (false,) = [line for line in shown.output.splitlines() if "premature" in line]
    assert false.endswith("not known from this data")
    listens = json.loads(run("show", "part", "--json").output)["definition"]["inputs"]
    assert [one["text"] for one in listens] == ["torque * speed", "torque"]


def test_the_journal_is_data_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules.yaml").write_text(BOOK, "utf-8")
    monkeypatch.setenv("PREVENANT_JOURNAL", "journal.db")
    rows, failures = made_fridges(6, days=12)
    rows = rows[rows.index % 2 == 0]
    rows = rows.sort_values("observed_at")
    seconds = rows["observed_at"].astype("int64") / 1e6
    columns = zip(rows["device"], seconds, rows["compressor_amps"], rows["cabinet"], strict=True)
    with_frames = [
        (
            f"homes/{device}".encode(),
            json.dumps({"compressor_amps": amps, "cabinet": cabinet, "observed_at": at}).encode(),
            at,
        )
        for device, at, amps, cabinet in columns
    ]
    journal = Journal(Path("journal.db"))
    for begin in range(0, len(with_frames), 6):
        part = with_frames[begin : begin + 6]
        journal.append([(topic, payload, 0) for topic, payload, _ in part], part[-1][2])
    journal.close()
    failures = failures.assign(
        failed_at=pd.to_datetime([START + 9 * 86_400.0] * len(failures), unit="s")
    )
    failures.to_csv("failures.csv", index=False)
    with pytest.raises(ConfigurationError, match="write --on TYPE"):
        run("train", "cold", "--data", "journal", "--failures", "failures.csv")
    shown = run(
        "train", "cold", "--data", "journal", "--on", "fridge", "--failures", "failures.csv"
    )
    assert f"read {len(rows)} rows of 6 devices, 3 failures" in shown.output
    assert "failed_at' have no zone: they are taken as UTC" in shown.output
    assert "version 1 of cold is active" in shown.output
    with pytest.raises(ConfigurationError, match="did you mean 'fridge'"):
        run("train", "cold", "--data", "journal", "--on", "frige")
    with pytest.raises(ConfigurationError, match="the data shows 0 failures"):
        run(
            "train",
            "cold",
            "--data",
            "journal",
            "--on",
            "fridge",
            "--predicts",
            "failure within 24h",
        )


def test_what_is_unusual_is_predicted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made_engines(3).to_csv("engines.csv", index=False)
    shown = run("train", "odd", "--data", "engines.csv", "--predicts", "anomaly")
    assert "version 1 of odd is active" in shown.output
    run("predict", "odd", "--data", "engines.csv", "--at", "all", "--out", "odd.csv")
    said = pd.read_csv("odd.csv")
    assert list(said.columns) == ["device", "at", "prediction", "low", "high"]
    assert said["prediction"].between(0, 1).all()
    with pytest.raises(ConfigurationError, match="prevenant models predict odd"):
        run("evaluate", "odd", "--data", "engines.csv")


def test_a_failure_model_is_judged_on_the_next_month(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, devices in (("now", 8), ("next", 6)):
        rows, failures = made_fridges(devices, days=12)
        rows.to_csv(f"{name}.csv", index=False)
        failures.to_csv(f"{name}-failed.csv", index=False)
    options = ("--data", "now.csv", "--failures", "now-failed.csv")
    run("train", "cold", *options, "--predicts", "failure within 24h")
    shown = run("evaluate", "cold", "--data", "next.csv", "--failures", "next-failed.csv")
    assert "Brier score" in shown.output
    assert shown.exit_code == 0


def test_columns_with_other_signs_are_learned_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    engines = made_engines(8).rename(columns={"heat": "vibration µm", "flow": "flow m³"})
    engines.to_csv("engines.csv", index=False)
    run("train", "part", "--data", "engines.csv")
    listens = json.loads(run("show", "part", "--json").output)["definition"]["inputs"]
    assert {"vibration_μm", "flow_m3"} <= {one["text"] for one in listens}


def test_a_column_that_knows_the_answer_is_named_and_kept_in_the_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    parts, failures = made_parts(400)
    parts["is_broken"] = parts["device"].isin(failures["device"])
    parts.to_csv("parts.csv", index=False)
    failures.to_csv("failures.csv", index=False)
    files = ("--data", "parts.csv", "--failures", "failures.csv")
    said = run("train", "part", *files).output
    assert (
        "doubtful: 'is_broken': by itself it tells nearly perfectly what is to be predicted" in said
    )
    assert "leave it out of `features`, and train again" in said
    assert "'is_broken'" in run("show", "part").output
    assert list(json.loads(run("show", "part", "--json").output)["leaks"]) == ["is_broken"]
    (report,) = [one.read_text("utf-8") for one in tmp_path.rglob("report.html")]
    assert "What looks like the answer itself" in report
    again = run("train", "part", *files, "--features", "torque,speed,grade").output
    assert "doubtful" not in again
