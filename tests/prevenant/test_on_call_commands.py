"""`prevenant on-call` and its API: who is on call, and who stands in."""

import json
from pathlib import Path

import pytest
import requests

from tests.nursery import ROOT
from tests.prevenant.test_cli import prevenant
from tests.world import World

SCHEDULES = """on_call:
  desk:
    timezone: Europe/Paris
    layers:
      - {people: [nadia-belkacem, tom-harper], hours: mon-fri 08:00-18:00}
"""
BOOK = (ROOT / "rules.yaml").read_text().replace("on_call:\n", SCHEDULES)
"""The shipped book with one more schedule, which stands before its own."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepare a store with the demo's people and a book with a schedule in force."""
    tmp_path = tmp_path_factory.mktemp("on_call")
    (tmp_path / "rules.yaml").write_text(BOOK)
    prevenant("crm", "import", str(ROOT / "prevenant/crm/demo"), folder=tmp_path)
    prevenant("rules", "publish", folder=tmp_path)
    return tmp_path


def test_who_is_on_call_and_who_stands_in(folder: Path) -> None:
    shown, _ = prevenant(
        "on-call", "show", "--from", "2030-01-07T08:30+01:00", "--days", "7", folder=folder
    )
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert lines[1].startswith("desk 2030-01-07 07:30:00 Nadia Belkacem layer 1, until 2030-01-07")
    assert lines[2].startswith("desk 2030-01-07 08:00:00 Tom Harper")
    assert "gap: nobody for desk, 2030-01-11 17:00:00 to 2030-01-14 07:00:00" in shown
    times = ("--from", "2030-01-07T10:00+01:00", "--to", "2030-01-07T12:00+01:00")
    done, _ = prevenant("on-call", "override", "desk", "ines-fabre", *times, folder=folder)
    assert done == "override 1: ines-fabre stands in for desk until 2030-01-07 11:00:00 UTC\n"
    told = prevenant(
        "on-call", "show", "desk", "--from", "2030-01-07T11:00+01:00", "--json", folder=folder
    )
    (desk,) = json.loads(told[0])
    assert [one["name"] for one in desk["duties"][:2]] == ["Inès Fabre", "Tom Harper"]
    assert prevenant("on-call", "end", "1", folder=folder)[0] == "override 1 has ended\n"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["show", "dusk"], "no schedule 'dusk': did you mean 'desk'?"),
        (["override", "desk", "nobody", "--to", "2030-01-01"], "no contact 'nobody'"),
        (["override", "desk", "tom-harper", "--to", "soon"], "'soon' is no time"),
        (["override", "desk", "tom-harper", "--to", "2001-01-01"], "it ends before it begins"),
        (["end", "9"], "there is no override 9"),
    ],
)
def test_a_mistake_is_one_line(folder: Path, arguments: list[str], error: str) -> None:
    _, errors = prevenant("on-call", *arguments, folder=folder, status=1)
    assert errors.startswith("error: ")
    assert error in errors
    assert len(errors.splitlines()) == 1


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Use SQLite alone."""
    return sqlite_url


def test_the_api_shows_schedules_and_lets_somebody_stand_in(world: World) -> None:
    def call(method: str, path: str, **body: str) -> requests.Response:
        headers = {"Authorization": "Bearer admin"}
        url = f"{world.engine.address}/api/v1/{path}"
        return requests.request(method, url, json=body or None, headers=headers, timeout=60)

    book = BOOK
    assert call("POST", "book", text=book).status_code == 200
    desk, *_ = call("GET", "on-call").json()
    assert desk["duties"][0]["name"] == "Tom Harper"
    wanted = {"schedule": "desk", "contact": "ines-fabre", "ends_at": "2026-05-04T12:00:00Z"}
    given = call("POST", "on-call/overrides", **wanted)
    assert given.status_code == 201
    assert call("GET", "on-call").json()[0]["duties"][0]["name"] == "Inès Fabre"
    ended = call("POST", f"on-call/overrides/{given.json()['id']}/end", by="Camille")
    assert ended.status_code == 200
    assert call("GET", "on-call").json()[0]["duties"][0]["name"] == "Tom Harper"
    refused = call("POST", "on-call/overrides", **{**wanted, "schedule": "dusk"})
    assert refused.status_code == 422
    assert "did you mean 'desk'?" in refused.text
    assert call("POST", "on-call/overrides/9/end", by="Camille").status_code == 404
