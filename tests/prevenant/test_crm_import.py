from pathlib import Path

import pytest
from sqlmodel import select

from prevenant.crm.directory import find_place, find_role_holders, find_technicians
from prevenant.crm.importing import import_folder
from prevenant.crm.tables import Contact, RoleHolder, Technician
from prevenant.errors import CrmImportError
from prevenant.store import Store
from tests.world import DEMO_DATA

CUSTOMERS = "id,name\nacme,ACME\n"
CONTACTS = (
    "id,name,phone,email,roles\nann,Ann Lee,+33 6 39 98 00 01,ann@x.example,guard@s1; chief\n"
)
SITES = "id,name,customer,contact,latitude,longitude,timezone\ns1,Site 1,acme,ann,47.3,5.0,Europe/Paris\n"


def write(folder: Path, **files: str) -> Path:
    """Write CSV files."""
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text)
    return folder


def run(store: Store, folder: Path) -> dict[str, int]:
    """Import a folder."""
    with store.write() as session:
        return import_folder(session, folder)


def test_the_demo_can_be_imported_again_and_again(store: Store) -> None:
    first = run(store, DEMO_DATA)
    assert first == run(store, DEMO_DATA)
    with store.read() as session:
        assert len(session.exec(select(Technician)).all()) == first["technicians"]
        assert len(session.exec(select(RoleHolder)).all()) == 10


def test_numbers_are_kept_in_one_form_and_roles_by_site(store: Store, tmp_path: Path) -> None:
    run(store, write(tmp_path, customers=CUSTOMERS, contacts=CONTACTS, sites=SITES))
    with store.read() as session:
        assert session.get_one(Contact, "ann").phone == "+33639980001"
        assert [p.contact_id for p in find_role_holders(session, "guard", "s1")] == ["ann"]
        assert find_role_holders(session, "guard", "s2") == []
        assert [p.contact_id for p in find_role_holders(session, "chief", "s2")] == ["ann"]


def test_a_later_file_may_name_what_an_earlier_import_brought(store: Store, tmp_path: Path) -> None:
    run(store, write(tmp_path, customers=CUSTOMERS, contacts=CONTACTS, sites=SITES))
    later = tmp_path / "later"
    later.mkdir()
    write(later, devices="site,device,type,label\ns1,D1,door,Door 1\n")
    assert run(store, later) == {"devices": 1}
    with store.read() as session:
        place = find_place(session, "door", "s1", "s1/D1")
    assert (place.label, place.site_name, place.timezone) == ("Door 1", "Site 1", "Europe/Paris")
    assert place.position == (47.3, 5.0)
    assert place.customer is not None
    assert place.customer.name == "Ann Lee"
    with store.read() as session:
        place = find_place(session, "door", "s1", "s1/D2")
        # Wherever its readings say that it is, a device is where the CRM has it.
        moved = find_place(session, "door", "s9", "s1/D1")
    assert (place.label, place.place, place.type) == ("D2", "", "door")
    assert (place.site_name, place.position) == ("Site 1", (47.3, 5.0))
    assert (moved.label, moved.site_name) == ("Door 1", "Site 1")


def test_an_unknown_device_has_a_place_all_the_same(store: Store) -> None:
    with store.read() as session:
        place = find_place(session, "door", "s9", "s9/D1")
    assert (place.label, place.site_name, place.position, place.customer) == (
        "D1",
        "s9",
        None,
        None,
    )


def test_everything_wrong_is_said_at_once_and_nothing_is_written(
    store: Store, tmp_path: Path
) -> None:
    write(
        tmp_path,
        customers="id,name\nacme,ACME\nacme,Again\n,Nameless\n",
        contacts="id,name,phone,email,timezone,preferred\n"
        "ann,Ann,12,ann,Mars/Base,pigeon\n"
        "bob,Bob,+33639980002,bob@x.example,UTC,sms\n"
        "zoe,\u200b,+33639980003,zoe@x.example,UTC,sms\n"
        "tom, ,+33639980004,tom@x.example,UTC,sms\n",
        sites="id,name,customer,latitude,longitude\ns1,S,nobody,91,5\ns2,S,acne,47,5\n",
        technicians="id,contact,latitude,longitude,skills,shifts,colour\n",
        devices="site,device,label\ns1,D1,Door 1\n",
        customer="id\n",
    )
    with pytest.raises(CrmImportError) as refused:
        run(store, tmp_path)
    text = str(refused.value).replace(f"{tmp_path}/", "")
    for words in (
        "customers.csv:3:1: 'acme' stands in line 2 already",
        "customers.csv:4:1: id: this is empty: fill it in",
        "contacts.csv:2:3: phone: this is no phone number",
        "contacts.csv:2:4: email: this is no e-mail address",
        "contacts.csv:2:5: timezone: this is no time zone",
        "contacts.csv:2:6: preferred:",
        "contacts.csv:4:2: name: nothing of it can be seen: fill it in",
        "contacts.csv:5:2: name: this is empty: fill it in",
        "sites.csv:2:4: latitude: input should be less than or equal to 90",
        "sites.csv:3:3: customer: there is no 'acne' in customers: did you mean 'acme'?",
        "technicians.csv:1:7: the column 'colour' is not known",
        "devices.csv:2:1: the column 'type' is missing: add it, since 's1/D1' is new",
        "sites.csv:2:3: customer: there is no 'nobody' in customers",
        "customer.csv:1:1: this file is not known: did you mean 'customers.csv'?",
    ):
        assert words in text, text
    with store.read() as session:
        assert session.exec(select(Contact)).all() == []
        assert find_technicians(session) == []


def test_a_folder_with_nothing_in_it_says_what_it_should_hold(store: Store, tmp_path: Path) -> None:
    with pytest.raises(CrmImportError, match=r"holds none of areas\.csv, customers\.csv"):
        run(store, tmp_path)


def test_a_file_that_is_no_csv_is_named(store: Store, tmp_path: Path) -> None:
    (tmp_path / "customers.csv").write_bytes(b"\xff\xd8\x00\x01")
    with pytest.raises(CrmImportError, match=r"customers\.csv:1:1: cannot be read"):
        run(store, tmp_path)
