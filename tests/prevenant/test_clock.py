from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prevenant import clock as clocks
from prevenant.clock import ScaledClock, SystemClock, from_epoch
from prevenant.durations import format_duration, parse_duration
from prevenant.errors import ConfigurationError
from prevenant.moments import read_moment, read_time

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


class Machine:
    """The machine's two clocks, as a test sets them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steady, self.wall = 1_000.0, NOON.timestamp()
        monkeypatch.setattr(clocks, "_boot_seconds", lambda: self.steady)
        monkeypatch.setattr("prevenant.clock.time.time", lambda: self.wall)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.steady += seconds
        self.wall += seconds


@pytest.mark.parametrize("step", [3600, -3600, 40])
def test_a_step_of_the_wall_clock_moves_no_deadline(
    monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    machine = Machine(monkeypatch)
    clock = SystemClock()
    machine.run(10)
    machine.wall += step
    machine.run(50)
    assert abs(clock.now() - (NOON + timedelta(seconds=60))) <= timedelta(seconds=0.1)


@pytest.mark.parametrize("put_back", [3600, -3600])
def test_a_process_goes_on_where_the_one_before_it_left_off(
    monkeypatch: pytest.MonkeyPatch, put_back: float
) -> None:
    machine = Machine(monkeypatch)
    left_off = machine.wall
    machine.wall -= put_back
    clock = SystemClock(not_before=left_off)
    machine.run(50)
    expected = max(left_off, left_off - put_back) + 50
    assert clock.now().timestamp() == pytest.approx(expected, abs=0.1)


def test_it_follows_a_wall_clock_that_differs_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    clock = SystemClock()
    machine.wall += 2
    previous = clock.now()
    for _ in range(3_000):
        machine.run(1)
        assert clock.now() - previous <= timedelta(seconds=1.0011)
        previous = clock.now()
    assert previous.timestamp() == pytest.approx(machine.wall, abs=0.01)


def test_a_clock_that_was_not_set_is_set_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    machine.wall = 0.0
    clock = SystemClock()
    machine.wall = NOON.timestamp()
    machine.run(1)
    assert clock.now() == NOON + timedelta(seconds=1)


def test_a_scaled_clock_runs_and_waits_faster() -> None:
    began = datetime.now(UTC)
    clock = ScaledClock(NOON, began, 60)
    rest_s = clock.seconds_until(NOON + timedelta(hours=1))
    # However long it took us to ask.
    took_s = (datetime.now(UTC) - began).total_seconds()
    assert 60 - took_s - 0.1 <= rest_s <= 60.1
    assert ScaledClock.parse(str(clock)).origin == NOON


@given(st.floats(0, 4e9))
def test_instants_survive_to_the_microsecond(seconds: float) -> None:
    assert from_epoch(seconds).timestamp() == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("0.5d", 43_200),
        ("250ms", 0.25),
        ("2w", 1_209_600),
    ],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "5 minutes", "-5m", "5m30"])
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="write a length of time such as 90s"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["36501d", "1000000w", "9" * 400 + "m"])
def test_no_duration_is_longer_than_the_calendar(text: str) -> None:
    with pytest.raises(ValueError, match="is longer than a hundred years: write a shorter time"):
        parse_duration(text)


@given(st.integers(1, 10**7))
def test_durations_are_written_so_that_they_can_be_read(seconds: int) -> None:
    written = format_duration(seconds)
    assert parse_duration(written) <= seconds
    assert seconds - parse_duration(written) < (3600 if seconds >= 86_400 else 60)


@pytest.mark.parametrize(
    "text", ["soon", "2026-13-01", "0001-01-01T00:00+14:00", "9999-12-31T23:00-14:00"]
)
def test_what_is_no_time_is_refused_also_beyond_the_calendar(text: str) -> None:
    now = datetime(2026, 5, 4, tzinfo=UTC)
    with pytest.raises(ConfigurationError, match="is no time: write one such as 2026"):
        read_time(text)
    with pytest.raises(ConfigurationError, match="or how long ago: 24h"):
        read_moment(text, now)
    assert read_moment("2026-05-04T02:00+02:00", now) == now.timestamp()
    assert read_time("2026-05-04T02:00+02:00") == now
    assert read_moment("1h", now) == now.timestamp() - 3600
