"""Two technicians accept in the same millisecond: one has the job, the other is told."""

import threading
from datetime import timedelta

import pytest
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from prevenant.store import Store
from prevenant.tables import CaseEvent, add_case_event
from tests.moved_clock import MovedClock
from tests.workflows.dispatching import URGENT, DispatchDesk
from workflows.runtime import Runtime
from workflows.tables import Case, WorkOrder

_ROUNDS = 8


@pytest.fixture
def desk(store: Store, clock: MovedClock) -> DispatchDesk:
    """Return a desk whose jobs are offered to three at a time."""
    desk = DispatchDesk(store, clock, URGENT)
    desk.office.gather_s = 0.0
    for name in ("one", "two", "three"):
        desk.add_technician(name, 5, capacity=100)
    return desk


def test_two_runtimes_give_the_job_to_one(desk: DispatchDesk) -> None:
    for number in range(_ROUNDS):
        desk.clock.advance(seconds=1)
        desk.raise_alarm(number=number)
        case_id = desk.case().id or 0
        with desk.store.write() as session:
            for name in ("one", "two"):
                add_case_event(session, _accept(case_id, name, desk.clock))
        ready = threading.Barrier(2)
        errors: list[BaseException] = []
        runtimes = [_another_runtime(desk) for _ in range(2)]

        def work(
            runtime: Runtime, ready: threading.Barrier = ready, errors: list[BaseException] = errors
        ) -> None:
            try:
                ready.wait(60)
                while runtime.work_once(desk.clock.now()):
                    pass
            except BaseException as error:  # noqa: BLE001  the test tells it
                errors.append(error)

        threads = [threading.Thread(target=work, args=(one,)) for one in runtimes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert errors == []
        desk.pass_time(seconds=3)
        (order,) = desk.rows(WorkOrder, case_id=case_id)
        offers = dict(desk.offers(case_id=case_id))
        assert offers.pop(order.technician_id) == "accepted"
        assert set(offers.values()) == {"withdrawn"}
        (loser,) = {"one", "two"} - {order.technician_id}
        assert "job_gone" in " ".join(desk.templates_told(loser)[-2:])


def test_the_database_itself_refuses_a_second_job_of_a_step(desk: DispatchDesk) -> None:
    desk.raise_alarm()
    desk.reply("one", "offer", "accept")
    first = desk.rows(WorkOrder)[0]
    with desk.store.read() as session:
        session.add(_order_like(first, "two"))
        with pytest.raises(IntegrityError):
            session.flush()
    with desk.store.write() as session:
        session.get_one(WorkOrder, first.id).state = "cancelled"
        session.flush()
        session.add(_order_like(first, "two"))


def test_two_transactions_at_once_cannot_both_give_the_job(desk: DispatchDesk) -> None:
    desk.raise_alarm()
    desk.reply("one", "offer", "accept")
    first = desk.rows(WorkOrder)[0]
    with desk.store.write() as session:
        session.get_one(WorkOrder, first.id).state = "cancelled"
    won: list[str] = []
    lost: list[str] = []
    ready = threading.Barrier(2)

    def give(name: str) -> None:
        ready.wait(60)
        try:
            with desk.store.write() as session:
                session.add(_order_like(first, name))
                session.flush()
            won.append(name)
        except IntegrityError:
            lost.append(name)

    threads = [threading.Thread(target=give, args=(name,)) for name in ("two", "three")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (len(won), len(lost)) == (1, 1)


def test_two_cases_at_once_do_not_offer_to_somebody_who_has_room_for_one(
    store: Store, clock: MovedClock
) -> None:
    if store.engine.dialect.name == "sqlite":
        pytest.skip("one writer at a time: whoever comes second sees what the first has offered")
    from workflows.loads import hold_technicians, open_jobs  # noqa: PLC0415  here alone

    desk = DispatchDesk(store, clock)
    desk.add_technician("only", 5)
    order = threading.Event()
    seen: list[int] = []

    def second() -> None:
        with store.write() as session:
            order.wait(60)
            hold_technicians(session, ["only"])
            seen.append(open_jobs(session, ["only"]).get("only", 0))

    thread = threading.Thread(target=second)
    thread.start()
    with store.write() as session:
        hold_technicians(session, ["only"])
        order.set()
        _offer(session, desk)
    thread.join(60)
    assert seen == [1], "the second waits until the first has offered"


def _offer(session: Session, desk: DispatchDesk) -> None:
    from workflows.tables import Offer, WorkflowVersion  # noqa: PLC0415  here alone

    now = desk.clock.now()
    session.add(WorkflowVersion(version="v", name="visit", steps="[]"))
    session.flush()
    case = Case(
        alarm_id=0,
        rule="hot",
        device_type="room",
        site_id="s",
        device_id="s/1",
        severity=3,
        workflow="visit",
        workflow_version="v",
        opened_at=now,
    )
    session.add(case)
    session.flush()
    session.add(
        Offer(
            case_id=case.id or 0,
            step="0",
            technician_id="only",
            contact_id="only",
            technician_name="Only",
            message_key="m",
            offered_at=now,
            expires_at=now + timedelta(minutes=1),
        )
    )


def _order_like(order: WorkOrder, technician: str) -> WorkOrder:
    values = order.model_dump(exclude={"id", "technician_id"})
    return WorkOrder(**{**values, "technician_id": technician, "state": "accepted"})


def _accept(case_id: int, name: str, clock: MovedClock) -> CaseEvent:
    return CaseEvent(
        key=f"accept-{case_id}-{name}",
        kind="reply",
        at=clock.now(),
        urgency=3,
        case_id=case_id,
        data={
            "contact": name,
            "name": name.title(),
            "role": "technician",
            "ask": "offer",
            "intent": "accept",
            "number": 1,
            "text": "1",
            "channel": "sms",
            "message": "m",
        },
    )


def _another_runtime(desk: DispatchDesk) -> Runtime:
    story = desk.runtime._story
    return Runtime(desk.store, desk.clock, story.workflows, story.routes, story.templates)
