"""Use case 4: a refrigerator warms; a technician is sent and the customer told before they notice."""

from sqlmodel import select

from tests.world import World
from workflows.tables import Candidate

JULES, CAMILLE, PAUL = "+33639980022", "+33639980041", "+33639980008"
OLIVER = "oliver-bennett@home.example"


def warm_up(world: World, home: str) -> None:
    """Let a refrigerator be too warm for twenty minutes."""
    values = {"setpoint": 4.0, "compressor_amps": 0.1, "door_open": False}
    for _ in range(5):
        world.publish(f"homes/{home}/fridges/fridge", cabinet=9.3, **values)
        world.clock.advance(minutes=5)


def test_the_customer_is_told_confirms_and_rates(world: World) -> None:
    warm_up(world, "h01")
    jules = world.phone(JULES).expects_sms("9,3 °C", "Roux home", "Répondez 1").replies("oui")
    jules.expects_sms("Elle est à vous", "11:00-13:00")
    camille = world.phone(CAMILLE).expects_sms(
        "Bonjour Camille", "9,3 °C", "Jules passe lundi 4 mai, 11:00-13:00"
    )
    camille.replies("1")
    world.expect_story("customer.confirmed", "Camille Roux")
    jules.replies("1")
    camille.expects_sms("Jules est en route")
    jules.replies("arrived")
    world.expect_story("technician.arrived", "Jules")
    jules.replies("3 compressor relay replaced")
    camille.expects_sms("C'est fait, Camille", "de 1 (mauvais) à 5")
    camille.replies("5")
    world.expect_case("refrigerator-warming", state="closed", rating=5)
    world.expect_story("technician.done", "compressor relay replaced")


def test_a_customer_who_prefers_mail_gets_mail(world: World) -> None:
    warm_up(world, "h02")
    world.phone(JULES).expects_sms("Répondez 1").replies("1")
    mail = world.expect_mail(
        OLIVER, "Hello Oliver", "comes", "There is nothing that you need to do"
    )
    html = mail.get_body(("html",))
    assert html is not None
    assert "Hello Oliver" in html.get_content()


def test_a_customer_who_wants_another_time_gets_a_person(world: World) -> None:
    warm_up(world, "h01")
    world.phone(JULES).expects_sms("Répondez 1").replies("1")
    world.phone(CAMILLE).expects_sms("Répondez 1 si cela vous convient").replies("2")
    world.phone(PAUL).expects_sms("Camille Roux demande un autre moment")
    world.phone(CAMILLE).expects_sms("Une personne va vous rappeler")


def test_a_customer_who_asks_for_a_person_gets_one(world: World) -> None:
    warm_up(world, "h01")
    world.phone(JULES).expects_sms("Répondez 1").replies("1")
    world.phone(CAMILLE).expects_sms("Bonjour Camille").replies("Je veux parler à quelqu'un")
    world.phone(PAUL).expects_sms("demande à parler à quelqu'un", "Je veux parler")


def test_the_candidates_and_their_reasons_are_kept(world: World) -> None:
    warm_up(world, "h01")
    case = world.expect_case("refrigerator-warming")
    line = world.expect_story("candidates", "4 of 14 technicians can go; the best is Jules Perrin")
    assert line.case_id == case.id
    with world.engine.store.read() as session:
        reasons = " ".join(one.reason for one in session.exec(select(Candidate)))
    for reason in ("min away", "for being overqualified", "refrigeration 1 is below the 2 needed"):
        assert reason in reasons
