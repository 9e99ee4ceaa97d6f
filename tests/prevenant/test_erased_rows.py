"""What was erased stays so, whatever files and outside CRMs still list; what is another's stays, too."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlmodel import Session, select

from notify.consent import has_opted_out, record_stop
from notify.message import Delivery, Message
from notify.replies import Reply
from notify.subscription import Subscription
from prevenant.access.tables import Account
from prevenant.crm.exporting import HIDDEN, export_files
from prevenant.crm.importing import import_files
from prevenant.crm.source import CrmSource
from prevenant.crm.source_book import load_sources
from prevenant.crm.syncing import sync_source
from prevenant.crm.tables import Contact, CrmSkipped, Customer, Device, Site
from prevenant.erasing import GONE, erase_person
from prevenant.errors import CrmImportError
from prevenant.person import export_person
from prevenant.store import Store
from prevenant.tables import Alarm
from tests.moved_clock import MovedClock
from workflows.tables import Case, WorkflowVersion

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
HOME = {
    "customers": "id,name\nroux,Roux household\nacme,ACME\n",
    "contacts": "id,name,phone,customer\ncam,Camille Roux,+33639980041,roux\n"
    "ann,Ann Lee,+33639980001,acme\n",
    "sites": "id,name,customer,contact,address,latitude,longitude\n"
    "h1,Roux home,roux,cam,3 mill lane,47.31234,5.01234\n"
    "s1,Works,acme,ann,1 high street,47.3,5.0\n",
    "assets": "id,site,name\nf1,h1,Fridge of the Roux\nf2,s1,Cold room\n",
    "devices": "site,device,type,label\nh1,D1,refrigerator,Camille's fridge\ns1,D1,door,Gate\n",
}


def write(folder: Path, **files: str) -> Path:
    """Write CSV files into a folder of their own."""
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text, "utf-8")
    return folder


@pytest.fixture
def erased(store: Store, tmp_path: Path) -> Store:
    """Return a store in which Camille was erased, and her home with her."""
    with store.write() as session:
        import_files(session, write(tmp_path / "all", **HOME), NOW)
    with store.write() as session:
        erase_person(session, "cam", NOW)
    return store


def expect_forgotten(store: Store) -> None:
    """Make sure that nothing of the home is known, and everything of the works is."""
    with store.read() as session:
        home, device = session.get_one(Site, "h1"), session.get_one(Device, "h1/D1")
        assert (home.name, home.address, home.latitude) == (GONE, "", 47.3)
        assert device.label == "refrigerator"
        assert session.get_one(Customer, "roux").name == GONE
        assert session.get(Contact, "cam") is None
        assert session.get_one(Site, "s1").address == "1 high street"


@pytest.mark.parametrize("name", list(HOME))
def test_no_file_brings_a_home_back(erased: Store, tmp_path: Path, name: str) -> None:
    header, hers, *_ = HOME[name].splitlines()
    folder = write(tmp_path / name, **{name: f"{header}\n{hers}\n"})
    with (
        pytest.raises(CrmImportError, match=rf"{name}\.csv:2:1: .* was erased on 2026-05-04"),
        erased.write() as session,
    ):
        import_files(session, folder, NOW)
    expect_forgotten(erased)


def test_some_columns_of_a_home_are_refused_as_all_are(erased: Store, tmp_path: Path) -> None:
    part = write(tmp_path / "part", sites="id,address\nh1,3 mill lane\n")
    with (
        pytest.raises(CrmImportError, match="this home was erased"),
        erased.write() as session,
    ):
        import_files(session, part, NOW)
    expect_forgotten(erased)


def test_what_is_exported_after_an_erasure_can_be_imported(erased: Store, tmp_path: Path) -> None:
    with erased.read() as session:
        counts = export_files(session, tmp_path / "out")
    assert counts == dict.fromkeys(HOME, 1)
    with erased.write() as session:
        tallies = import_files(session, tmp_path / "out", NOW)
    assert not any(tally.new or tally.changed for tally in tallies.values())
    expect_forgotten(erased)


THEIRS = """
CREATE TABLE customers (id TEXT, name TEXT);
CREATE TABLE contacts (id TEXT, name TEXT, phone TEXT, customer TEXT);
CREATE TABLE sites (id TEXT, name TEXT, customer TEXT, contact TEXT, address TEXT,
    latitude REAL, longitude REAL);
