"""What choosing technicians costs: the nearest of 100,000, and a rush: jobs assigned together.

Nearest: 100,000 technicians around 300 towns of Europe, more around the larger ones, with six skills of
four levels, shifts, leave, areas, parts, jobs and last positions. Each job is found its best ten, each
with its reason, and how many technicians every filter excludes: by the crowd in memory, and beside it
by a pandas frame with a row for each technician, on which every filter and the score are columns. Both
name the same ten. The ratio is one of processor time, so that others on the machine do not count;
milliseconds are the clock's.

Rush: 1,000 jobs in and around three towns, 5,000 technicians all over the country; assigned together, and
beside it each in turn by the nearest who is free. Ways are great circles with a road factor.
"""

import argparse
import random
import statistics
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.figures import Figure, median_of, percentile, report
from prevenant.crm.directory import Person, TechnicianView
from prevenant.crm.duty import judge_duty
from prevenant.crm.shifts import parse_shifts
from prevenant.globe import EARTH_KM
from workflows.assignment import Job, assign, assign_greedily
from workflows.crowd import Crowd
from workflows.dispatch import (
    LOAD_MINUTES,
    OVERQUALIFIED_MINUTES,
    SEEN_S,
    Choice,
    Need,
    rank_candidates,
    travel_seconds,
)

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)  # a Monday
SKILLS = ("refrigeration", "hvac", "gas", "electricity", "lifts", "doors")
_PARTS = ("relay", "fan", "compressor", "seal", "thermostat")
_SHIFTS = ("mon-fri 08:00-18:00", "mon-fri 06:00-14:00", "mon-sun 22:00-06:00", "always")
_ZONES = ("Europe/Paris", "Europe/London", "Europe/Athens")
_EUROPE = (37.0, 59.0, -8.0, 28.0)
_FRANCE = (43.5, 50.0, -1.0, 7.0)


class Country:
    """Technicians and jobs around towns of very different size, the same ones for the same seed."""

    def __init__(self, seed: int, towns: int, box: tuple[float, float, float, float]) -> None:
        self.chance = random.Random(seed)
        south, north, west, east = box
        self.towns = [
            (self.chance.uniform(south, north), self.chance.uniform(west, east))
            for _ in range(towns)
        ]
        self.sizes = [(1 + number) ** -0.8 for number in range(towns)]

    def near_town(
        self, towns: Sequence[int] | None = None, spread: float = 0.25
    ) -> tuple[float, float]:
        """Return a position around some town, the larger ones more often."""
        chosen = list(towns) if towns is not None else list(range(len(self.towns)))
        (town,) = self.chance.choices(chosen, [self.sizes[one] for one in chosen])
        lat, lon = self.towns[town]
        return self.chance.gauss(lat, spread), self.chance.gauss(lon, spread)

    def technicians(self, count: int) -> tuple[list[TechnicianView], dict[str, int]]:
        """Return technicians, and how many jobs each has."""
        chance, shifts = self.chance, [parse_shifts(text) for text in _SHIFTS]
        people, jobs = [], {}
        for number in range(count):
            key = f"t{number:06}"
            base = self.near_town()
            seen = chance.random() < 0.5
            addresses = {"sms": "+33639980001"} if chance.random() < 0.99 else {}
            leave = NOW - timedelta(days=chance.randrange(60) - 50)
            people.append(
                TechnicianView(
                    id=key,
                    person=Person(key, f"Technician {number}", "en", "UTC", "sms", addresses),
                    position=self.near_town() if seen else base,
                    timezone=chance.choice(_ZONES),
                    capacity=chance.randint(1, 3),
                    skills={s: chance.randint(1, 4) for s in chance.sample(SKILLS, 2)},
                    shifts=chance.choices(shifts, (6, 2, 1, 1))[0],
                    position_at=NOW - timedelta(minutes=chance.randrange(120)) if seen else None,
                    base=base,
                    holidays=chance.choice(("", "FR", "DE-BY")),
                    areas=frozenset()
                    if chance.random() < 0.5
                    else frozenset({chance.choice("nesw")}),
                    parts={part: 1 for part in _PARTS if chance.random() < 0.7},
                    leave=((leave, leave + timedelta(days=5), ""),)
                    if chance.random() < 0.3
                    else (),
                    excluded_by={"acme": ""} if chance.random() < 0.01 else {},
                )
            )
            if chance.random() < 0.4:
                jobs[key] = chance.randint(1, 3)
        return people, jobs

    def needs(self, count: int) -> list[Need]:
        """Return jobs, each of which asks for everything that can be asked for."""
        return [
            Need(
                self.chance.choice(SKILLS),
                self.chance.randint(1, 3),
                60.0,
                self.near_town(),
                customer_id="acme",
                area_id=self.chance.choice("nesw"),
                parts=(self.chance.choice(_PARTS),),
            )
            for _ in range(count)
        ]


