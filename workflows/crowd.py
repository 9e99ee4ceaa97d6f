"""All technicians in memory, so that the best ten of 100,000 are found without judging everybody.

The crowd proposes: it filters and scores as `workflows.dispatch` does, on columns, near the job alone.
Whoever it proposes is read afresh and judged by `workflows.dispatch` before anything is offered.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np

from prevenant.crm.directory import TechnicianView
from prevenant.crm.duty import HOLIDAY, judge_duty
from prevenant.globe import distance_km
from workflows.dispatch import (
    FILTERS,
    LOAD_MINUTES,
    OVERQUALIFIED_MINUTES,
    SEEN_S,
    SHOWN,
    Need,
    in_order,
    travel_seconds,
)
from workflows.pools import NEVER, Flags, Floats, Indices, Places, Pool

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CODE = {name: number for number, name in enumerate(FILTERS, 1)}
_ON, _OFF, _FREE, _UNKNOWN = 0, 1, 2, -1
_TIES = 1e-6
"""Minutes, or kilometres: what is as near as this is compared again, exactly."""
_MOST_TIES = 64


@dataclass(frozen=True, slots=True)
class Proposal:
    """Who may be the best of a crowd, and the nearest who cannot go, by id."""

    best: Sequence[str]
    near: Mapping[str, str]
    """Each with the filter that is failed."""
    eligible: int
    total: int
    counts: Mapping[str, int]


class Crowd:
    """Technicians as columns. Not to be used by two threads at a time."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._index: dict[str, int] = {}
        self._rank: Indices = np.empty(0, np.int64)
        """The place of each id among all ids."""
        self._places = Places(0)
        self._is_active: Flags = np.zeros(0, bool)
        self._levels: dict[str, Indices] = {}
        self._calendar: Indices = np.zeros(0, np.int64)
        self._capacity: Indices = np.zeros(0, np.int64)
        self._jobs: Indices = np.zeros(0, np.int64)
        self._has_address: Flags = np.zeros(0, bool)
        self._leave: Indices = np.full((0, 1, 2), NEVER, np.int64)
        self._parts: list[frozenset[str]] = []
        self._areas: list[frozenset[str]] = []
        self._excluded_by: list[frozenset[str]] = []
        self._carries: dict[str, Flags] = {}
        self._serves: dict[str, Flags] = {}
        self._refuses: dict[str, set[int]] = {}
        self._refusals: dict[str, Flags] = {}
        self._calendars: list[tuple[Sequence[dict[str, Any]], str, str]] = []
        self._calendar_of: dict[bytes, int] = {}
        self._duty: Indices = np.empty(0, np.int64)
        self._minute: datetime | None = None
        self._pools: dict[tuple[str, int], tuple[Pool, Flags]] = {}

    def __len__(self) -> int:
        return int(self._is_active.sum())

    def id_of(self, who: int) -> str:
        """Return the id of one of the crowd."""
        return self._ids[who]

    def capacity_of(self, who: Indices, limit: int | None) -> Indices:
        """Return how many further jobs some can take."""
        return np.maximum((self._capacity[who] if limit is None else limit) - self._jobs[who], 0)

    def put(self, technicians: Sequence[TechnicianView], jobs: Mapping[str, int]) -> None:
        """Take in technicians, new or changed, with how many jobs each has."""
        new = [one.id for one in technicians if one.id not in self._index]
        if new:
            self._make_room(new)
        for one in technicians:
            self._write(self._index[one.id], one, jobs.get(one.id, 0))

    def drop(self, ids: Iterable[str]) -> None:
        """Forget technicians who work for us no more."""
        for one in ids:
            who = self._index.get(one)
            if who is not None and self._is_active[who]:
                self._is_active[who] = False
                self._move(who)

    def propose(
        self, need: Need, excluded: Mapping[str, str], now: datetime, count: int = SHOWN
    ) -> Proposal:
        """Return at least the best `count`, the nearest who cannot go, and how many fail each filter."""
        if need.position is None:
            some = sorted(one for one in self._ids if self._is_active[self._index[one]])[:SHOWN]
            counts = {"place": len(self)} if len(self) else {}
            return Proposal([], dict.fromkeys(some, "place"), 0, len(self), counts)
        here, since = np.radians(need.position), _seen_since(need, now)
        pool = self._pool(need.skill, need.level)
        asked = self._indices(excluded)
        who, km = pool.within(here, need.within_km, since)
        status = self._judge(need, who, km, asked, now, since)
        counts = dict(
            zip(FILTERS, np.bincount(status, minlength=len(FILTERS) + 1)[1:].tolist(), strict=True)
        )
        total = int(self._everybody().size)
        counts["skill"] += total - pool.size
        counts["distance"] += pool.size - len(who)
        self._count_asked(need, asked, who, counts)
        able = status == 0
        best = self._best(need, who[able], km[able], count)
        near = self._near(need, pool, asked, who[~able], km[~able], who[able], since)
        return Proposal(
            [self._ids[one] for one in best],
            self._failed(need, near, who, status, asked),
            int(able.sum()),
            total,
            in_order(counts),
        )

    def reach(
        self, need: Need, excluded: Mapping[str, str], now: datetime
    ) -> tuple[Indices, Floats]:
        """Return everybody who can go, and the score of each."""
        if need.position is None:
            return np.empty(0, np.int64), np.empty(0)
        here, since = np.radians(need.position), _seen_since(need, now)
        who, km = self._pool(need.skill, need.level).within(here, need.within_km, since)
        able = self._judge(need, who, km, self._indices(excluded), now, since) == 0
        return who[able], self._scores(need, who[able], km[able])

    def _best(self, need: Need, who: Indices, km: Floats, count: int) -> Indices:
        scores = self._scores(need, who, km)
        if len(who) > count:
            worst = np.partition(scores, count - 1)[count - 1]
            kept = np.flatnonzero(scores <= worst + _TIES)
            who, scores = who[kept], scores[kept]
        order = np.lexsort((self._rank[who], np.round(scores, 6)))
        return who[order[: count + _MOST_TIES]]

    def _scores(self, need: Need, who: Indices, km: Floats) -> Floats:
        scores = km * (travel_seconds(1.0, on_foot=need.on_foot) / 60)
        if need.urgent or not len(who):
            return scores
        scores = scores + self._jobs[who] * LOAD_MINUTES
        scores += (self._levels[need.skill][who] - need.level) * OVERQUALIFIED_MINUTES
        if need.known:
            worth = np.zeros(len(self._ids))
            for one, known in need.known.items():
                if one in self._index:
                    worth[self._index[one]] = known.minutes
            scores -= worth[who]
        return scores

    def _judge(
        self,
        need: Need,
        who: Indices,
        km: Floats,
        asked: Indices,
        now: datetime,
        since: int,
    ) -> Indices:
        """Return the number of the first filter that each fails, or 0."""
        status = np.zeros(len(who), np.int64)
        left, people = np.arange(len(who)), who

        def fail(name: str, fails: Flags) -> None:
            nonlocal left, people
            if fails.any():
                status[left[fails]] = _CODE[name]
                passes = ~fails
                left, people = left[passes], people[passes]

        # In the order of the filters: each looks at those alone whom the ones before it let pass.
        if len(asked):
            fail("asked", np.isin(people, asked))
        fail("distance", self._beyond(need, people, km[left], since))
        if need.fresh_s is not None:
            fail("position", self._places.seen_at[people] < since)
        if need.area_id:
            fail("territory", ~self._serving(need.area_id)[people])
        duty = self._duty_of(people, now)
        fail("shift", duty == _OFF)
        fail("holiday", duty[duty != _OFF] == _FREE)
        fail("leave", self._is_away(people, _micros(now)))
        if self._refuses.get(need.customer_id):
            fail("customer", self._refusing(need.customer_id)[people])
        for part in need.parts:
            fail("parts", ~self._carrying(part)[people])
        fail("capacity", self.capacity_of(people, need.max_jobs) == 0)
        fail("address", ~self._has_address[people])
        return status

    def _is_away(self, who: Indices, moment: int) -> Flags:
        leave = self._leave[who]
        away = (leave[:, :, 0] <= moment) & (moment < leave[:, :, 1])
        return np.asarray(away.any(axis=1))

    def _beyond(self, need: Need, who: Indices, km: Floats, since: int) -> Flags:
        beyond = km > need.within_km
        for one in np.flatnonzero(np.abs(km - need.within_km) < _TIES):
            seen = self._places.seen_at[who[one]] >= since
            there = (self._places.seen if seen else self._places.base)[who[one]]
            lat, lon = np.degrees(there).tolist()
            if need.position is not None:
                beyond[one] = distance_km(need.position, (lat, lon)) > need.within_km
        return beyond

    def _near(
        self,
        need: Need,
        pool: Pool,
        asked: Indices,
        failing: Indices,
        km: Floats,
        able: Indices,
        since: int,
    ) -> Indices:
        """Return the nearest who cannot go, and some more: first those with the skill, then others."""
        here = np.radians(need.position or (0.0, 0.0))
        if len(failing) > SHOWN:
            edge = np.partition(km, SHOWN - 1)[SHOWN - 1] + _TIES
            return self._with(failing[km <= edge][: SHOWN + _MOST_TIES], asked)
        found = pool.nearest(here, len(able) + SHOWN + _MOST_TIES, since)
        found = np.setdiff1d(found, able, assume_unique=True)
        if len(found) >= SHOWN:
            return self._with(self._cut(here, found, since), asked)
        others = self._everybody().nearest(here, pool.size + SHOWN + _MOST_TIES, since)
        others = np.setdiff1d(others, np.concatenate([found, able]), assume_unique=True)
        return self._with(np.concatenate([found, self._cut(here, others, since)]), asked)

    def _with(self, who: Indices, asked: Indices) -> Indices:
        return np.union1d(who, asked) if len(asked) else who

    def _failed(
        self, need: Need, near: Indices, who: Indices, status: Indices, asked: Indices
    ) -> dict[str, str]:
        """Return which filter each fails."""
        within = np.zeros(len(self._ids), np.int8)
        within[who] = status
        levels, least = self._levels.get(need.skill), max(need.level, 1)
        again = set(asked.tolist())
        failed = {}
        for one in near.tolist():
            has_skill = levels is not None and levels[one] >= least
            beyond = "asked" if one in again else "distance" if has_skill else "skill"
            failed[self._ids[one]] = FILTERS[within[one] - 1] if within[one] else beyond
        return failed

    def _cut(self, here: Floats, who: Indices, since: int) -> Indices:
        km = self._places.km_from(here, who, since)
        return who[np.lexsort((self._rank[who], np.round(km, 6)))[: SHOWN + _MOST_TIES]]

    def _count_asked(
        self, need: Need, asked: Indices, who: Indices, counts: dict[str, int]
    ) -> None:
        """Count those who are not asked again as that, not as far away or without the skill."""
        for one in asked[~np.isin(asked, who)] if len(asked) else ():
            levels = self._levels.get(need.skill)
            has_skill = levels is not None and levels[one] >= max(need.level, 1)
            counts["distance" if has_skill else "skill"] -= 1
            counts["asked"] += 1

    def _indices(self, excluded: Mapping[str, str]) -> Indices:
        found = [self._index[one] for one in excluded if one in self._index]
        return np.array([one for one in found if self._is_active[one]], np.int64)

    def _pool(self, skill: str, level: int) -> Pool:
        known = self._pools.get((skill, level))
        if known is None:
            is_member = self._members(skill, level)
            known = self._pools[skill, level] = (Pool(self._places, is_member), is_member)
        return known[0]

    def _everybody(self) -> Pool:
        return self._pool("", 0)

    def _members(self, skill: str, level: int) -> Flags:
        if not skill:
            return self._is_active.copy()
        levels = self._levels.get(skill)
        if levels is None:
            return np.zeros(len(self._ids), bool)
        return self._is_active & (levels >= max(level, 1))

    def _move(self, who: int) -> None:
        """Take note in every pool that somebody moved, came, went or learned something."""
        for (skill, level), (pool, is_member) in self._pools.items():
            levels = self._levels.get(skill)
            has_skill = not skill or (levels is not None and levels[who] >= max(level, 1))
            is_member[who] = bool(self._is_active[who]) and has_skill
            pool.move(who)

    def _duty_of(self, who: Indices, now: datetime) -> Indices:
        """Return whether some are on duty: worked out once a minute for each calendar."""
        minute = now.replace(second=0, microsecond=0)
        if minute != self._minute or len(self._duty) != len(self._calendars):
            self._minute = minute
            self._duty = np.full(len(self._calendars), _UNKNOWN, np.int64)
        calendars = self._calendar[who]
        known = self._duty[calendars]
        if (known != _UNKNOWN).all():
            return known
        for one in np.unique(calendars[known == _UNKNOWN]).tolist():
            shifts, holidays, timezone = self._calendars[one]
            why = judge_duty(shifts, holidays, now, timezone)
            self._duty[one] = _ON if not why else _FREE if why.startswith(HOLIDAY) else _OFF
        return self._duty[calendars]

    def _carrying(self, part: str) -> Flags:
        if part not in self._carries:
            self._carries[part] = np.array([part in parts for parts in self._parts], bool)
        return self._carries[part]

    def _refusing(self, customer: str) -> Flags:
        if customer not in self._refusals:
            refusing = np.zeros(len(self._ids), bool)
            refusing[list(self._refuses[customer])] = True
            self._refusals[customer] = refusing
        return self._refusals[customer]

    def _serving(self, area: str) -> Flags:
        if area not in self._serves:
            served = [not areas or area in areas for areas in self._areas]
            self._serves[area] = np.array(served, bool)
        return self._serves[area]

    def _write(self, who: int, one: TechnicianView, jobs: int) -> None:
        places = self._places
        base = np.radians(one.base or one.position)
        seen_at = NEVER if one.position_at is None else _micros(one.position_at)
        seen = np.radians(one.position) if seen_at != NEVER else np.zeros(2)
        moved = (
            not self._is_active[who]
            or bool((places.base[who] != base).any())
            or bool((places.seen[who] != seen).any())
            or (places.seen_at[who] == NEVER) != (seen_at == NEVER)
        )
        self._is_active[who] = True
        places.base[who], places.seen[who], places.seen_at[who] = base, seen, seen_at
        for skill in one.skills.keys() - self._levels.keys():
            self._levels[skill] = np.zeros(len(self._ids), np.int64)
        for skill, levels in self._levels.items():
            level = int(one.skills.get(skill, 0))
            moved = moved or levels[who] != level
            levels[who] = level
        self._calendar[who] = self._number_calendar(one)
        self._capacity[who], self._jobs[who] = one.capacity, jobs
        self._has_address[who] = bool(one.person.addresses)
        self._write_leave(who, one)
        self._parts[who] = frozenset(part for part, count in one.parts.items() if count)
        self._areas[who] = one.areas
        for part, carries in self._carries.items():
            carries[who] = part in self._parts[who]
        for area, serves in self._serves.items():
            serves[who] = not one.areas or area in one.areas
        for customer in self._excluded_by[who]:
            self._refuses[customer].discard(who)
            self._refusals.pop(customer, None)
        self._excluded_by[who] = frozenset(one.excluded_by)
        for customer in self._excluded_by[who]:
            self._refuses.setdefault(customer, set()).add(who)
            self._refusals.pop(customer, None)
        if moved:
            self._move(who)

    def _write_leave(self, who: int, one: TechnicianView) -> None:
        more = len(one.leave) - self._leave.shape[1]
        if more > 0:
            self._leave = np.pad(self._leave, ((0, 0), (0, more), (0, 0)), constant_values=NEVER)
        self._leave[who] = NEVER
        for number, (start, end, _) in enumerate(one.leave):
            self._leave[who, number] = (_micros(start), _micros(end))

    def _number_calendar(self, one: TechnicianView) -> int:
        key = msgspec.json.encode((one.shifts, one.holidays, one.timezone))
        number = self._calendar_of.setdefault(key, len(self._calendars))
        if number == len(self._calendars):
            self._calendars.append((one.shifts, one.holidays, one.timezone))
        return number

    def _make_room(self, ids: Sequence[str]) -> None:
        """Take in ids that are new; where each stands among all is worked out again."""
        more = len(ids)
        for one in ids:
            self._index[one] = len(self._ids)
            self._ids.append(one)
        size = len(self._ids)
        self._places.grow(size)
        self._is_active = np.concatenate([self._is_active, np.zeros(more, bool)])
        self._has_address = np.concatenate([self._has_address, np.zeros(more, bool)])
        self._calendar = np.concatenate([self._calendar, np.zeros(more, np.int64)])
        self._capacity = np.concatenate([self._capacity, np.zeros(more, np.int64)])
        self._jobs = np.concatenate([self._jobs, np.zeros(more, np.int64)])
        self._leave = np.pad(self._leave, ((0, more), (0, 0), (0, 0)), constant_values=NEVER)
        for skill, levels in self._levels.items():
            self._levels[skill] = np.concatenate([levels, np.zeros(more, np.int64)])
        for kept in (self._parts, self._areas, self._excluded_by):
            kept.extend([frozenset()] * more)
        self._rank = np.empty(size, np.int64)
        self._rank[sorted(range(size), key=self._ids.__getitem__)] = np.arange(size)
        self._carries.clear()
        self._serves.clear()
        self._refusals.clear()
        self._pools.clear()


def _seen_since(need: Need, now: datetime) -> int:
    return _micros(now) - round((SEEN_S if need.fresh_s is None else need.fresh_s) * 1e6)


def _micros(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)
