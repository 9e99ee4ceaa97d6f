"""Assigning many jobs together, so that all get there soonest in total. Pure.

The most severe jobs are assigned first, as well as they can be by themselves: nobody of theirs is spared
for lesser ones. Within a severity as many jobs as possible get somebody, and the total of their minutes
is the least that there is. The same jobs and technicians give the same plan.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components, min_weight_full_bipartite_matching

_DENSE_CELLS = 20_000_000
Indices = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Job:
    """A job, and what it costs with each technician who can take it."""

    id: int
    severity: int
    technicians: Indices
    """As numbers, each once."""
    minutes: Floats


@dataclass(frozen=True, slots=True)
class Assigned:
    """Who takes a job, and whether somebody better is taken by another job."""

    technician: int
    minutes: float
    nearest: int
    """Who is best for this job alone."""
    nearest_minutes: float


def assign(jobs: Sequence[Job], capacity: Mapping[int, int]) -> dict[int, Assigned]:
    """Return who takes which job, by the job's id; jobs that nobody is left for are not in it."""
    free = _Room(capacity)
    plan: dict[int, Assigned] = {}
    by_severity = sorted(jobs, key=lambda job: (-job.severity, job.id))
    for _, tier in groupby(by_severity, key=lambda job: job.severity):
        able = [_without_busy(job, free) for job in tier]
        for block in _blocks([job for job in able if len(job.technicians)]):
            for job, technician, minutes in _solve(block, free):
                plan[job.id] = Assigned(technician, minutes, technician, minutes)
                free.take(technician)
    whole = {job.id: job for job in jobs}
    return {key: _against_all(whole[key], one) for key, one in plan.items()}


def assign_greedily(jobs: Sequence[Job], capacity: Mapping[int, int]) -> dict[int, float]:
    """Return the minutes of each job where one after the other takes the nearest who is free."""
    free = _Room(capacity)
    taken: dict[int, float] = {}
    for job in sorted(jobs, key=lambda job: (-job.severity, job.id)):
        left = _without_busy(job, free)
        if len(left.technicians):
            best = int(np.lexsort((left.technicians, left.minutes))[0])
            taken[job.id] = float(left.minutes[best])
            free.take(int(left.technicians[best]))
    return taken


class _Room:
    """How many jobs each technician can still take."""

    def __init__(self, capacity: Mapping[int, int]) -> None:
        self._left = np.zeros(max(capacity, default=-1) + 1, np.int64)
        self._left[list(capacity)] = list(capacity.values())

    def of(self, technicians: Indices) -> Indices:
        """Return how many jobs some can still take."""
        return self._left[technicians]

    def take(self, technician: int) -> None:
        """Give somebody a job."""
        self._left[technician] -= 1


def _without_busy(job: Job, free: _Room) -> Job:
    is_free = free.of(job.technicians) > 0
    return Job(job.id, job.severity, job.technicians[is_free], job.minutes[is_free])


def _blocks(jobs: Sequence[Job]) -> list[list[Job]]:
    """Return groups of jobs that share no technician: each is a question of its own."""
    if not jobs:
        return []
    rows, columns, _ = _edges(jobs)
    shape = (len(jobs), int(columns.max()) + 1)
    size = shape[0] + shape[1]
    graph = coo_array((np.ones(len(rows)), (rows, columns + shape[0])), (size, size))
    _, labels = connected_components(graph, directed=False)
    blocks: dict[int, list[Job]] = {}
    for job, label in zip(jobs, labels[: shape[0]].tolist(), strict=True):
        blocks.setdefault(label, []).append(job)
    return list(blocks.values())


def _solve(jobs: Sequence[Job], free: _Room) -> list[tuple[Job, int, float]]:
    """Return the best assignment of one block."""
    jobs = [_cheapest(job, len(jobs)) for job in jobs]
    rows, numbers, minutes = _edges(jobs)
    technicians, columns = np.unique(numbers, return_inverse=True)
    # Somebody with room for several jobs is several columns, but never more than there are jobs.
    room = np.minimum(free.of(technicians), len(jobs))
    first = np.concatenate([[0], np.cumsum(room)])
    wide = room[columns]
    rows, minutes = np.repeat(rows, wide), np.repeat(minutes, wide)
    starts = np.concatenate([[0], np.cumsum(wide)[:-1]])
    places = np.repeat(first[columns] - starts, wide) + np.arange(len(rows))
    owner = np.repeat(technicians, room)
    # One column more for each job stands for nobody, and costs more than anything else could save.
    low = float(minutes.min())
    costs = minutes - low + 1.0
    nobody = (float(costs.max()) + 1.0) * (len(jobs) + 1)
    everybody = len(owner)
    if len(jobs) * (everybody + len(jobs)) <= _DENSE_CELLS:
        matrix = np.full((len(jobs), everybody + len(jobs)), np.inf)
        matrix[rows, places] = costs
        matrix[np.arange(len(jobs)), everybody + np.arange(len(jobs))] = nobody
        chosen = linear_sum_assignment(matrix)[1]
    else:
        own = np.arange(len(jobs))
        sparse = csr_array(
            (
                np.concatenate([costs, np.full(len(jobs), nobody)]),
                (np.concatenate([rows, own]), np.concatenate([places, everybody + own])),
            ),
            shape=(len(jobs), everybody + len(jobs)),
        )
        chosen = min_weight_full_bipartite_matching(sparse)[1].astype(np.int64)
    found = []
    # Every row has its column, in the order of the rows.
    for row, column in enumerate(chosen.tolist()):
        if column < everybody:
            job, technician = jobs[row], int(owner[column])
            (place,) = np.flatnonzero(job.technicians == technician)
            found.append((job, technician, float(job.minutes[place])))
    return found


def _cheapest(job: Job, count: int) -> Job:
    """Leave out whom a job never needs: the other jobs cannot take everybody who is better."""
    if len(job.technicians) <= count:
        return job
    order = np.lexsort((job.technicians, job.minutes))[:count]
    return Job(job.id, job.severity, job.technicians[order], job.minutes[order])


def _edges(jobs: Sequence[Job]) -> tuple[Indices, Indices, Floats]:
    rows = np.repeat(np.arange(len(jobs)), [len(job.technicians) for job in jobs])
    columns = np.concatenate([job.technicians for job in jobs])
    return rows, columns, np.concatenate([job.minutes for job in jobs])


def _against_all(job: Job, one: Assigned) -> Assigned:
    """Say who would have been the best for the job alone."""
    best = int(np.lexsort((job.technicians, job.minutes))[0])
    if job.minutes[best] >= one.minutes:
        return one
    nearest, minutes = int(job.technicians[best]), float(job.minutes[best])
    return Assigned(one.technician, one.minutes, nearest, minutes)