class Frame:
    """All technicians as a pandas frame, on which every filter is a column."""

    def __init__(self, people: Sequence[TechnicianView], jobs: dict[str, int]) -> None:
        since = NOW - timedelta(seconds=SEEN_S)
        here = [
            one.position
            if one.position_at and one.position_at >= since
            else one.base or one.position
            for one in people
        ]
        self.people = people
        calendars = [(str(one.shifts), one.holidays, one.timezone) for one in people]
        self.calendars = dict(zip(calendars, people, strict=True))
        self.frame = pd.DataFrame(
            {
                "id": [one.id for one in people],
                "latitude": np.radians([lat for lat, _ in here]),
                "longitude": np.radians([lon for _, lon in here]),
                "calendar": pd.Categorical([str(key) for key in calendars]),
                "capacity": [one.capacity for one in people],
                "jobs": [jobs.get(one.id, 0) for one in people],
                "reachable": [bool(one.person.addresses) for one in people],
                "leave_from": pd.Series(
                    [one.leave[0][0] if one.leave else pd.NaT for one in people]
                ),
                "leave_to": pd.Series([one.leave[0][1] if one.leave else pd.NaT for one in people]),
                **{f"level_{s}": [one.skills.get(s, 0) for one in people] for s in SKILLS},
                **{f"part_{p}": [p in one.parts for one in people] for p in _PARTS},
                **{
                    f"area_{a}": [not one.areas or a in one.areas for one in people] for a in "nesw"
                },
                "refuses_acme": ["acme" in one.excluded_by for one in people],
            }
        )

    def rank(self, need: Need) -> tuple[list[Choice], dict[str, int]]:
        """Filter and score everyone; return the best ten with their reasons, and the counts."""
        frame = self.frame
        lat, lon = np.radians(need.position or (0.0, 0.0))
        half = (
            np.sin((frame["latitude"] - lat) / 2) ** 2
            + np.cos(lat) * np.cos(frame["latitude"]) * np.sin((frame["longitude"] - lon) / 2) ** 2
        )
        km = 2 * EARTH_KM * np.arcsin(np.sqrt(half.clip(upper=1.0)))
        level = frame[f"level_{need.skill}"]
        duty = {
            str(key): judge_duty(one.shifts, one.holidays, NOW, one.timezone)
            for key, one in self.calendars.items()
        }
        off = frame["calendar"].map(duty).astype(str)
        now = pd.Timestamp(NOW)
        failed = {
            "skill": level < need.level,
            "distance": km > need.within_km,
            "territory": ~frame[f"area_{need.area_id}"],
            "shift": off == "is off shift",
            "holiday": off.str.startswith("has a"),
            "leave": (frame["leave_from"] <= now) & (now < frame["leave_to"]),
            "customer": frame["refuses_acme"],
            "parts": ~frame[f"part_{need.parts[0]}"],
            "capacity": frame["jobs"] >= frame["capacity"],
            "address": ~frame["reachable"],
        }
        first = pd.Series(np.select(list(failed.values()), list(failed), ""))
        way = km * travel_seconds(1.0, on_foot=False) / 60
        score = way + frame["jobs"] * LOAD_MINUTES + (level - need.level) * OVERQUALIFIED_MINUTES
        able = pd.DataFrame({"score": score, "id": frame["id"]})[first == ""]
        best = able.nsmallest(10, "score").index
        some = [self.people[one] for one in best]
        counted = first.value_counts()
        counts = {str(name): int(count) for name, count in counted.items() if name}
        jobs = frame["jobs"].loc[best]
        open_jobs = {one.id: int(count) for one, count in zip(some, jobs, strict=True)}
        return rank_candidates(need, some, open_jobs, {}, NOW), counts


def rank_by_crowd(
    crowd: Crowd, by_id: dict[str, TechnicianView], jobs: dict[str, int], need: Need
) -> tuple[list[Choice], dict[str, int]]:
    """Return the same by the crowd."""
    proposal = crowd.propose(need, {}, NOW)
    some = [by_id[one] for one in proposal.best[:10]]
    return rank_candidates(need, some, jobs, {}, NOW), dict(proposal.counts)


