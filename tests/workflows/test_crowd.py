"""The crowd in memory finds whom judging everybody finds: the same ten, others and counts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prevenant.crm.directory import TechnicianView
from tests.workflows.people import (
    HERE,
    NOON,
    VICTORY_DAY,
    crowds,
    loads,
    needs,
    refusals,
    technicians,
)
from workflows.crowd import Crowd
from workflows.dispatch import SHOWN, Need, rank_candidates, rank_crowd


def assert_same(
    crowd: Crowd,
    people: Sequence[TechnicianView],
    need: Need,
    jobs: Mapping[str, int],
    excluded: Mapping[str, str],
    now: datetime,
) -> None:
    """Compare what the crowd proposes, judged by the pure functions, with judging everybody."""
    everybody = rank_crowd(rank_candidates(need, people, jobs, excluded, now))
    proposal = crowd.propose(need, excluded, now)
    proposed = {*proposal.best, *proposal.near}
    some = [one for one in people if one.id in proposed]
    choices = rank_candidates(need, some, jobs, excluded, now)
    assert [c for c in choices if c.eligible][:SHOWN] == everybody.best
    assert [c for c in choices if not c.eligible][:SHOWN] == everybody.near
    assert (proposal.eligible, proposal.total) == (everybody.eligible, everybody.total)
    assert proposal.counts == everybody.counts
    assert {c.technician.id: c.failed for c in choices if c.technician.id in proposal.near} == dict(
        proposal.near
    )


@settings(max_examples=50, deadline=None)
@given(crowds(), needs(), loads, refusals, st.sampled_from([NOON, VICTORY_DAY]))
def test_the_crowd_proposes_whom_judging_everybody_finds(
    people: list[TechnicianView],
    need: Need,
    jobs: dict[str, int],
    excluded: dict[str, str],
    now: datetime,
) -> None:
    crowd = Crowd()
    crowd.put(people, jobs)
    assert_same(crowd, people, need, jobs, excluded, now)


@settings(max_examples=60, deadline=None)
@given(crowds(most=20), needs(), loads, refusals, st.data())
def test_a_crowd_that_changes_is_as_good_as_a_new_one(
    people: list[TechnicianView],
    need: Need,
    jobs: dict[str, int],
    excluded: dict[str, str],
    data: st.DataObject,
) -> None:
    crowd = Crowd()
    crowd.put(people, {})
    current = {one.id: one for one in people}
    assert_same(crowd, people, need, {}, excluded, NOON)
    for number in data.draw(st.lists(st.integers(0, 25), max_size=8)):
        one = data.draw(technicians(number))
        if data.draw(st.booleans()):
            current[one.id] = one
            crowd.put([one], jobs)
        else:
            current.pop(one.id, None)
            crowd.drop([one.id])
    crowd.put(list(current.values()), jobs)
    now = NOON + timedelta(minutes=data.draw(st.integers(0, 200)))
    assert_same(crowd, [current[key] for key in sorted(current)], need, jobs, excluded, now)
    who, minutes = crowd.reach(need, excluded, now)
    ranked = rank_candidates(need, list(current.values()), jobs, excluded, now)
    able = {choice.technician.id: choice.score for choice in ranked if choice.eligible}
    assert {crowd.id_of(one) for one in who.tolist()} == able.keys()
    for one, score in zip(who.tolist(), minutes.tolist(), strict=True):
        assert score == pytest.approx(able[crowd.id_of(one)], abs=1e-6)


def test_many_who_move_grow_a_new_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflows.pools._MOST_MOVED", 3)
    crowd, need = Crowd(), Need("hvac", 1, 500.0, HERE)
    people = [_somebody(f"t{number:03}", 0.01 * number) for number in range(30)]
    crowd.put(people, {})
    for number in range(30):
        people[number] = _somebody(f"t{number:03}", 0.01 * (30 - number))
        crowd.put([people[number]], {})
        assert_same(crowd, people, need, {}, {}, NOON)
    assert crowd.propose(need, {}, NOON).best[0] == "t029"


def test_a_position_grows_old_without_any_change() -> None:
    crowd, need = Crowd(), Need("hvac", 1, 60.0, HERE)
    away = _somebody("t", 5.0)
    seen = replace(away, position=HERE, position_at=NOON)
    crowd.put([seen], {})
    assert crowd.propose(need, {}, NOON + timedelta(minutes=60)).best == ["t"]
    later = crowd.propose(need, {}, NOON + timedelta(minutes=61))
    assert (later.best, later.counts) == ([], {"distance": 1})


def _somebody(key: str, north: float) -> TechnicianView:
    from tests.workflows.test_dispatch import technician  # noqa: PLC0415  their helper

    here = (HERE[0] + north, HERE[1])
    return technician(key, position=here, base=here)
