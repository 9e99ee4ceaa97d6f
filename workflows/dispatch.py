"""Choosing a technician: hard filters, then a score, and the reason for each. Pure.

The score is in minutes, the less the better: the way there, 15 for each job that the technician has
already, 3 for each level of skill beyond what is needed, less for who knows the place. Where life is
at stake only the way counts. Filters stand in the order in which they are applied: whoever fails
several is counted under the first.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from prevenant.crm.directory import TechnicianView
from prevenant.crm.duty import HOLIDAY, judge_duty
from prevenant.durations import format_duration
from prevenant.globe import distance_km

ROAD_FACTOR = 1.3
"""How much longer a road is than the great circle, about."""
ROAD_KMH, FOOT_KMH = 45.0, 6.0
LOAD_MINUTES, OVERQUALIFIED_MINUTES = 15.0, 3.0
SEEN_S = 3_600.0
"""How long a technician counts as being where last seen, where the step does not say."""
SHOWN = 10
"""How many who can go, and how many who cannot, are kept with their reasons."""
FILTERS = (
    "place",
    "asked",
    "skill",
    "distance",
    "position",
    "territory",
    "shift",
    "holiday",
    "leave",
    "customer",
    "parts",
    "capacity",
    "address",
)
_SLOT = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Known:
    """That a technician was there before: how many minutes that is worth, and where."""

    minutes: float
    what: str


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
    customer_id: str = ""
    area_id: str = ""
    """Only technicians who serve this area; empty: the area does not matter."""
    parts: tuple[str, ...] = ()
    fresh_s: float | None = None
    """Only technicians who were seen so lately; None: an old position gives way to the base."""
    max_jobs: int | None = None
    known: Mapping[str, Known] = field(default_factory=dict)
    """Technicians who were at this device, site or customer before."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is thought of one technician for one job."""

    technician: TechnicianView
    eligible: bool
    reason: str
    distance_km: float | None = None
    travel_s: float | None = None
    score: float | None = None
    failed: str = ""
    """Which of `FILTERS` excludes the technician."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """What the score is made of, in minutes: `way`, `load`, `overqualified`, `known`."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """What is thought of a crowd: the best of those who can go, the nearest who cannot, and counts."""

    best: Sequence[Choice]
    near: Sequence[Choice]
    eligible: int
    total: int
    counts: Mapping[str, int]
    """How many each filter excludes."""


def rank_candidates(
    need: Need,
    technicians: Iterable[TechnicianView],
    open_jobs: Mapping[str, int],
    excluded: Mapping[str, str],
    now: datetime,
) -> list[Choice]:
    """Return what is thought of every technician: those who can go first, the best before the others.

    `open_jobs` counts the jobs that a technician has or is being offered; `excluded` says why someone
    is not asked again. Equal scores go by id; who cannot go stands by skill, then by distance.
    """
    choices = [judge(need, one, open_jobs, excluded, now) for one in technicians]
    return sorted(choices, key=_order)


def rank_crowd(choices: Sequence[Choice], shown: int = SHOWN) -> Ranking:
    """Return the ranking of all technicians of what `rank_candidates` thinks of them."""
    eligible = [choice for choice in choices if choice.eligible]
    counts = Counter(choice.failed for choice in choices if not choice.eligible)
    near = [choice for choice in choices if not choice.eligible][:SHOWN]
    return Ranking(eligible[:shown], near, len(eligible), len(choices), in_order(counts))


def with_ways(ranking: Ranking, ways: Mapping[str, float], source: str) -> Ranking:
    """Return the ranking by the ways that a routing server knows, in seconds by technician."""
    best = [
        _on_road(choice, ways[choice.technician.id], source)
        if choice.technician.id in ways
        else choice
        for choice in ranking.best
    ]
    return replace(ranking, best=sorted(best, key=_order))


def in_order(counts: Mapping[str, int]) -> dict[str, int]:
    """Return the counts of filters that exclude somebody, in the order of `FILTERS`."""
    return {name: counts[name] for name in FILTERS if counts.get(name)}


def shown_counts(counts: Mapping[str, int], need: Need) -> str:
    """Return how many each filter excludes, the most first: `7 off shift, 3 lack refrigeration 2`."""
    words = {
        "place": "because the job's position is not known",
        "asked": "asked already",
        "skill": f"lack {need.skill} {need.level}",
        "distance": f"beyond {shown_limit(need.within_km)}",
        "position": "not seen lately",
        "territory": "serve other areas",
        "shift": "off shift",
        "holiday": "on a public holiday",
        "leave": "on leave",
        "customer": "not to be sent to this customer",
        "parts": f"without {' or '.join(need.parts)}",
        "capacity": "busy",
        "address": "without a phone number and an address",
    }
    most = sorted(counts.items(), key=lambda pair: (-pair[1], FILTERS.index(pair[0])))
    return ", ".join(f"{count:,} {words[name]}" for name, count in most)


def plan_visit(now: datetime, travel_s: float, window_s: float) -> tuple[datetime, datetime]:
    """Return the window in which the technician is promised: from the next half hour after the way."""
    earliest = now + timedelta(seconds=travel_s)
    past = timedelta(
        minutes=earliest.minute % 30, seconds=earliest.second, microseconds=earliest.microsecond
    )
    start = earliest - past + _SLOT if past else earliest
    return start, start + timedelta(seconds=window_s)


def travel_seconds(km: float, *, on_foot: bool) -> float:
    """Return how long the way takes."""
    return km * ROAD_FACTOR / (FOOT_KMH if on_foot else ROAD_KMH) * 3600


class Distance(float):
    """Kilometres that a template says as people do, with the decimal sign of its language."""

    __slots__ = ()

    def __str__(self) -> str:
        """Return it in words."""
        return shown_distance(self)


def shown_distance(km: float) -> str:
    """Return a distance as people say it: `350 m`, `4.2 km`."""
    return f"{max(10, round(km * 1000, -1)):.0f} m" if km < 1 else f"{km:.1f} km"


def shown_limit(km: float) -> str:
    """Return a limit as an author writes it: `500 m`, `60 km`."""
    return f"{km * 1000:g} m" if km < 1 else f"{km:g} km"


def position_of(technician: TechnicianView, now: datetime, seen_s: float) -> tuple[float, float]:
    """Return where a technician is thought to be: where seen lately, else where they set out from."""
    if technician.base is None or was_seen(technician, now, seen_s):
        return technician.position
    return technician.base


def was_seen(technician: TechnicianView, now: datetime, seen_s: float) -> bool:
    """Return whether a technician's position is so fresh."""
    seen_at = technician.position_at
    return seen_at is not None and now - seen_at <= timedelta(seconds=seen_s)


