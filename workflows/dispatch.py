"""Choosing a technician: hard filters, then a score, and the reason for each. Pure.

The score is in minutes, the less the better: the way there, 15 for each job that the technician has
already, 3 for each level of skill beyond what is needed. Where life is at stake only the way counts.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from prevenant.crm.directory import TechnicianView
from prevenant.crm.shifts import is_on_shift

_EARTH_KM = 6371.0088
_ROAD_FACTOR = 1.3
"""How much longer a road is than the great circle, about."""
_ROAD_KMH, _FOOT_KMH = 45.0, 6.0
_LOAD_MINUTES, _OVERQUALIFIED_MINUTES = 15.0, 3.0
_SLOT = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Need:
    """What a job asks of a technician."""

    skill: str
    level: int
    within_km: float
    position: tuple[float, float] | None
    """Latitude and longitude in degrees; None where it is not known."""
    on_foot: bool = False
    urgent: bool = False
    """Only the way there counts: nobody is spared for another job."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is thought of one technician for one job."""

    technician: TechnicianView
    eligible: bool
    reason: str
    distance_km: float | None = None
    travel_s: float | None = None
    score: float | None = None


def rank_candidates(
    need: Need,
    technicians: Sequence[TechnicianView],
    open_jobs: Mapping[str, int],
    excluded: Mapping[str, str],
    now: datetime,
) -> list[Choice]:
    """Return what is thought of every technician: those who can go first, the best before the others.

    `open_jobs` counts the jobs that a technician has or is being offered; `excluded` says why someone
    is not asked again. Equal scores go by id.
    """
    choices = [_judge(need, one, open_jobs, excluded, now) for one in technicians]
    return sorted(choices, key=lambda c: (not c.eligible, c.score or 0.0, c.technician.id))


def plan_visit(now: datetime, travel_s: float, window_s: float) -> tuple[datetime, datetime]:
    """Return the window in which the technician is promised: from the next half hour after the way."""
    earliest = now + timedelta(seconds=travel_s)
    past = timedelta(
        minutes=earliest.minute % 30, seconds=earliest.second, microseconds=earliest.microsecond
    )
    start = earliest - past + _SLOT if past else earliest
    return start, start + timedelta(seconds=window_s)


def distance_km(first: tuple[float, float], second: tuple[float, float]) -> float:
    """Return the great-circle distance of two positions in degrees (haversine)."""
    lat1, lon1, lat2, lon2 = (math.radians(x) for x in (*first, *second))
    half = (
        math.sin((lat2 - lat1) / 2) ** 2
        + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    )
    return 2 * _EARTH_KM * math.asin(math.sqrt(min(1.0, half)))


def travel_seconds(km: float, *, on_foot: bool) -> float:
    """Return how long the way takes."""
    return km * _ROAD_FACTOR / (_FOOT_KMH if on_foot else _ROAD_KMH) * 3600


def shown_distance(km: float) -> str:
    """Return a distance as people say it: `350 m`, `4.2 km`."""
    return f"{max(10, round(km * 1000, -1)):.0f} m" if km < 1 else f"{km:.1f} km"


def _judge(
    need: Need,
    technician: TechnicianView,
    open_jobs: Mapping[str, int],
    excluded: Mapping[str, str],
    now: datetime,
) -> Choice:
    if need.position is None:
        return Choice(technician, eligible=False, reason="the job's position is not known")
    km = distance_km(need.position, technician.position)
    travel_s = travel_seconds(km, on_foot=need.on_foot)
    level = technician.skills.get(need.skill, 0)
    jobs = open_jobs.get(technician.id, 0)
    refusal = _refusal(need, technician, level, km, jobs, excluded, now)
    if refusal:
        return Choice(technician, eligible=False, reason=refusal, distance_km=km, travel_s=travel_s)
    way = travel_s / 60
    load = 0.0 if need.urgent else jobs * _LOAD_MINUTES
    over = 0.0 if need.urgent else (level - need.level) * _OVERQUALIFIED_MINUTES
    parts = [f"{way:.0f} min away ({shown_distance(km)})"]
    parts += [f"{load:.0f} for {jobs} other job{'s' if jobs > 1 else ''}"] if load else []
    parts += [f"{over:.0f} for being overqualified ({need.skill} {level})"] if over else []
    score = way + load + over
    return Choice(
        technician,
        eligible=True,
        reason=" + ".join(parts),
        distance_km=km,
        travel_s=travel_s,
        score=score,
    )


def _refusal(
    need: Need,
    technician: TechnicianView,
    level: int,
    km: float,
    jobs: int,
    excluded: Mapping[str, str],
    now: datetime,
) -> str:
    """Return which hard filter a technician fails, in words, or nothing."""
    if technician.id in excluded:
        return excluded[technician.id]
    if level == 0:
        return f"has not learned {need.skill}"
    if level < need.level:
        return f"{need.skill} {level} is below the {need.level} needed"
    if not is_on_shift(technician.shifts, now, technician.timezone):
        return "is off shift"
    if km > need.within_km:
        return f"is {shown_distance(km)} away, beyond {shown_distance(need.within_km)}"
    if jobs >= technician.capacity:
        return f"has {jobs} job{'s' if jobs > 1 else ''} already"
    if not technician.person.addresses:
        return "has no phone number and no address"
    return ""
