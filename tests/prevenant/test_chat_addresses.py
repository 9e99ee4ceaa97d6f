"""A chat's address is taken, used and exported, and shown nowhere."""

from pathlib import Path

import pytest
from sqlmodel import select

from prevenant.crm.directory import find_person
from prevenant.crm.entities import ENTITIES
from prevenant.crm.exporting import export_files, find_rows, hide_secrets
from prevenant.crm.importing import import_folder
from prevenant.crm.tables import Contact
from prevenant.errors import CrmImportError
from prevenant.store import Store

CHAT = "slack://token-a/token-b/token-c/#alarms"
ROW = f"id,name,whatsapp,chat,preferred\nzoe,Zoe,+33 6 39 98 00 41,{CHAT},chat\n"


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Use SQLite alone."""
    return sqlite_url


def take(store: Store, folder: Path, text: str) -> None:
    """Import contacts."""
    folder.mkdir(exist_ok=True)
    (folder / "contacts.csv").write_text(text, "utf-8")
    with store.write() as session:
        import_folder(session, folder)


def test_it_is_taken_and_exported_as_it_is(store: Store, tmp_path: Path) -> None:
    take(store, tmp_path / "in", ROW)
    with store.read() as session:
        person = find_person(session, "zoe")
        export_files(session, tmp_path / "out")
    assert person is not None
    assert person.addresses == {"whatsapp": "+33639980041", "chat": CHAT}
    assert CHAT in (tmp_path / "out" / "contacts.csv").read_text("utf-8")


def test_it_is_shown_without_its_secrets_and_what_is_shown_replaces_nothing(
    store: Store, tmp_path: Path
) -> None:
    take(store, tmp_path / "in", ROW)
    with store.read() as session:
        (row,) = find_rows(session, ENTITIES["contacts"])
    shown = hide_secrets(row)
    assert shown["chat"] == "slack://********"
    assert "token" not in str(shown)
    with pytest.raises(CrmImportError, match="this only stands for the address"):
        take(store, tmp_path / "in", ROW.replace(CHAT, shown["chat"]))
    with store.read() as session:
        assert session.exec(select(Contact.chat)).one() == CHAT


def test_what_is_no_address_is_refused_without_being_quoted(store: Store, tmp_path: Path) -> None:
    with pytest.raises(CrmImportError, match="no address of a chat") as refused:
        take(store, tmp_path / "in", ROW.replace(CHAT, "token-a"))
    assert "token-a" not in str(refused.value)
