"""Quiet hours go by the clock on the contact's wall, over midnight and through changes of that clock."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notify.quiet_hours import QuietHours, possible_zones, read_quiet_hours

ZONES = (
    "Europe/Paris",
    "America/New_York",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Africa/Casablanca",
    "UTC",
)
NIGHT = read_quiet_hours("22:00-07:00", ["Europe/Paris"])


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours", "zone", "now", "until"),
    [
        ("22:00-07:00", "Europe/Paris", "2026-05-04 19:59", None),
        ("22:00-07:00", "Europe/Paris", "2026-05-04 20:00", "2026-05-05 05:00"),
        ("22:00-07:00", "Europe/Paris", "2026-05-05 04:59", "2026-05-05 05:00"),
        ("22:00-07:00", "Europe/Paris", "2026-05-05 05:00", None),
        ("12:00-14:00", "America/New_York", "2026-05-04 17:00", "2026-05-04 18:00"),
        # The night in which the clock goes forward is an hour shorter, the other an hour longer.
        ("22:00-07:00", "Europe/Paris", "2026-03-28 21:30", "2026-03-29 05:00"),
        ("22:00-07:00", "Europe/Paris", "2026-10-24 20:30", "2026-10-25 06:00"),
        # An end that the clock skips comes as much later, one that it shows twice the first time.
        ("22:00-02:30", "Europe/Paris", "2026-03-28 22:00", "2026-03-29 01:30"),
        ("22:00-02:30", "Europe/Paris", "2026-10-24 22:00", "2026-10-25 00:30"),
        # The quiet half-hour that the clock shows again is quiet again.
        ("22:00-02:30", "Europe/Paris", "2026-10-25 01:10", "2026-10-25 01:30"),
    ],
)
def test_until_when_it_is_quiet(hours: str, zone: str, now: str, until: str | None) -> None:
    quiet = read_quiet_hours(hours, [zone])
    assert quiet is not None
    assert quiet.until(utc(now)) == (utc(until) if until else None)


@given(
    st.times(),
    st.times(),
    st.lists(st.sampled_from(ZONES), min_size=1, max_size=4, unique=True),
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001  Hypothesis' way
)
def test_it_is_quiet_until_the_end_and_not_at_the_end(
    start: time, end: time, zones: list[str], now: datetime
) -> None:
    start, end = start.replace(second=0, microsecond=0), end.replace(second=0, microsecond=0)
    if start == end:
        return
    at = now.replace(tzinfo=UTC)
    until = QuietHours(start, end, tuple(zones)).until(at)
    quiet_in = [zone for zone in zones if shows_quiet(start, end, at, zone)]
    if until is None:
        assert not quiet_in or zones[0] not in quiet_in
        return
    assert quiet_in
    assert at < until <= at + timedelta(hours=25)
    assert not shows_quiet(start, end, until, zones[0])
    if len(zones) == 1:
        # It is quiet all the time until then, but for an end that the clock skips.
        for part in (0.1, 0.25, 0.5, 0.9, 0.999):
            between = at + (until - at) * part
            is_quiet = shows_quiet(start, end, between, zones[0])
            assert is_quiet or until - between <= timedelta(hours=1)


def shows_quiet(start: time, end: time, at: datetime, zone: str) -> bool:
    """Return whether the clock on a wall in a zone shows quiet hours."""
    shown = at.astimezone(ZoneInfo(zone)).time()
    return start <= shown < end if start < end else shown >= start or shown < end


def test_where_a_zone_is_not_known_all_that_come_into_question_count() -> None:
    assert possible_zones("Europe/Paris", "Asia/Tokyo", ["+12125550123"]) == ("Europe/Paris",)
    assert possible_zones("UTC", "Asia/Tokyo", ["+12125550123"]) == (
        "Asia/Tokyo",
        "America/New_York",
    )
    assert possible_zones("Mars/Olympus", "", ["camille@home.example"]) == ("UTC",)
    assert possible_zones("UTC", "UTC", ["+33", "+33142681234"]) == ("Europe/Paris",)


def test_it_is_quiet_as_soon_as_it_is_in_one_of_the_zones() -> None:
    quiet = read_quiet_hours("22:00-07:00", ["Europe/Paris", "America/New_York"])
    assert quiet is not None
    # 22:00 in Paris is 16:00 in New York; 07:00 in New York is 13:00 in Paris.
    assert quiet.until(utc("2026-05-04 20:00")) == utc("2026-05-05 11:00")
    assert quiet.until(utc("2026-05-04 19:00")) is None


@pytest.mark.parametrize("text", ["", "22:00", "25:00-07:00", "07:00-07:00"])
def test_what_is_no_quiet_hours_keeps_nobody_from_being_told(text: str) -> None:
    assert read_quiet_hours(text) is None
    assert NIGHT is not None
