"""From an alarm to the attempt at the provider in one transaction, where nothing has to go before."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, col, select

from notify import claims
from notify.claims import Claim, Result, Sent
from notify.delivery import take_receipt
from notify.message import (
    DELIVERED,
    OUTBOX,
    QUEUED,
    SENT,
    Delivery,
    Draft,
    Message,
    Recipient,
    queue_message,
    word_message,
)
from notify.outbox import Outbox, Share
from notify.templating import Templates
from prevenant.api.receipts import take_receipt_by
from prevenant.clock import SystemClock
from prevenant.crm.tables import Contact, RoleHolder
from prevenant.domain import Severity, Transition
from prevenant.store import Busy, Store, at_the_end, wake
from prevenant.stream.alarms import write_transitions
from prevenant.stream.writing import AlarmWriter
from prevenant.tables import CASE_EVENTS, Alarm, CaseEvent, TimelineEntry
from tests.servers import wait_until
from tests.workflows.test_case import make_workflow
from workflows.runtime import Route, Runtime
from workflows.tables import Case

_STEPS = """[{tell: guard, template: told, channels: sms},
    {wait: acknowledged, within: 12h, otherwise: {hand_off: guard}}]"""
_WORDS = Templates({"told": {"en": {"sms": "It is hot."}}})
_START = 1_800_000_000.0
_IS_OPENED = TimelineEntry.kind == "case.opened"
_MAJOR, _LIFE = Severity.MAJOR, Severity.LIFE_SAFETY


class Shop:
    """A provider that takes every text, and knows which."""

    confirms = True

    def __init__(self) -> None:
        self.taken: list[str] = []

    def send(self, delivery: Delivery, message: Message) -> str:
        """Take a text."""
        del message
        self.taken.append(delivery.key)
        return f"p-{delivery.key}"

    def find(self, delivery: Delivery, message: Message, known: frozenset[str]) -> str | None:
        """Look for a text that was taken."""
        del message, known
        return f"p-{delivery.key}" if delivery.key in self.taken else None

    def close(self) -> None:
        """Do nothing."""


@pytest.fixture
def shop() -> Shop:
    """Return a provider."""
    return Shop()


@pytest.fixture
def runtime(store: Store) -> Runtime:
    """Return what opens cases, in a store with a guard."""
    with store.write() as session:
        session.add(Contact(id="g", name="Guard", phone="+33639980001"))
        session.flush()
        session.add(RoleHolder(contact_id="g", role="guard"))
    workflows = {"visit": make_workflow(_STEPS)}
    return Runtime(store, SystemClock(), workflows, {"hot": Route("visit", {"en": "Hot."})}, _WORDS)


@pytest.fixture
def outbox(store: Store, shop: Shop) -> Iterator[Outbox]:
    """Return an outbox that claims what others queue, and does nothing by itself."""
    outbox = Outbox(store, SystemClock(), {"sms": shop})
    with ThreadPoolExecutor(4) as pool:
        wait_until(outbox._is_seen if not store.is_shared else lambda: store.hears_others, "bells")
        outbox._open(pool)
        yield outbox


def _change(device: str, severity: int) -> Transition:
    return Transition("raised", "hot", "unit", "s", device, severity, _START, _START, {}, "hot")


def _writer(store: Store) -> AlarmWriter:
    def retrying(work: object, urgency: object) -> None:
        with store.write(urgency()) as session:  # type: ignore[operator]
            work(session)  # type: ignore[operator]

    return AlarmWriter(store, retrying)


def _say(session: Session, key: str, severity: int) -> None:
    queue_message(session, _WORDS, _draft(key, severity), SystemClock().now())
    session.flush()


def _draft(key: str, severity: int) -> Draft:
    person = Recipient("g", "Guard", "guard", "en", "UTC", {"sms": "+33639980001"})
    return Draft(key, person, "told", {}, [["sms"]], severity)


def _deliveries(store: Store) -> list[Delivery]:
    with store.read() as session:
        return list(session.exec(select(Delivery).order_by(col(Delivery.id))))


@contextmanager
def _written(store: Store) -> Iterator[Counter[str]]:
    """Count the transactions that change rows, by the thread that commits them.

    Whoever looks while another claims may begin one, and finds nothing to do in it.
    """
    commits: Counter[str] = Counter()
    changing: set[str] = set()

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.lstrip().startswith(("INSERT", "UPDATE", "DELETE")):
            changing.add(threading.current_thread().name)

    def count(_connection: object) -> None:
        name = threading.current_thread().name
        if name in changing:
            changing.remove(name)
            commits[name] += 1

    def forget(_connection: object) -> None:
        changing.discard(threading.current_thread().name)

    heard: dict[str, Callable[..., None]] = {
        "before_cursor_execute": note,
        "commit": count,
        "rollback": forget,
    }
    for name, hear in heard.items():
        event.listen(store.engine, name, hear)
    yield commits
    for name, hear in heard.items():
        event.remove(store.engine, name, hear)


def test_from_alarm_to_attempt_in_one_commit(store: Store, runtime: Runtime, shop: Shop) -> None:
    outbox, writer = Outbox(store, SystemClock(), {"sms": shop}), _writer(store)
    threads = [threading.Thread(target=run) for run in (runtime.run, outbox.run)]
    for thread in threads:
        thread.start()
    wait_until(lambda: {CASE_EVENTS, OUTBOX} <= {*store._attendants}, "who goes on")
    wait_until(lambda: store.hears_others or not store.is_shared, "bells")
    with _written(store) as commits:
        writer.start()
        writer.write([_change("u1", _LIFE)])
        wait_until(lambda: [one.state for one in _deliveries(store)] == [SENT], "the hand-over")
        assert writer.close()
        runtime.stop()
        outbox.stop()
        for thread in threads:
            thread.join()
    assert commits["alarms"] == 1
    # Whoever else commits, writes what came of the attempt.
    assert sum(commits.values()) == 2
    (delivery,) = _deliveries(store)
    assert (delivery.attempts, delivery.claim, delivery.possible_duplicate) == (1, 1, False)
    assert shop.taken == [delivery.key]
    assert not store._attendants


def test_what_others_claim_is_not_claimed_again(store: Store, outbox: Outbox, shop: Shop) -> None:
    with store.write(_MAJOR) as session:
        _say(session, "one", _MAJOR)
        store.go_on(session, OUTBOX, _MAJOR)
        assert shop.taken == []
    wait_until(lambda: outbox._results, "an attempt")
    (delivery,) = _deliveries(store)
    assert outbox._turn(SystemClock().now()) == []
    assert _deliveries(store)[0].state == SENT
    assert shop.taken == [delivery.key]


@contextmanager
def slowly(shop: Shop) -> Iterator[None]:
    """Let the provider take its time: what comes of an attempt rings the bell, too."""
    is_over, send = threading.Event(), shop.send

    def wait_and_send(delivery: Delivery, message: Message) -> str:
        is_over.wait(60)
        return send(delivery, message)

    shop.send = wait_and_send  # type: ignore[method-assign]
    try:
        yield
    finally:
        is_over.set()


def test_who_has_nothing_left_to_do_is_not_woken(store: Store, outbox: Outbox, shop: Shop) -> None:
    bell = outbox._wakeup._rung
    # As soon as others are heard, once.
    wait_until(lambda: bell.is_set() or not store.is_shared, "bells")
    bell.clear()
    with slowly(shop):
        _claim_and_look(store, outbox)
    wait_until(lambda: len(outbox._results) == 2, "the attempts")


def _claim_and_look(store: Store, outbox: Outbox) -> None:
    bell = outbox._wakeup._rung
    with store.write(_MAJOR) as session:
        _say(session, "one", _MAJOR)
        store.go_on(session, OUTBOX, _MAJOR)
    assert not bell.is_set()
    with store.write(_MAJOR) as session:
        _say(session, "two", _MAJOR)
        store.go_on(session, OUTBOX, _MAJOR)
        _say(session, "three", _MAJOR)
    assert bell.is_set()


def test_what_no_longer_waits_is_seen_though_all_that_is_new_was_claimed(
    store: Store, outbox: Outbox, shop: Shop
) -> None:
    bell, later = outbox._wakeup._rung, SystemClock().now() + timedelta(hours=1)
    wait_until(lambda: bell.is_set() or not store.is_shared, "bells")
    with store.write(_MAJOR) as session:
        _say(session, "put off", _MAJOR)
        (delivery,) = session.exec(select(Delivery)).all()
        delivery.next_at = later
    bell.clear()
    with slowly(shop):
        with store.write(_LIFE) as session:
            (delivery,) = session.exec(select(Delivery)).all()
            delivery.next_at = None
            wake(session, OUTBOX)
            _say(session, "new", _LIFE)
            store.go_on(session, OUTBOX, _LIFE)
        assert bell.is_set()
    wait_until(lambda: outbox._results, "the attempt")


class _SeenLate(set[int]):
    """What was not in hand when it was listed, and is by now."""

    def __iter__(self) -> Iterator[int]:
        return iter(())


def test_what_is_claimed_while_we_look_is_left_alone(store: Store, outbox: Outbox) -> None:
    with store.write(_MAJOR) as session:
        _say(session, "one", _MAJOR)
        store.go_on(session, OUTBOX, _MAJOR)
    room: dict[int, int] = dict.fromkeys(Severity, 8)
    with store.write() as session:
        at = SystemClock().now(), 0.0
        held = _SeenLate(outbox._in_hand)
        found = claims.claim(session, outbox._name, held, room, at, {"sms"})
        assert (found.claims, found.held_back) == ([], [])
    assert _deliveries(store)[0].claim == 1


def test_what_is_not_committed_is_neither_begun_nor_in_hand(
    store: Store, outbox: Outbox, shop: Shop
) -> None:
    def write() -> None:
        with store.write(_MAJOR) as session:
            _say(session, "one", _MAJOR)
            store.go_on(session, OUTBOX, _MAJOR)
            assert len(outbox._in_hand) == 1
            message = "in between"
            raise RuntimeError(message)

    with pytest.raises(RuntimeError, match="in between"):
        write()
    assert outbox._in_hand == {}
    assert _deliveries(store) == []
    assert shop.taken == []


def test_who_is_given_the_numbers_of_what_was_not_committed_sends_once(
    store: Store, outbox: Outbox, shop: Shop
) -> None:
    """The next writer waits for its turn while a transaction fails, and claims what it queues itself."""
    is_sent, send = threading.Event(), shop.send

    def wait_and_send(delivery: Delivery, message: Message) -> str:
        is_sent.wait(60)
        return send(delivery, message)

    shop.send = wait_and_send  # type: ignore[method-assign]

    def queue_another() -> None:
        with store.write(_LIFE) as session:
            _say(session, "another", _LIFE)
            store.go_on(session, OUTBOX, _LIFE)

    other = threading.Thread(target=queue_another)
    given: list[bool] = []

    def fail_to_queue() -> None:
        with store.write(_MAJOR) as session:
            _say(session, "refused", _MAJOR)
            store.go_on(session, OUTBOX, _MAJOR)
            at_the_end(session, failed=lambda: given.append(other.is_alive()))
            other.start()
            if not store.is_shared:
                wait_until(lambda: store.is_wanted(_MAJOR), "the other writer")
            raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        fail_to_queue()
    other.join(60)
    assert given == [True] or store.is_shared
    (queued,) = _deliveries(store)
    assert [*outbox._in_hand] == [queued.id]
    assert outbox._turn(SystemClock().now()) == []
    is_sent.set()
    wait_until(lambda: len(outbox._results) == 1, "the attempt")
    assert shop.taken == [queued.key]


@pytest.mark.usefixtures("outbox")
def test_nothing_goes_before_what_is_due_and_as_urgent(store: Store) -> None:
    with store.write() as session:
        _say(session, "waits", _MAJOR)
    with store.write() as session:
        _say(session, "as urgent", _MAJOR)
        _say(session, "less urgent", Severity.MINOR)
        _say(session, "more urgent", _LIFE)
        store.go_on(session, OUTBOX, _LIFE)
    claimed = [one.claim for one in _deliveries(store)]
    assert claimed == [0, 0, 0, 1]


def test_nothing_is_begun_while_somebody_has_more_urgent_work(
    store: Store, outbox: Outbox, shop: Shop
) -> None:
    is_over = threading.Event()

    def work() -> None:
        with store.write(_LIFE):
            assert is_over.wait(60)

    urgent = threading.Thread(target=work)
    with store.write(_MAJOR) as session:
        _say(session, "one", _MAJOR)
        urgent.start()
        wait_until(lambda: store.is_wanted(_MAJOR), "somebody more urgent")
        store.go_on(session, OUTBOX, _MAJOR)
    assert shop.taken == []
    assert [one.claim for one in _deliveries(store)] == [0]
    is_over.set()
    urgent.join()
    (claim,) = outbox._turn(SystemClock().now())
    outbox._work(claim)
    assert shop.taken == [claim.delivery.key]


def test_an_alarm_is_not_heard_before_an_earlier_one(store: Store, runtime: Runtime) -> None:
    store.attend(CASE_EVENTS, runtime._hear_at_once)
    with store.write() as session:
        write_transitions(session, [_change("u1", _MAJOR)])
    with store.write() as session:
        write_transitions(session, [_change("u2", _MAJOR)])
        store.go_on(session, CASE_EVENTS, _MAJOR)
    with store.write() as session:
        write_transitions(session, [_change("u3", Severity.MINOR)])
        store.go_on(session, CASE_EVENTS, Severity.MINOR)
    with store.read() as session:
        assert session.exec(select(Case)).all() == []
    with store.write() as session:
        write_transitions(session, [_change("u4", _LIFE)])
        store.go_on(session, CASE_EVENTS, _LIFE)
    with store.read() as session:
        assert session.exec(select(Case.device_id)).all() == ["u4"]
    while runtime.work_once(SystemClock().now()):
        pass
    with store.read() as session:
        opened = session.exec(select(Case.device_id).order_by(col(Case.id))).all()
    assert opened == ["u4", "u1", "u2", "u3"]


@pytest.mark.parametrize(
    "error", [KeyError("no case"), OperationalError("SELECT", {}, Exception("too complex"))]
)
def test_an_alarm_is_written_though_its_case_fails(
    store: Store, runtime: Runtime, error: Exception
) -> None:
    def fails(session: Session, urgency: int) -> bool:
        del session, urgency
        raise error

    store.attend(CASE_EVENTS, fails)
    writer = _writer(store)
    writer.write([_change("u1", _LIFE)])
    with store.read() as session:
        assert session.exec(select(Alarm.device_id)).all() == ["u1"]
        assert session.exec(select(CaseEvent.heard_at)).all() == [None]
    assert runtime.work_once(SystemClock().now())
    assert [one.state for one in _deliveries(store)] == [QUEUED]


def test_cases_are_woken_for_a_deadline_that_was_heard_at_once(
    store: Store, runtime: Runtime
) -> None:
    thread = threading.Thread(target=runtime.run)
    thread.start()
    try:
        wait_until(lambda: runtime._wakes_at is not None, "nothing to wait for")
        wait_until(lambda: store.hears_others or not store.is_shared, "bells")
        _writer(store).write([_change("u1", _LIFE)])
        with store.read() as session:
            (due_at,) = session.exec(select(Case.due_at)).all()
        wait_until(lambda: runtime._wakes_at == due_at, "the deadline")
    finally:
        runtime.stop()
        thread.join()


def test_cases_sleep_on_where_they_wake_before_the_deadline(store: Store, runtime: Runtime) -> None:
    wait_until(lambda: store.hears_others or not store.is_shared, "bells")
    store.attend(CASE_EVENTS, runtime._hear_at_once)
    until = SystemClock().now() + timedelta(hours=1)
    for wakes_at, is_woken in ((until, False), (until + timedelta(hours=12), True), (None, True)):
        runtime._wakes_at = wakes_at
        runtime._wakeup._rung.clear()
        _writer(store).write([_change(f"u-{wakes_at}", _LIFE)])
        assert runtime._wakeup._rung.is_set() == is_woken, wakes_at


def test_a_case_hears_of_a_receipt_in_the_transaction_that_takes_it(
    store: Store, runtime: Runtime
) -> None:
    store.attend(CASE_EVENTS, runtime._hear_at_once)
    _writer(store).write([_change("u1", _MAJOR)])
    with _written(store) as commits:
        take_receipt_by(store, _take_delivered)
    assert sum(commits.values()) == 1
    with store.read() as session:
        heard = dict(session.exec(select(CaseEvent.kind, CaseEvent.heard_at)).all())
    assert heard["message.delivered"] is not None


@pytest.mark.parametrize(
    "error", [KeyError("no case"), OperationalError("SELECT", {}, Exception("too complex")), Busy()]
)
def test_a_receipt_is_taken_though_its_case_fails(
    store: Store, runtime: Runtime, error: Exception
) -> None:
    def fails(session: Session, urgency: int) -> bool:
        del session, urgency
        raise error

    store.attend(CASE_EVENTS, runtime._hear_at_once)
    _writer(store).write([_change("u1", _MAJOR)])
    store.attend(CASE_EVENTS, fails)
    take_receipt_by(store, _take_delivered)
    assert [one.state for one in _deliveries(store)] == [DELIVERED]
    assert runtime.work_once(SystemClock().now())
    with store.read() as session:
        heard = session.exec(select(CaseEvent.heard_at)).all()
    assert len(heard) == 2
    assert None not in heard


def _take_delivered(session: Session) -> None:
    assert take_receipt(session, "m1-sms", "p-1", DELIVERED, SystemClock().now())


def test_what_gathers_knows_of_all_that_one_transaction_has_raised(
    store: Store, runtime: Runtime
) -> None:
    steps = "group_wait: 30s\nsteps:\n  - {tell: guard, template: told, channels: sms}"
    gathering = {"visit": make_workflow(steps)}
    words = Templates({"told": {"en": {"sms": "{{ alarms | length }} alarms."}}})
    runtime.change_book(gathering, {"hot": Route("visit", {"en": "Hot."})}, words)
    store.attend(CASE_EVENTS, runtime._hear_at_once)
    critical = Severity.CRITICAL
    _writer(store).write([_change("u1", critical), _change("u2", critical)])
    while runtime.work_once(SystemClock().now()):
        pass
    with store.read() as session:
        said = [one.texts["sms"] for one in session.exec(select(Message))]
        assert len(session.exec(select(Case)).all()) == 1
    assert said == ["2 alarms."]


def test_what_another_worker_has_is_heard_later_without_a_word(
    store: Store, runtime: Runtime, capsys: pytest.CaptureFixture[str]
) -> None:
    def is_busy(session: Session, urgency: int) -> bool:
        del session, urgency
        raise Busy

    store.attend(CASE_EVENTS, is_busy)
    _writer(store).write([_change("u1", _LIFE)])
    assert "later" not in capsys.readouterr().out
    assert runtime.work_once(SystemClock().now())
    with store.read() as session:
        assert session.exec(select(Case.device_id)).all() == ["u1"]


def test_of_a_case_that_fails_half_way_nothing_is_written_with_its_alarm(
    store: Store, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> list[Message]:
        message = "no message"
        raise KeyError(message)

    store.attend(CASE_EVENTS, runtime._hear_at_once)
    with monkeypatch.context() as patched:
        patched.setattr("workflows.running.queue_messages", fails)
        _writer(store).write([_change("u1", _LIFE), _change("u2", _LIFE)])
    with store.read() as session:
        assert session.exec(select(Case)).all() == []
        assert session.exec(select(CaseEvent.heard_at)).all() == [None, None]
    while runtime.work_once(SystemClock().now()):
        pass
    with store.read() as session:
        assert sorted(session.exec(select(Case.device_id))) == ["u1", "u2"]
        opened = session.exec(select(TimelineEntry.case_id).where(_IS_OPENED)).all()
    assert len(opened) == len(set(opened)) == len(_deliveries(store)) == 2


def test_the_next_case_of_life_safety_goes_before_what_came_of_the_last(
    store: Store, shop: Shop
) -> None:
    outbox = Outbox(store, SystemClock(), {"sms": shop}, share=Share(OUTBOX, 2, 1))
    results = [_result(number, _LIFE) for number in range(2)]
    outbox._in_hand = {0: results[0].claim}
    assert outbox._urgency_of(results[:1]) == Severity.CRITICAL
    outbox._in_hand[1] = results[1].claim
    assert outbox._urgency_of(results) == _LIFE, "there is no room for the next attempt"
    outbox._in_hand.clear()
    assert outbox._urgency_of([]) == 0
    assert outbox._urgency_of([_result(2, Severity.INFO)]) == Severity.INFO


def _result(number: int, severity: int) -> Result:
    at = SystemClock().now()
    delivery = Delivery(
        id=number,
        key=f"m{number}-sms",
        message_id=number,
        channel="sms",
        address="+33639980001",
        severity=severity,
        updated_at=at,
    )
    message = word_message(_WORDS, _draft(f"case-{number}", severity), at)
    return Result(Claim(delivery, message, number=1, is_uncertain=False, at=0.0), Sent("p"))
