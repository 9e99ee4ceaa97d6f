"""What technicians confirmed at visits is learned from: `prevenant models train --since`."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from prevenant.cli import app
from prevenant.cli.models_data import Asked, find_visits
from prevenant.clock import epoch_seconds
from prevenant.domain import DeviceType
from prevenant.store import Store
from tests.moved_clock import MovedClock
from tests.workflows.room import Room
from tests.workflows.test_closing import begin

BOOK = "devices: {room: {topic: 'a/{site}/{device}', fields: {heat: celsius}}}\n"


@pytest.fixture
def folder(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a rule book, whose settings name the store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PREVENANT_DATABASE_URL", store.url)
    (tmp_path / "rules.yaml").write_text(BOOK, "utf-8")
    return tmp_path


def train(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["models", "train", "worn", *arguments], catch_exceptions=False)


def visit(store: Store, clock: MovedClock, said: str) -> Room:
    room = begin(store, clock)
    room.pass_time(hours=1)
    room.deliver()
    room.reply("tom", said)
    return room


@pytest.mark.usefixtures("folder")
def test_what_was_confirmed_counts_as_a_failure(store: Store, clock: MovedClock) -> None:
    start = clock.now() - timedelta(days=20)
    raised_at = epoch_seconds(clock.now())
    visit(store, clock, "3 confirmed: bearing worn")
    (found,) = find_visits(
        "worn", Asked(device_type=DeviceType("room", "a/{site}/{device}", ())), 0.0
    )
    assert (found.device, found.raised_at) == ("s/fridge", raised_at)
    asked = Asked(device_type=DeviceType("room", "a/{site}/{device}", ()))
    assert find_visits("another", asked, 0.0) == []
    at = pd.date_range(start, clock.now() + timedelta(hours=2), freq="1h")
    devices = ["s/fridge", "s/other"]
    rows = [
        (device, one.isoformat(), 20.0 + n % 5) for device in devices for n, one in enumerate(at)
    ]
    pd.DataFrame(rows, columns=["device", "observed_at", "heat"]).to_csv("heat.csv", index=False)
    failed = [("s/other", at[100].isoformat()), ("s/other", at[300].isoformat())]
    pd.DataFrame(failed, columns=["device", "failed_at"]).to_csv("failed.csv", index=False)
    options = ("--data", "heat.csv", "--failures", "failed.csv", "--on", "room")
    since = start.isoformat()
    shown = train(*options, "--predicts", "failure within 24h", "--since", since)
    assert "1 failures were found by technicians at visits since then" in shown.output
    assert f"read {len(rows)} rows of 2 devices, 3 failures" in shown.output


@pytest.mark.usefixtures("folder")
def test_what_was_not_found_or_was_long_ago_teaches_nothing(
    store: Store, clock: MovedClock
) -> None:
    asked = Asked(device_type=DeviceType("room", "a/{site}/{device}", ()))
    visit(store, clock, "3 no fault found")
    assert find_visits("worn", asked, 0.0) == []
    assert find_visits("worn", asked, epoch_seconds(clock.now()) + 1) == []


def test_training_makes_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = Asked(device_type=DeviceType("room", "a/{site}/{device}", ()))
    assert find_visits("worn", asked, 0.0) == []
    assert not (tmp_path / "var").exists()