CREATE TABLE devices (site TEXT, device TEXT, type TEXT, label TEXT);
CREATE TABLE consents (contact TEXT, channel TEXT, state TEXT, at TEXT, proof TEXT);
INSERT INTO customers VALUES ('roux', 'Roux household');
INSERT INTO contacts VALUES ('cam', 'Camille Roux', '+33639980041', 'roux');
INSERT INTO sites VALUES ('h1', 'Roux home', 'roux', 'cam', '3 mill lane', 47.31234, 5.01234);
INSERT INTO devices VALUES ('h1', 'D1', 'refrigerator', 'Fridge at 3 mill lane');
INSERT INTO consents VALUES ('cam', 'sms', 'granted', '2026-01-01', 'the form of Madame Roux');
"""
SOURCE = """
sources:
  erp:
    database: env:ERP
    rows:
      customers: {table: customers, columns: {id: id, name: name}}
      contacts: {table: contacts, columns: {id: id, name: name, phone: phone, customer: customer}}
      sites:
        table: sites
        columns:
          {id: id, name: name, customer: customer, contact: contact, address: address,
           latitude: latitude, longitude: longitude}
      devices:
        table: devices
        columns: {site: site, device: device, type: type, label: label}
      consents:
        table: consents
        columns: {contact: contact, channel: channel, state: state, at: at, proof: proof}
"""


@pytest.fixture
def theirs(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Return an outside CRM's database that lists Camille and her home."""
    with closing(sqlite3.connect(tmp_path / "erp.db")) as connection:
        connection.executescript(THEIRS)
        yield connection


@pytest.fixture
def source(theirs: sqlite3.Connection, tmp_path: Path) -> Iterator[CrmSource]:
    """Return that CRM as it is read."""
    assert theirs
    (tmp_path / "crm.yaml").write_text(SOURCE, "utf-8")
    environment = {"ERP": f"sqlite:///{tmp_path / 'erp.db'}"}
    (found,) = load_sources(tmp_path / "crm.yaml", environment)
    yield found
    found.close()


def sync(store: Store, clock: MovedClock, source: CrmSource) -> dict[str, dict[str, str]]:
    """Read everything; return what could not be taken, by kind."""
    outcomes = sync_source(store, clock, source, lambda _session, _now: None)
    assert not any(one.error for one in outcomes.values()), outcomes
    return {name: one.skipped for name, one in outcomes.items()}


def test_no_outside_crm_brings_a_home_back_or_leaves_its_rows_to_be_tried_again(
    store: Store, clock: MovedClock, source: CrmSource, theirs: sqlite3.Connection
) -> None:
    assert sync(store, clock, source) == {name: {} for name in source.feeds}
    # Before the erasure some rows could not be taken, and wait for better days.
    theirs.executescript(
        "UPDATE sites SET latitude = 147; UPDATE devices SET type = ''; UPDATE customers SET name = '';"
    )
    sync(store, clock, source)
    with store.read() as session:
        waiting = {one.entity for one in session.exec(select(CrmSkipped))}
        held = export_person(session, "cam")["held"]["crm_skipped"]
    assert waiting == {"sites", "devices", "customers"} == {one["entity"] for one in held}
    with store.write() as session:
        erased = erase_person(session, "cam", clock.now())
        assert session.exec(select(CrmSkipped)).all() == []
    assert erased.rows["crm_skipped"] == 3
    theirs.executescript(
        "UPDATE sites SET latitude = 47.31; UPDATE devices SET type = 'refrigerator';"
        "UPDATE customers SET name = 'Roux household';"
        "INSERT INTO customers VALUES ('bolt', 'Bolt');"
    )
    refused = sync(store, clock, source)
    assert {name: list(rows) for name, rows in refused.items()} == {
        "customers": ["roux"],
        "contacts": ["cam"],
        "sites": ["h1"],
        "devices": ["h1/D1"],
        "consents": ["cam/sms/granted/2026-01-01"],
    }
    with store.read() as session:
        assert session.exec(select(CrmSkipped)).all() == []
        assert session.get_one(Customer, "bolt").name == "Bolt"
        home = session.get_one(Site, "h1")
        assert (home.name, home.address, home.contact_id) == (GONE, "", None)
        assert session.get_one(Device, "h1/D1").label == "refrigerator"
        assert session.get_one(Customer, "roux").name == GONE


