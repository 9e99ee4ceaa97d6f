"""When did it happen: late, skewed, repeated and stored readings, and whom they reach."""

from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import Session, col, select

from prevenant.tables import Alarm, TimelineEntry
from tests.world import World

DOOR, DOOR_ID = "airport/t2/doors/D14", "t2/D14"
THERMOMETER = "airport/t2/thermometers/T1"
NADIA = "+33639980001"


def say(world: World, *, open_: bool, ago_s: float = 0.0) -> None:
    """Let the door say what it saw so many seconds ago (negative: its clock is ahead)."""
    observed_at = (world.clock.now() - timedelta(seconds=ago_s)).isoformat()
    world.publish(DOOR, open=open_, battery=88.0, observed_at=observed_at)


def let_pass(world: World, seconds: float) -> None:
    """Move the clock on, and have the engine decide on it before anything else is judged."""
    world.clock.advance(seconds=seconds)
    world.publish(THERMOMETER, temperature=22.0)


def alarms(world: World) -> list[Alarm]:
    """Return the alarms of the door that is held open."""
    with world.engine.store.read() as session:
        query = select(Alarm).where(Alarm.rule == "door-held-open").order_by(col(Alarm.id))
        return list(session.exec(query))


@pytest.fixture(autouse=True)
def _badged(world: World) -> None:
    world.badge("t2", "D14")


def test_one_late_reading_does_not_satisfy_the_hold(world: World) -> None:
    say(world, open_=True, ago_s=600)
    let_pass(world, 59)
    assert alarms(world) == []
    let_pass(world, 1)
    world.phone(NADIA).expects_sms("Une porte est ouverte")
    held_since = world.clock.now() - timedelta(seconds=660)
    assert alarms(world)[0].onset_at == held_since


def test_what_began_and_ended_inside_a_stored_burst_is_recorded_and_nobody_is_paged(
    world: World,
) -> None:
    for ago_s, open_ in ((3600, True), (3500, True), (3400, True), (3300, False)):
        say(world, open_=open_, ago_s=ago_s)
    world.expect_story("alarm.passed", "door-held-open", DOOR_ID)
    let_pass(world, 300)
    (alarm,) = alarms(world)
    assert alarm.state == "cleared"
    assert alarm.onset_at == world.clock.now() - timedelta(seconds=3900)
    assert world.carrier.sent == []


def test_what_a_stored_burst_leaves_open_is_told(world: World) -> None:
    for ago_s in (300, 200, 100):
        say(world, open_=True, ago_s=ago_s)
    assert alarms(world) == []
    let_pass(world, 5)
    world.phone(NADIA).expects_sms("Une porte est ouverte")


def test_a_burst_that_arrives_in_the_wrong_order_is_decided_by_the_newest(world: World) -> None:
    say(world, open_=False, ago_s=10)
    say(world, open_=True, ago_s=90)
    let_pass(world, 120)
    assert alarms(world) == []


def test_the_same_reading_again_raises_nothing_twice_and_delays_nothing(world: World) -> None:
    say(world, open_=True)
    observed_at = world.clock.now().isoformat()
    let_pass(world, 50)
    world.publish(DOOR, open=True, battery=88.0, observed_at=observed_at)
    let_pass(world, 10)
    world.phone(NADIA).expects_sms("Une porte est ouverte")
    world.publish(DOOR, open=True, battery=88.0, observed_at=observed_at)
    let_pass(world, 60)
    assert len(alarms(world)) == 1


@pytest.mark.parametrize(
    ("ahead_s", "hold_s"),
    [(30, 60), (3600, 60), (-30, 60), (-100_000, 60)],
    ids=["ahead within max_skew", "an hour ahead", "behind", "days behind, beyond max_late"],
)
def test_a_clock_that_is_wrong_neither_hastens_nor_delays(
    world: World, ahead_s: float, hold_s: float
) -> None:
    for _ in range(6):
        say(world, open_=True, ago_s=-ahead_s)
        let_pass(world, hold_s / 6 - 1)
    assert alarms(world) == []
    let_pass(world, 6)
    world.phone(NADIA).expects_sms("Une porte est ouverte")


def test_a_clock_that_stands_still_delays_nothing(world: World) -> None:
    stuck = world.clock.now().isoformat()
    for _ in range(6):
        world.publish(DOOR, open=True, battery=88.0, observed_at=stuck)
        let_pass(world, 10)
    world.phone(NADIA).expects_sms("Une porte est ouverte")


def test_a_clock_that_is_put_back_by_an_hour_blinds_us_for_a_minute_at_most(world: World) -> None:
    say(world, open_=False)
    for _ in range(14):
        let_pass(world, 10)
        say(world, open_=True, ago_s=3600)
    world.phone(NADIA).expects_sms("Une porte est ouverte")


@pytest.mark.parametrize("stamp", ["soon", {"at": 1}, None, "2026-13-45", -5, True])
def test_a_timestamp_that_cannot_be_read_counts_from_arrival(world: World, stamp: Any) -> None:
    world.publish(DOOR, open=True, battery=88.0, observed_at=stamp)
    let_pass(world, 60)
    world.phone(NADIA).expects_sms("Une porte est ouverte")


def test_a_device_that_changes_all_the_time_is_named_and_delays_nobody(world: World) -> None:
    at = world.clock.now().isoformat()
    for number in range(230):
        world.publish(DOOR, open=number % 2 == 0, battery=88.0, observed_at=at)
    world.publish("airport/t2/defibrillators/A2", in_cabinet=False, battery=90.0)
    world.phone(NADIA).expects_sms("URGENCE")
    let_pass(world, 10)
    found = world.expect(_flood, "line about the flood")
    assert found.summary.startswith(f"{DOOR_ID} changes too often: ")


def _flood(session: Session) -> TimelineEntry | None:
    return session.exec(select(TimelineEntry).where(TimelineEntry.kind == "device.flood")).first()
