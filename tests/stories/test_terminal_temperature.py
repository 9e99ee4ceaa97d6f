"""Use case 2: a terminal leaves its band; maintenance is told and sent before travellers complain."""

from tests.world import World

OMAR, GRACE, SUPERVISOR = "+33639980026", "+33639980027", "+33639980006"
FACILITIES = "claire-vasseur@valmont.example"


def warm_up(world: World) -> None:
    """Keep the lounge too warm for five minutes."""
    for _ in range(6):
        world.publish("airport/t2/thermometers/T3", temperature=27.5, humidity=40.0)
        world.clock.advance(minutes=1)


def test_facilities_get_mail_and_the_nearest_technician_goes(world: World) -> None:
    warm_up(world)
    mail = world.expect_mail(FACILITIES, "Thermometer 3", "27.5 °C", "5m")
    assert mail["Content-Language"] == "en"
    assert mail["Message-ID"]
    omar = world.phone(OMAR).expects_sms("27,5 °C", "Thermometer 3", "Répondez 1").replies("1")
    omar.expects_sms("Elle est à vous", "10:30-12:30")
    omar.replies("en route")
    world.expect_story("technician.en_route", "Omar")
    omar.replies("2")
    world.expect_story("technician.arrived", "Omar")
    omar.replies("3 filtre bouché")
    case = world.expect_case("terminal-temperature", state="closed")
    assert case.outcome == "resolved"
    world.expect_story("technician.done", "filtre bouché")


def test_one_warm_reading_is_not_enough(world: World) -> None:
    world.publish("airport/t2/thermometers/T3", temperature=27.5, humidity=40.0)
    world.clock.advance(minutes=4)
    world.publish("airport/t2/thermometers/T3", temperature=24.0, humidity=40.0)
    world.clock.advance(minutes=30)
    world.publish("airport/t2/thermometers/T1", temperature=22.0)
    assert world.carrier.sent == []
    assert world.mailbox.mails == []


def test_the_technician_never_comes_so_the_supervisor_is_told(world: World) -> None:
    warm_up(world)
    world.phone(OMAR).expects_sms("Répondez 1").replies("1").expects_sms("Elle est à vous")
    world.expect_story("wait", "technician.arrived")
    world.clock.advance(hours=2, minutes=45)
    world.phone(SUPERVISOR).expects_sms("n'est pas arrivé", "Thermometer 3")
