"""What spreadsheets do to the files that people import, and what comes of it."""

import random
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook, load_workbook
from sqlmodel import col, func, select

from prevenant.consent import Consent
from prevenant.crm.adopting import adopt_device
from prevenant.crm.exporting import export_files
from prevenant.crm.importing import import_files
from prevenant.crm.positions import Heard, record_positions
from prevenant.crm.rows import parse_phone
from prevenant.crm.sheets import cell_text
from prevenant.crm.shifts import parse_shifts, show_shifts
from prevenant.crm.tables import (
    Area,
    Asset,
    Contact,
    CrmRecord,
    Customer,
    Device,
    Exclusion,
    Leave,
    RoleHolder,
    Site,
    Technician,
)
from prevenant.crm.writing import Tally
from prevenant.errors import ConfigurationError, CrmImportError
from prevenant.store import Store
from tests.world import DEMO_DATA

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
BASE = {
    "areas": "id,name\nnorth,The north\n",
    "customers": "id,name\nacme,ACME\n",
    "contacts": "id,name,phone\nann,Ann Lee,+33639980001\nbob,Bob,+33639980002\n",
    "sites": "id,name,customer,contact,latitude,longitude,timezone,area\n"
    "s1,Site 1,acme,ann,47.3,5.0,Europe/Paris,north\n",
    "assets": "id,site,name,model,installed_at\nf1,s1,Fridge,FX-2,2024-03-01\n",
    "devices": "site,device,type,label,asset\ns1,D1,refrigerator,Fridge,f1\n",
    "technicians": "id,contact,latitude,longitude,timezone,skills,shifts,holidays,areas,parts\n"
    "t1,bob,47.2,5.1,Europe/Paris,gas:2; hvac,mon-fri 08:00-18:00,FR,north,compressor:2; seal\n",
    "roles": "contact,role,site\nann,guard,s1\n",
    "leave": "technician,starts_at,ends_at,reason\nt1,2026-05-11,2026-05-12,leave\n",
    "exclusions": "technician,customer,reason\nt1,acme,asked for another\n",
    "consents": "contact,channel,state,at,source,proof\n"
    "ann,sms,granted,2026-01-01,contract,page 3\n",
    "positions": "technician,latitude,longitude,observed_at\nt1,47.25,5.05,2026-05-04T07:59Z\n",
}


def write(folder: Path, **files: str) -> Path:
    """Write CSV files into a folder of their own."""
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text, "utf-8")
    return folder


def book(path: Path, **sheets: list[list[Any]]) -> Path:
    """Write a workbook as a spreadsheet would."""
    made = Workbook()
    for name, rows in sheets.items():
        sheet = made.create_sheet(name)
        for row in rows:
            sheet.append(row)
    made.remove(made.worksheets[0])
    made.save(path)
    return path


def run(store: Store, path: Path, **options: Any) -> dict[str, Tally]:
    """Import."""
    with store.write() as session:
        return import_files(session, path, NOW, **options)


def problems(store: Store, path: Path) -> str:
    """Return what is wrong with files, without their folder."""
    with pytest.raises(CrmImportError) as refused:
        run(store, path)
    return str(refused.value).replace(f"{path.parent}/", "")


def test_every_kind_of_row_arrives_and_changes_nothing_the_second_time(
    store: Store, tmp_path: Path
) -> None:
    folder = write(tmp_path / "a", **BASE)
    assert all(
        tally.new == tally.listed > 0
        for name, tally in run(store, folder).items()
        if name != "positions"
    )
    with store.read() as session:
        technician = session.get_one(Technician, "t1")
        assert technician.skills == {"gas": 2, "hvac": 1}
        assert (technician.holidays, technician.areas) == ("FR", ["north"])
        assert technician.parts == {"compressor": 2, "seal": 1}
        assert technician.position_at == datetime(2026, 5, 4, 7, 59, tzinfo=UTC)
        assert session.get_one(Device, "s1/D1").asset_id == "f1"
        assert session.get_one(Site, "s1").area_id == "north"
        assert session.get_one(Asset, "f1").installed_at == datetime(2024, 3, 1, tzinfo=UTC)
        away = session.exec(select(Leave)).one()
        # In Paris, summer time: from the first midnight to the last moment of the last day.
        assert away.starts_at == datetime(2026, 5, 10, 22, 0, tzinfo=UTC)
        assert away.ends_at == datetime(2026, 5, 12, 21, 59, 59, 999999, tzinfo=UTC)
        assert session.exec(select(Exclusion)).one().reason == "asked for another"
        assert session.exec(select(Consent)).one().proof == "page 3"
        assert session.exec(select(RoleHolder)).one().role == "guard"
        assert session.get_one(Area, "north").name == "The north"
    again = run(store, folder)
    assert [(t.new, t.changed) for t in again.values()] == [(0, 0)] * len(BASE)


