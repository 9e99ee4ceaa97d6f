"""People at their desk see a case, take it, resolve it, by command or API, beside a running engine."""

import json
from typing import Any

import pytest
import requests
from sqlmodel import select
from typer.testing import CliRunner

from prevenant.cli import app
from prevenant.errors import PrevenantError
from tests.world import World
from workflows.tables import Offer, WorkOrder


@pytest.fixture
def database_url(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Use SQLite alone, which commands read in the environment: there one rings no bell of ours."""
    monkeypatch.setenv("PREVENANT_DATABASE_URL", sqlite_url)
    return sqlite_url


def cases(*arguments: str, status: int = 0) -> str:
    """Run `prevenant cases` with a store of its own, as another process would have."""
    done = CliRunner().invoke(app, ["cases", *arguments])
    refused = isinstance(done.exception, PrevenantError)
    assert (1 if refused else done.exit_code) == status, done.output
    return str(done.exception) if refused else done.output


def post(world: World, path: str, **body: Any) -> requests.Response:
    """Post to the API."""
    headers = {"Authorization": "Bearer admin"}
    address = f"{world.engine.address}/api/v1/cases/{path}"
    return requests.post(address, json=body, headers=headers, timeout=30)


def get(world: World, path: str) -> Any:
    """Ask the API."""
    headers = {"Authorization": "Bearer admin"}
    address = f"{world.engine.address}/api/v1/cases{path}"
    return requests.get(address, headers=headers, timeout=30).json()


@pytest.fixture
def alarmed(world: World) -> World:
    """Return a world in which a defibrillator was taken, and technicians have offers."""
    world.publish("airport/t2/defibrillators/A2", in_cabinet=False, battery=90.0)
    world.expect(
        lambda session: len(session.exec(select(Offer)).all()) == 3, "three offers to first aiders"
    )
    return world


def test_a_case_is_seen_taken_and_resolved_by_command(alarmed: World) -> None:
    (listed,) = json.loads(cases("list", "--state", "open", "--json"))
    number = str(listed["id"])
    assert "defibrillator-removed" in cases(
        "list", "--severity", "critical", "--since", "2026-05-04"
    )
    assert cases("list", "--site", "elsewhere").count("\n") == 1
    assert cases("list", "--owner", "Nora").count("\n") == 1
    shown = cases("show", number)
    for words in (
        "defibrillator-removed",
        "who was considered last",
        "offers",
        "messages",
        "opened",
    ):
        assert words in shown
    assert "+336" not in shown
    whole = json.loads(cases("show", number, "--json"))
    assert len(whole["alarms"]) == 1
    cases("ack", number, "--by", "Nora", "--note", "I am on it")
    alarmed.expect_case("defibrillator-removed", owner="Nora", state="open")
    alarmed.expect_story("acknowledged", "Nora acknowledges it: I am on it")
    cases("take", number, "--by", "Nora")
    alarmed.expect_case("defibrillator-removed", owner="Nora", state="handed_over")

    def withdrawn(session: Any) -> bool:
        return {one.state for one in session.exec(select(Offer))} == {"withdrawn"}

    alarmed.expect(withdrawn, "offers taken back")
    cases("resolve", number, "--by", "Nora", "--note", "it was a drill")
    closed = alarmed.expect_case("defibrillator-removed", state="closed")
    assert closed.outcome == "resolved by Nora: it was a drill"
    assert "is closed" in cases("ack", number, status=1)
    assert "see `prevenant cases list`" in cases("show", "999", status=1)
    # What is still to be heard counts as lost where nothing else is going on at this moment.
    alarmed.expect_quiet()
    assert "nothing is lost" in cases("audit")
    replayed = cases("replay", number)
    assert f"case {number} takes the same course" in replayed
    assert "taken_over" in replayed


def test_a_case_is_seen_and_resolved_over_the_api(alarmed: World) -> None:
    (listed,) = get(alarmed, "?state=open&severity=life_safety")
    number = listed["id"]
    assert get(alarmed, "?severity=nonsense")["detail"].startswith("'nonsense' is no severity")
    lucas = alarmed.phone("+33639980028").expects_sms("URGENCE").replies("1")
    lucas.expects_sms("Allez-y")
    assert post(alarmed, f"{number}/acknowledge", by="Nora").status_code == 202
    alarmed.expect_story("acknowledged", "Nora (via administrator) acknowledges it")
    assert post(alarmed, f"{number}/resolve", by="Nora", note="false alarm").status_code == 202
    alarmed.expect_case("defibrillator-removed", state="closed")
    lucas.expects_sms("n'est plus")

    def cancelled(session: Any) -> bool:
        return [one.state for one in session.exec(select(WorkOrder))] == ["cancelled"]

    alarmed.expect(cancelled, "the job called off")
    assert post(alarmed, f"{number}/take", by="Nora").status_code == 422
    assert post(alarmed, "999/take", by="Nora").status_code == 404
    alarmed.expect_quiet()
    assert "same course" in cases("replay", str(number))
    page = requests.get(
        f"{alarmed.engine.address}/cases/{number}",
        headers={"Authorization": "Bearer admin"},
        timeout=30,
    )
    assert "resolved by Nora (via administrator)" in page.text
