"""`prevenant dispatch explain` says why this technician and not the others."""

import json

import pytest
from typer.testing import CliRunner

from prevenant.cli import app
from prevenant.errors import ConfigurationError
from prevenant.store import Store
from tests.moved_clock import MovedClock
from tests.workflows.dispatching import DispatchDesk


@pytest.fixture
def database_url(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Use SQLite, where the command finds it."""
    monkeypatch.setenv("PREVENANT_DATABASE_URL", sqlite_url)
    return sqlite_url


@pytest.fixture
def dispatched(store: Store, clock: MovedClock) -> DispatchDesk:
    """Return a desk with one case, of which the first technician has declined."""
    desk = DispatchDesk(store, clock)
    desk.add_technician("near", 10, skills={"hvac": 2})
    desk.add_technician("middle", 20)
    desk.add_technician("distant", 200)
    desk.raise_alarm()
    desk.reply("near", "offer", "decline")
    desk.reply("middle", "offer", "accept")
    return desk


def explain(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["dispatch", "explain", *arguments])
    if result.exception is not None:
        raise result.exception
    return result.output


@pytest.mark.usefixtures("dispatched")
def test_every_round_its_candidates_and_the_offers_are_shown() -> None:
    shown = explain("1")
    assert "case 1, round 1 at" in shown
    assert "hvac >= 1 within 100 km" in shown
    assert "2 of 3 can go; 1 beyond 100 km" in shown
    assert "1 of 3 can go; 1 asked already, 1 beyond 100 km" in shown
    near = next(line for line in shown.splitlines() if line.startswith("1") and "Near Doe" in line)
    reason = "17 min away (10.0 km) + 3 for being overqualified (hvac 2)"
    assert " ".join(near.split()) == f"1 Near Doe 17 min 10.0 km +3 20.3 {reason}"
    assert "is 200.0 km away, beyond 100.0 km" in shown
    assert [line.split()[:3] for line in shown.splitlines() if "accepted" in line] == [
        ["Middle", "Doe", "accepted"],
        ["Middle", "Doe", "accepted"],
    ]
    assert "round 1" not in explain("1", "--round", "2")


@pytest.mark.usefixtures("dispatched")
def test_as_json_it_is_what_the_api_tells() -> None:
    told = json.loads(explain("1", "--json"))
    assert [one["round"] for one in told["rounds"]] == [1, 2]
    assert told["rounds"][0]["candidates"][0]["scores"]["overqualified"] == 3.0


@pytest.mark.usefixtures("dispatched")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["7"], "there is no case 7"), (["1", "--round", "9"], "case 1 has no round 9")],
)
def test_what_is_not_there_is_said_with_the_remedy(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        explain(*arguments)