def test_a_workbook_holds_the_same_as_the_files(store: Store, tmp_path: Path) -> None:
    run(store, write(tmp_path / "a", **BASE))
    with store.read() as session:
        export_files(session, tmp_path / "out.xlsx")
        export_files(session, tmp_path / "out")
    for again in (tmp_path / "out.xlsx", tmp_path / "out"):
        tallies = run(store, again)
        assert set(tallies) == set(BASE)
        assert [(t.new, t.changed) for t in tallies.values()] == [(0, 0)] * len(BASE)


def test_the_demo_comes_back_from_its_export(store: Store, tmp_path: Path) -> None:
    run(store, DEMO_DATA)
    with store.read() as session:
        export_files(session, tmp_path / "demo.xlsx")
    assert not any(t.new or t.changed for t in run(store, tmp_path / "demo.xlsx").values())


def test_what_a_spreadsheet_makes_of_ids_numbers_and_dates(store: Store, tmp_path: Path) -> None:
    path = book(
        tmp_path / "crm.xlsx",
        Customers=[["ID", "Name"], [7.0, "Seven"], [8, "Eight"]],
        contacts=[
            ["id", "name", "phone", "customer"],
            [7, "Ann", 33612345678, 7.0],
            [8.0, "Bob", "+33 6 39 98 00 02", "8"],
        ],
        sites=[["id", "name", "customer", "latitude", "longitude"], [1, 1, 7, 47.3, "5,25"]],
        technicians=[
            ["id", "contact", "latitude", "longitude", "skills", "shifts", "active"],
            [1, 7, 47, 5, "gas", "always", True],
            [None, None, None],
            [2, 8, 47, 5, "gas", "always", "non"],
        ],
        leave=[
            ["technician", "starts_at", "ends_at"],
            [1, date(2026, 5, 11), datetime(2026, 5, 12, 12, 0)],  # noqa: DTZ001  as Excel has it
        ],
    )
    run(store, path)
    with store.read() as session:
        assert session.get_one(Customer, "7").name == "Seven"
        ann = session.get_one(Contact, "7")
        assert (ann.phone, ann.customer_id) == ("+33612345678", "7")
        assert session.get_one(Site, "1").longitude == 5.25
        assert session.get_one(Technician, "1").is_active
        assert not session.get_one(Technician, "2").is_active
        away = session.exec(select(Leave)).one()
        assert (away.starts_at, away.ends_at) == (
            datetime(2026, 5, 11, tzinfo=UTC),
            datetime(2026, 5, 12, 12, tzinfo=UTC),
        )


def test_a_mistake_in_a_workbook_has_the_name_of_its_cell(store: Store, tmp_path: Path) -> None:
    path = book(
        tmp_path / "crm.xlsx",
        customers=[["id", "name"], ["a", "A"], ["a", "again"]],
        contacts=[["id", "name", "phone", "mail"], ["x", "X", 639980001, ""]],
        sites=[
            ["id", "name", "customer", "latitude", "longitude", "timezone"],
            ["s", "S", "a", 147, 5, "Paris"],
        ],
        technician=[["id"]],
    )
    text = problems(store, path)
    for words in (
        "crm.xlsx:customers!A3: 'a' stands in line 2 already",
        "crm.xlsx:contacts!D1: the column 'mail' is not known: did you mean 'email'?",
        "crm.xlsx:sites!D2: latitude: input should be less than or equal to 90",
        "crm.xlsx:sites!F2: timezone: this is no time zone",
        "crm.xlsx:technician: this sheet is not known: did you mean 'technicians'?",
    ):
        assert words in text, text
    with store.read() as session:
        assert session.exec(select(Customer)).all() == []


@pytest.mark.parametrize(
    "number",
    ["0033639980001", "0033 6 39 98 00 01", "00 33 (0)6.39.98.00.01", "+33 (0)6 39 98 00 01"],
)
def test_a_number_may_be_written_as_it_is_dialled_from_abroad(number: str) -> None:
    assert parse_phone(number) == "+33639980001"


