"""Nobody is chosen who fails a hard filter, the best goes first, and everybody has a reason."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prevenant.crm.directory import Person, TechnicianView
from prevenant.crm.duty import judge_duty
from prevenant.crm.shifts import is_on_shift, parse_shifts
from prevenant.globe import distance_km
from tests.workflows.people import crowds, loads, needs, refusals
from workflows.dispatch import (
    Need,
    plan_visit,
    rank_candidates,
    shown_counts,
    shown_distance,
)

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)  # a Monday
HERE = (47.32, 5.04)


def technician(name: str, *, north_km: float = 1.0, **changes: object) -> TechnicianView:
    """Return a technician some kilometres north of the job, who can do it."""
    person = Person(name, name.title(), "en", "UTC", "sms", {"sms": "+33639980001"})
    values = {
        "id": name,
        "person": person,
        "position": (HERE[0] + north_km / 111.19, HERE[1]),
        "timezone": "UTC",
        "capacity": 1,
        "skills": {"hvac": 2},
        "shifts": parse_shifts("mon-fri 08:00-18:00"),
    }
    return TechnicianView(**{**values, **changes})  # type: ignore[arg-type]


def rank(
    *people: TechnicianView,
    jobs: Mapping[str, int] | None = None,
    excluded: Mapping[str, str] | None = None,
    **changes: object,
) -> list[tuple[str, bool, str]]:
    """Return name, eligibility and reason in order."""
    values = {"skill": "hvac", "level": 2, "within_km": 50.0, "position": HERE}
    need = Need(**{**values, **changes})  # type: ignore[arg-type]
    choices = rank_candidates(need, people, jobs or {}, excluded or {}, NOON)
    return [(c.technician.id, c.eligible, c.reason) for c in choices]


def test_the_nearest_goes_first() -> None:
    order = rank(technician("far", north_km=20), technician("near", north_km=2))
    assert [name for name, _, _ in order] == ["near", "far"]
    assert order[0][2] == "3 min away (2.0 km)"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"skills": {"gas": 3}}, "has not learned hvac"),
        ({"skills": {"hvac": 1}}, "hvac 1 is below the 2 needed"),
        ({"shifts": parse_shifts("sat-sun 08:00-18:00")}, "is off shift"),
        ({"north_km": 60.0}, "is 60.0 km away, beyond 50.0 km"),
        ({"person": Person("a", "A", "en", "UTC", "sms", {})}, "has no phone number"),
        ({"leave": ((NOON, NOON + timedelta(hours=1), "ill"),)}, "is ill"),
        ({"leave": ((NOON, NOON + timedelta(hours=1), ""),)}, "is on leave (leave)"),
        ({"areas": frozenset({"west"})}, "does not serve east"),
        ({"excluded_by": {"acme": "a quarrel"}}, "is not to be sent to this customer: a quarrel"),
        ({"parts": {"relay": 0, "fan": 1}}, "does not carry relay"),
        ({"parts": {}}, "does not carry relay, fan"),
        ({"position_at": NOON - timedelta(minutes=11)}, "was not seen within 10m"),
        ({"position_at": None}, "was not seen within 10m"),
    ],
)
def test_who_fails_a_hard_filter_is_out_and_told_why(
    changes: dict[str, object], reason: str
) -> None:
    able = {"parts": {"relay": 1, "fan": 2}, "position_at": NOON}
    asked = {"customer_id": "acme", "area_id": "east", "parts": ("relay", "fan"), "fresh_s": 600.0}
    assert rank(technician("a", **able), **asked)[0][1]  # type: ignore[arg-type]
    ((_, eligible, why),) = rank(technician("a", **{**able, **changes}), **asked)  # type: ignore[arg-type]
    assert not eligible
    assert reason in why


def test_load_and_overqualification_count_against_but_not_where_life_is_at_stake() -> None:
    people = [
        technician("busy", capacity=3),
        technician("master", north_km=1.5, skills={"hvac": 5}),
        technician("other", north_km=4),
    ]
    names = [name for name, _, _ in rank(*people, jobs={"busy": 1})]
    assert names == ["other", "master", "busy"]
    urgent = [name for name, _, _ in rank(*people, jobs={"busy": 1}, urgent=True)]
    assert urgent == ["busy", "master", "other"]


def test_excluded_full_and_unknown_places() -> None:
    assert rank(technician("a"), excluded={"a": "declined"})[0][1:] == (False, "declined")
    assert rank(technician("a"), jobs={"a": 1})[0][1:] == (False, "has 1 job already")
    assert rank(technician("a"), position=None)[0][2] == "the job's position is not known"


people = st.lists(
    st.builds(
        technician,
        st.uuids().map(str),
        north_km=st.floats(0, 100),
        skills=st.dictionaries(st.sampled_from(["hvac", "gas"]), st.integers(1, 5), max_size=2),
        capacity=st.integers(1, 3),
    ),
    max_size=12,
)


@given(people, st.randoms())
def test_the_order_is_total_and_does_not_depend_on_how_people_are_listed(
    crowd: list[TechnicianView], chance: object
) -> None:
    ranked = rank(*crowd)
    shuffled = list(crowd)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert rank(*shuffled) == ranked
    assert sorted(name for name, _, _ in ranked) == sorted(one.id for one in crowd)
    eligible = [flag for _, flag, _ in ranked]
    assert eligible == sorted(eligible, reverse=True)
    for name, flag, reason in ranked:
        assert reason
        if flag:
            one = next(x for x in crowd if x.id == name)
            assert one.skills.get("hvac", 0) >= 2
            assert distance_km(HERE, one.position) <= 50.0


def test_a_known_distance() -> None:
    paris, london = (48.8566, 2.3522), (51.5074, -0.1278)
    assert distance_km(paris, london) == pytest.approx(343.6, abs=0.5)
    assert distance_km(paris, paris) == 0.0
    assert distance_km((0.0, 0.0), (0.0, 180.0)) == pytest.approx(20_015.1, abs=0.5)


@given(st.floats(0, 20_000), st.floats(60, 86_400))
def test_a_visit_begins_on_the_half_hour_after_the_way(travel_s: float, window_s: float) -> None:
    start, end = plan_visit(NOON, travel_s, window_s)
    assert start.minute in {0, 30}
    assert (start.second, start.microsecond) == (0, 0)
    assert timedelta() <= start - (NOON + timedelta(seconds=travel_s)) < timedelta(minutes=30)
    assert end - start == timedelta(seconds=window_s)


@pytest.mark.parametrize(
    ("shifts", "at", "zone", "expected"),
    [
        ("mon-fri 08:00-18:00", "2026-05-04T06:00+00:00", "Europe/Paris", True),
        ("mon-fri 08:00-18:00", "2026-05-04T16:00+00:00", "Europe/Paris", False),
        ("fri 22:00-06:00", "2026-05-09T03:00+00:00", "UTC", True),
        ("fri 22:00-06:00", "2026-05-09T07:00+00:00", "UTC", False),
        ("sat-mon 10:00-12:00", "2026-05-04T11:00+00:00", "UTC", True),
        ("always", "2026-05-04T23:59+00:00", "UTC", True),
        # The clocks go back in Paris: 02:30 comes twice, and the shift counts both.
        ("sun 02:00-03:00", "2026-10-25T00:30+00:00", "Europe/Paris", True),
        ("sun 02:00-03:00", "2026-10-25T01:30+00:00", "Europe/Paris", True),
    ],
)
def test_shifts_go_by_the_technicians_own_clock(
    shifts: str, at: str, zone: str, expected: bool
) -> None:
    assert is_on_shift(parse_shifts(shifts), datetime.fromisoformat(at), zone) is expected


@pytest.mark.parametrize("text", ["weekdays", "mon 8-18", "mon-fri 08:00-25:00", "abc 08:00-10:00"])
def test_a_shift_that_cannot_be_read_says_how_to_write_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"write mon-fri 08:00-18:00|hour must be"):
        parse_shifts(text)


def test_distances_as_people_say_them() -> None:
    assert [shown_distance(km) for km in (0.001, 0.354, 4.24, 60)] == [
        "10 m",
        "350 m",
        "4.2 km",
        "60.0 km",
    ]


def test_leave_that_is_over_or_ahead_keeps_nobody_out() -> None:
    hour = timedelta(hours=1)
    leave = ((NOON - hour, NOON, "ill"), (NOON + hour, NOON + 2 * hour, ""))
    assert rank(technician("a", leave=leave))[0][1]


def test_an_old_position_gives_way_to_where_they_set_out_from() -> None:
    far = (HERE[0] + 3, HERE[1])
    seen = {"position": HERE, "base": far}
    fresh = technician("a", **seen, position_at=NOON - timedelta(hours=1))  # type: ignore[arg-type]
    old = technician("a", **seen, position_at=NOON - timedelta(minutes=61))  # type: ignore[arg-type]
    assert rank(fresh)[0][1]
    assert "beyond 50.0 km" in rank(old)[0][2]


@pytest.mark.parametrize(
    ("shifts", "region", "at", "zone", "expected"),
    [
        ("mon-fri 08:00-18:00", "FR", "2026-05-08T10:00", "Europe/Paris", "has a public holiday"),
        ("mon-fri 08:00-18:00", "DE", "2026-05-08T10:00", "Europe/Berlin", ""),
        ("mon-fri 08:00-18:00", "DE-BY", "2026-06-04T10:00", "Europe/Berlin", "has a public"),
        ("mon-fri 08:00-18:00", "DE-HH", "2026-06-04T10:00", "Europe/Berlin", ""),
        ("mon-fri 08:00-18:00", "XX", "2026-05-08T10:00", "Europe/Paris", ""),
        ("always", "FR", "2026-05-08T10:00", "Europe/Paris", "has a public holiday"),
        # The night shift that began before the holiday goes on; the one that begins on it is free.
        ("mon-sun 22:00-06:00", "FR", "2026-05-08T03:00", "Europe/Paris", ""),
        ("mon-sun 22:00-06:00", "FR", "2026-05-08T23:00", "Europe/Paris", "has a public holiday"),
        ("mon-sun 22:00-06:00", "FR", "2026-05-09T03:00", "Europe/Paris", "has a public holiday"),
        ("sat-sun 08:00-18:00", "FR", "2026-05-08T10:00", "Europe/Paris", "is off shift"),
        # In Paris it is the holiday already, in London not yet.
        ("always", "FR", "2026-05-07T22:30", "Europe/Paris", "has a public holiday"),
        ("always", "FR", "2026-05-07T22:30", "Europe/London", ""),
    ],
)
def test_public_holidays_are_free_by_region_and_local_day(
    shifts: str, region: str, at: str, zone: str, expected: str
) -> None:
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC)
    if at != "2026-05-07T22:30":
        moment = datetime.fromisoformat(at).replace(tzinfo=ZoneInfo(zone))
    why = judge_duty(parse_shifts(shifts), region, moment, zone)
    assert why.startswith(expected)
    assert bool(why) == bool(expected)


@settings(deadline=None)
@given(crowds(), needs(), loads, refusals)
def test_nobody_who_can_go_fails_any_filter_and_everybody_has_a_reason(
    crowd: list[TechnicianView], need: Need, jobs: dict[str, int], excluded: dict[str, str]
) -> None:
    """Each filter is written down here once more, in its plainest form."""
    for choice in rank_candidates(need, crowd, jobs, excluded, NOON):
        one = choice.technician
        assert choice.reason
        fresh = timedelta(seconds=need.fresh_s or 3_600)
        seen = one.position_at is not None and NOON - one.position_at <= fresh
        here = one.position if seen else one.base or one.position
        limit = one.capacity if need.max_jobs is None else need.max_jobs
        passes = need.position is not None and all(
            (
                one.id not in excluded,
                one.skills.get(need.skill, 0) >= max(1, need.level),
                distance_km(need.position, here) <= need.within_km,
                seen or need.fresh_s is None,
                not need.area_id or not one.areas or need.area_id in one.areas,
                is_on_shift(one.shifts, NOON, one.timezone),
                not any(start <= NOON < end for start, end, _ in one.leave),
                need.customer_id not in one.excluded_by,
                all(one.parts.get(part, 0) > 0 for part in need.parts),
                jobs.get(one.id, 0) < limit,
                bool(one.person.addresses),
            )
        )
        assert choice.eligible == passes
        assert bool(choice.failed) != passes


def test_the_counts_are_said_in_words_the_most_first() -> None:
    need = Need("refrigeration", 2, 60.0, HERE, parts=("relay",))
    counts = {"skill": 3, "distance": 2, "shift": 7, "parts": 1_200}
    assert shown_counts(counts, need) == (
        "1,200 without relay, 7 off shift, 3 lack refrigeration 2, 2 beyond 60 km"
    )
