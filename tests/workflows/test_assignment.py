"""Jobs assigned together: as good as by trying everything, the severe ones first."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflows import assignment
from workflows.assignment import Job, assign, assign_greedily


@st.composite
def rushes(draw: st.DrawFn, jobs: int = 5, people: int = 4) -> tuple[list[Job], dict[int, int]]:
    """Return some jobs, of which some nobody can take, and how much room each technician has."""
    count = draw(st.integers(1, people))
    capacity = {one: draw(st.integers(0, 2)) for one in range(count)}
    made = []
    for number in range(draw(st.integers(0, jobs))):
        who = draw(st.lists(st.integers(0, count - 1), unique=True, max_size=count))
        minutes = [draw(st.integers(0, 60)) for _ in who]
        severity = draw(st.integers(1, 3))
        made.append(Job(number, severity, np.array(who, np.int64), np.array(minutes, np.float64)))
    return made, capacity


def by_trying(jobs: Sequence[Job], capacity: Mapping[int, int]) -> tuple[int, float]:
    """Return how many jobs of one severity can be assigned at most, and the least total for that many."""
    options = [
        [None, *zip(job.technicians.tolist(), job.minutes.tolist(), strict=True)] for job in jobs
    ]
    best = (0, 0.0)
    for combination in product(*options):
        taken = [one for one in combination if one is not None]
        loads = Counter(who for who, _ in taken)
        if any(load > capacity[who] for who, load in loads.items()):
            continue
        best = min(best, (-len(taken), sum(minutes for _, minutes in taken)))
    return -best[0], best[1]


@given(rushes())
def test_each_severity_is_as_good_as_by_trying_everything_with_who_is_left(
    rush: tuple[list[Job], dict[int, int]],
) -> None:
    jobs, capacity = rush
    plan = assign(jobs, capacity)
    left = dict(capacity)
    for severity in (3, 2, 1):
        tier = [job for job in jobs if job.severity == severity]
        taken = [plan[job.id] for job in tier if job.id in plan]
        count, total = by_trying(tier, left)
        assert len(taken) == count
        assert sum(one.minutes for one in taken) == pytest.approx(total)
        for one in taken:
            left[one.technician] -= 1


@given(rushes(jobs=12, people=8))
def test_nobody_gets_more_than_they_have_room_for_and_only_what_they_can_do(
    rush: tuple[list[Job], dict[int, int]],
) -> None:
    jobs, capacity = rush
    plan = assign(jobs, capacity)
    loads = Counter(one.technician for one in plan.values())
    assert all(load <= capacity[who] for who, load in loads.items())
    for job in jobs:
        if job.id in plan:
            one = plan[job.id]
            costs = dict(zip(job.technicians.tolist(), job.minutes.tolist(), strict=True))
            assert costs[one.technician] == one.minutes
            assert one.nearest_minutes == min(costs.values())


@given(rushes(jobs=10, people=8))
def test_the_most_severe_are_never_worse_off_than_one_by_one(
    rush: tuple[list[Job], dict[int, int]],
) -> None:
    jobs, capacity = rush
    if not jobs:
        return
    highest = max(job.severity for job in jobs)
    severe = {job.id for job in jobs if job.severity == highest}
    plan, greedy = assign(jobs, capacity), assign_greedily(jobs, capacity)
    ours = [one.minutes for key, one in plan.items() if key in severe]
    theirs = [minutes for key, minutes in greedy.items() if key in severe]
    assert len(ours) >= len(theirs)
    if len(ours) == len(theirs):
        assert sum(ours) <= sum(theirs) + 1e-9
    alone = assign([job for job in jobs if job.id in severe], capacity)
    assert {key: one.minutes for key, one in plan.items() if key in severe} == {
        key: one.minutes for key, one in alone.items()
    }


@given(rushes(jobs=9, people=7), st.randoms())
def test_the_order_of_the_jobs_changes_nothing(
    rush: tuple[list[Job], dict[int, int]], chance: object
) -> None:
    jobs, capacity = rush
    shuffled = list(jobs)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert assign(shuffled, capacity) == assign(jobs, capacity)


@settings(max_examples=50)
@given(rushes(jobs=9, people=7))
def test_the_sparse_solver_finds_as_good_a_plan(rush: tuple[list[Job], dict[int, int]]) -> None:
    jobs, capacity = rush
    dense = assign(jobs, capacity)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(assignment, "_DENSE_CELLS", 0)
        sparse = assign(jobs, capacity)
    severities = {job.id: job.severity for job in jobs}
    highest = max(severities.values(), default=0)
    # Of equally good plans for the most severe, one may leave more for the others.
    first = [sum(severities[key] == highest for key in plan) for plan in (dense, sparse)]
    assert first[0] == first[1]
    for plan in (dense, sparse):
        total = sum(one.minutes for key, one in plan.items() if severities[key] == highest)
        assert total == pytest.approx(
            sum(one.minutes for key, one in dense.items() if severities[key] == highest)
        )


def test_the_nearest_goes_where_it_saves_most() -> None:
    near_both, other = 0, 1
    jobs = [
        Job(1, 2, np.array([near_both, other]), np.array([9.0, 12.0])),
        Job(2, 2, np.array([near_both, other]), np.array([10.0, 40.0])),
    ]
    plan = assign(jobs, {near_both: 1, other: 1})
    assert (plan[1].technician, plan[1].minutes, plan[1].nearest, plan[1].nearest_minutes) == (
        other,
        12.0,
        near_both,
        9.0,
    )
    assert plan[2].technician == near_both
    assert sum(assign_greedily(jobs, {near_both: 1, other: 1}).values()) == 49.0


def test_great_differences_lose_no_precision() -> None:
    minutes = np.array([0.001, 0.002])
    jobs = [Job(n, 1, np.array([0, 1]), minutes[:: 1 if n else -1]) for n in range(2)]
    jobs.append(Job(2, 1, np.array([2]), np.array([100_000.0])))
    plan = assign(jobs, {0: 1, 1: 1, 2: 1})
    assert [plan[n].minutes for n in range(3)] == [0.001, 0.001, 100_000.0]