def test_a_number_without_its_country_says_what_the_spreadsheet_did(
    store: Store, tmp_path: Path
) -> None:
    path = book(tmp_path / "crm.xlsx", contacts=[["id", "name", "phone"], ["x", "X", 639980001]])
    assert "contacts!C2: phone: this is no phone number" in problems(store, path)
    assert "make the column text" in problems(store, path)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffid;name;latitude;longitude;customer\ns1;Site;47,3;5,1;acme\n",
        "id\tname\tlatitude\tlongitude\tcustomer\r\ns1\tSite\t47.3\t5.1\tacme\r\n",
        "ID, Name ,Latitude,longitude,customer,\ns1,Site,47.3,5.1,acme,\n\n",
    ],
)
def test_separators_marks_and_headings_of_spreadsheets(
    store: Store, tmp_path: Path, text: str
) -> None:
    run(store, write(tmp_path / "a", customers=BASE["customers"], sites=text))
    with store.read() as session:
        assert session.get_one(Site, "s1").latitude == 47.3


def test_lines_are_counted_as_an_editor_counts_them(store: Store, tmp_path: Path) -> None:
    text = 'id,name\na,"A\nof two lines"\n\nb,\n'
    folder = write(tmp_path / "a", customers=text)
    assert "customers.csv:5:2: name:" in problems(store, folder)


def test_a_file_with_some_columns_changes_those_alone(store: Store, tmp_path: Path) -> None:
    run(store, write(tmp_path / "a", **BASE))
    part = write(tmp_path / "b", contacts="id,email\nann,ann@x.example\n")
    assert run(store, part)["contacts"].changed == 1
    with store.read() as session:
        ann = session.get_one(Contact, "ann")
        assert (ann.name, ann.phone, ann.email) == ("Ann Lee", "+33639980001", "ann@x.example")
    # A cell that is named and empty is cleared; who is new needs everything.
    (part / "contacts.csv").write_text("id,email\nann,\nzoe,zoe@x.example\n")
    text = problems(store, part)
    assert "contacts.csv:3:1: the column 'name' is missing: add it, since 'zoe' is new" in text
    (part / "contacts.csv").write_text("id,email\nann,\n")
    run(store, part)
    with store.read() as session:
        assert session.get_one(Contact, "ann").email == ""


def test_one_file_alone_can_be_imported(store: Store, tmp_path: Path) -> None:
    folder = write(tmp_path / "a", **BASE)
    assert run(store, folder / "customers.csv")["customers"].new == 1
    (folder / "people.csv").write_text("id,name\n")
    assert "it is not clear what this file holds" in problems(store, folder / "people.csv")
    for name in ("nothing.csv", "nothing", "nothing.xlsx"):
        assert "there is no such file or folder" in problems(store, folder / name)


def test_who_is_listed_no_more_works_no_more_and_comes_back(store: Store, tmp_path: Path) -> None:
    folder = write(tmp_path / "a", **BASE)
    run(store, folder, source="erp")
    mine = write(tmp_path / "mine", customers="id,name\nown,Own\n")
    run(store, mine, source="hand")
    for name in ("technicians", "leave", "exclusions", "roles", "customers"):
        (folder / f"{name}.csv").write_text(BASE[name].partition("\n")[0] + "\n")
    for name in ("contacts", "sites", "assets", "devices", "consents", "positions"):
        (folder / f"{name}.csv").unlink()
    with pytest.raises(ConfigurationError, match=r"of the 1 .*, 0 are listed.*--most-removed 100%"):
        run(store, folder, source="erp", remove_missing=True)
    with store.read() as session:
        assert session.get_one(Technician, "t1").is_active
    tallies = run(store, folder, source="erp", remove_missing=True, most_removed=1.0)
    assert {n: t.removed for n, t in tallies.items() if t.removed} == {
        "technicians": 1,
        "leave": 1,
        "exclusions": 1,
        "roles": 1,
        "customers": 1,
    }
    with store.read() as session:
        assert not session.get_one(Technician, "t1").is_active
        assert session.exec(select(Leave)).all() == []
        assert session.exec(select(RoleHolder)).all() == []
        # What cases may have had to do with stays, and is marked; another's rows are left alone.
        assert session.get_one(Customer, "acme").name == "ACME"
        record = session.get_one(CrmRecord, ("customers", "acme"))
        assert (record.removed_at, record.source) == (NOW, "erp")
        assert session.get_one(CrmRecord, ("customers", "own")).removed_at is None
    assert not any(
        t.removed for t in run(store, folder, source="erp", remove_missing=True).values()
    )
    run(store, write(tmp_path / "a", **BASE), source="erp")
    with store.read() as session:
        assert session.get_one(Technician, "t1").is_active
        assert session.get_one(CrmRecord, ("technicians", "t1")).removed_at is None


