"""Offers: one after the other or in parallel, the first to accept has it, and who comes instead."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlmodel import select

from notify import claims
from notify.claims import HeldBack
from notify.delivery import move
from notify.message import SENT, UNDELIVERED, Delivery, Message
from prevenant.crm.tables import Exclusion, Leave, RoleHolder, Technician
from prevenant.domain import Severity
from prevenant.store import Store
from prevenant.tables import add_case_event
from tests.moved_clock import MovedClock
from tests.workflows.dispatching import URGENT, VISIT, DispatchDesk, answer
from workflows.absence import announce_absences
from workflows.tables import Case, WorkOrder

Make = Callable[..., DispatchDesk]


@pytest.fixture
def desk(store: Store, clock: MovedClock) -> Make:
    """Return how to make a desk with three technicians, 10, 20 and 30 km away."""

    def make(steps: str = VISIT) -> DispatchDesk:
        desk = DispatchDesk(store, clock, steps)
        for number, name in enumerate(("near", "middle", "far"), 1):
            desk.add_technician(name, 10 * number)
        return desk

    return make


def test_the_next_is_asked_after_a_refusal_and_after_silence(desk: Make) -> None:
    one = desk()
    one.raise_alarm()
    one.reply("near", "offer", "decline")
    one.pass_time(minutes=10)
    one.reply("far", "offer", "accept")
    assert one.offers() == [("near", "declined"), ("middle", "expired"), ("far", "accepted")]
    assert one.orders() == [("far", "accepted")]
    one.reply("middle", "offer", "accept")
    assert one.templates_told("middle") == ["job_offer", "job_gone"]


def test_of_several_the_first_to_accept_has_it_and_the_others_are_told(desk: Make) -> None:
    one = desk(URGENT)
    one.raise_alarm()
    assert [state for _, state in one.offers()] == ["open"] * 3
    one.reply("middle", "offer", "accept")
    one.reply("near", "offer", "accept")
    assert one.orders() == [("middle", "accepted")]
    assert one.offers() == [("near", "withdrawn"), ("middle", "accepted"), ("far", "withdrawn")]
    assert one.templates_told("far") == ["job_offer", "job_gone"]
    one.pass_time(seconds=1)
    one.reply("near", "offer", "accept")
    assert one.templates_told("near") == ["job_offer", "job_gone"], "once, however often they try"
    assert one.lines("offer.late") == ["Near accepts too late"] * 2


def test_who_lost_a_job_and_is_offered_it_again_hears_of_the_end_of_that_offer(desk: Make) -> None:
    one = desk(URGENT)
    one.raise_alarm()
    one.reply("near", "offer", "accept")
    one.pass_time(minutes=4)
    one.reply("far", "offer", "accept")
    assert one.templates_told("middle") == ["job_offer", "job_gone"] * 2


def test_who_accepts_after_their_time_hears_it_in_the_words_of_the_step(desk: Make) -> None:
    one = desk(VISIT.replace("offer: 10m", "offer: 10m, gone_template: life_safety_taken"))
    one.raise_alarm()
    one.pass_time(minutes=10)
    one.reply("middle", "offer", "accept")
    one.reply("near", "offer", "accept")
    assert one.templates_told("near") == ["job_offer", "life_safety_taken"]


def test_an_answer_that_came_in_time_counts_though_the_case_has_become_more_urgent(
    desk: Make,
) -> None:
    one = desk()
    one.raise_alarm()
    with one.store.write() as session:
        session.get_one(Case, one.case().id).severity = Severity.CRITICAL
        event = answer(one.case().id or 0, "near", one.clock.now(), "accept")
        add_case_event(session, event)
    one.pass_time(minutes=11)
    assert one.orders() == [("near", "accepted")]
    assert one.offers() == [("near", "accepted")]


def test_who_accepts_and_does_not_arrive_is_replaced(desk: Make) -> None:
    one = desk(URGENT)
    one.raise_alarm()
    one.reply("near", "offer", "accept")
    one.pass_time(minutes=4)
    assert one.orders() == [("near", "cancelled")]
    assert one.templates_told("near")[-1] == "job_over"
    assert one.offers()[3:] == [("middle", "open"), ("far", "open")]


def test_nobody_eligible_reaches_a_person_at_once_with_the_counts(desk: Make) -> None:
    one = desk(VISIT.replace("hvac", "hvac >= 2"))
    one.add_technician("skilled", 200, skills={"hvac": 3})
    one.raise_alarm()
    assert one.told() == ["guard"]
    (line,) = one.lines("candidates")
    assert line == "0 of 4 technicians can go: 3 lack hvac 2, 1 beyond 100 km"
    (kept,) = one.rounds()
    assert (kept.eligible, kept.total, kept.counts) == (0, 4, {"skill": 3, "distance": 1})


FAILS: list[tuple[str, str]] = [
    ("leave", "is ill"),
    ("exclusion", "is not to be sent to this customer: a quarrel"),
    ("gone", ""),
    ("no address", "has no phone number and no address"),
]


@pytest.mark.parametrize(("what", "reason"), FAILS, ids=[what for what, _ in FAILS])
def test_what_the_crm_says_keeps_somebody_out(desk: Make, what: str, reason: str) -> None:
    one = desk()
    now = one.clock.now()
    with one.store.write() as session:
        near = session.get_one(Technician, "near")
        if what == "leave":
            day = timedelta(days=1)
            leave = Leave(
                technician_id="near", starts_at=now - day, ends_at=now + day, reason="ill"
            )
            session.add(leave)
        elif what == "exclusion":
            session.add(Exclusion(technician_id="near", customer_id="acme", reason="a quarrel"))
        elif what == "gone":
            near.is_active = False
        else:
            from prevenant.crm.tables import Contact  # noqa: PLC0415  here alone

            session.get_one(Contact, "near").phone = ""
    one.raise_alarm()
    assert one.offers() == [("middle", "open")]
    reasons = {name: why for name, _, why in one.candidates()}
    assert reasons.get("near", "") == reason


def test_a_job_that_is_under_way_leaves_no_room_for_another(desk: Make) -> None:
    one = desk()
    one.office.gather_s = 0.0
    one.raise_alarm(number=1)
    one.raise_alarm(number=2)
    one.reply_for("s/1", "near", "accept")
    one.raise_alarm(number=3)
    assert one.offers() == [("near", "accepted"), ("middle", "open"), ("far", "open")]
    one.raise_alarm(number=4)
    assert one.told()[-1] == "guard"
    assert one.rounds()[-1].counts == {"capacity": 3}


def test_who_falls_ill_is_replaced_and_the_customer_learns_of_another_time(desk: Make) -> None:
    one = desk()
    one.raise_alarm()
    one.reply("near", "offer", "accept")
    assert one.templates_told("ann") == ["visit_planned"]
    (before,) = one.rows(WorkOrder)
    one.pass_time(minutes=45)
    one.post("technician.unavailable", technician="near", reason="ill")
    assert one.orders() == [("near", "cancelled")]
    assert one.offers() == [("near", "accepted"), ("middle", "open")]
    assert one.lines("technician.unavailable") == ["Near Doe is ill"]
    one.reply("middle", "offer", "accept")
    assert one.orders() == [("near", "cancelled"), ("middle", "accepted")]
    assert one.templates_told("ann") == ["visit_planned", "visit_moved"]
    after = one.rows(WorkOrder)[-1]
    assert after.visit_end > before.visit_end
    assert one.case().due_at == after.visit_end + timedelta(minutes=15)
    one.reply("middle", "progress", "arrived")
    assert (one.case().state, one.case().outcome) == ("closed", "done")
    assert one.templates_told("ann") == ["visit_planned", "visit_moved"], "told once"


def test_the_customer_hears_nothing_where_the_time_stays(desk: Make) -> None:
    one = desk()
    one.add_technician("neighbour", 10.5)
    one.raise_alarm()
    one.reply("near", "offer", "accept")
    one.post("technician.unavailable", technician="near", reason="ill")
    one.reply("neighbour", "offer", "accept")
    first, second = one.rows(WorkOrder)
    assert first.visit_start == second.visit_start
    assert one.templates_told("ann") == ["visit_planned"]


def test_who_falls_ill_while_thinking_about_an_offer_is_passed_over(desk: Make) -> None:
    one = desk()
    one.raise_alarm()
    one.post("technician.unavailable", technician="near", reason="ill")
    assert one.offers() == [("near", "withdrawn"), ("middle", "open")]


def test_who_goes_on_leave_while_thinking_about_an_offer_is_passed_over(desk: Make) -> None:
    one = desk()
    one.raise_alarm()
    with one.store.write() as session:
        now = one.clock.now()
        session.add(Leave(technician_id="near", starts_at=now, ends_at=now + timedelta(days=1)))
        session.flush()
        assert announce_absences(session, now, "near") == 1
        assert announce_absences(session, now) == 0
    one.work()
    assert one.offers() == [("near", "withdrawn"), ("middle", "open")]
    one.reply("near", "offer", "accept")
    assert one.orders() == []


def test_who_cancels_later_is_replaced(desk: Make) -> None:
    one = desk()
    one.raise_alarm()
    one.reply("near", "offer", "accept")
    one.reply("near", "progress", "cancel")
    assert one.orders() == [("near", "cancelled")]
    assert one.offers()[-1] == ("middle", "open")


def test_a_customer_who_was_told_learns_who_comes_instead_while_the_step_waits_for_the_arrival(
    desk: Make,
) -> None:
    one = desk("""
