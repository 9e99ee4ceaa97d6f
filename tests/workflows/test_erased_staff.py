"""Somebody is erased whom a case needs: it is never left to nobody."""

from datetime import timedelta

import pytest
from sqlmodel import select

from prevenant.crm.tables import Contact
from prevenant.erasing import erase_person
from prevenant.errors import ConfigurationError
from prevenant.store import Store
from tests.moved_clock import MovedClock
from tests.workflows.room import Room
from workflows.on_call import (
    Layer,
    OnCallOverride,
    Schedule,
    give_override,
    who_is_on_call,
)
from workflows.tables import Case, WorkOrder

STEPS = """
- dispatch: {skill: cold >= 1, within: 60 km, offer: 10m}
  otherwise: {escalate: chief}
- wait: technician.done
  within: 8h
  otherwise: {escalate: chief}
"""


@pytest.fixture
def one(store: Store, clock: MovedClock) -> Room:
    """Return a room in which Tom has a job that a guard has taken over."""
    room = Room(store, clock, STEPS)
    room.raise_alarm()
    room.deliver()
    room.reply("tom", "1")
    room.tell_case("case.taken", by="Guard")
    assert (room.case().state, room.case().owner) == ("handed_over", "Guard")
    return room


def erase(room: Room, contact: str, *, force: bool = False, by: str = "ops") -> list[int]:
    """Erase somebody; return the cases that were handed over."""
    with room.store.write() as session:
        erased = erase_person(session, contact, room.clock.now(), by=by, force=force)
    room.work()
    return erased.handed_over


def test_a_case_that_somebody_has_taken_over_is_not_left_to_nobody(one: Room) -> None:
    with pytest.raises(ConfigurationError, match="end them first"):
        erase(one, "guard")
    for same in ("Guard", "guard"):
        with pytest.raises(ConfigurationError, match="cannot have these cases"):
            erase(one, "guard", force=True, by=same)
    assert erase(one, "guard", force=True) == [one.case().id]
    assert one.case().owner == "ops"


def test_a_job_of_a_case_that_somebody_has_taken_over_is_missed(one: Room) -> None:
    with one.store.write() as session:
        orders = session.exec(select(WorkOrder)).all()
        for order in orders:
            order.state = "en_route"
    assert orders
    with pytest.raises(ConfigurationError, match="end them first"):
        erase(one, "tom")
    assert erase(one, "tom", force=True) == [one.case().id]
    with one.store.read() as session:
        assert {x.state for x in session.exec(select(WorkOrder))} == {"cancelled"}


def test_who_stands_in_gives_the_duty_back(one: Room) -> None:
    now = one.clock.now()
    layer = Layer(("chief",))
    schedule = Schedule("nights", "UTC", (layer,))
    with one.store.write() as session:
        for hours in (-1, 24):
            begins = now + timedelta(hours=hours)
            override = OnCallOverride(
                schedule="nights",
                contact_id="desk",
                starts_at=begins,
                ends_at=begins + timedelta(hours=12),
                given_by="Chief",
                reason="her wedding",
                created_at=now,
            )
            give_override(session, override)
        person, _ = who_is_on_call(session, schedule, now)
        assert person is not None
        assert person.contact_id == "desk"
    erase(one, "desk")
    with one.store.read() as session:
        for hours in (0, 25):
            person, reason = who_is_on_call(session, schedule, now + timedelta(hours=hours))
            assert person is not None, reason
            assert person.contact_id == "chief"
        assert {x.reason for x in session.exec(select(OnCallOverride))} == {""}
    assert one.story("on_call.override")[-1].startswith("nobody stands in for nights any more")


def test_who_is_needed_no_more_goes_at_once(one: Room) -> None:
    one.tell_case("case.resolved", by="Guard")
    assert one.case().state == "closed"
    assert erase(one, "guard") == erase(one, "tom") == []
    with one.store.read() as session:
        assert session.get(Contact, "guard") is None
        assert session.exec(select(Case.owner)).one() == "(erased)"
