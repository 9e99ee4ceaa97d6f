"""A rush: jobs that come at nearly the same time wait for a moment, and are assigned together.

A job waits where others are being dispatched just now. The first whose wait is over assigns all that wait,
in its own transaction; each of the others finds its technician kept for it. Life-safety and critical
jobs never wait.
"""

from datetime import timedelta

import msgspec
import numpy as np
from sqlmodel import Session, col, func, or_, select

from prevenant.clock import epoch_seconds
from prevenant.domain import Severity
from prevenant.store import in_chunks
from workflows.assignment import Assigned, Job, assign
from workflows.choosing import need_of
from workflows.crowd import Crowd
from workflows.definition import Dispatch
from workflows.dispatch import Need
from workflows.office import office_of
from workflows.running import RunningCase, Track
from workflows.tables import IS_WAITING, OPEN, Case, Offer, WaitingJob

_RUSH_CASES = 3
"""So many other cases that are being dispatched just now are a rush."""
_RUSH = timedelta(seconds=10)


def begin_waiting(run: RunningCase, track: Track, step: Dispatch) -> bool:
    """Let the job wait where it is part of a rush; return whether it does."""
    gather_s = office_of(run.session).gather_s
    if gather_s <= 0 or step.at_once > 1 or run.case.severity >= Severity.CRITICAL:
        return False
    if not _is_in_rush(run):
        return False
    query = select(func.min(WaitingJob.until)).where(IS_WAITING, WaitingJob.until > run.now)
    until = run.session.exec(query).one() or run.now + timedelta(seconds=gather_s)
    need = msgspec.to_builtins(need_of(run, step))
    job = WaitingJob(
        case_id=run.case.id or 0,
        step=track.path,
        severity=run.case.severity,
        need={**need, "known": {}},
        excluded=dict(run.progress.excluded),
        since=run.now,
        until=until,
    )
    run.session.add(job)
    run.session.flush()
    track.data = {**track.data, "waits": job.id}
    track.due_at = epoch_seconds(until)
    run.note("dispatch.waits", "waits for a moment, to be assigned together with others")
    return True


def end_waiting(run: RunningCase, track: Track) -> tuple[str, str]:
    """Return whom the plan keeps for this job, or nobody, and why; plan if nobody has yet."""
    number = track.data.get("waits")
    track.data = {key: value for key, value in track.data.items() if key != "waits"}
    job = run.session.get(WaitingJob, number) if number is not None else None
    if job is None:
        return "", ""
    if job.state == "waiting":
        _assign_all(run)
        run.session.refresh(job)
    kept = (job.technician_id, job.plan) if job.state == "assigned" else ("", job.plan)
    job.state = "over"
    run.session.add(job)
    run.session.flush()
    return kept


def give_up_waiting(run: RunningCase, track: Track) -> None:
    """Let a job that waits be assigned to nobody."""
    number = track.data.get("waits")
    job = run.session.get(WaitingJob, number) if number is not None else None
    if job is not None:
        job.state = "over"
        run.session.add(job)


def _is_in_rush(run: RunningCase) -> bool:
    if run.case.parent_id is not None:
        return True
    since = run.now - _RUSH
    latest = (
        select(Offer.case_id)
        .where(Offer.offered_at >= since, Offer.case_id != run.case.id)
        .distinct()
        .limit(_RUSH_CASES)
    )
    waiting = (
        select(WaitingJob.case_id).where(IS_WAITING, WaitingJob.case_id != run.case.id).limit(1)
    )
    if run.session.exec(waiting).first() is not None:
        return True
    return len(run.session.exec(latest).all()) >= _RUSH_CASES


def _assign_all(run: RunningCase) -> None:
    """Assign every job whose wait is over; whoever comes second finds it done."""
    session = run.session
    query = (
        select(WaitingJob)
        .where(IS_WAITING)
        .where(or_(WaitingJob.until <= run.now, WaitingJob.case_id == run.case.id))
        .order_by(col(WaitingJob.id))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    waiting = list(session.exec(query))
    open_cases = _open_cases(session, [job.case_id for job in waiting])
    jobs = {job.id or 0: job for job in waiting if job.case_id in open_cases}
    for job in waiting:
        job.state = "assigned" if job.id in jobs else "over"
    if jobs:
        with office_of(session).crowd(session) as crowd:
            _plan(run, crowd, jobs)
    for job in waiting:
        session.add(job)
    session.flush()


def _open_cases(session: Session, ids: list[int]) -> set[int]:
    found: set[int] = set()
    for some in in_chunks(ids):
        query = select(Case.id).where(col(Case.id).in_(some), Case.state == OPEN)
        found.update(one for one in session.exec(query) if one is not None)
    return found


def _plan(run: RunningCase, crowd: Crowd, waiting: dict[int, WaitingJob]) -> None:
    """Write into each waiting job whom the plan keeps for it, and why."""
    jobs, room = [], dict[int, int]()
    for number, job in waiting.items():
        need = msgspec.convert(job.need, Need)
        who, minutes = crowd.reach(need, job.excluded, run.now)
        jobs.append(Job(number, job.severity, who, np.maximum(minutes, 0.0)))
        free = crowd.capacity_of(who, need.max_jobs)
        room.update(zip(who.tolist(), free.tolist(), strict=True))
    plan = assign(jobs, room)
    takes = {one.technician: waiting[number].case_id for number, one in plan.items()}
    for number, job in waiting.items():
        assigned = plan.get(number)
        if assigned is not None:
            job.technician_id = crowd.id_of(assigned.technician)
        job.plan = shown_plan(assigned, len(waiting) - 1, takes)


def shown_plan(assigned: Assigned | None, others: int, takes: dict[int, int]) -> str:
    """Return a plan in words: why not the nearest, and where the nearest goes."""
    together = f"assigned together with {others} other{'' if others == 1 else 's'}"
    if assigned is None:
        return f"{together}: nobody is left for it"
    if assigned.nearest == assigned.technician:
        return f"{together}: {assigned.minutes:.0f} min, the nearest"
    goes = takes.get(assigned.nearest)
    where = f", who goes to case {goes}" if goes is not None else ""
    nearest = f"{assigned.nearest_minutes:.0f} for the nearest{where}"
    return f"{together}: {assigned.minutes:.0f} min instead of {nearest}"