def compare_nearest(rounds: int, count: int, needed: int) -> list[Figure]:
    """Return how long finding the best ten takes, and how many times faster that is than a frame."""
    country = Country(1, 300, _EUROPE)
    people, jobs = country.technicians(count)
    by_id = {one.id: one for one in people}
    frame = Frame(people, jobs)
    began = time.perf_counter()
    crowd = Crowd()
    crowd.put(people, jobs)
    read_s = time.perf_counter() - began
    for skill in SKILLS:
        for level in range(1, 4):
            crowd.propose(Need(skill, level, 1.0, country.towns[0]), {}, NOW)
    runs: list[float] = []
    ours: list[float] = []
    own: list[float] = []
    theirs: list[float] = []
    for _ in range(rounds):
        needs = country.needs(needed)
        mine, other = [], []
        for number, need in enumerate(needs):
            began, worked = time.perf_counter(), time.thread_time()
            found, counts = rank_by_crowd(crowd, by_id, jobs, need)
            mine.append(time.thread_time() - worked)
            ours.append(time.perf_counter() - began)
            if number % 10:
                continue
            worked = time.thread_time()
            expected, expected_counts = frame.rank(need)
            other.append(time.thread_time() - worked)
            best = [choice for choice in found if choice.eligible]
            if best != expected or counts != expected_counts:
                message = "the crowd and the frame do not agree"
                raise AssertionError(message)
        runs.append(statistics.median(other) / statistics.median(mine))
        theirs += other
        own += mine
    conditions = {"technicians": count, "within_km": 60, "filters": "all", "explained": 10}
    worked_ms = [one * 1e3 for one in own]
    milliseconds = [one * 1e3 for one in ours]
    return [
        median_of("nearest_over_pandas", runs, "ratio", conditions),
        Figure("nearest_cpu_ms_p50", statistics.median(worked_ms), "ms", (), conditions),
        Figure("nearest_ms_p50", statistics.median(milliseconds), "ms", (), conditions),
        Figure("nearest_ms_p99", percentile(milliseconds, 0.99), "ms", (), conditions),
        Figure("pandas_cpu_ms_p50", statistics.median(theirs) * 1e3, "ms", (), conditions),
        Figure("crowd_read_s", read_s, "s", (), conditions),
    ]


def compare_rush(rounds: int, job_count: int, count: int) -> list[Figure]:
    """Return what assigning together saves beside one by one, and how long it takes with all filters."""
    savings, seconds, left = [], [], []
    for number in range(rounds):
        country = Country(number, 60, _FRANCE)
        people, _ = country.technicians(count)
        crowd = Crowd()
        crowd.put(people, {})
        hit = country.chance.sample(range(5, 30), 3)
        needs = [
            Need(country.chance.choice(SKILLS), 1, 300.0, country.near_town(hit, 0.4))
            for _ in range(job_count)
        ]
        began = time.perf_counter()
        jobs: list[Job] = []
        room: dict[int, int] = {}
        for key, need in enumerate(needs):
            who, minutes = crowd.reach(need, {}, NOW)
            jobs.append(Job(key, 3, who, minutes))
            room.update(zip(who.tolist(), crowd.capacity_of(who, None).tolist(), strict=True))
        plan = assign(jobs, room)
        seconds.append(time.perf_counter() - began)
        greedy = assign_greedily(jobs, room)
        both = plan.keys() & greedy.keys()
        if len(plan) < len(greedy) or len(both) != job_count:
            message = "not every job was assigned"
            raise AssertionError(message)
        savings.append(1 - sum(one.minutes for one in plan.values()) / sum(greedy.values()))
        left.append(float(job_count - len(plan)))
    conditions: dict[str, Any] = {"jobs": job_count, "technicians": count, "towns_hit": 3}
    return [
        median_of("assignment_saving", savings, "share", conditions),
        median_of("assignment_s", seconds, "s", conditions),
    ]


def measure(rounds: int = 5, technicians: int = 100_000, needed: int = 300) -> list[Figure]:
    """Return all figures of dispatch."""
    return [
        *compare_nearest(rounds, technicians, needed),
        *compare_rush(rounds, 1_000, 5_000),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--technicians", type=int, default=100_000)
    parser.add_argument("--jobs", type=int, default=300, help="of each round")
    wanted = parser.parse_args(arguments)
    report("route_dispatch", measure(wanted.rounds, wanted.technicians, wanted.jobs))


if __name__ == "__main__":
    main()
