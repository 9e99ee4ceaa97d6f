"""People ask what is held of them, and to be forgotten; what happened can still be counted."""

import json
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import select as select_columns
from sqlmodel import Session, SQLModel, select

from notify.consent import OptOut, has_opted_out
from notify.message import Delivery, Message
from notify.replies import Reply
from prevenant.consent import Consent
from prevenant.crm.importing import import_files
from prevenant.crm.tables import Contact, Leave, Technician
from prevenant.erasing import GONE, erase_person
from prevenant.errors import ConfigurationError, CrmImportError
from prevenant.person import APART, export_person, fold
from prevenant.tables import add_timeline
from tests.stories.test_refrigerator_warming import CAMILLE, JULES, warm_up
from tests.world import DEMO_DATA, World
from workflows.tables import Candidate, Case, Offer, WorkOrder

CUSTOMER = (
    "camille roux",
    "roux",
    "+33639980041",
    "639980041",
    "camille-roux",
    "3 allee du moulin",
)
TECHNICIAN = ("jules perrin", "perrin", "+33639980022", "639980022", "jules-perrin", "jules")


@pytest.fixture
def served(world: World) -> World:
    """Return a world in which Jules has repaired Camille's refrigerator."""
    warm_up(world, "h01")
    jules = world.phone(JULES).expects_sms("9,3 °C", "Roux home").replies("oui")
    camille = world.phone(CAMILLE).expects_sms("Bonjour Camille").replies("1")
    world.expect_story("customer.confirmed", "Camille Roux")
    jules.replies("2")
    world.expect_story("technician.arrived", "Jules")
    jules.replies("3 relay replaced, Madame Roux was kind, call 06 39 98 00 41")
    camille.expects_sms("C'est fait, Camille").replies("5")
    world.expect_case("refrigerator-warming", state="closed", rating=5)
    camille.replies("merci Jules, signé Camille Roux")
    world.expect(lambda s: len(s.exec(select(Reply)).all()) == 6, "all replies")
    world.expect_quiet()
    return world


def everything(session: Session) -> dict[str, str]:
    """Return all that stands in every table, as folded text."""
    found = {}
    for table in SQLModel.metadata.sorted_tables:
        if table.name in APART:
            continue
        rows = session.execute(select_columns(table)).all()
        text = json.dumps([[_shown(cell) for cell in row] for row in rows], ensure_ascii=False)
        found[table.name] = fold(text)
    return found


def _shown(cell: Any) -> Any:
    if isinstance(cell, bytes):
        return cell.decode(errors="replace")
    return cell if isinstance(cell, str | int | float | list | dict | None) else str(cell)


def traces(session: Session, words: tuple[str, ...]) -> dict[str, list[str]]:
    """Return which of `words` stand in which table."""
    found = {name: [w for w in words if w in text] for name, text in everything(session).items()}
    return {name: words for name, words in found.items() if words}


def statistics(session: Session) -> dict[str, Any]:
    """Return what a business counts."""
    cases = session.exec(select(Case)).all()
    return {
        "cases": [(c.state, c.outcome, c.rating, c.opened_at, c.closed_at) for c in cases],
        "deliveries": Counter((d.channel, d.state) for d in session.exec(select(Delivery))),
        "messages": Counter((m.template, m.role, m.state) for m in session.exec(select(Message))),
        "replies": Counter((r.intent, r.outcome) for r in session.exec(select(Reply))),
        "offers": Counter((o.state, o.offered_at) for o in session.exec(select(Offer))),
        "orders": [
            (o.state, o.cause.split(",")[0], o.accepted_at, o.visit_start)
            for o in session.exec(select(WorkOrder))
        ],
        "candidates": Counter(
            (c.rank, c.distance_km, c.score) for c in session.exec(select(Candidate))
        ),
    }


