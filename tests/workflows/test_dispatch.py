"""Nobody is chosen who fails a hard filter, the best goes first, and everybody has a reason."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prevenant.crm.directory import Person, TechnicianView
from prevenant.crm.shifts import is_on_shift, parse_shifts
from workflows.dispatch import (
    Need,
    distance_km,
    plan_visit,
    rank_candidates,
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
    ],
)
def test_who_fails_a_hard_filter_is_out_and_told_why(
    changes: dict[str, object], reason: str
) -> None:
    ((_, eligible, why),) = rank(technician("a", **changes))  # type: ignore[arg-type]
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
