"""A technician declines, so the next nearest is asked; a customer learns of neither."""

from tests.stories.test_refrigerator_warming import CAMILLE, JULES, warm_up
from tests.world import World

KARIM = "+33639980021"


def test_the_next_nearest_is_asked(world: World) -> None:
    warm_up(world, "h01")
    world.phone(JULES).expects_sms("Répondez 1 pour accepter").replies("2")
    world.expect_story("offer.declined", "Jules Perrin declined")
    second = world.phone(KARIM).expects_sms("Reply 1 to take it")
    world.phone(CAMILLE).has_no_sms("Bonjour")
    second.replies("yes please")
    world.phone(CAMILLE).expects_sms("Karim passe")


def test_who_does_not_answer_in_ten_minutes_loses_the_offer(world: World) -> None:
    warm_up(world, "h01")
    jules = world.phone(JULES).expects_sms("Répondez 1 pour accepter")
    world.expect_story("offer.sent", "Jules")
    world.clock.advance(minutes=10)
    world.expect_story("offer.expired", "Jules Perrin did not answer")
    world.phone(KARIM).expects_sms("Reply 1 to take it").replies("1")
    world.expect_story("offer.accepted", "Karim Haddad")
    jules.replies("1").expects_sms("prise par quelqu'un d'autre")


def test_who_cannot_be_reached_is_passed_over_at_once(world: World) -> None:
    world.carrier.unreachable.add(JULES)
    warm_up(world, "h01")
    world.expect_story("offer.unreachable", "Jules Perrin could not be reached")
    world.phone(KARIM).expects_sms("Reply 1 to take it")
