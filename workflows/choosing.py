"""Whom to send, by the store: the crowd or everybody proposes, what is read afresh decides and is kept."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from sqlmodel import Session

from prevenant.crm.directory import find_technicians
from prevenant.domain import Severity
from workflows.definition import Dispatch
from workflows.dispatch import (
    SHOWN,
    Choice,
    Need,
    Ranking,
    in_order,
    judge,
    rank_candidates,
    rank_crowd,
    shown_counts,
    shown_limit,
    with_ways,
)
from workflows.loads import find_known, open_jobs
from workflows.office import Office, office_of
from workflows.running import RunningCase, Track
from workflows.tables import Candidate, DispatchRound

_REMEMBERED = timedelta(days=730)
_MOST_READ = 2_000


def need_of(run: RunningCase, step: Dispatch) -> Need:
    """Return what a step asks of a technician."""
    place = run.place
    urgent = run.case.severity >= Severity.LIFE_SAFETY
    known = {} if urgent else find_known(run.session, place, run.now - _REMEMBERED)
    return Need(
        step.skill,
        step.level,
        step.within_km,
        place.position,
        step.on_foot,
        urgent,
        customer_id=place.customer_id,
        area_id=step.area or (place.area_id if step.territory else ""),
        parts=tuple(run.render_list(step.parts)),
        fresh_s=step.fresh_s,
        max_jobs=step.max_jobs,
        known=known,
    )


def rank(run: RunningCase, need: Need, excluded: Mapping[str, str], at_once: int) -> Ranking:
    """Return what is thought of all technicians."""
    office = office_of(run.session)
    shown = max(SHOWN, at_once, office.roads.best if office.roads else 0)
    case_id = run.case.id or 0
    if not office.is_small(run.session):
        return rank_by_crowd(run.session, office, need, excluded, shown, case_id, run)
    choices = rank_candidates(
        need,
        find_technicians(run.session),
        open_jobs(run.session, without=case_id),
        excluded,
        run.now,
    )
    return rank_crowd(choices, shown)


def rank_by_crowd(
    session: Session,
    office: Office,
    need: Need,
    excluded: Mapping[str, str],
    shown: int,
    case_id: int,
    run: RunningCase,
) -> Ranking:
    """Return the same as of judging everybody, by asking the crowd for as many as are needed."""
    wanted = shown
    while True:
        with office.crowd(session) as crowd:
            proposal = crowd.propose(need, excluded, run.now, wanted)
        ids = sorted({*proposal.best, *proposal.near})
        choices = rank_candidates(
            need,
            find_technicians(session, ids),
            open_jobs(session, ids, without=case_id),
            excluded,
            run.now,
        )
        able = [choice for choice in choices if choice.eligible]
        proposed = len(proposal.best)
        if len(able) >= shown or proposed >= min(proposal.eligible, _MOST_READ):
            break
        wanted *= 4
    return _settle(choices, able[:shown], proposal.eligible, proposal.counts, proposal.near)


def _settle(
    choices: list[Choice],
    best: list[Choice],
    eligible: int,
    counts: Mapping[str, int],
    near: Mapping[str, str],
) -> Ranking:
    """Return the ranking in which what was read afresh is right."""
    corrected = Counter(counts)
    for choice in choices:
        before, now = near.get(choice.technician.id, ""), choice.failed
        if before == now:
            continue
        eligible += (not now) - (not before)
        for name, change in ((before, -1), (now, 1)):
            if name:
                corrected[name] += change
    excluded = [choice for choice in choices if not choice.eligible][:SHOWN]
    counted = in_order(corrected)
    return Ranking(best, excluded, eligible, eligible + sum(counted.values()), counted)


def with_planned(
    run: RunningCase, need: Need, ranking: Ranking, technician_id: str, plan: str
) -> Ranking:
    """Return the ranking with the technician first whom a rush's plan keeps for this job."""
    found = find_technicians(run.session, [technician_id])
    jobs = open_jobs(run.session, [technician_id], without=run.case.id)
    chosen = [judge(need, one, jobs, run.progress.excluded, run.now) for one in found]
    if not chosen or not chosen[0].eligible:
        return ranking
    first = replace(chosen[0], reason=f"{chosen[0].reason}; {plan}")
    others = [one for one in ranking.best if one.technician.id != technician_id]
    return replace(ranking, best=[first, *others])


def by_road(ranking: Ranking, track: Track) -> Ranking:
    """Return the ranking by the travel times that a routing server gave for this step, if any."""
    ways = track.data.get("ways")
    return with_ways(ranking, ways, str(track.data.get("ways_by", ""))) if ways else ranking


def keep(run: RunningCase, track: Track, need: Need, ranking: Ranking, plan: str = "") -> None:
    """Keep what was thought of the best and of the nearest others, and how many each filter excluded."""
    run.progress.rounds += 1
    case_id, number = run.case.id or 0, run.progress.rounds
    summary = shown_counts(ranking.counts, need)
    run.session.add(
        DispatchRound(
            case_id=case_id,
            round=number,
            step=track.path,
            at=run.now,
            need=f"{need.skill} >= {need.level} within {shown_limit(need.within_km)}",
            eligible=ranking.eligible,
            total=ranking.total,
            counts=dict(ranking.counts),
            summary=summary,
            ways=str(track.data.get("ways_note", "great circle with a road factor")),
            plan=plan,
        )
    )
    for rank, choice in enumerate([*ranking.best, *ranking.near], 1):
        run.session.add(
            Candidate(
                case_id=case_id,
                round=number,
                technician_id=choice.technician.id,
                technician_name=choice.technician.person.name,
                rank=rank if choice.eligible else None,
                distance_km=choice.distance_km,
                travel_s=choice.travel_s,
                score=choice.score,
                scores=dict(choice.scores),
                reason=choice.reason,
            )
        )
    shown = [f"{c.technician.person.name}: {c.reason}" for c in [*ranking.best, *ranking.near]]
    best = f"; the best is {shown[0]}" if ranking.best else f": {summary}" if summary else ""
    run.note(
        "candidates",
        f"{ranking.eligible:,} of {ranking.total:,} technicians can go{best}",
        {
            "skill": f"{need.skill} >= {need.level}",
            "candidates": shown[:SHOWN],
            "excluded": summary,
        },
    )