tracks:
  staff:
    - dispatch: {skill: hvac, within: 100 km, arrive_within: 30m}
      otherwise: {hand_off: guard}
    - wait: technician.done
      within: 1h
      otherwise: {hand_off: guard}
  customer:
    - wait: technician.accepted
      within: 1h
      otherwise: {close: nobody}
    - tell: customer
      template: visit_planned
""")
    one.raise_alarm()
    one.reply("near", "offer", "accept")
    assert one.templates_told("ann") == ["visit_planned"]
    one.pass_time(minutes=5)
    one.post("technician.unavailable", technician="near", reason="ill")
    one.reply("middle", "offer", "accept")
    assert one.templates_told("ann") == ["visit_planned", "visit_moved"]
    assert one.lines("visit.moved") == ["the visit moves: Middle Doe comes instead"]


def test_when_nobody_is_left_to_replace_somebody_a_person_has_the_case(desk: Make) -> None:
    one = desk()
    one.raise_alarm()
    one.reply("near", "offer", "accept")
    one.post("technician.unavailable", technician="near", reason="ill")
    one.reply("middle", "offer", "decline")
    one.reply("far", "offer", "decline")
    assert one.told()[-1] == "guard"
    one.reply("guard", "acknowledge", "accept")
    assert one.case().state == "handed_over"


def test_who_falls_ill_on_a_case_that_a_person_has_is_told_to_the_dispatcher(desk: Make) -> None:
    one = desk()
    with one.store.write() as session:
        session.add(RoleHolder(contact_id="dispatcher", role="dispatcher"))
    one.raise_alarm()
    one.reply("near", "offer", "accept")
    with one.store.write() as session:
        case = session.get_one(Case, one.case().id)
        case.state = "handed_over"
        case.progress = {**case.progress, "tracks": []}
    one.post("technician.unavailable", technician="near", reason="ill")
    assert one.orders() == [("near", "cancelled")]
    assert one.templates_told("dispatcher") == ["escalation"]


def test_who_falls_ill_after_the_workflow_ended_with_the_sending_is_told_to_the_dispatcher(
    desk: Make,
) -> None:
    one = desk("- dispatch: {skill: hvac, within: 100 km}\n  otherwise: {hand_off: guard}")
    with one.store.write() as session:
        session.add(RoleHolder(contact_id="dispatcher", role="dispatcher"))
    one.raise_alarm()
    one.reply("near", "offer", "accept")
    assert (one.case().state, one.case().outcome) == ("closed", "completed")
    one.post("technician.unavailable", technician="near", reason="ill")
    assert one.orders() == [("near", "cancelled")]
    assert one.templates_told("dispatcher") == ["escalation"]


def test_nobody_is_sent_instead_where_the_customer_cancels_while_somebody_is_on_the_way(
    desk: Make,
) -> None:
    one = desk(URGENT)
    one.raise_alarm()
    one.reply("near", "offer", "accept")
    one.post("customer.cancelled")
    assert one.orders() == [("near", "cancelled")]
    assert {state for _, state in one.offers()} == {"accepted", "withdrawn"}
    assert len(one.offers()) == 3, "nobody else is asked"
    assert one.told()[-1] == "guard"
    one.pass_time(minutes=10)
    assert len(one.offers()) == 3


def test_offers_are_taken_back_where_the_customer_cancels_before_anybody_accepts(
    desk: Make,
) -> None:
    one = desk()
    one.raise_alarm()
    one.reply("near", "offer", "accept")
    one.post("technician.unavailable", technician="near", reason="ill")
    assert one.offers()[-1] == ("middle", "open")
    one.reply("ann", "confirm", "cancel")
    assert one.offers()[-1] == ("middle", "withdrawn")
    assert one.templates_told("middle") == ["job_offer", "job_over"]
    one.reply("middle", "offer", "accept")
    assert one.orders() == [("near", "cancelled")]
    assert "visit_moved" not in one.templates_told("ann")


def test_who_accepted_and_did_not_arrive_counts_as_nobody_who_accepted(desk: Make) -> None:
    one = desk(URGENT)
    one.raise_alarm()
    one.reply("near", "offer", "accept")
    assert "technician.accepted" in one.case().progress["facts"]
    one.pass_time(minutes=4)
    assert "technician.accepted" not in one.case().progress["facts"]


TWO_JOBS = """
tracks:
  guards:
    - dispatch: {skill: hvac, within: 100 km, arrive_within: 2h}
      otherwise: {hand_off: guard}
    - close: guarded
  repair:
    - dispatch: {skill: repair, within: 100 km, arrive_within: 2h}
      otherwise: {hand_off: guard}
    - close: repaired
