"""A rush: jobs that come together are assigned together, the severe ones never wait."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest

from prevenant.store import Store
from tests.moved_clock import MovedClock
from tests.workflows.dispatching import URGENT, DispatchDesk
from workflows.tables import Case, WaitingJob

Make = Callable[..., DispatchDesk]


@pytest.fixture
def desk(store: Store, clock: MovedClock) -> DispatchDesk:
    """Return a desk in the middle of a rush: three cases have been dispatched just now."""
    desk = DispatchDesk(store, clock)
    for number in range(3):
        desk.add_technician(f"first{number}", 90)
        desk.raise_alarm(number=100 + number)
    assert [state for _, state in desk.offers()] == ["open"] * 3
    return desk


def test_jobs_of_a_rush_wait_and_are_assigned_together(desk: DispatchDesk) -> None:
    # The nearest of both is `both`: taken by the first job, the second would have a long way.
    desk.add_device(1, 10)
    desk.add_device(2, -10)
    desk.add_technician("both", 0)
    desk.add_technician("other", 25)
    for number in (1, 2):
        desk.raise_alarm(number=number)
    jobs = desk.rows(WaitingJob)
    assert [job.state for job in jobs] == ["waiting", "waiting"]
    assert len(desk.offers()) == 3
    desk.pass_time(seconds=3)
    assert desk.offers()[3:] == [("other", "open"), ("both", "open")]
    assert [job.state for job in desk.rows(WaitingJob)] == ["over", "over"]
    case = desk.rows(Case, device_id="s/1")[0]
    (reason,) = [why for name, rank, why in desk.candidates(case.id) if rank == 1]
    assert "assigned together with 1 other: 26 min instead of 17 for the nearest" in reason
    assert "who goes to case" in reason


def test_jobs_that_nobody_is_left_for_reach_a_person(desk: DispatchDesk) -> None:
    desk.add_technician("one", 1)
    for number in (1, 2, 3):
        desk.raise_alarm(number=number)
    desk.pass_time(seconds=3)
    assert desk.offers()[3:] == [("one", "open")]
    assert Counter(desk.told())["guard"] == 2
    assert [r.plan for r in desk.rounds() if "nobody is left" in r.plan]


def test_severe_jobs_do_not_wait(store: Store, clock: MovedClock) -> None:
    desk = DispatchDesk(store, clock, URGENT)
    for number in range(12):
        desk.add_technician(f"t{number}", 5)
    for number in range(4):
        desk.raise_alarm(number=number)
    assert len(desk.offers()) == 12
    assert desk.rows(WaitingJob) == []


def test_a_case_that_ends_while_it_waits_takes_nobody(desk: DispatchDesk) -> None:
    desk.add_technician("one", 1)
    desk.raise_alarm(number=1)
    desk.raise_alarm(number=2)
    with desk.store.write() as session:
        case = session.get_one(Case, desk.rows(Case, device_id="s/1")[0].id)
        case.state, case.due_at = "closed", None
    desk.pass_time(seconds=3)
    assert desk.offers()[3:] == [("one", "open")]
    assert desk.rows(Case, device_id="s/2")[0].id == desk.rows(WaitingJob)[1].case_id
    assert {job.state for job in desk.rows(WaitingJob)} == {"over"}


def test_whom_the_plan_keeps_for_a_job_is_not_given_another_meanwhile(
    desk: DispatchDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.add_technician("one", 1)
    desk.add_technician("two", 2)
    for number in (1, 2):
        desk.raise_alarm(number=number)
    desk.clock.advance(seconds=3)
    monkeypatch.setattr(desk.runtime, "_together", 1)
    assert desk.runtime.work_once(desk.clock.now()), "the first of them assigns for both"
    assert Counter(job.state for job in desk.rows(WaitingJob)) == {"over": 1, "assigned": 1}
    monkeypatch.setattr(desk.office, "gather_s", 0.0)
    desk.raise_alarm(number=3)
    desk.work()
    taken = Counter(who for who, state in desk.offers() if state == "open")
    assert max(taken.values()) == 1
    assert {"one", "two"} <= taken.keys()


def test_a_plan_that_does_not_hold_any_more_gives_way(desk: DispatchDesk) -> None:
    desk.add_technician("one", 1)
    desk.add_technician("two", 2)
    desk.raise_alarm(number=1)
    with desk.store.write() as session:
        job = session.get_one(WaitingJob, desk.rows(WaitingJob)[0].id)
        job.state, job.technician_id, job.plan = "assigned", "nobody", "as planned"
    desk.pass_time(seconds=3)
    assert desk.offers()[3:] == [("one", "open")]


def test_the_wait_ends_for_all_at_the_same_moment(desk: DispatchDesk) -> None:
    for number in (1, 2, 3):
        desk.add_technician(f"t{number}", number)
        desk.raise_alarm(number=number)
        desk.clock.advance(seconds=1)
    untils = {job.until for job in desk.rows(WaitingJob)}
    assert len(untils) == 1
    assert untils.pop() <= desk.clock.now() + timedelta(seconds=3)
