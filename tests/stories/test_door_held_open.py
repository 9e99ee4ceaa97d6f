"""Use case 1: a door is held open, security is told with the camera's link."""

from tests.world import World

NADIA, TOM, SUPERVISOR = "+33639980001", "+33639980002", "+33639980004"


def test_security_is_told_and_told_again_when_it_is_over(world: World) -> None:
    world.badge("t2", "D14")
    world.publish("airport/t2/doors/D14", open=True, battery=88.0)
    world.clock.advance(seconds=59)
    world.publish("airport/t2/thermometers/T1", temperature=22.0)
    world.phone(NADIA).has_no_sms("porte")

    world.clock.advance(seconds=1)

    world.phone(NADIA).expects_sms(
        "Une porte est ouverte depuis une minute", "https://camera.valmont.example/t2/D14"
    ).expects_call("Une porte est ouverte")
    world.phone(TOM).expects_sms("A door has been open for a minute", "Door 14").replies("1")
    world.expect_story("acknowledged", "Tom Harper")
    world.expect_case("door-held-open", owner="Tom Harper", state="open")

    world.publish("airport/t2/doors/D14", open=False, battery=88.0)

    world.phone(NADIA).expects_sms("Terminé")
    world.phone(TOM).expects_sms("Over")
    world.expect_case("door-held-open", state="closed", outcome="resolved")


def test_a_door_that_shuts_in_time_tells_nobody(world: World) -> None:
    world.badge("t2", "D14")
    world.publish("airport/t2/doors/D14", open=True, battery=88.0)
    world.clock.advance(seconds=50)
    world.publish("airport/t2/doors/D14", open=False, battery=88.0)
    world.clock.advance(minutes=5)
    world.publish("airport/t2/thermometers/T1", temperature=22.0)
    assert world.carrier.sent == []


def test_a_key_pressed_in_the_call_takes_the_case(world: World) -> None:
    world.carrier.key_for = lambda _text, number: "1" if number == NADIA else None
    world.badge("t2", "D14")
    world.publish("airport/t2/doors/D14", open=True, battery=88.0)
    world.clock.advance(seconds=60)
    world.phone(NADIA).expects_call("Une porte est ouverte", "Merci.")
    world.expect_case("door-held-open", owner="Nadia Belkacem")


def test_nobody_takes_it_so_the_supervisor_is_told(world: World) -> None:
    world.badge("t2", "D14")
    world.publish("airport/t2/doors/D14", open=True, battery=88.0)
    world.clock.advance(seconds=60)
    world.phone(TOM).expects_sms("A door has been open")
    world.expect_story("wait", "acknowledged")
    world.clock.advance(minutes=3)
    world.phone(SUPERVISOR).expects_sms("personne ne s'en est chargé").replies("oui")
    world.expect_case("door-held-open", owner="Marc Oliveira")
