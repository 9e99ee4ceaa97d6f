"""A visit that the customer moves: to a time that the technician still has when it is written."""

import threading
from datetime import timedelta

import pytest
from sqlmodel import col, select

from notify.replies import Pressed, find_question, take_pressed
from prevenant.crm.shifts import parse_shifts
from prevenant.crm.tables import Leave, Technician
from prevenant.domain import Severity
from prevenant.store import Store
from prevenant.tables import CaseEvent
from tests.moved_clock import MovedClock
from tests.workflows.room import Room, make_templates, read_workflow
from workflows.runtime import Runtime
from workflows.slots import Span
from workflows.story import Route, Story
from workflows.tables import Case, WorkOrder
from workflows.versions import running
from workflows.visits import SLOT, find_slots

VISIT = """
- dispatch: {skill: cold, within: 50 km, offer: 10m}
  otherwise: {hand_off: dispatcher}
- tell: customer
  template: visit_planned
  confirm_within: 24h
- wait: technician.arrived
  within: visit.end + 15m
  otherwise: {escalate: chief}
- wait: technician.done
  within: 8h
  otherwise: {escalate: chief}
"""


@pytest.fixture
def room(store: Store, clock: MovedClock) -> Room:
    room = Room(store, clock, VISIT)
    with store.write() as session:
        for one in session.exec(select(Technician)):
            one.shifts, one.timezone = parse_shifts("mon-fri 08:00-18:00"), "Europe/Paris"
            one.is_active, one.capacity = one.id == "tom", 3
            session.add(one)
    return room


def plan(room: Room, device: str = "s/fridge") -> int:
    """Let a case of a device have its visit; return its number."""
    room.raise_alarm(device=device)
    room.reply("tom", f"1 {room.case().id}")
    number = room.case().id
    assert number is not None
    assert order_of(room, number).state == "accepted"
    return number


def order_of(room: Room, case_id: int) -> WorkOrder:
    with room.store.read() as session:
        query = select(WorkOrder).where(WorkOrder.case_id == case_id)
        return session.exec(query.order_by(col(WorkOrder.id).desc())).one()


def slots(room: Room, case_id: int) -> list[Span]:
    with room.store.read() as session:
        case = session.get_one(Case, case_id)
        run = running(session, Story({}, {}, room.templates), case, room.clock.now())
        order = run.work_order()
        return find_slots(run, order) if order else []


def press(room: Room, case_id: int, slot: Span, key: str = "k") -> None:
    """Let the customer choose a time, without anybody hearing it yet."""
    start, end = slot
    wanted = {SLOT: {"start": start.isoformat(), "end": end.isoformat()}}
    with room.store.write() as session:
        question = find_question(session, case_id, "ada", "confirm")
        assert question is not None
        pressed = Pressed(f"{key}-{case_id}", "confirm", "decline", details=wanted)
        take_pressed(session, question, pressed, room.clock.now())


def test_the_visit_moves_and_both_are_told(room: Room) -> None:
    case_id = plan(room)
    slot = slots(room, case_id)[3]
    press(room, case_id, slot)
    room.work()
    order = order_of(room, case_id)
    assert (order.visit_start, order.visit_end) == slot
    assert room.story("visit.moved") == ["Ada moves the visit, to a time that Tom has"]
    assert room.told("ada")[-1] == "visit_rescheduled"
    assert room.told("tom")[-1] == "job_moved"
    assert "customer.confirmed" in room.case().progress["facts"]
    assert room.due_at == slot[1] + timedelta(minutes=15)


def test_a_time_that_has_been_taken_meanwhile_is_not_given(room: Room) -> None:
    first, second = plan(room), plan(room, "s/other")
    slot = slots(room, first)[3]
    assert slot in slots(room, second)
    press(room, first, slot)
    room.work()
    assert slot not in slots(room, second)
    before = order_of(room, second)
    press(room, second, slot)
    room.work()
    assert order_of(room, second).visit_start == before.visit_start
    assert room.story("visit.not_moved") == ["Ada would move the visit: Tom has another visit then"]
    assert room.told("desk") == []