def test_rows_are_removed_only_where_it_is_said_whose(store: Store, tmp_path: Path) -> None:
    folder = write(tmp_path / "a", **BASE)
    with pytest.raises(ConfigurationError, match="--source NAME"):
        run(store, folder, remove_missing=True)


def test_a_file_changes_no_position_that_was_heard_later(store: Store, tmp_path: Path) -> None:
    run(store, write(tmp_path / "a", **BASE))
    with store.write() as session:
        live = Heard(47.26, 5.06, NOW)
        assert record_positions(session, {"t1": live}, NOW)["t1"].taken
    tally = run(store, write(tmp_path / "b", positions=BASE["positions"]))["positions"]
    assert (tally.changed, tally.same, tally.listed) == (0, 0, 1)
    assert tally.unbelieved == {"t1": "a newer one is known"}
    head, line = BASE["positions"].splitlines()
    for text, reason in (
        (line.replace("2026-05-04T07:59Z", "2026-05-04T12:00Z"), "it is from the future"),
        ("t1,0,0,2026-05-04T08:00:30Z", "0, 0 is what a device says that does not know"),
        ("t1,60,5,2026-05-04T08:00:30Z", "nobody moves"),
    ):
        folder = write(tmp_path / "c", positions=f"{head}\n{text}\n")
        assert reason in run(store, folder)["positions"].unbelieved["t1"]
    with store.read() as session:
        one = session.get_one(Technician, "t1")
        assert (one.position_latitude, one.position_at) == (47.26, NOW)
    newer = write(tmp_path / "d", positions=f"{head}\nt1,47.27,5.06,2026-05-04T08:00:30Z\n")
    assert run(store, newer)["positions"].changed == 1
    with store.read() as session:
        assert session.get_one(Technician, "t1").position_latitude == 47.27


def test_a_device_at_another_site_than_its_topic_says_comes_back_as_itself(
    store: Store, tmp_path: Path
) -> None:
    sites = BASE["sites"] + "s2,Site 2,acme,,47.4,5.1,Europe/Paris,\n"
    run(store, write(tmp_path / "a", **{**BASE, "sites": sites}))
    with store.write() as session:
        adopt_device(session, "s1/D1", "refrigerator", "s2", "Moved fridge")
        adopt_device(session, "D9", "door", "s2", "A door whose topic names no site")
    for name in ("out", "out.xlsx"):
        with store.read() as session:
            export_files(session, tmp_path / name)
        tally = run(store, tmp_path / name)["devices"]
        assert (tally.new, tally.changed, tally.same) == (0, 0, 2)
    named = write(tmp_path / "b", devices="id,site,device,label\ns1/D1,s2,D1,Fridge again\n")
    assert run(store, named)["devices"].changed == 1
    with store.read() as session:
        assert sorted(session.exec(select(Device.id))) == ["D9", "s1/D1"]
        assert session.get_one(Device, "s1/D1").label == "Fridge again"


def test_a_role_without_a_site_is_one_everywhere(store: Store, tmp_path: Path) -> None:
    run(store, write(tmp_path / "a", **{**BASE, "roles": "contact,role\nann,guard\n"}))
    with store.read() as session:
        assert session.exec(select(RoleHolder)).one().site_id == ""


def test_two_technicians_are_not_one_person(store: Store, tmp_path: Path) -> None:
    run(store, write(tmp_path / "a", **BASE))
    more = BASE["technicians"] + BASE["technicians"].splitlines()[1].replace("t1,", "t2,", 1)
    folder = write(tmp_path / "b", technicians=more)
    assert "technicians.csv:3:2: contact: 't1' has 'bob' already" in problems(store, folder)


def test_roles_are_at_sites_that_there_are(store: Store, tmp_path: Path) -> None:
    sites = BASE["sites"].replace("s1,", "site_1,")
    files = {**BASE, "sites": sites} | {
        "contacts": "id,name,roles\nann,Ann,guard@site-1\nbob,Bob,\n"
    }
    text = problems(store, write(tmp_path / "a", **files))
    assert "contacts.csv:2:3: roles: there is no 'site-1' in sites: did you mean 'site_1'?" in text