def tell(session: Session, contact: str, number: int, channel: str, address: str) -> None:
    """Write a message to somebody, its delivery, and the answer to it."""
    message = Message(
        key=f"m{number}",
        contact_id=contact,
        name=contact.title(),
        role="customer",
        template="plain",
        language="en",
        severity=1,
        turns=[[channel]],
        texts={channel: f"for {contact}"},
        addresses={channel: address},
        state="delivered",
        created_at=NOW,
    )
    session.add(message)
    session.flush()
    assert message.id is not None
    session.add(
        Delivery(
            key=f"d{number}",
            message_id=message.id,
            channel=channel,
            address=address,
            severity=1,
            state="delivered",
            updated_at=NOW,
        )
    )
    session.add(
        Reply(
            provider_id=f"r{number}",
            channel=channel,
            address=address,
            text=f"answer of {contact}",
            received_at=NOW,
            message_id=message.id,
            outcome="bound",
        )
    )
    session.flush()


@pytest.mark.parametrize(
    ("channel", "hers", "his"),
    [
        ("sms", "+33639980041", "+33639980041"),
        ("email", "home@roux.example", "Home@roux.example"),
    ],
)
def test_what_two_people_share_goes_with_neither(
    store: Store, channel: str, hers: str, his: str
) -> None:
    is_mail = channel == "email"
    with store.write() as session:
        person = Contact(id="cam", name="Camille Roux")
        person.phone, person.email = ("", hers) if is_mail else (hers, "")
        session.add(person)
        person = Contact(id="luc", name="Luc Roux")
        person.phone, person.email = ("", his) if is_mail else (his, "")
        session.add(person)
        session.flush()
        tell(session, "cam", 1, channel, hers)
        tell(session, "luc", 2, channel, his)
        # Who wrote this from the address of both is not known.
        session.add(
            Reply(
                provider_id="r3",
                channel=channel,
                address=his,
                text="thanks, Luc",
                received_at=NOW,
                outcome="unclear",
            )
        )
    with store.write() as session:
        erase_person(session, "cam", NOW)
    with store.read() as session:
        deliveries = {one.key: one.address for one in session.exec(select(Delivery))}
        replies = {one.provider_id: one.text for one in session.exec(select(Reply))}
        texts = {one.key: one.texts for one in session.exec(select(Message))}
    assert deliveries == {"d1": GONE, "d2": his}
    assert replies == {"r1": GONE, "r2": "answer of luc", "r3": "thanks, Luc"}
    assert texts == {"m1": {channel: GONE}, "m2": {channel: "for luc"}}


def test_an_address_of_before_that_is_anothers_now_stays_with_them(store: Store) -> None:
    number = "+33639980041"
    with store.write() as session:
        session.add(Contact(id="cam", name="Camille Roux", phone="+33639980777"))
        session.add(Contact(id="luc", name="Luc Petit", phone=number))
        session.flush()
        tell(session, "cam", 1, "sms", number)
        tell(session, "luc", 2, "sms", number)
    with store.write() as session:
        erase_person(session, "cam", NOW)
    with store.read() as session:
        deliveries = {one.key: one.address for one in session.exec(select(Delivery))}
    assert deliveries == {"d1": GONE, "d2": number}


def test_what_waits_to_be_said_is_not_said_any_more(store: Store) -> None:
    number = "+33639980041"
    with store.write() as session:
        session.add(Contact(id="cam", name="Camille Roux", phone=number))
        session.flush()
        tell(session, "cam", 1, "sms", number)
        tell(session, "cam", 2, "sms", number)
        waiting = session.exec(select(Delivery).where(Delivery.key == "d2")).one()
        waiting.state, waiting.next_at = "queued", NOW
        message = session.get_one(Message, waiting.message_id)
        message.state, message.ask, message.ask_open = "queued", "confirm", True
    with store.write() as session:
        erase_person(session, "cam", NOW)
    with store.read() as session:
        states = {one.key: one.state for one in session.exec(select(Delivery))}
        message = session.exec(select(Message).where(Message.key == "m2")).one()
    assert states == {"d1": "delivered", "d2": "suppressed"}
    assert (message.state, message.ask_open) == ("suppressed", False)