"""


def test_of_two_who_were_sent_each_has_a_word_in_their_own_job(desk: Make) -> None:
    one = desk(TWO_JOBS)
    one.add_technician("fitter", 5, skills={"repair": 1})
    one.raise_alarm()
    one.reply("near", "offer", "accept")
    one.reply("fitter", "offer", "accept")
    one.reply("near", "progress", "arrived")
    assert one.orders() == [("near", "arrived"), ("fitter", "accepted")]
    assert one.case().state == "open", "the fitter is still on the way"
    one.reply("fitter", "progress", "arrived")
    assert one.case().outcome == "guards: guarded; repair: repaired"


CLOSING = """
- parallel:
    - - wait: alarm.cleared
        within: 8h
        otherwise: {escalate: chief}
      - close: gone
    - - dispatch: {skill: hvac, within: 100 km, offer: 1h, at_once: 2}
        otherwise: {hand_off: guard}
      - wait: technician.done
        within: 8h
        otherwise: {escalate: chief}
"""


def test_offers_of_a_case_that_ends_are_withdrawn_with_a_word(desk: Make) -> None:
    one = desk(CLOSING)
    one.raise_alarm()
    one.clear_alarm()
    assert one.case().state == "closed"
    assert one.offers() == [("near", "withdrawn"), ("middle", "withdrawn")]
    assert one.templates_told("near") == ["job_offer", "job_over"]
    one.reply("near", "offer", "accept")
    assert one.orders() == []


def test_an_offer_that_is_over_is_made_by_no_further_channel(desk: Make) -> None:
    one = desk(CLOSING.replace("at_once: 2}", "at_once: 2, channels: [sms, voice]}"))
    one.raise_alarm()
    one.clear_alarm()
    offer, *_ = one.rows(Message, contact_id="near")
    with one.store.write() as session:
        delivery = session.exec(select(Delivery).where(Delivery.message_id == offer.id)).one()
        move(session, delivery, SENT, one.clock.now())
        move(session, delivery, UNDELIVERED, one.clock.now())
    assert [row.channel for row in one.rows(Delivery, message_id=offer.id)] == ["sms"]
    assert one.rows(Message, id=offer.id)[0].state == UNDELIVERED


def test_an_offer_that_is_over_before_it_was_sent_is_not_sent(desk: Make) -> None:
    one = desk(CLOSING)
    one.raise_alarm()
    one.clear_alarm()
    with one.store.write() as session:
        room: dict[int, int] = dict.fromkeys(Severity, 32)
        claimed = claims.claim(session, "us", [], room, (one.clock.now(), 0.0), ["sms"])
        held_back = {one.claim.message.template: one.outcome for one in claimed.held_back}
        begun = {one.message.template for one in claimed.claims}
    why = "the offer was over before it could be made"
    assert held_back == {"job_offer": HeldBack(why, for_good=True)}
    assert begun == {"job_over"}


def test_who_is_on_the_way_to_a_case_that_ends_is_told_and_free_again(desk: Make) -> None:
    one = desk(CLOSING)
    one.raise_alarm()
    one.reply("near", "offer", "accept")
    one.clear_alarm()
    assert one.orders() == [("near", "cancelled")]
    assert one.templates_told("near")[-1] == "job_over"
    one.raise_alarm(number=2)
    assert one.offers(case_id=one.case().id) == [("near", "open"), ("middle", "open")]


def test_who_knows_the_place_goes_before_who_is_a_little_nearer(desk: Make) -> None:
    one = desk()
    one.add_technician("regular", 11)
    one.raise_alarm()
    one.reply("near", "offer", "decline")
    one.reply("regular", "offer", "accept")
    one.reply("regular", "progress", "arrived")
    assert one.orders() == [("regular", "done")], "the case ended while they were there"
    one.clock.advance(minutes=1)
    one.raise_alarm()
    best, _, reason = one.candidates()[0]
    assert best == "regular"
    assert reason == "19 min away (11.0 km) - 8 for having been at this device before"