def test_who_is_heard_late_and_gets_no_such_time_is_called_back(room: Room) -> None:
    case_id = plan(room)
    slot = slots(room, case_id)[1]
    with room.store.write() as session:
        session.add(Leave(technician_id="tom", starts_at=slot[0], ends_at=slot[1]))
    press(room, case_id, slot)
    room.pass_time(minutes=1)
    assert room.told("desk") == ["customer_needs_person"]
    assert room.story("visit.not_moved") == ["Ada would move the visit: Tom is away"]


@pytest.mark.parametrize(
    ("shift", "why"),
    [
        ({"hours": -48}, "it begins too soon"),
        ({"hours": 10}, "nobody is visited at that hour"),
        ({"days": 30}, "it is too far ahead"),
    ],
)
def test_a_time_that_was_never_shown_is_not_given(
    room: Room, shift: dict[str, int], why: str
) -> None:
    case_id = plan(room)
    before = order_of(room, case_id)
    start, end = slots(room, case_id)[4]
    press(room, case_id, (start + timedelta(**shift), end + timedelta(**shift)))
    room.work()
    assert order_of(room, case_id).visit_start == before.visit_start
    assert room.story("visit.not_moved")[0].endswith(why)


def test_a_longer_window_is_not_given(room: Room) -> None:
    case_id = plan(room)
    start, end = slots(room, case_id)[2]
    press(room, case_id, (start, end + timedelta(hours=1)))
    room.work()
    assert "not as long" in room.story("visit.not_moved")[0]


def test_who_is_on_the_way_is_not_moved_any_more(room: Room) -> None:
    case_id = plan(room)
    slot = slots(room, case_id)[2]
    room.reply("tom", "1")
    assert order_of(room, case_id).state == "en_route"
    assert slots(room, case_id) == []
    press(room, case_id, slot)
    room.work()
    assert room.story("visit.not_moved")[0].endswith("the visit cannot be moved any more")


def test_who_has_to_come_at_once_cannot_be_moved(store: Store, clock: MovedClock) -> None:
    room = Room(
        store,
        clock,
        """
- dispatch: {skill: cold, within: 50 km, offer: 10m, arrive_within: 30m}
  otherwise: {hand_off: dispatcher}
""",
    )
    room.raise_alarm(Severity.CRITICAL)
    room.reply("tom", "1")
    case_id = room.case().id
    assert case_id is not None
    assert order_of(room, case_id).state == "accepted"
    assert slots(room, case_id) == []


def test_of_two_customers_who_want_one_time_at_once_one_gets_it(room: Room) -> None:
    cases = [plan(room, f"s/{number}") for number in range(3)]
    slot = slots(room, cases[0])[4]
    for case_id in cases:
        press(room, case_id, slot)
    workflows = {"visit": read_workflow(VISIT)}
    routes = {"hot": Route("visit", {"en": "It is hot."})}
    started = threading.Barrier(len(cases))
    failed: list[BaseException] = []

    def work() -> None:
        runtime = Runtime(room.store, room.clock, workflows, routes, make_templates())
        started.wait()
        try:
            for _ in range(200):
                if not runtime.work_once(room.clock.now()) and heard(room):
                    return
        except BaseException as error:  # noqa: BLE001  the test reports it
            failed.append(error)

    workers = [threading.Thread(target=work) for _ in cases]
    for one in workers:
        one.start()
    for one in workers:
        one.join(60)
    assert not failed
    assert heard(room)
    at_once = [one for one in cases if order_of(room, one).visit_start == slot[0]]
    assert len(at_once) == 1
    assert len(room.story("visit.moved")) == 1
    assert room.story("visit.not_moved") == [
        "Ada would move the visit: Tom has another visit then"
    ] * (len(cases) - 1)


def heard(room: Room) -> bool:
    with room.store.read() as session:
        return not session.exec(select(CaseEvent).where(col(CaseEvent.heard_at).is_(None))).all()
