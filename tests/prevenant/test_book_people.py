"""`rules check` knows the people of the store, or of a folder: roles, skills, and who is on call."""

import shutil
from pathlib import Path

import pytest
from sqlmodel import select
from typer.testing import CliRunner

from prevenant.book import load_book
from prevenant.book_people import advise_on_people, people_in_folder, people_in_store
from prevenant.cli import app
from prevenant.crm.importing import import_folder
from prevenant.crm.tables import Contact
from prevenant.errors import CrmImportError
from prevenant.store import Store
from workflows.own_alarm import OPERATOR

DEMO = Path("prevenant/crm/demo")
BOOK = """
on_call: {night: {timezone: UTC, layers: [{people: [tom-harper]}]}}
devices: {door: {topic: 'a/{site}/{device}', fields: {open: bool}}}
workflows:
  visit:
    - tell: secuirty
      template: all_clear
    - escalate: [security-supervisor, nobody]
    - dispatch: {skill: refrigeration >= 9}
      otherwise: {hand_off: "on-call:night"}
    - dispatch: {skill: plumbing}
      otherwise: {escalate: dispatcher}
"""


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """Return a book that asks for people who are not there."""
    path = tmp_path / "rules.yaml"
    path.write_text(BOOK)
    return path


def test_roles_and_skills_that_nobody_has_are_warned_of_where_they_stand(book: Path) -> None:
    found = advise_on_people(load_book(book), people_in_folder(DEMO))
    assert [(one.line, one.column) for one in found] == [(6, 13), (8, 17), (9, 25), (11, 25)]
    words = "\n".join(one.message for one in found)
    assert "did you mean 'security'" in words
    assert "nobody has the role 'nobody'" in words
    assert "refrigeration >= 9: only 3 has been learned" in words
    assert "plumbing >= 1: nobody has learned it" in words


def test_a_role_that_nobody_has_is_warned_of_where_storms_are_told(tmp_path: Path) -> None:
    book = tmp_path / "rules.yaml"
    book.write_text("""
workflows:
  visit:
    storm: {tell: dispatchr}
    steps: [{escalate: dispatcher}]
  other:
    storm: {cases: 20, tell: field-managers}
    steps: [{escalate: dispatcher}]
""")
    (warning,) = advise_on_people(load_book(book), people_in_folder(DEMO))
    assert (warning.line, warning.column) == (4, 19)
    assert "did you mean 'dispatcher'" in warning.message


def test_a_role_of_somebody_who_is_inactive_is_nobodys(book: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    store = Store(url)
    store.upgrade()
    with store.write() as session:
        import_folder(session, DEMO)
        session.get_one(Contact, "marc-oliveira").is_active = False
    store.close()
    people = people_in_store(url)
    assert people is not None
    assert "security-supervisor" not in people.roles
    words = [one.message for one in advise_on_people(load_book(book), people)]
    assert any("nobody has the role 'security-supervisor'" in one for one in words)


def test_somebody_on_call_who_is_no_contact_is_warned_of(tmp_path: Path) -> None:
    book = tmp_path / "rules.yaml"
    book.write_text("""
on_call:
  day:
    timezone: UTC
    layers:
      - {people: [tom-harper, toni-harper], hours: mon-fri 08:00-18:00}
      - {people: [tom-harper, zzz], turn: 1w}
      - {people: [zzz]}
""")
    found = advise_on_people(load_book(book), people_in_folder(DEMO))
    assert {one.line for one in found} == {4}
    named = "on_call 'day': the CRM has no contact {}, so nobody is told while it is their turn: "
    assert [one.message for one in found] == [
        named.format("'toni-harper'") + "did you mean 'tom-harper'?",
        named.format("'zzz'") + "import the contact, or name another",
    ]


def test_the_shipped_book_and_the_demos_people_fit() -> None:
    people = people_in_folder(DEMO)
    assert advise_on_people(load_book(Path("rules.yaml")), people) == []
    assert OPERATOR in people.roles, "whom the self-audit tells"


def test_a_store_is_asked_only_where_there_is_one_with_people(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'none.db'}"
    assert people_in_store(url) is None
    assert not (tmp_path / "none.db").exists()
    assert people_in_store("postgresql+psycopg://nobody@127.0.0.1:1/none") is None
    store = Store(url)
    store.upgrade()
    assert people_in_store(url) is None
    with store.write() as session:
        import_folder(session, DEMO)
    people = people_in_store(url)
    assert people is not None
    assert "security" in people.roles
    assert people.skills["refrigeration"] == 3
    # Who is not there any more has no role, and is not sent.
    with store.write() as session:
        for one in session.exec(select(Contact)):
            one.is_active = False
            session.add(one)
    store.close()
    assert people_in_store(url) is None


def test_the_command_takes_a_folder(book: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["rules", "check", str(book), "--crm", str(DEMO)])
    assert result.exit_code == 0
    assert "nobody has the role 'secuirty'" in result.output
    strict = CliRunner().invoke(app, ["rules", "check", str(book), "--strict", "--crm", str(DEMO)])
    assert strict.exit_code == 1
    bad = tmp_path / "crm"
    shutil.copytree(DEMO, bad)
    (bad / "contacts.csv").write_text("id,name\n,x\n")
    refused = CliRunner().invoke(app, ["rules", "check", str(book), "--crm", str(bad)])
    assert isinstance(refused.exception, CrmImportError)