def test_two_who_said_stop_by_mail_in_capitals_can_both_be_erased(store: Store) -> None:
    for one in ("ada", "eve"):
        with store.write() as session:
            session.add(Contact(id=one, name=one.title(), email=f"{one}@home.example"))
            session.flush()
            record_stop(session, "email", f"{one.title()}@Home.example", "STOP", NOW)
    for one in ("ada", "eve"):
        with store.write() as session:
            erase_person(session, one, NOW)
    with store.read() as session:
        assert has_opted_out(session, "email", "ada@home.example")
        assert has_opted_out(session, "email", "eve@home.example")


def test_nobody_is_asked_to_call_somebody_back_who_was_erased(store: Store) -> None:
    with store.write() as session:
        session.add(Contact(id="cam", name="Camille Roux", phone="+33639980041"))
        session.flush()
        alarm = Alarm(
            rule="r",
            device_type="door",
            site_id="s1",
            device_id="s1/D1",
            severity=3,
            onset_at=NOW,
            raised_at=NOW,
            reason="it is open",
        )
        session.add_all([alarm, WorkflowVersion(version="1", name="w", steps="[]")])
        session.flush()
        case = Case(
            alarm_id=alarm.id or 0,
            rule="r",
            device_type="door",
            site_id="s1",
            device_id="s1/D1",
            severity=3,
            workflow="w",
            workflow_version="1",
            state="closed",
            progress={"callbacks": [{"contact": "cam", "said": "my kitchen"}, {"contact": "luc"}]},
            opened_at=NOW,
        )
        session.add(case)
        session.flush()
        tell(session, "cam", 1, "sms", "+33639980041")
        tell(session, "luc", 2, "sms", "+33639980042")
        for message in session.exec(select(Message)):
            message.case_id = case.id
        asked = session.exec(select(Message).where(Message.key == "m2")).one()
        asked.ask, asked.ask_open, asked.texts = "person", True, {"sms": "my kitchen"}
    with store.write() as session:
        erase_person(session, "cam", NOW)
    with store.read() as session:
        case = session.exec(select(Case)).one()
        asked = session.exec(select(Message).where(Message.key == "m2")).one()
    assert case.progress["callbacks"] == [{"contact": "luc"}]
    assert (asked.texts, asked.ask_open) == ({"sms": GONE}, False)


def test_what_is_printed_of_a_person_opens_nothing(store: Store, tmp_path: Path) -> None:
    with store.write() as session:
        import_files(session, write(tmp_path / "all", **HOME), NOW)
        session.add(
            Account(name="cam", shown_name="Camille Roux", password="$argon2id$x", created_at=NOW)
        )
        hook = Subscription(
            name="desk", url="https://desk.example.org/key", tag="t", created_by="Camille Roux"
        )
        hook.secrets, hook.created_at, hook.changed_at = [{"secret": "whsec_x"}], NOW, NOW
        session.add(hook)
    with store.read() as session:
        held = export_person(session, "cam")["held"]
    assert held["account"][0]["password"] == HIDDEN
    assert held["webhook_subscription"][0]["created_by"] == "Camille Roux"
    assert not any(one in str(held) for one in ("$argon2id$x", "whsec_x", "desk.example.org"))


def test_a_sqlite_file_holds_nothing_of_who_was_erased(tmp_path: Path) -> None:
    path = tmp_path / "ours.db"
    store = Store(f"sqlite:///{path}", is_durable=False)
    store.upgrade()
    with store.write() as session:
        import_files(session, write(tmp_path / "all", **HOME), NOW)
        for number in range(200):
            tell(session, "cam", number, "sms", "+33639980041")
    with store.read() as session:
        deletes = session.connection().exec_driver_sql("PRAGMA secure_delete").scalar()
    with store.write() as session:
        erase_person(session, "cam", NOW)
    store.close()
    # Some builds of SQLite leave what is deleted where it stood.
    assert deletes == 1
    found = path.read_bytes()
    assert [
        one for one in (b"639980041", b"Camille", b"mill lane", b"for cam") if one in found
    ] == []
