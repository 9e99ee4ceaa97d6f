"""Use case 3: a defibrillator is taken; the nearest responders are called at once, and one is sent."""

from tests.world import World

SECURITY, DUTY_MANAGER = "+33639980001", "+33639980007"
LUCAS, AMINA, PETER, CHLOE = "+33639980028", "+33639980029", "+33639980030", "+33639980031"


def take(world: World) -> None:
    """Take the defibrillator beside gate B12."""
    world.publish("airport/t2/defibrillators/A2", in_cabinet=True, battery=92.0)
    world.publish("airport/t2/defibrillators/A2", in_cabinet=False, battery=92.0)


def test_the_three_nearest_and_security_are_told_and_the_first_goes(world: World) -> None:
    take(world)
    camera, talk = "https://camera.valmont.example/t2/A2", "https://talk.valmont.example/t2/A2"
    for number in (LUCAS, AMINA, PETER):
        phone = world.phone(number).expects_sms("Defibrillator 2", "Gate B12", camera, talk)
        phone.expects_call("Defibrillator 2")
    world.phone(SECURITY).expects_sms("URGENCE", camera, talk).expects_call("Urgence")
    world.phone(CHLOE).has_no_sms("Defibrillator")

    world.phone(AMINA).replies("1")

    world.phone(AMINA).expects_sms("Allez-y", "Gate B12")
    world.phone(LUCAS).expects_sms("Amina Cissé va à Defibrillator 2")
    world.phone(PETER).expects_sms("Amina Cissé goes to Defibrillator 2")
    world.phone(LUCAS).replies("1")
    world.expect_story("offer.late", "Lucas")

    world.phone(AMINA).replies("2")
    world.expect_story("technician.arrived", "Amina")
    world.publish("airport/t2/defibrillators/A2", in_cabinet=True, battery=92.0)
    world.expect_case("defibrillator-removed", state="closed")
    world.phone(LUCAS).has_no_sms("prise par quelqu'un d'autre")


def test_who_accepts_but_never_arrives_is_replaced(world: World) -> None:
    take(world)
    world.phone(LUCAS).expects_sms("URGENCE").replies("1").expects_sms("Allez-y")
    world.expect_story("offer.accepted", "Lucas")
    world.clock.advance(minutes=4)
    world.expect_story("technician.missing", "Lucas Petit accepted but did not arrive")
    world.phone(CHLOE).expects_sms("URGENCE")
    world.phone(LUCAS).expects_sms("n'est plus ouverte")


def test_one_who_cannot_go_gives_way_to_the_next(world: World) -> None:
    take(world)
    world.phone(PETER).expects_sms("EMERGENCY").replies("2")
    world.phone(CHLOE).expects_sms("URGENCE", "Defibrillator 2")


def test_nobody_answers_within_a_minute_so_the_duty_manager_is_called(world: World) -> None:
    take(world)
    world.phone(LUCAS).expects_sms("URGENCE")
    world.expect_story("offer.sent", "Lucas")
    world.clock.advance(seconds=60)
    world.phone(CHLOE).expects_sms("URGENCE")
    world.clock.advance(seconds=60)
    world.phone(DUTY_MANAGER).expects_sms("nobody took the job").expects_call("nobody took the job")
