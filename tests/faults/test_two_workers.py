"""Several processes on one PostgreSQL: each thing is done once, and nobody who stood still acts late."""

import threading
from collections import Counter

import pytest
from sqlalchemy import text
from sqlmodel import Session, col, select

from notify.claims import BEGIN_WITHIN_S, CLAIM_S, NotBegun, Result
from notify.message import SENT, UNCERTAIN, Delivery, Message
from notify.outbox import Outbox
from notify.templating import Templates
from prevenant.crm.tables import Contact, RoleHolder
from prevenant.errors import StoreUnavailable
from prevenant.store import Busy, Store
from prevenant.tables import CASE_EVENTS, Alarm, CaseEvent, add_case_event
from tests.moved_clock import MovedClock
from tests.servers import wait_until
from tests.workflows.test_case import make_workflow
from workflows import case as cases
from workflows import runtime as runtime_module
from workflows.claims import claim_case, claim_deadlines
from workflows.runtime import Route, Runtime
from workflows.tables import Case

_ALARMS = 60
_STALLED = "idle_in_transaction_session_timeout"
_STEPS = """
- parallel:
    - [{tell: guard, template: told, channels: sms}]
    - [{tell: guard, template: told, channels: email}]
- wait: acknowledged
  within: 1h
  otherwise: [{close: nobody came}]
"""


pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


class Recorder:
    """A channel that remembers what it was handed."""

    confirms = True

    def __init__(self) -> None:
        self.sent: list[str] = []

    def send(self, delivery: Delivery, message: Message) -> str:
        """Take a delivery."""
        del message
        self.sent.append(delivery.key)
        return f"id-{delivery.key}"

    def find(self, delivery: Delivery, message: Message, known: frozenset[str]) -> str | None:
        """Look whether a delivery was taken."""
        del message, known
        return f"id-{delivery.key}" if delivery.key in self.sent else None

    def close(self) -> None:
        """Do nothing."""


@pytest.fixture
def shared(database_url: str) -> str:
    """Return the address of a PostgreSQL with all tables and a guard."""
    store = Store(database_url)
    store.upgrade()
    with store.write() as session:
        session.add(Contact(id="g", name="Guard", phone="+33639980001", email="g@valmont.example"))
        session.flush()
        session.add(RoleHolder(contact_id="g", role="guard"))
    store.close()
    return database_url


def _raise_alarm(session: Session, number: int, clock: MovedClock) -> None:
    alarm = Alarm(
        rule="hot",
        device_type="unit",
        site_id="s",
        device_id=f"s/u{number}",
        severity=3,
        onset_at=clock.now(),
        raised_at=clock.now(),
        reason="it is hot",
    )
    session.add(alarm)
    session.flush()
    event = CaseEvent(
        key=f"alarm.raised:{alarm.id}",
        kind="alarm.raised",
        urgency=3,
        alarm_id=alarm.id,
        data={"reason": alarm.reason},
        at=clock.now(),
    )
    add_case_event(session, event)


def _worker(
    url: str, clock: MovedClock, channels: dict[str, Recorder]
) -> tuple[Store, Runtime, Outbox]:
    store = Store(url)
    runtime = Runtime(
        store,
        clock,
        {"visit": make_workflow(_STEPS)},
        {"hot": Route("visit", {"en": "It is hot."})},
        Templates({"told": {"en": {"sms": "{{ alarm.message }}"}}}),
    )
    return store, runtime, Outbox(store, clock, channels)


def test_two_workers_do_each_thing_once(shared: str, clock: MovedClock) -> None:
    channels = {"sms": Recorder(), "email": Recorder()}
    workers = [_worker(shared, clock, channels) for _ in range(2)]
    runs = [run for _, runtime, outbox in workers for run in (runtime.run, outbox.run)]
    threads = [threading.Thread(target=run, daemon=True) for run in runs]
    for thread in threads:
        thread.start()
    desk = Store(shared)
    for number in range(_ALARMS):
        with desk.write() as session:
            _raise_alarm(session, number, clock)
    sent = [channels["sms"].sent, channels["email"].sent]
    wait_until(lambda: all(len(one) >= _ALARMS for one in sent), "every message", 60)
    for _, runtime, outbox in workers:
        runtime.stop()
        outbox.stop()
    for thread in threads:
        thread.join()
    with desk.read() as session:
        cases = list(session.exec(select(Case)))
        deliveries = list(session.exec(select(Delivery)))
        unheard = list(session.exec(select(CaseEvent).where(col(CaseEvent.heard_at).is_(None))))
    assert Counter(one.device_id for one in cases if not one.storm_of) == {
        f"s/u{n}": 1 for n in range(_ALARMS)
    }
    assert [count for one in sent for count in Counter(one).values()] == [1] * 2 * _ALARMS
    assert {(one.state, one.attempts) for one in deliveries} == {(SENT, 1)}
    assert unheard == []
    for store, *_ in workers:
        store.close()
    desk.close()


def test_a_commit_wakes_another_process(shared: str) -> None:
    one, other = Store(shared), Store(shared)
    rung = threading.Event()
    other.call(CASE_EVENTS, rung.set)
    wait_until(lambda: other.hears_others, "the other's bells")
    rung.clear()
    with one.write() as session:
        _raise_alarm(session, 1, MovedClock())
    assert rung.wait(30.0)
    one.close()
    other.close()


