"""Crowds of technicians who differ in everything that dispatch looks at."""

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from prevenant.crm.directory import Person, TechnicianView
from prevenant.crm.shifts import parse_shifts
from workflows.dispatch import Known, Need

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)  # a Monday
VICTORY_DAY = datetime(2026, 5, 8, 10, 0, tzinfo=UTC)  # a Friday, and a holiday in France
HERE = (47.32, 5.04)

_NEAR = st.tuples(st.floats(47.0, 47.6), st.floats(4.6, 5.5))
_ANYWHERE = st.tuples(st.floats(-89, 89), st.floats(-180, 180))
_POSITIONS = st.one_of(st.just(HERE), _NEAR, _NEAR, _ANYWHERE)
_SHIFTS = st.sampled_from(
    ["mon-fri 08:00-18:00", "always", "sat-sun 08:00-18:00", "mon-sun 22:00-06:00"]
)
_SPANS = st.tuples(st.integers(-50, 30), st.integers(0, 60)).map(
    lambda span: (
        NOON + timedelta(hours=span[0]),
        NOON + timedelta(hours=span[0] + span[1]),
        "ill" if span[1] % 2 else "",
    )
)


@st.composite
def technicians(draw: st.DrawFn, number: int) -> TechnicianView:
    """Return one technician."""
    key = f"t{number:03}"
    addresses = draw(st.sampled_from([{"sms": "+33639980001"}, {"email": "t@example.org"}, {}]))
    base = draw(_POSITIONS)
    age = draw(st.one_of(st.none(), st.integers(0, 300), st.just(60)))
    seen = None if age is None else NOON - timedelta(minutes=age)
    return TechnicianView(
        id=key,
        person=Person(key, key.title(), "en", "UTC", "sms", addresses),
        position=base if seen is None else draw(_POSITIONS),
        timezone=draw(st.sampled_from(["UTC", "Europe/Paris", "America/New_York"])),
        capacity=draw(st.integers(1, 3)),
        skills=draw(
            st.dictionaries(st.sampled_from(["hvac", "gas"]), st.integers(1, 4), max_size=2)
        ),
        shifts=parse_shifts(draw(_SHIFTS)),
        position_at=seen,
        base=base,
        holidays=draw(st.sampled_from(["", "FR", "DE-BY"])),
        areas=draw(st.sampled_from([frozenset(), frozenset({"east"}), frozenset({"west"})])),
        parts=draw(st.dictionaries(st.sampled_from(["relay", "fan"]), st.integers(0, 2))),
        leave=tuple(draw(st.lists(_SPANS, max_size=2))),
        excluded_by=draw(st.sampled_from([{}, {}, {"acme": "a quarrel"}])),
    )


@st.composite
def crowds(draw: st.DrawFn, most: int = 40) -> list[TechnicianView]:
    """Return a crowd, by id."""
    count = draw(st.integers(0, most))
    return [draw(technicians(number)) for number in range(count)]


@st.composite
def needs(draw: st.DrawFn) -> Need:
    """Return what a job asks for."""
    known = draw(st.dictionaries(_IDS, st.sampled_from([Known(8, "device"), Known(2, "customer")])))
    return Need(
        draw(st.sampled_from(["hvac", "gas", "magic"])),
        draw(st.integers(1, 3)),
        draw(st.sampled_from([0.0, 10.0, 60.0, 500.0, 30_000.0])),
        draw(st.one_of(st.just(HERE), st.just(HERE), _ANYWHERE, st.none())),
        on_foot=draw(st.booleans()),
        urgent=draw(st.booleans()),
        customer_id=draw(st.sampled_from(["", "acme"])),
        area_id=draw(st.sampled_from(["", "", "east"])),
        parts=draw(st.sampled_from([(), (), ("relay",), ("relay", "fan")])),
        fresh_s=draw(st.sampled_from([None, None, 3_600.0, 600.0])),
        max_jobs=draw(st.sampled_from([None, None, 1])),
        known=known,
    )


_IDS = st.integers(0, 45).map(lambda number: f"t{number:03}")
loads = st.dictionaries(_IDS, st.integers(1, 3))
refusals = st.dictionaries(_IDS, st.sampled_from(["declined", "did not answer"]), max_size=5)
