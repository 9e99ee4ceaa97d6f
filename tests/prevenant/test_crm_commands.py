"""The commands of the CRM, as a person types them."""

import json
from pathlib import Path

import pytest

from tests.prevenant.test_cli import prevenant
from tests.prevenant.test_crm_files import BASE, book, write
from tests.world import DEMO_DATA


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Return a folder with the demo's CRM in its store."""
    prevenant("crm", "import", str(DEMO_DATA.resolve()), "--source", "demo", folder=tmp_path)
    return tmp_path


def test_rows_come_in_by_workbook_and_go_out_again(tmp_path: Path) -> None:
    sheets = {n: [line.split(",") for line in text.splitlines()] for n, text in BASE.items()}
    path = book(tmp_path / "crm.xlsx", **{n: sheets[n] for n in ("areas", "customers")})
    said, _ = prevenant("crm", "import", str(path), "--dry-run", folder=tmp_path)
    assert said.splitlines()[0] == "would import 1 areas, 1 customers"
    before = json.loads(prevenant("crm", "show", "--json", folder=tmp_path)[0])
    assert before["rows"]["customers"]["rows"] == 0
    said, _ = prevenant("crm", "import", str(path), folder=tmp_path)
    assert "areas: 1 new" in said
    said, _ = prevenant("crm", "export", "out.xlsx", folder=tmp_path)
    assert said == "out.xlsx: 1 areas, 1 customers\n"
    assert "1 areas" in prevenant("crm", "import", "out.xlsx", folder=tmp_path)[0]


def test_mistakes_are_lines_with_their_places(tmp_path: Path) -> None:
    write(tmp_path / "a", customers="id,nam\nx,X\n")
    _, errors = prevenant("crm", "import", "a", folder=tmp_path, status=1)
    assert errors.startswith("a/customers.csv:1:2: the column 'nam' is not known")
    _, errors = prevenant("crm", "import", "a", "--remove-missing", folder=tmp_path, status=1)
    assert errors.startswith("error: say whose rows may be removed with --source NAME")


def test_what_there_is_can_be_looked_at(here: Path) -> None:
    found = json.loads(prevenant("crm", "show", "--json", folder=here)[0])
    assert found["rows"]["technicians"] == {"rows": 14, "removed": 0}
    one = json.loads(prevenant("crm", "show", "technicians", "lea-moreau", folder=here)[0])
    assert one["skills"] == {"refrigeration": 3, "hvac": 1}
    _, errors = prevenant("crm", "show", "technicans", folder=here, status=1)
    assert errors == "error: the CRM has no 'technicans': did you mean 'technicians'?\n"
    _, errors = prevenant("crm", "show", "sites", "t9", folder=here, status=1)
    assert errors.startswith("error: there is no 't9' in sites")


def test_leave_is_a_line(here: Path) -> None:
    until = ("--until", "2099-05-06T18:00+02:00", "--reason", "ill")
    said, _ = prevenant("crm", "leave", "lea-moreau", *until, folder=here)
    assert said == "lea-moreau is away until 2099-05-06 16:00:00 UTC\n"
    _, errors = prevenant("crm", "leave", "lea-morau", *until, folder=here, status=1)
    assert errors == "error: the CRM has no technician 'lea-morau': did you mean 'lea-moreau'?\n"


def test_a_person_is_shown_and_erased(here: Path) -> None:
    shown = json.loads(prevenant("crm", "export-person", "camille-roux", folder=here)[0])
    assert shown["held"]["contact"][0]["phone"] == "+33639980041"
    assert shown["held"]["site"][0]["address"] == "3 allée du Moulin, Valmont"
    said, _ = prevenant("crm", "erase", "camille-roux", "--dry-run", folder=here)
    assert said.startswith("would erase camille-roux: ")
    said, _ = prevenant("crm", "erase", "camille-roux", folder=here)
    assert said.startswith("erased camille-roux: ")
    _, errors = prevenant("crm", "erase", "camille-roux", folder=here, status=1)
    assert errors.startswith("error: the CRM has no contact 'camille-roux'")
    everything = (here / "var" / "prevenant.db").read_bytes()
    assert b"erased-" in everything


def test_an_outside_crm_is_read_by_command(here: Path) -> None:
    _, errors = prevenant("crm", "sync", folder=here, status=1)
    assert errors.startswith("error: crm.yaml names no source: see docs/crm.md")
    # Our own tables are as good a database as another.
    (here / "crm.yaml").write_text(
        "sources:\n"
        "  twin:\n"
        "    database: sqlite:///twin.db\n"
        "    rows: {customers: {table: customer, columns: {id: id, name: name}}}\n"
    )
    (here / "twin.db").write_bytes((here / "var" / "prevenant.db").read_bytes())
    said, _ = prevenant("crm", "sync", "--dry-run", folder=here)
    assert said == "twin: 14 customers: nothing new\n"
    assert prevenant("crm", "sync", "twin", folder=here)[0] == said
    assert "twin" in prevenant("crm", "show", folder=here)[0]
    _, errors = prevenant("crm", "sync", "twn", folder=here, status=1)
    assert errors == "error: crm.yaml names no twn: it names twin\n"
    (here / "twin.db").unlink()
    said, _ = prevenant("crm", "sync", folder=here, status=1)
    assert "twin/customers: the database does not answer: unable to open" in said