def test_whoever_stands_still_loses_the_row_and_cannot_commit(
    shared: str, clock: MovedClock
) -> None:
    stalled, brisk = Store(shared, stalled_s=60.0), Store(shared)
    with brisk.write() as session:
        _raise_alarm(session, 1, clock)
    _, runtime, _ = _worker(shared, clock, {})
    query = select(CaseEvent).with_for_update(skip_locked=True)

    def stand_still() -> None:
        with stalled.write() as session:
            event = session.exec(query).one()
            assert not runtime.work_once(clock.now())
            # What the store has asked for, but sooner: so far this one may have been slow.
            assert session.execute(text(f"SHOW {_STALLED}")).scalar() == "1min"
            session.execute(text(f"SET LOCAL {_STALLED} = 200"))
            wait_until(lambda: runtime.work_once(clock.now()), "the other to take over")
            event.error = "written late"
            session.add(event)

    with pytest.raises(StoreUnavailable):
        stand_still()
    with brisk.read() as session:
        assert [one.device_id for one in session.exec(select(Case))] == ["s/u1"]
        assert session.exec(select(CaseEvent.error)).one() is None
        assert session.execute(text("SELECT 1")).scalar() == 1
    stalled.close()
    brisk.close()


@pytest.mark.parametrize("how", ["case", "deadline"])
def test_a_case_that_was_read_before_it_is_claimed_is_read_again(
    shared: str, clock: MovedClock, how: str
) -> None:
    store, runtime, _ = _worker(shared, clock, {})
    with store.write() as session:
        _raise_alarm(session, 1, clock)
    while runtime.work_once(clock.now()):
        pass
    other = Store(shared)
    with store.write() as session:
        before = session.exec(select(Case)).one()
        due_at = before.due_at
        assert due_at is not None
        with other.write() as elsewhere:
            case = claim_case(elsewhere, before.id or 0)
            case.progress = {**case.progress, "messages": 17}
            elsewhere.add(case)
        if how == "case":
            claimed = claim_case(session, before.id or 0)
        else:
            (claimed,) = claim_deadlines(session, before.severity, due_at, 1)
        assert claimed.progress["messages"] == 17
    store.close()
    other.close()


def test_what_follows_something_that_another_has_is_left_with_it(
    shared: str, clock: MovedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, runtime, _ = _worker(shared, clock, {})
    with store.write() as session:
        _raise_alarm(session, 1, clock)
    while runtime.work_once(clock.now()):
        pass
    with store.write() as session:
        case = session.exec(select(Case)).one()
        for number in range(2):
            event = CaseEvent(
                key=f"e{number}", kind="unheard.of", urgency=3, case_id=case.id, at=clock.now()
            )
            add_case_event(session, event)
            session.flush()
    turns = iter([True, False, False])
    heard: list[str] = []

    def claims(session: Session, case_id: int) -> Case:
        if next(turns):
            raise Busy
        return claim_case(session, case_id)

    monkeypatch.setattr(runtime_module, "claim_case", claims)
    monkeypatch.setattr(cases, "hear", lambda _, event: heard.append(event.key))
    assert not runtime.work_once(clock.now())
    assert heard == []
    assert runtime.work_once(clock.now())
    assert heard == ["e0", "e1"]
    store.close()


def test_an_attempt_of_somebody_who_stands_still_is_looked_up_and_not_made_later(
    shared: str, clock: MovedClock
) -> None:
    channel = Recorder()
    steady, watching = [1_000.0], [7.0]
    first, second = Store(shared), Store(shared)
    slow = Outbox(first, clock, {"sms": channel}, lambda: steady[0])
    quick = Outbox(second, clock, {"sms": channel}, lambda: watching[0])
    with first.write() as session:
        message = Message(
            key="m",
            contact_id="g",
            name="Guard",
            role="guard",
            template="escalation",
            language="en",
            severity=3,
            turns=[["sms"]],
            texts={"sms": "hot"},
            created_at=clock.now(),
        )
        session.add(message)
        session.flush()
        session.add(
            Delivery(
                key="m-sms",
                message_id=message.id or 0,
                channel="sms",
                address="+33639980001",
                severity=3,
                updated_at=clock.now(),
            )
        )
    wait_until(lambda: first.hears_others and second.hears_others, "each other")
    (claim,) = slow._turn(clock.now())
    assert quick._turn(clock.now()) == []
    steady[0] += BEGIN_WITHIN_S
    watching[0] += CLAIM_S
    assert slow._attempt(claim) == NotBegun()
    (again,) = quick._turn(clock.now())
    assert again.is_uncertain
    quick._work(again)
    (sending,) = quick._turn(clock.now())
    quick._work(sending)
    slow._finish(Result(claim, NotBegun()))
    assert slow._turn(clock.now()) == []
    assert quick._turn(clock.now()) == []
    assert channel.sent == ["m-sms"]
    with first.read() as session:
        delivery = session.exec(select(Delivery)).one()
        assert (delivery.state, delivery.possible_duplicate) == (SENT, True)
        assert delivery.state != UNCERTAIN
    first.close()
    second.close()
