"""Alarms are written by severity, each with its changes in order, and none is forgotten."""

import threading
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import Session, col, select

from prevenant.domain import Severity, Transition
from prevenant.errors import StoreUnavailable
from prevenant.store import Store
from prevenant.stream.writing import AlarmWriter, Backlog
from prevenant.tables import Alarm, CaseEvent
from tests.servers import wait_until

_START = 1_800_000_000.0


def _change(device: str, number: int, severity: int, kind: str = "raised") -> Transition:
    return Transition(
        kind, "hot", "unit", "s", device, severity, _START, _START + number, {}, f"{number}"
    )


CHANGES = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 5)) | st.none(), max_size=60)


@given(CHANGES)
def test_each_alarm_keeps_its_order_and_the_most_severe_comes_first(
    steps: list[tuple[str, int] | None],
) -> None:
    backlog = Backlog()
    waiting: dict[str, list[Transition]] = defaultdict(list)
    for number, step in enumerate(steps):
        if step is not None:
            change = _change(step[0], number, step[1])
            backlog.add(change)
            waiting[step[0]].append(change)
        elif backlog.count:
            worst = max(max(one.severity for one in changes) for changes in waiting.values())
            assert backlog.urgency == worst
            taken = backlog.take()
            assert taken == waiting.pop(taken[0].device_id)
            assert max(one.severity for one in taken) == worst
            if number % 2:
                backlog.put_back(taken)
                waiting[taken[0].device_id] = taken
        assert backlog.count == sum(map(len, waiting.values()))
    while backlog.count:
        taken = backlog.take()
        assert taken == waiting.pop(taken[0].device_id)
    assert not waiting
    assert backlog.urgency == 0


def _direct(store: Store) -> AlarmWriter:
    def retrying(work: object, urgency: object) -> None:
        del urgency
        with store.write() as session:
            work(session)  # type: ignore[operator]

    return AlarmWriter(store, retrying)


def test_life_safety_overtakes_what_waits(store: Store) -> None:
    writer = _direct(store)
    begin, go_on = threading.Event(), threading.Event()
    write = writer._write_some

    def held() -> None:
        begin.set()
        assert go_on.wait(60)
        write()

    writer._write_some = held  # type: ignore[method-assign]
    writer.start()
    writer.write([_change(f"u{number}", number, Severity.MINOR) for number in range(300)])
    assert begin.wait(60)
    writer.write([_change("u-aed", 1, Severity.LIFE_SAFETY)])
    go_on.set()
    writer.wait_until_written()
    assert writer.close()
    with store.read() as session:
        events = session.exec(select(CaseEvent.alarm_id).order_by(col(CaseEvent.id))).all()
        first = session.get_one(Alarm, events[0])
    assert first.device_id == "u-aed"
    assert len(events) == 301


def test_what_a_lost_commit_had_taken_is_written_again_and_once(store: Store) -> None:
    lost = [True, False, True]

    def retrying(work: object, urgency: object) -> None:
        del urgency
        while True:
            with store.write() as session:
                work(session)  # type: ignore[operator]
            # It was committed, but nobody was told so.
            if not lost or not lost.pop():
                return

    writer = AlarmWriter(store, retrying)
    writer.write([_change(f"u{number}", number, Severity.MINOR) for number in range(5)])
    with store.read() as session:
        assert sorted(session.exec(select(Alarm.device_id))) == [f"u{n}" for n in range(5)]
        assert len(session.exec(select(CaseEvent)).all()) == 5


def test_a_failure_is_raised_where_it_is_decided(store: Store) -> None:
    def retrying(work: object, urgency: object) -> None:
        del work, urgency
        raise StoreUnavailable("away")

    writer = AlarmWriter(store, retrying)
    writer.start()
    writer.write([_change("u", 1, Severity.MINOR)])
    wait_until(lambda: writer._failure is not None, "the failure")
    with pytest.raises(StoreUnavailable):
        writer.is_idle()
    assert not writer.close()


def test_what_waits_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prevenant.stream.writing._MOST_WAITING", 3)
    go_on = threading.Event()

    def retrying(work: object, urgency: object) -> None:
        del urgency
        assert go_on.wait(60)
        with store.write() as session:
            assert isinstance(session, Session)
            work(session)  # type: ignore[operator]

    writer = AlarmWriter(store, retrying)
    writer.start()
    writer.write([_change(f"u{number}", number, Severity.MINOR) for number in range(4)])
    late = threading.Thread(target=writer.write, args=([_change("late", 9, Severity.LIFE_SAFETY)],))
    late.start()
    late.join(0.2)
    assert late.is_alive()
    go_on.set()
    late.join(60)
    writer.wait_until_written()
    assert writer.close()
    with store.read() as session:
        assert len(session.exec(select(Alarm)).all()) == 5