def test_technicians_arrive_by_the_thousand(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'many.db'}")
    store.upgrade()
    noise = random.Random(7)
    contacts, technicians = ["id,name,phone"], ["id,contact,latitude,longitude,skills,shifts"]
    for number in range(5_000):
        contacts.append(f"c{number},Person {number},+336{number + 39_000_000:08}")
        place = f"{noise.uniform(42, 51):.5f},{noise.uniform(-4, 8):.5f}"
        technicians.append(f"t{number},c{number},{place},gas:{number % 3 + 1},mon-fri 08:00-18:00")
    folder = write(tmp_path / "a", contacts="\n".join(contacts), technicians="\n".join(technicians))
    assert run(store, folder)["technicians"].new == 5_000
    technicians[5] = technicians[5].replace("gas:", "hvac:")
    (folder / "technicians.csv").write_text("\n".join(technicians))
    tally = run(store, folder)["technicians"]
    assert (tally.new, tally.changed, tally.same) == (0, 1, 4_999)
    with store.read() as session:
        assert session.exec(select(func.count(col(Technician.id)))).one() == 5_000
    store.close()


def test_an_exported_cell_is_text_and_no_formula(store: Store, tmp_path: Path) -> None:
    run(store, write(tmp_path / "a", customers="id,name\na,=1+1\n"))
    with store.read() as session:
        export_files(session, tmp_path / "x.xlsx")
    cell = load_workbook(tmp_path / "x.xlsx")["customers"]["B2"]
    assert (cell.value, cell.data_type) == ("=1+1", "s")


DAYS = st.lists(st.integers(0, 6), min_size=1, max_size=7, unique=True).map(sorted)
HOURS = st.tuples(st.integers(0, 23), st.integers(0, 59)).map(lambda x: f"{x[0]:02}:{x[1]:02}")


@given(st.lists(st.tuples(DAYS, HOURS, HOURS), max_size=4))
def test_shifts_come_back_as_they_were(wanted: list[tuple[list[int], str, str]]) -> None:
    shifts = [{"days": days, "start": start, "end": end} for days, start, end in wanted]

    def moments(some: list[dict[str, Any]]) -> set[tuple[int, str, str]]:
        return {(day, one["start"], one["end"]) for one in some for day in one["days"]}

    assert moments(parse_shifts(show_shifts(shifts))) == moments(shifts)


@settings(max_examples=200)
@given(st.integers(-(10**9), 10**9))
def test_a_whole_number_is_the_same_text_whether_or_not_it_was_a_float(number: int) -> None:
    assert cell_text(float(number)) == cell_text(number) == str(number)


def test_a_line_with_more_cells_than_columns_is_one_error(store: Store, tmp_path: Path) -> None:
    write(
        tmp_path / "a",
        customers="id,name,\nacme,ACME,,\nbolt,Bolt, Nuts and Co\ncog,Cog,x,y\n",
        sites="id,name,customer,latitude,longitude\ns,Depot, north,bolt,47.3,5.0\nt,T,bolt,47.3,5.0\n",
    )
    with pytest.raises(CrmImportError) as refused:
        run(store, tmp_path / "a")
    remedy = "put a cell that has the separator in it in quotes, or name the column"
    assert str(refused.value).replace(f"{tmp_path}/a/", "").splitlines() == [
        f"customers.csv:3:3: this cell is beyond the 2 columns that have names: {remedy}",
        f"customers.csv:4:3: this cell is beyond the 2 columns that have names: {remedy}",
        f"sites.csv:2:6: this cell is beyond the 5 columns that have names: {remedy}",
    ]
    path = book(tmp_path / "b.xlsx", customers=[["id", "name", None], ["acme", "ACME", "Paris"]])
    with pytest.raises(CrmImportError) as refused:
        run(store, path)
    assert str(refused.value).endswith(
        "b.xlsx:customers!C2: this cell is beyond the 2 columns that have names: "
        "name the column in the first line, or empty the cell"
    )


