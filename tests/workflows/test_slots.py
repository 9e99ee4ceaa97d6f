"""Slots that a technician really has: shifts, leave, holidays, other visits, and days of clock changes."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from prevenant.crm.duty import duty_spans, judge_duty
from prevenant.crm.shifts import parse_shifts
from workflows.slots import AHEAD, NOTICE, Agenda, Visit, free_slots, judge_slot, way_between

PARIS = "Europe/Paris"
MONDAY = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
"""10 o'clock in Paris."""
TWO_HOURS = timedelta(hours=2)
QUARTER = timedelta(minutes=15)
JULES = Agenda("Jules", PARIS, parse_shifts("mon-fri 08:00-12:00; mon-fri 13:00-18:00"))


def local(slot: tuple[datetime, datetime], zone: str = PARIS) -> str:
    start, end = (one.astimezone(ZoneInfo(zone)) for one in slot)
    return f"{start:%a %d %H:%M}-{end:%H:%M}"


def days(agenda: Agenda, day: str, now: datetime = MONDAY) -> list[str]:
    slots = free_slots(agenda, TWO_HOURS, PARIS, now)
    return [local(one)[7:] for one in slots if local(one).startswith(day)]


def test_slots_lie_within_shifts_and_begin_after_notice() -> None:
    assert days(JULES, "Mon 04") == ["13:00-15:00", "15:00-17:00"]
    assert days(JULES, "Tue 05") == ["08:00-10:00", "10:00-12:00", "13:00-15:00", "15:00-17:00"]
    assert days(JULES, "Sat 09") == []


def test_holidays_and_leave_are_free() -> None:
    assert days(replace(JULES, holidays="FR"), "Fri 08") == []
    away = (MONDAY + timedelta(days=1), MONDAY + timedelta(days=1, hours=5), "ill")
    assert days(replace(JULES, leave=[away]), "Tue 05") == ["08:00-10:00", "15:00-17:00"]


def test_another_visit_takes_its_time_and_the_way() -> None:
    tuesday = datetime(2026, 5, 5, 11, 0, tzinfo=UTC)
    visit = Visit(tuesday, tuesday + TWO_HOURS / 2, way_between(22 * 60.0))
    assert visit.way == timedelta(minutes=30)
    busy = replace(JULES, visits=[visit], capacity=2)
    assert days(busy, "Tue 05") == ["08:00-10:00", "10:00-12:00", "14:30-16:30"]
    slot = (tuesday, tuesday + TWO_HOURS)
    assert judge_slot(busy, slot, PARIS, MONDAY) == "Jules has another visit then"
    full = replace(busy, capacity=1)
    assert days(full, "Tue 05") == []
    assert days(full, "Wed 06") == days(JULES, "Wed 06")
    morning = (tuesday - timedelta(hours=5), tuesday - timedelta(hours=3))
    assert judge_slot(full, morning, PARIS, MONDAY) == "Jules has enough visits that day"


def test_why_not_is_said() -> None:
    def why(start: datetime) -> str:
        return judge_slot(JULES, (start, start + TWO_HOURS), PARIS, MONDAY)

    assert why(MONDAY + timedelta(minutes=59)) == "it begins too soon"
    assert why(MONDAY + timedelta(days=20)) == "it is too far ahead"
    assert why(datetime(2026, 5, 5, 20, 0, tzinfo=UTC)) == "nobody is visited at that hour"
    assert why(datetime(2026, 5, 5, 9, 30, tzinfo=UTC)) == "Jules is off duty"


def test_nobody_is_visited_at_night_though_somebody_works_then() -> None:
    night = replace(JULES, shifts=parse_shifts("always"))
    hours = {local(one)[7:12] for one in free_slots(night, TWO_HOURS, PARIS, MONDAY)}
    assert min(hours) >= "07:00"
    assert max(hours) <= "19:00"
    # Who works in Paris and visits in Lisbon goes by the clock of Lisbon.
    there = free_slots(night, TWO_HOURS, "Europe/Lisbon", MONDAY)
    assert {local(one, "Europe/Lisbon")[7:12] for one in there} >= {"07:00", "19:00"}


