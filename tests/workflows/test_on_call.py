"""Who is on call: turns by the clock on the wall, hours, holidays, gaps, and people who stand in."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prevenant.api.on_call import describe_schedules
from prevenant.crm.shifts import parse_shifts
from prevenant.crm.tables import Contact
from prevenant.document import read_yaml
from prevenant.errors import ConfigurationError, Problem
from prevenant.store import Store
from tests.moved_clock import MovedClock
from workflows.on_call import (
    NEVER,
    ONLY,
    Gap,
    Layer,
    OnCallOverride,
    Schedule,
    end_override,
    find_duties,
    find_duty,
    find_gaps,
    find_overrides,
    give_override,
    turn_begins_at,
    who_is_on_call,
)
from workflows.on_call_reading import read_schedules

PARIS = ZoneInfo("Europe/Paris")
_FIRST = datetime(2025, 1, 1, tzinfo=UTC)


def paris(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=PARIS).astimezone(UTC)


def read(text: str) -> Schedule:
    problems: list[Problem] = []
    document = read_yaml(text, problems, "rules.yaml")
    assert document is not None
    (schedule,) = read_schedules([document]).values()
    assert not problems
    return schedule


def who(schedule: Schedule, at: str) -> str | None:
    duty = find_duty(schedule, paris(at))
    return duty.contact_id if duty else None


WEEKLY = read("""
desk:
  timezone: Europe/Paris
  layers:
    - {people: [ines, tom, zoe], turn: 1w, hand_over: mon 09:00, since: 2026-01-07}