def test_a_file_that_cannot_be_read_makes_no_mistakes_of_the_others(
    store: Store, tmp_path: Path
) -> None:
    contacts = "id,name,phone,customer\na,Ann,,acme\nb,Bob,,acme\n"
    folder = write(tmp_path / "a", customers="id,name,colour\nacme,ACME,red\n", contacts=contacts)
    assert problems(store, folder).splitlines() == [
        "a/customers.csv:1:3: the column 'colour' is not known: write one of id, name"
    ]
    (folder / "customers.csv").write_bytes("id;name\nacme;Café\n".encode("cp1252"))
    assert problems(store, folder).splitlines() == [
        (
            "a/customers.csv:2:1: cannot be read as UTF-8, beginning with this line: "
            "save it as CSV UTF-8, or say what it is, as in --encoding cp1252"
        )
    ]
    # What is there is still compared.
    (folder / "contacts.csv").write_text("id,name,customer\na,Ann,acme\nb,Bob,acne\n")
    (folder / "customers.csv").write_text("id,name\nacme,ACME\n")
    assert "did you mean 'acme'?" in problems(store, folder)


@pytest.mark.parametrize(
    ("raw", "options"),
    [
        ("id;name\r\nc;Café\r\n".encode("utf-8-sig"), {}),
        ("id\tname\r\nc\tCafé\r\n".encode("utf-16"), {}),
        ("sep=;\r\nid;name\r\nc;Café\r\n".encode(), {}),
        ("id;name\r\nc;Café\r\n".encode("cp1252"), {"encoding": "cp1252"}),
    ],
    ids=["mark", "utf-16", "separator", "cp1252"],
)
def test_csv_is_read_as_spreadsheets_write_it(
    store: Store, tmp_path: Path, raw: bytes, options: dict[str, Any]
) -> None:
    path = tmp_path / "customers.csv"
    path.write_bytes(raw)
    assert run(store, path, **options)["customers"].new == 1
    with store.read() as session:
        assert session.get_one(Customer, "c").name == "Café"


def test_what_is_empty_or_none_of_the_words_says_what_to_write(
    store: Store, tmp_path: Path
) -> None:
    folder = write(
        tmp_path / "a",
        customers="sep=,\nid,name\nacme,\n",
        contacts="id,name,phone,preferred\na,Ann,0033 6 12 34 56 78,sms\nb,Bob,0012,telex\n",
    )
    assert problems(store, folder).splitlines() == [
        (
            "a/contacts.csv:3:3: phone: this is no phone number: write it with the country, "
            "as in +33 6 39 98 00 01 (in a spreadsheet, make the column text)"
        ),
        (
            "a/contacts.csv:3:4: preferred: 'telex' is not known here: "
            "write one of chat, email, sms, voice, whatsapp"
        ),
        "a/customers.csv:3:2: name: this is empty: fill it in",
    ]


def test_a_cell_without_a_result_is_not_taken_for_an_empty_one(
    store: Store, tmp_path: Path
) -> None:
    run(store, write(tmp_path / "a", **BASE))
    rows = [
        ["id", "name", "phone", "email"],
        ["ann", "Ann Lee", "=B2", "#REF!"],
        ["#N/A", "Cy", "", ""],
        ["dot", "Dot", "", ""],
    ]
    assert problems(store, book(tmp_path / "x.xlsx", contacts=rows)).splitlines() == [
        "x.xlsx:contacts!C2: the formula here has no result: work it out in a spreadsheet and save it",
        "x.xlsx:contacts!D2: the spreadsheet says #REF! here: write what is meant",
        "x.xlsx:contacts!A3: the spreadsheet says #N/A here: write what is meant",
    ]


def test_a_damaged_workbook_is_told_in_a_line(store: Store, tmp_path: Path) -> None:
    whole = book(tmp_path / "x.xlsx", customers=[["id", "name"], ["a", "A"]]).read_bytes()
    chance = random.Random(1)
    for number in range(60):
        torn = bytearray(whole)
        if number % 2:
            del torn[chance.randrange(len(torn)) :]
        else:
            for _ in range(5):
                torn[chance.randrange(len(torn))] = chance.randrange(256)
        path = tmp_path / "torn.xlsx"
        path.write_bytes(torn)
        try:
            run(store, path)
        except CrmImportError as error:
            assert "torn.xlsx" in str(error)  # noqa: PT017  some are read all the same


@pytest.mark.parametrize("level", ["²", "9" * 5_000, "-1", "1.5"])
def test_a_level_that_is_no_number_is_told(store: Store, tmp_path: Path, level: str) -> None:
    text = f"id,contact,latitude,longitude,skills\nt1,bob,47.2,5.1,gas:{level}\n"
    folder = write(tmp_path / "a", **BASE | {"technicians": text})
    assert "is no skill: write refrigeration:3; gas:1" in problems(store, folder)
