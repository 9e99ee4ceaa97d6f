"""A visit that is called off leaves the calendars that it was put into, and no other."""

from typing import Any

from notify import claims
from notify.message import Delivery
from prevenant.crm.tables import Contact
from prevenant.store import Store
from tests.moved_clock import MovedClock
from tests.workflows.dispatching import VISIT, DispatchDesk


def make_desk(store: Store, clock: MovedClock, preferred: str = "email") -> DispatchDesk:
    desk = DispatchDesk(store, clock, VISIT)
    with store.write() as session:
        ann = session.get_one(Contact, "ann")
        ann.email, ann.preferred = "ann@home.example", preferred
        session.add(ann)
    desk.add_technician("near", 10)
    desk.raise_alarm()
    desk.reply("near", "offer", "accept")
    return desk


def hand_over_mail(desk: DispatchDesk) -> None:
    """Take what is queued, as the outbox does before it sends."""
    room = dict.fromkeys(range(6), 10)
    with desk.store.write() as session:
        claims.claim(session, "test", (), room, (desk.clock.now(), 0.0), {"email", "sms", "voice"})


def entries(desk: DispatchDesk) -> list[dict[str, Any]]:
    return [one.letter["entry"] for one in desk.rows(Delivery) if "entry" in one.letter]


def test_a_visit_that_the_customer_cancels_leaves_the_calendar_once(
    store: Store, clock: MovedClock
) -> None:
    desk = make_desk(store, clock)
    hand_over_mail(desk)
    desk.post("customer.cancelled", contact="ann", name="Ann Lee")
    desk.post("customer.cancelled", contact="ann", name="Ann Lee", again=True)
    assert desk.templates_told("ann").count("visit_cancelled") == 1
    hand_over_mail(desk)
    changes = [(one["calendar"], one["number"], one["sequence"]) for one in entries(desk)]
    assert changes == [("invite", 1, 0), ("cancel", 1, 1)]


def test_a_visit_that_was_told_by_sms_is_in_no_calendar(store: Store, clock: MovedClock) -> None:
    desk = make_desk(store, clock, preferred="sms")
    hand_over_mail(desk)
    desk.post("customer.cancelled", contact="ann", name="Ann Lee")
    assert entries(desk) == []
    assert "visit_cancelled" not in desk.templates_told("ann")