""")


@pytest.mark.parametrize(
    ("at", "person"),
    [
        ("2026-01-12 08:59", "zoe"),
        ("2026-01-12 09:00", "ines"),
        ("2026-01-19 08:59", "ines"),
        ("2026-01-19 09:00", "tom"),
        ("2026-02-02 09:00", "ines"),
        ("2026-03-30 08:59", "tom"),  # the clock went forward on the 29th
        ("2026-03-30 09:00", "zoe"),
        ("2026-10-26 08:59", "tom"),  # the clock went back on the 25th
        ("2026-10-26 09:00", "zoe"),
    ],
)
def test_a_turn_ends_at_its_hour_on_the_wall(at: str, person: str) -> None:
    assert who(WEEKLY, at) == person


def test_a_turn_of_half_a_day_has_the_same_hours_in_summer_and_in_winter() -> None:
    schedule = read(
        "d: {timezone: Europe/Paris, layers: [{people: [day, night], turn: 12h, hand_over: '07:00'}]}"
    )
    for date in ("2026-01-15", "2026-03-29", "2026-07-15", "2026-10-25"):
        people = [who(schedule, f"{date} {hour}") for hour in ("06:59", "07:00", "18:59", "19:00")]
        assert people == ["night", "day", "day", "night"]


def test_a_hand_over_in_the_hour_that_comes_twice_happens_once() -> None:
    layer = Layer(("a", "b"), timedelta(days=1), datetime.fromisoformat("2026-10-24T02:30"))
    schedule = Schedule("d", "Europe/Paris", (layer,))
    begin, end = datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 25, 12, tzinfo=UTC)
    changes = [at for at, _ in find_duties(schedule, begin, end)]
    assert changes == [begin, datetime(2026, 10, 25, 0, 30, tzinfo=UTC)]


def test_a_hand_over_in_the_hour_that_is_skipped_happens_after_it() -> None:
    layer = Layer(("a", "b"), timedelta(days=1), datetime.fromisoformat("2026-03-28T02:30"))
    assert turn_begins_at(layer, 1, "Europe/Paris") == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


@given(
    people=st.integers(1, 4),
    turn_h=st.sampled_from([8, 12, 24, 72, 168, 336]),
    hour=st.integers(0, 23),
    minute=st.sampled_from([0, 30]),
    zone=st.sampled_from(["Europe/Paris", "America/New_York", "Australia/Lord_Howe", "UTC"]),
    begin=st.floats(0, 1_000).map(lambda days: _FIRST + timedelta(days=days)),
)
def test_turns_follow_each_other_without_gap_or_return(
    people: int, turn_h: int, hour: int, minute: int, zone: str, begin: datetime
) -> None:
    names = tuple(f"p{number}" for number in range(people))
    layer = Layer(
        names, timedelta(hours=turn_h), datetime.fromisoformat(f"2026-01-05T{hour:02}:{minute:02}")
    )
    schedule = Schedule("d", zone, (layer,))
    end = begin + timedelta(days=21)
    assert find_gaps(schedule, begin, end) == []
    duties = list(find_duties(schedule, begin, end))
    order = [duty.contact_id for _, duty in duties if duty]
    for before, after in pairwise(order):
        assert names.index(after) == (names.index(before) + 1) % people
    for at, duty in duties:
        assert duty is not None
        assert find_duty(schedule, at) == duty
        before_it = find_duty(schedule, at - timedelta(microseconds=1))
        assert at == begin or (before_it and before_it.contact_id != duty.contact_id)


def test_the_first_layer_that_is_manned_decides_and_what_is_left_is_a_gap() -> None:
    schedule = Schedule(
        "d",
        "Europe/Paris",
        (
            Layer(("day",), hours=tuple(parse_shifts("mon-fri 08:00-18:00"))),
            Layer(("night",), hours=tuple(parse_shifts("mon-thu 18:00-08:00"))),
        ),
    )
    assert who(schedule, "2026-05-06 10:00") == "day"
    assert who(schedule, "2026-05-06 23:00") == "night"
    gaps = find_gaps(schedule, paris("2026-05-04 00:00"), paris("2026-05-11 12:00"))
    assert gaps == [
        Gap(paris("2026-05-04 00:00"), paris("2026-05-04 08:00")),
        Gap(paris("2026-05-08 18:00"), paris("2026-05-11 08:00")),
    ]


def test_holidays_have_their_own_people() -> None:
    layers = (
        Layer(("holiday",), on_holidays=ONLY),
        Layer(("usual",), on_holidays=NEVER),
    )
    schedule = Schedule("d", "Europe/Paris", layers, "FR")
    assert who(schedule, "2026-07-13 23:59") == "usual"
    assert who(schedule, "2026-07-14 00:00") == "holiday"
    assert who(schedule, "2026-07-15 00:00") == "usual"
    assert find_gaps(schedule, paris("2026-01-01 00:00"), paris("2027-01-01 00:00")) == []


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("d: {layers: [{people: [a]}]}", 1, 4, "'timezone' is missing"),
        ("d: {timezone: Paris, layers: [{people: [a]}]}", 1, 15, "'Paris' is no time zone"),
        ("d: {timezone: UTC}", 1, 4, "'layers' is missing"),
        ("d: {timezone: UTC, layers: []}", 1, 28, "at least one layer"),
        ("d: {timezone: UTC, layers: [{people: []}]}", 1, 38, "at least one contact"),
        ("d: {timezone: UTC, layers: [{turn: 1w}]}", 1, 29, "'people' is missing"),
        ("d: {timezone: UTC, layers: [{people: a, turn: 7h}]}", 1, 47, "comes out even"),
        ("d: {timezone: UTC, layers: [{people: a, turn: 36h}]}", 1, 47, "comes out even"),
        ("d: {timezone: UTC, layers: [{people: a, hand_over: noon}]}", 1, 52, "mon 09:00 or 09:00"),
        (
            "d: {timezone: UTC, layers: [{people: a, turn: 1d, hand_over: mon 09:00}]}",
            1,
            62,
            "a weekday needs turns of whole weeks",
        ),
        ("d: {timezone: UTC, layers: [{people: a, since: may}]}", 1, 48, "as in 2026-01-05"),
        ("d: {timezone: UTC, layers: [{people: a, hours: all}]}", 1, 48, "is no shift"),
        ("d: {timezone: UTC, layers: [{people: a, holidays: off}]}", 1, 51, "say whose"),
        ("d: {timezone: UTC, holidays: FX, layers: [{people: a}]}", 1, 30, "such as FR or DE-BY"),
        ("d: {timezone: UTC, layer: [{people: a}]}", 1, 20, "did you mean 'layers'?"),
        ("d 1: {timezone: UTC, layers: [{people: a}]}", 1, 6, "a name is made of letters"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, line: int, column: int, words: str) -> None:
    problems: list[Problem] = []
    document = read_yaml(text, problems, "rules.yaml")
    assert document is not None
    read_schedules([document])
    found = [one.message for one in problems if (one.line, one.column) == (line, column)]
    assert any(words in message for message in found), problems


@pytest.fixture
def staffed(store: Store) -> Store:
    with store.write() as session:
        for name in ("ines", "tom", "zoe"):
            session.add(Contact(id=name, name=name.title(), phone="+33639980001"))
    return store


def _override(contact: str, clock: MovedClock, hours: float, begins: float = 0) -> OnCallOverride:
    start = clock.now() + timedelta(hours=begins)
    return OnCallOverride(
        schedule="desk",
        contact_id=contact,
        starts_at=start,
        ends_at=start + timedelta(hours=hours),
        given_by="Claire",
        reason="tom is ill",
        created_at=clock.now(),
    )


def test_who_stands_in_is_on_call_until_the_override_ends(
    staffed: Store, clock: MovedClock
) -> None:
    def on_call() -> tuple[str, str]:
        with staffed.read() as session:
            person, reason = who_is_on_call(session, WEEKLY, clock.now())
        return (person.name if person else "", reason)

    assert on_call() == ("Tom", "layer 1, until 2026-05-11 09:00")
    with staffed.write() as session:
        give_override(session, _override("ines", clock, 4))
    assert on_call() == ("Ines", "stands in, as Claire said: tom is ill")
    clock.advance(hours=1)
    with staffed.write() as session:
        latest = give_override(session, _override("zoe", clock, 1))
        number = latest.id or 0
    assert on_call()[0] == "Zoe"
    with staffed.write() as session:
        end_override(session, number, clock.now(), "Claire")
    assert on_call()[0] == "Ines"
    clock.advance(hours=3)
    assert on_call()[0] == "Tom"
    with staffed.read() as session:
        assert find_overrides(session, clock.now()) == []


def test_nobody_stands_in_who_is_not_known_or_backwards(staffed: Store, clock: MovedClock) -> None:
    with pytest.raises(ConfigurationError, match="no contact 'bob'"), staffed.write() as session:
        give_override(session, _override("bob", clock, 1))
    with pytest.raises(ConfigurationError, match="before it begins"), staffed.write() as session:
        give_override(session, _override("tom", clock, -1))
    with pytest.raises(ConfigurationError, match="no override 7"), staffed.write() as session:
        end_override(session, 7, clock.now(), "Claire")


def test_a_schedule_of_people_who_are_gone_says_so(staffed: Store, clock: MovedClock) -> None:
    schedule = Schedule("desk", "UTC", (Layer(("bob",)),))
    with staffed.read() as session:
        assert who_is_on_call(session, schedule, clock.now()) == (
            None,
            "bob is on call for desk and not in the CRM",
        )


def test_who_is_not_there_any_more_is_not_on_call(staffed: Store, clock: MovedClock) -> None:
    with staffed.write() as session:
        session.get_one(Contact, "tom").is_active = False
        person, reason = who_is_on_call(session, WEEKLY, clock.now())
        assert (person, reason) == (None, "Tom is on call for desk and is not there any more")
        (described,) = describe_schedules(
            session, [WEEKLY], clock.now(), clock.now() + timedelta(hours=1)
        )
        assert "not there any more" in described["duties"][0]["reason"]
    with pytest.raises(ConfigurationError, match="Tom is not active"), staffed.write() as session:
        give_override(session, _override("tom", clock, 1))


def test_an_override_that_was_ended_before_it_began_is_none(
    staffed: Store, clock: MovedClock
) -> None:
    with staffed.write() as session:
        number = give_override(session, _override("ines", clock, 4, begins=2)).id or 0
        end_override(session, number, clock.now(), "Claire")
        assert find_overrides(session, clock.now()) == []
        with pytest.raises(ConfigurationError, match="no override"):
            end_override(session, number, clock.now(), "Claire")
