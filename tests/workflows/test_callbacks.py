"""Whoever needs a person gets one: asked for until somebody takes it, whatever becomes of the case."""

from collections.abc import Callable

import pytest
from sqlalchemy import delete
from sqlmodel import col

from notify.message import Message
from prevenant.crm.tables import Contact, RoleHolder
from prevenant.errors import ConfigurationError
from prevenant.store import Store
from tests.moved_clock import MovedClock
from tests.workflows.room import Room
from workflows import deskwork

MakeRoom = Callable[[str], Room]

VISIT = """
- tell: customer
  template: plain
  ask: confirm
- wait: customer.confirmed
  within: 30d
  otherwise: {close: never said}
- close: confirmed
"""


@pytest.fixture
def room(store: Store, clock: MovedClock) -> MakeRoom:
    """Return how to make a room with a workflow, whose desk reads e-mail, too."""

    def make(text: str) -> Room:
        one = Room(store, clock, text)
        with store.write() as session:
            session.get_one(Contact, "desk").email = "desk@service.example"
        return one

    return make


def to_desk(one: Room) -> list[Message]:
    """Return what the desk was told."""
    return [message for message in one.messages() if message.contact_id == "desk"]


@pytest.mark.parametrize(
    ("text", "wish", "answer"),
    [
        ("let me talk to a person", "wants to talk to somebody", "person_will_call"),
        ("this is unacceptable", "they are angry", "complaint_received"),
        ("it is still not working", "a complaint", "complaint_received"),
    ],
)
def test_a_person_is_asked_for_with_the_summary(
    room: MakeRoom, text: str, wish: str, answer: str
) -> None:
    one = room(VISIT)
    one.raise_alarm()
    one.reply("ada", text)
    (asked,) = to_desk(one)
    assert wish in asked.texts["sms"]
    assert text in asked.texts["sms"]
    mail = asked.texts["email"]["text"]
    assert "It is hot." in mail, "what has happened"
    assert f"Ada: {text}" in mail, "what was said"
    assert "Prevenant: plain Fridge" in mail
    assert "No visit is planned" in mail, "what is planned"
    assert one.told("ada") == ["plain", answer]
    assert one.story("person.asked") == ["Desk asked to call Ada back"]
    assert one.reply("ada", "1") == "bound", "the question stands"
    assert one.outcome == ("closed", "confirmed")


def test_what_is_planned_stands_in_the_summary(room: MakeRoom) -> None:
    one = room("""
- dispatch: {skill: cold}
  otherwise: {hand_off: dispatcher}
- tell: customer
  template: visit_planned
  confirm_within: 24h
- wait: technician.done
  within: 8h
  otherwise: {close: late}
""")
    one.raise_alarm()
    one.reply("tom", "1")
    one.reply("ada", "I want to speak with somebody")
    (asked,) = to_desk(one)
    assert "What is planned: Tom comes" in asked.texts["email"]["text"]


def test_two_misunderstandings_reach_a_person(room: MakeRoom) -> None:
    one = room(VISIT)
    one.raise_alarm()
    assert one.reply("ada", "blue, I think") == "unclear"
    assert one.reply("ada", "the cat sat on it") == "handed off"
    (asked,) = to_desk(one)
    assert "twice we did not understand" in asked.texts["sms"]
    assert one.reply("ada", "the cat sat on it again") == "handed off"
    assert len(to_desk(one)) == 1, "who waits already is asked for once"
    assert one.told("ada").count("person_will_call") == 1
    assert len(one.story("person.wanted")) == 2, "what was said meanwhile stands in the story"


def test_it_is_asked_again_until_somebody_takes_it(room: MakeRoom) -> None:
    one = room(VISIT)
    one.raise_alarm()
    one.reply("ada", "call me")
    for _ in range(3):
        one.pass_time(minutes=15)
    assert len(to_desk(one)) == 4
    one.pass_time(minutes=15)
    assert len(to_desk(one)) == 4, "after that once a day"
    one.pass_time(days=1)
    assert len(to_desk(one)) == 5
    one.reply("desk", "1")
    assert one.story("person.found") == ["Desk calls Ada back"]
    one.pass_time(days=3)
    assert len(to_desk(one)) == 5
    assert one.outcome[0] == "open", "the case goes on by itself"


def test_it_outlives_the_case(room: MakeRoom) -> None:
    one = room("- survey: csat\n- close: done")
    one.raise_alarm()
    assert one.outcome == ("closed", "done")
    one.reply("ada", "this is unacceptable")
    one.pass_time(minutes=15)
    assert len(to_desk(one)) == 2
    one.reply("desk", "2")
    assert "Desk does not call back" in one.story("declined")
    one.pass_time(minutes=15)
    assert len(to_desk(one)) == 3
    one.reply("desk", "yes I call")
    assert one.due_at is None


@pytest.mark.parametrize("kind", ["case.acknowledged", "case.taken", "case.resolved"])
def test_whoever_works_on_the_case_at_the_desk_takes_it(room: MakeRoom, kind: str) -> None:
    one = room(VISIT)
    one.raise_alarm()
    one.reply("ada", "call me")
    one.tell_case(kind, by="Paul", note="")
    assert one.story("person.found") == ["Paul calls Ada back"]
    one.pass_time(days=2)
    assert len(to_desk(one)) == 1


def test_where_nobody_answers_for_people_it_is_tried_every_hour(room: MakeRoom) -> None:
    one = room(VISIT)
    one.raise_alarm()
    with one.store.write() as session:
        session.execute(delete(RoleHolder).where(col(RoleHolder.contact_id) == "desk"))
    one.reply("ada", "call me")
    assert "nobody is dispatcher here" in one.story("escalation.nobody")
    assert "person_will_call" not in one.told("ada"), "nothing is promised that nobody keeps"
    one.pass_time(hours=1)
    assert len(one.story("escalation.nobody")) == 2


def test_anger_is_told_where_a_milder_wish_waits(room: MakeRoom) -> None:
    one = room(VISIT)
    one.raise_alarm()
    one.reply("ada", "call me")
    one.reply("ada", "this is unacceptable")
    one.pass_time(minutes=15)
    assert "they are angry" in to_desk(one)[-1].texts["sms"]


def test_the_desk_can_take_it_after_the_end_of_the_case(room: MakeRoom) -> None:
    one = room("- survey: csat\n- close: done")
    one.raise_alarm()
    one.reply("ada", "this is unacceptable")
    now, case_id = one.clock.now(), one.case().id or 0
    with one.store.write() as session:
        deskwork.post(session, deskwork.ACKNOWLEDGED, case_id, now, "Paul", "")
    one.work()
    assert one.story("person.found") == ["Paul calls Ada back"]
    assert one.outcome == ("closed", "done")
    with one.store.write() as session, pytest.raises(ConfigurationError, match="is closed"):
        deskwork.post(session, deskwork.ACKNOWLEDGED, case_id, now, "Ann", "")