@pytest.mark.parametrize(
    ("contact", "words"), [("camille-roux", CUSTOMER), ("jules-perrin", TECHNICIAN)]
)
def test_nothing_is_left_but_what_can_be_counted(
    served: World, contact: str, words: tuple[str, ...]
) -> None:
    now = served.clock.now()
    with served.engine.store.write() as session:
        session.add(
            Consent(contact_id=contact, channel="sms", state="granted", at=now, proof="said so")
        )
        add_timeline(session, now, "note", f"somebody wrote to {words[2]} about {words[0].title()}")
        if contact == "jules-perrin":
            session.add(
                Leave(technician_id=contact, starts_at=now, ends_at=now, reason="broken leg")
            )
    with served.engine.store.read() as session:
        before, counted = traces(session, words), statistics(session)
        others = everything(session)["reply"].count("merci")
        held = json.dumps(export_person(session, contact), default=str, ensure_ascii=False)
    assert {"contact", "message", "delivery", "timeline", "reply", "case_event"} <= set(before)
    assert words[2] in held
    assert "said so" in held
    with served.engine.store.write() as session:
        erased = erase_person(session, contact, now, by="ops")
    with served.engine.store.read() as session:
        assert traces(session, words) == {}
        assert statistics(session) == counted
        assert "broken leg" not in everything(session)["leave"]
        gone = session.get_one(Contact, erased.contact_id)
        assert (gone.name, gone.phone, gone.erased_at) == (GONE, "", now)
        # The other one's words stay.
        kept = everything(session)["reply"].count("merci")
        assert kept == (0 if contact == "camille-roux" else others)
    assert erased.left == []
    with pytest.raises(ConfigurationError, match="has no contact"), served.engine.store.read() as s:
        export_person(s, contact)


def test_a_dry_run_changes_nothing(served: World) -> None:
    with served.engine.store.read() as session:
        before = everything(session)
    with served.engine.store.write() as session:
        erased = erase_person(session, "camille-roux", served.clock.now())
        session.rollback()
    assert erased.rows["message"] > 0
    with served.engine.store.read() as session:
        assert everything(session) == before


def test_stop_outlives_the_person_and_the_crm_cannot_bring_them_back(served: World) -> None:
    served.phone(CAMILLE).replies("STOP")
    served.expect(lambda s: s.exec(select(OptOut)).first(), "STOP")
    with served.engine.store.write() as session:
        (word,) = session.exec(select(Consent).where(Consent.contact_id == "camille-roux"))
        assert (word.state, word.source, word.proof) == ("withdrawn", "reply", "STOP")
        erase_person(session, "camille-roux", served.clock.now())
    with served.engine.store.read() as session:
        assert has_opted_out(session, "sms", CAMILLE)
        assert not has_opted_out(session, "sms", JULES)
        assert traces(session, CUSTOMER) == {}
    with (
        pytest.raises(CrmImportError, match=r"contacts\.csv:23:1: this person was erased on 2026"),
        served.engine.store.write() as session,
    ):
        import_files(session, DEMO_DATA, served.clock.now())


def test_an_open_case_keeps_its_people_unless_somebody_takes_it(world: World) -> None:
    warm_up(world, "h01")
    world.phone(JULES).expects_sms("Roux home").replies("oui")
    world.phone(CAMILLE).expects_sms("Bonjour Camille")
    case = world.expect_case("refrigerator-warming", state="open")
    world.expect_quiet()
    store, now = world.engine.store, world.clock.now()
    for contact in ("camille-roux", "jules-perrin"):
        with (
            pytest.raises(ConfigurationError, match=rf"open cases need this person \({case.id}\)"),
            store.write() as session,
        ):
            erase_person(session, contact, now)
    with store.write() as session:
        erased = erase_person(session, "camille-roux", now, by="ops", force=True)
    assert erased.handed_over == [case.id]
    with store.read() as session:
        taken = session.get_one(Case, case.id)
        assert (taken.state, taken.owner, taken.due_at) == ("handed_over", "ops", None)
        assert traces(session, CUSTOMER) == {}
        assert session.get_one(Technician, "jules-perrin").is_active
        open_asks = session.exec(select(Message).where(Message.ask_open)).all()
        assert [one.ask for one in open_asks] == []
    # Whoever has the case now expects Jules, and hears that he does not come.
    with pytest.raises(ConfigurationError, match="need this person"), store.write() as session:
        erase_person(session, "jules-perrin", now)
    with store.write() as session:
        erased = erase_person(session, "jules-perrin", now, by="ops", force=True)
    assert erased.handed_over == [case.id]
    with store.read() as session:
        assert traces(session, TECHNICIAN) == {}


def test_a_namesake_keeps_name_and_rows(served: World) -> None:
    now = served.clock.now()
    with served.engine.store.write() as session:
        session.add(Contact(id="other", name="Camille Roux", phone="+33639980777"))
        add_timeline(session, now, "note", "Camille Roux of the harbour called")
    with served.engine.store.write() as session:
        erase_person(session, "camille-roux", now)
    with served.engine.store.read() as session:
        assert session.get_one(Contact, "other").name == "Camille Roux"
        assert "camille roux of the harbour" in everything(session)["timeline"]
        left = traces(session, CUSTOMER[2:])
    assert left == {}
