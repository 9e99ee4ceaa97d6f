"""Nobody takes the job, so a person is told, and told again until somebody takes the case."""

from functools import partial

from sqlmodel import Session, select

from tests.stories.test_refrigerator_warming import warm_up
from tests.world import World
from workflows.tables import Offer

TECHNICIANS = ("+33639980022", "+33639980021", "+33639980020", "+33639980023")
PAUL = "+33639980008"


def test_the_dispatcher_gets_the_case_after_the_last_technician(world: World) -> None:
    warm_up(world, "h01")
    for asked, number in enumerate(TECHNICIANS, 1):
        world.expect(partial(_is_offered, count=asked), f"offer number {asked}")
        world.phone(number).expects_sms("1")
        world.clock.advance(minutes=10)
    paul = world.phone(PAUL).expects_sms("personne n'a accepté l'intervention")
    world.expect_story("escalated", "dispatcher")
    world.clock.advance(minutes=15)
    paul.expects_sms("personne n'a accepté l'intervention").replies("1")
    world.expect_case("refrigerator-warming", state="handed_over", owner="Paul Girard")


def test_out_of_hours_a_person_is_told_at_once_that_nobody_is_on_shift(world: World) -> None:
    world.clock.advance(hours=12)
    warm_up(world, "h01")
    world.phone(PAUL).expects_sms("aucune personne qualifiée n'est libre")
    line = world.expect_story("candidates", "0 of 14")
    assert any("is off shift" in reason for reason in line.detail["candidates"])


def _is_offered(session: Session, count: int) -> bool:
    offers = session.exec(select(Offer)).all()
    return len(offers) == count and offers[-1].state == "open"
