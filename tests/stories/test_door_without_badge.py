"""Use case 1: a door is opened without authorisation; a badge up to five seconds away is one."""

from tests.world import World

NADIA = "+33639980001"


def test_without_a_badge_security_is_told_five_seconds_later(world: World) -> None:
    world.publish("airport/t2/doors/D07", open=False, battery=88.0)
    world.clock.advance(seconds=30)
    world.publish("airport/t2/doors/D07", open=True, battery=88.0)
    world.clock.advance(seconds=5)
    world.phone(NADIA).expects_sms("sans badge", "Door 7", "https://camera.valmont.example/t2/D07")
    world.phone(NADIA).expects_call("sans badge")
    world.expect_case("door-without-badge", severity=4)


def test_a_badge_that_comes_three_seconds_later_is_good(world: World) -> None:
    world.publish("airport/t2/doors/D07", open=True, battery=88.0)
    world.clock.advance(seconds=3)
    world.badge("t2", "D07")
    world.clock.advance(seconds=20)
    world.publish("airport/t2/thermometers/T1", temperature=22.0)
    assert world.carrier.sent == []


def test_a_badge_at_another_door_or_site_is_none(world: World) -> None:
    world.badge("t2", "D14")
    world.badge("t1", "D07")
    world.publish("airport/t2/doors/D07", open=True, battery=88.0)
    world.clock.advance(seconds=5)
    world.phone(NADIA).expects_sms("sans badge")
