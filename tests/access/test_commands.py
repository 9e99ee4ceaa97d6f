"""`prevenant users`, `tokens` and `trail`, as a person types them."""

import csv
import io
import json
from pathlib import Path

from prevenant.publishing import user_name
from tests.prevenant.test_cli import prevenant
from tests.world import DEMO_DATA

RULES = Path("rules.yaml")


def test_people_and_tokens_are_made_changed_and_ended(tmp_path: Path) -> None:
    prevenant("crm", "import", str(DEMO_DATA.resolve()), folder=tmp_path)
    by = ("--by", "Léa")
    grant = ("--grant", "operator@area:airport", "--grant", "viewer")
    said, _ = prevenant(
        "users", "add", "camille", "--as", "Camille Roux", *grant, *by, folder=tmp_path
    )
    assert said.splitlines()[0] == "Camille Roux may sign in as camille"
    first = said.split("shown only now: ")[1].strip()
    assert len(first) >= 12
    (one,) = json.loads(prevenant("users", "list", "--json", folder=tmp_path)[0])
    assert one["grants"] == ["viewer", "operator@area:airport"]
    assert (one["must_change"], one["created_by"]) == (True, "Léa")
    assert first not in str(one)
    said, _ = prevenant(
        "users", "change", "camille", "--grant", "author", "--off", *by, folder=tmp_path
    )
    assert said.splitlines()[1:] == ["may sign in: no", "grants: author"]
    again, _ = prevenant("users", "password", "camille", *by, folder=tmp_path)
    assert first not in again
    said, _ = prevenant("users", "sign-out", "camille", *by, folder=tmp_path)
    assert said == "camille was signed out of 0 browsers\n"
    scope = ("--grant", "viewer", "--scope", "cases:read", "--lasts", "90d")
    said, _ = prevenant("tokens", "add", "desk", *scope, *by, folder=tmp_path)
    assert said.startswith("Token desk, shown only now: prv_")
    prevenant("tokens", "revoke", "desk", *by, folder=tmp_path)
    (token,) = json.loads(prevenant("tokens", "list", "--json", folder=tmp_path)[0])
    assert (token["is_good"], token["scopes"]) == (False, ["cases:read"])
    told = prevenant("trail", "--csv", folder=tmp_path)[0]
    rows = list(csv.DictReader(io.StringIO(told)))
    assert [one["path"] for one in reversed(rows)] == [
        "crm import",
        "users add camille",
        "users change camille",
        "users password camille",
        "users sign-out camille",
        "tokens add desk",
        "tokens revoke desk",
    ]
    # Nobody was named who imports: it is whoever typed it.
    *by_name, imported = rows
    assert {(one["actor"], one["key"], one["outcome"]) for one in by_name} == {
        ("Léa", "command line", "done")
    }
    assert imported["actor"] == user_name()


def test_mistakes_are_one_line_with_the_remedy(tmp_path: Path) -> None:
    def refuse(*typed: str) -> str:
        return prevenant(*typed, folder=tmp_path, status=1)[1]

    prevenant("users", "add", "camille", folder=tmp_path)
    assert (
        refuse("users", "add", "camille")
        == "error: there is a user 'camille' already: change that one, or take another name\n"
    )
    assert "did you mean 'camille'" in refuse("users", "password", "camile")
    assert "the CRM has no site 'x'" in refuse("users", "add", "zoe", "--grant", "viewer@site:x")
    assert "a name has 1 to 100" in refuse("users", "add", "zoe", "--as", "x" * 101)
    assert refuse("tokens", "add", "desk").startswith("error: say what the token may")
    assert "did you mean 'cases'" in refuse(
        "tokens", "add", "desk", "--grant", "viewer", "--scope", "case"
    )
    assert refuse("tokens", "revoke", "desk").startswith("error: there is no token 'desk'")
    assert json.loads(prevenant("trail", "--json", folder=tmp_path)[0])[0]["path"] == (
        "users add camille"
    )


def test_what_other_commands_change_stands_in_the_trail_and_what_they_refuse_does_not(
    tmp_path: Path,
) -> None:
    book = tmp_path / "rules.yaml"
    book.write_text(RULES.read_text("utf-8"), "utf-8")
    by = ("--by", "Léa")

    def do(*typed: str, status: int = 0) -> None:
        prevenant(*typed, folder=tmp_path, status=status)

    do("crm", "import", str(DEMO_DATA.resolve()), "--dry-run")
    do("crm", "import", str(DEMO_DATA.resolve()))
    do("rules", "publish", str(book))
    do("crm", "leave", "lea-moreau", "--until", "2030-05-04T18:00:00Z")
    shelf = ("--rule", "door-held-open", "--device", "t2/D14", "--for", "2h", "--reason", "lock")
    do("alarms", "shelve", *shelf, *by)
    typed = ("--rule", "door-hold-open", "--site", "t2", "--for", "2h")
    refused = prevenant("alarms", "shelve", *typed, *by, folder=tmp_path, status=1)[1]
    assert "has no rule 'door-hold-open': did you mean 'door-held-open'" in refused
    do("alarms", "unshelve", "1", *by)
    do("alarms", "acknowledge", "7", *by, status=1)
    do("cases", "ack", "7", *by, status=1)
    do("crm", "erase", "camille-roux")
    told = json.loads(prevenant("trail", "--json", folder=tmp_path)[0])
    assert [one["path"] for one in reversed(told)] == [
        "crm import",
        f"rules publish {book.resolve()}",
        "crm leave lea-moreau",
        "alarms shelve rule door-held-open, device t2/D14",
        "alarms unshelve 1",
        "crm erase",
    ]
    assert "camille" not in json.dumps(told)