def test_a_shift_in_the_night_of_a_clock_change_is_as_long_as_it_is() -> None:
    night = parse_shifts("sat 22:00-06:00")
    for day, hours in (("2026-03-28", 7), ("2026-10-24", 9), ("2026-05-09", 8)):
        since = datetime.fromisoformat(f"{day}T12:00+00:00")
        ((start, end),) = duty_spans(night, "", since, since + timedelta(days=1), PARIS)
        assert end - start == timedelta(hours=hours)
    # 02:00 to 03:00 comes twice on 25 October: a shift that ends there ends at the first.
    since = datetime(2026, 10, 24, 12, 0, tzinfo=UTC)
    ((_, end),) = duty_spans(parse_shifts("sat 22:00-02:30"), "", since, since + AHEAD / 14, PARIS)
    assert end == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    # 02:30 does not come on 29 March: a shift that is to begin there begins an hour later by UTC.
    since = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)
    ((start, _),) = duty_spans(
        parse_shifts("sun 02:30-09:00"), "", since, since + AHEAD / 14, PARIS
    )
    assert start == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


SHIFTS = st.sampled_from(
    [
        "mon-fri 08:00-12:00; mon-fri 13:00-18:00",
        "always",
        "fri-mon 21:50-06:10",
        "sat-sun 00:00-24:00; sun 01:40-02:50",
        "sun 02:10-09:00; sat 19:00-02:20",
        "mon-sun 06:00-14:00; mon-sun 14:00-22:00",
    ]
)
ZONES = st.sampled_from([PARIS, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"])
NOWS = st.builds(
    lambda day, minutes: datetime.fromisoformat(f"{day}T00:00+00:00") + timedelta(minutes=minutes),
    st.sampled_from(["2026-03-07", "2026-03-28", "2026-04-04", "2026-10-24", "2026-12-24"]),
    st.integers(0, 5_000),
)


@st.composite
def agendas(draw: st.DrawFn, now: datetime) -> Agenda:
    def spans(longest: int, most: int) -> list[tuple[datetime, datetime]]:
        pairs = st.tuples(st.integers(0, 20_000), st.integers(1, longest))
        starts = [
            (now + timedelta(minutes=begins), minutes)
            for begins, minutes in draw(st.lists(pairs, max_size=most))
        ]
        return [(start, start + timedelta(minutes=minutes)) for start, minutes in starts]

    return Agenda(
        "Jo",
        draw(ZONES),
        parse_shifts(draw(SHIFTS)),
        draw(st.sampled_from(["", "FR", "US"])),
        [(*one, "leave") for one in spans(3_000, 3)],
        draw(st.integers(1, 3)),
        [Visit(*one, QUARTER) for one in spans(300, 6)],
    )


@given(st.data(), NOWS, ZONES, st.sampled_from([30, 60, 120, 240]))
def test_in_every_slot_a_technician_can_come(
    data: st.DataObject, now: datetime, site_zone: str, lasts: int
) -> None:
    agenda = data.draw(agendas(now))
    length = timedelta(minutes=lasts)
    slots = free_slots(agenda, length, site_zone, now)
    for (_, end), (start, _) in itertools.pairwise(slots):
        assert end <= start
    for start, end in slots:
        assert end - start == length
        assert now + NOTICE <= start
        assert end <= now + AHEAD
        assert 7 <= start.astimezone(ZoneInfo(site_zone)).hour < 21
        for minute in [*range(0, lasts, 10), lasts - 1]:
            at = start + timedelta(minutes=minute)
            assert not judge_duty(agenda.shifts, agenda.holidays, at, agenda.timezone)
            assert not any(begins <= at < ends for begins, ends, _ in agenda.leave)
        assert all(end + QUARTER <= v.start or v.end + QUARTER <= start for v in agenda.visits)
        zone = ZoneInfo(agenda.timezone)
        days_taken = [v.start.astimezone(zone).date() for v in agenda.visits]
        assert days_taken.count(start.astimezone(zone).date()) < agenda.capacity