def judge(
    need: Need,
    technician: TechnicianView,
    open_jobs: Mapping[str, int],
    excluded: Mapping[str, str],
    now: datetime,
) -> Choice:
    """Return what is thought of one technician."""
    if need.position is None:
        reason = "the job's position is not known"
        return Choice(technician, eligible=False, reason=reason, failed="place")
    here = position_of(technician, now, SEEN_S if need.fresh_s is None else need.fresh_s)
    km = distance_km(need.position, here)
    travel_s = travel_seconds(km, on_foot=need.on_foot)
    jobs = open_jobs.get(technician.id, 0)
    failed, reason = _refusal(need, technician, km, jobs, excluded, now)
    if failed:
        return Choice(
            technician,
            eligible=False,
            reason=reason,
            distance_km=km,
            travel_s=travel_s,
            failed=failed,
        )
    level = technician.skills[need.skill]
    known = need.known.get(technician.id)
    scores = {"way": travel_s / 60}
    if not need.urgent:
        scores["load"] = jobs * LOAD_MINUTES
        scores["overqualified"] = (level - need.level) * OVERQUALIFIED_MINUTES
        scores["known"] = -known.minutes if known else 0.0
    reasons = [f"{scores['way']:.0f} min away ({shown_distance(km)})"]
    if scores.get("load"):
        reasons.append(f"+ {scores['load']:.0f} for {_jobs(jobs, 'other ')}")
    if scores.get("overqualified"):
        over = scores["overqualified"]
        reasons.append(f"+ {over:.0f} for being overqualified ({need.skill} {level})")
    if known and scores.get("known"):
        reasons.append(f"- {known.minutes:.0f} for having been at this {known.what} before")
    return Choice(
        technician,
        eligible=True,
        reason=" ".join(reasons),
        distance_km=km,
        travel_s=travel_s,
        score=sum(scores.values()),
        scores=scores,
    )


def _on_road(choice: Choice, travel_s: float, source: str) -> Choice:
    """Return a choice with the way that a routing server knows."""
    scores = {**choice.scores, "way": travel_s / 60}
    _, _, rest = choice.reason.partition(")")
    distance = shown_distance(choice.distance_km or 0.0)
    reason = f"{travel_s / 60:.0f} min away by {source} ({distance}){rest}"
    return replace(
        choice, travel_s=travel_s, scores=scores, score=sum(scores.values()), reason=reason
    )


def _order(choice: Choice) -> tuple[bool, bool, float, str]:
    rank = choice.score if choice.eligible else choice.distance_km
    return (not choice.eligible, choice.failed == "skill", rank or 0.0, choice.technician.id)


def _refusal(
    need: Need,
    technician: TechnicianView,
    km: float,
    jobs: int,
    excluded: Mapping[str, str],
    now: datetime,
) -> tuple[str, str]:
    """Return which hard filter a technician fails, and in words, or nothing twice."""
    if technician.id in excluded:
        return "asked", excluded[technician.id]
    level = technician.skills.get(need.skill, 0)
    if level == 0:
        return "skill", f"has not learned {need.skill}"
    if level < need.level:
        return "skill", f"{need.skill} {level} is below the {need.level} needed"
    if km > need.within_km:
        return "distance", f"is {shown_distance(km)} away, beyond {shown_distance(need.within_km)}"
    if need.fresh_s is not None and not was_seen(technician, now, need.fresh_s):
        return "position", f"was not seen within {format_duration(need.fresh_s)}"
    if need.area_id and technician.areas and need.area_id not in technician.areas:
        return "territory", f"does not serve {need.area_id}"
    return _refusal_at(need, technician, jobs, now)


def _refusal_at(
    need: Need, technician: TechnicianView, jobs: int, now: datetime
) -> tuple[str, str]:
    """Return which filter of this moment, or of what the technician has, is failed."""
    off = judge_duty(technician.shifts, technician.holidays, now, technician.timezone)
    if off:
        return ("holiday" if off.startswith(HOLIDAY) else "shift"), off
    for start, end, why in technician.leave:
        if start <= now < end:
            return "leave", f"is {why}" if why == "ill" else f"is on leave ({why or 'leave'})"
    if need.customer_id in technician.excluded_by:
        why = technician.excluded_by[need.customer_id]
        return "customer", "is not to be sent to this customer" + (f": {why}" if why else "")
    missing = [part for part in need.parts if not technician.parts.get(part)]
    if missing:
        return "parts", f"does not carry {', '.join(missing)}"
    limit = technician.capacity if need.max_jobs is None else need.max_jobs
    if jobs >= limit:
        return "capacity", f"has {_jobs(jobs)} already"
    if not technician.person.addresses:
        return "address", "has no phone number and no address"
    return "", ""


def _jobs(count: int, other: str = "") -> str:
    return f"{count} {other}job{'' if count == 1 else 's'}"
