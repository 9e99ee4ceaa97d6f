"""What somebody at a desk says to the people of a case, and how a case goes to a colleague."""

from collections.abc import Callable

import pytest
from sqlmodel import Session

from prevenant.crm.tables import Contact
from prevenant.errors import ConfigurationError
from prevenant.store import Store
from tests.moved_clock import MovedClock
from tests.workflows.room import Room
from workflows.colleagues import find_colleagues, find_partners, post_hand_over, post_words
from workflows.tables import Case

VISIT = """
- tell: customer
  template: plain
  ask: confirm
- wait: [customer.confirmed, message.failed]
  within: 30d
  otherwise: {close: never said}
- close: confirmed
"""
FOLLOWED = """
- wait: taken_over
  within: 30d
  otherwise: {close: nobody took it}
- close: somebody has it
"""


@pytest.fixture
def room(store: Store, clock: MovedClock) -> Callable[[str], Room]:
    """Return how to make a room with a workflow."""
    return lambda text: Room(store, clock, text)


def desk(one: Room, act: Callable[[Session, Case], object]) -> None:
    """Do something at a desk with the latest case, and what follows."""
    case = one.case()
    with one.store.write() as session:
        act(session, session.get_one(Case, case.id))
    one.work()


def say(one: Room, text: str, *, to: str = "ada", channel: str = "sms") -> None:
    """Let Camille say something to somebody."""
    now = one.clock.now()
    desk(one, lambda s, case: post_words(s, case.id or 0, now, "Camille", to, channel, text))


def hand_over(one: Room, *, to: str = "desk", note: str = "") -> None:
    """Let Camille hand the case over."""
    now = one.clock.now()
    desk(one, lambda s, case: post_hand_over(s, case.id or 0, now, "Camille", to, note))


def test_words_reach_the_person_and_stand_in_the_story(room: Callable[[str], Room]) -> None:
    one = room(VISIT)
    one.raise_alarm()
    say(one, "We will be there at nine.")
    sent = one.messages()[-1]
    assert (sent.contact_id, sent.template, sent.role) == ("ada", "desk_words", "customer")
    assert sent.texts == {"sms": "We will be there at nine. Camille, case 1"}
    assert one.story("desk.said") == ["Camille writes to Ada by sms"]
    assert not sent.key.startswith("answer:")


def test_words_are_no_step_of_the_workflow(room: Callable[[str], Room]) -> None:
    one = room(VISIT)
    one.raise_alarm()
    one.deliver()
    say(one, "One word more.")
    one.deliver("failed", to="ada")
    assert one.outcome == ("open", ""), "that it failed is not what the workflow waits for"
    assert one.reply("ada", "yes") == "bound"
    assert one.outcome == ("closed", "confirmed")


def test_who_has_written_gets_an_answer_which_is_never_gathered(
    room: Callable[[str], Room],
) -> None:
    one = room(VISIT)
    one.raise_alarm()
    one.reply("ada", "I want to speak with somebody")
    say(one, "No, it is not.")
    assert one.messages()[-1].key.startswith("answer:")


def test_words_can_be_said_after_the_end(room: Callable[[str], Room]) -> None:
    one = room("- close: at once")
    one.raise_alarm()
    assert one.outcome == ("closed", "at once")
    say(one, "Thank you for your patience.")
    assert one.told("ada") == ["desk_words"]


@pytest.mark.parametrize(
    ("to", "channel", "text", "what"),
    [
        ("ada", "sms", "  ", "write what is to be said"),
        ("ada", "sms", "x" * 1_001, "1000 at most"),
        ("ada", "email", "hello", "Ada cannot be reached by email"),
        ("guard", "sms", "hello", "whom the case concerns"),
        ("nobody", "sms", "hello", "whom the case concerns"),
    ],
)
def test_what_cannot_be_said_is_refused(
    room: Callable[[str], Room], to: str, channel: str, text: str, what: str
) -> None:
    one = room(VISIT)
    one.raise_alarm()
    with pytest.raises(ConfigurationError, match=what):
        say(one, text, to=to, channel=channel)
    assert one.told("ada") == ["plain"]


def test_who_has_left_meanwhile_is_told_nothing(room: Callable[[str], Room]) -> None:
    one = room(VISIT)
    one.raise_alarm()
    case, now = one.case(), one.clock.now()
    with one.store.write() as session:
        post_words(session, case.id or 0, now, "Camille", "ada", "sms", "hello")
        session.get_one(Contact, "ada").is_active = False
    one.work()
    assert one.told("ada") == ["plain"]
    assert one.story("desk.unsaid") == ["nobody is left to be told by Camille: hello"]


def test_whom_a_case_concerns(room: Callable[[str], Room]) -> None:
    one = room("""
- tell: guard
  template: plain
- dispatch: {skill: cold}
  otherwise: {hand_off: dispatcher}
- wait: technician.done
  within: 8h
  otherwise: {close: late}
""")
    one.raise_alarm()
    one.reply("tom", "1")
    with one.store.read() as session:
        case = session.get_one(Case, 1)
        found = {x.contact_id: (x.role, x.channels) for x in find_partners(session, case)}
        colleagues = [person.contact_id for person in find_colleagues(session, case)]
    assert found["ada"] == ("customer", ("sms", "voice"))
    assert found["tom"][0] == "technician"
    assert found["guard"][0] == "guard"
    assert colleagues == ["desk", "guard"], "neither customers nor technicians"


def test_a_case_goes_to_a_colleague_who_is_told(room: Callable[[str], Room]) -> None:
    one = room(VISIT)
    one.raise_alarm()
    hand_over(one, note="She speaks French.")
    case = one.case()
    assert (case.owner, *one.outcome) == ("Desk", "handed_over", "handed over to Desk")
    assert one.story("case.handed") == ["Camille hands it over to Desk: She speaks French."]
    told = one.messages()[-1]
    assert (told.contact_id, told.template) == ("desk", "desk_hand_over")
    assert told.texts["sms"].startswith("Camille hands case 1 over to you: It is hot.")
    assert "She speaks French." in told.texts["sms"]


def test_a_case_that_a_person_has_goes_on_to_another(room: Callable[[str], Room]) -> None:
    one = room("""
- tell: guard
  template: plain
- wait: alarm.cleared
  within: 30d
  otherwise: {close: late}
""")
    one.raise_alarm()
    hand_over(one)
    hand_over(one, to="guard")
    assert one.case().owner == "Guard"
    assert one.outcome[0] == "handed_over"


def test_a_workflow_that_says_what_follows_goes_on(room: Callable[[str], Room]) -> None:
    one = room(FOLLOWED)
    one.raise_alarm()
    hand_over(one)
    assert one.outcome == ("closed", "somebody has it")


def test_a_call_back_is_settled_by_who_gets_the_case(room: Callable[[str], Room]) -> None:
    one = room(VISIT)
    one.raise_alarm()
    one.reply("ada", "I want to speak with somebody")
    hand_over(one)
    assert one.story("person.found") == ["Desk calls Ada back"]


def test_what_cannot_be_handed_over_is_refused(room: Callable[[str], Room]) -> None:
    one = room("- close: at once")
    one.raise_alarm()
    with pytest.raises(ConfigurationError, match="closed"):
        hand_over(one)
    one.pass_time(hours=1)
    other = room(VISIT)
    other.raise_alarm()
    with pytest.raises(ConfigurationError, match="a role at the site"):
        hand_over(other, to="tom")
