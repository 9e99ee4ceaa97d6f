"""`receipt_within` and `reply_within`: the next channel, then what the step does where nobody is there."""

from collections.abc import Callable

from sqlmodel import select

from notify.delivery import move
from notify.following import end_silences
from notify.message import SENT, Delivery, Message
from notify.patience import begin_patience
from tests.notify.people import confirms
from tests.workflows.room import Room, read_workflow
from workflows.definition import Escalate, Tell

MakeRoom = Callable[[str], Room]


def hand_over(room: Room) -> list[str]:
    """Let all that is queued be handed over, and no receipt come; return by which channels."""
    now = room.clock.now()
    with room.store.write() as session:
        queued = session.exec(select(Delivery).where(Delivery.state == "queued")).all()
        for delivery in queued:
            delivery.attempts, delivery.started_at = 1, now
            move(session, delivery, SENT, now)
            begin_patience(session, session.get_one(Message, delivery.message_id), delivery)
    room.work()
    return [one.channel for one in queued]


def fall_silent(room: Room, **span: float) -> None:
    """Let time pass without a word."""
    room.clock.advance(**span)
    with room.store.write() as session:
        end_silences(session, confirms, room.clock.now())
    room.work()


def test_a_case_can_wait_for_word_that_the_customer_was_not_reached(room: MakeRoom) -> None:
    one = room("""
- tell: customer
  template: plain
  channels: [preferred, sms, voice, email]
  receipt_within: 5m
- wait: [message.delivered, message.failed]
  within: 1h
  otherwise: {close: no word}
- if: message.failed
  then: {close: not reached}
  else: {close: reached}
""")
    one.raise_alarm()
    assert hand_over(one) == ["sms"]
    fall_silent(one, minutes=5)
    # Ada has no address for e-mail: a call is the last that can be tried.
    assert hand_over(one) == ["voice"]
    assert one.outcome[0] == "open"
    fall_silent(one, minutes=5)
    assert one.outcome == ("closed", "not reached")
    assert any("no receipt within 5m" in line for line in one.story("message.silent"))


def test_the_next_role_is_asked_where_nobody_replies(room: MakeRoom) -> None:
    one = room("""
- escalate: [guard, chief]
  within: 1h
  channels: [sms, voice]
  reply_within: 10m
- close: taken
""")
    one.raise_alarm()
    assert hand_over(one) == ["sms"]
    fall_silent(one, minutes=10)
    assert hand_over(one) == ["voice"]
    assert one.told() == ["guard escalation"]
    fall_silent(one, minutes=10)
    assert one.told() == ["guard escalation", "chief escalation"]
    hand_over(one)
    one.reply("chief", "1")
    fall_silent(one, minutes=30)
    assert one.outcome == ("closed", "taken")
    assert one.told() == ["guard escalation", "chief escalation"]


def test_a_question_that_nobody_answers_goes_on_without_waiting_for_its_end(room: MakeRoom) -> None:
    one = room("""
- ask: customer
  name: entry
  template: access
  channels: [sms]
  answers: [home, neighbour]
  within: 1d
  receipt_within: 1m
  otherwise: {close: not asked}
""")
    one.raise_alarm()
    hand_over(one)
    fall_silent(one, minutes=1)
    assert one.outcome == ("closed", "not asked")


def test_an_offer_that_does_not_arrive_goes_to_the_next(room: MakeRoom) -> None:
    one = room("""
- dispatch: {skill: cold, offer: 1h, receipt_within: 2m}
  otherwise: {close: nobody}
""")
    one.raise_alarm()
    hand_over(one)
    assert one.told() == ["tom job_offer"]
    fall_silent(one, minutes=2)
    assert one.told() == ["tom job_offer", "tim job_offer"]


def test_what_a_case_had_to_say_is_outdated_once_it_is_closed(room: MakeRoom) -> None:
    one = room("""
- tell: customer
  template: plain
- wait: alarm.cleared
  within: 1h
  otherwise: {close: not}
- tell: customer
  template: all_clear
- close: over
""")
    one.raise_alarm()
    one.pass_time(minutes=1)
    one.clear_alarm()
    assert one.outcome == ("closed", "over")
    assert [message.outdated for message in one.messages()] == [
        "the case was closed while it waited",
        "",
    ]


def test_workflows_without_it_have_the_version_that_they_had() -> None:
    text = "- tell: guard\n  template: plain\n"
    (plain,) = read_workflow(text).steps
    (patient,) = read_workflow(text + "  receipt_within: 5m\n").steps
    assert isinstance(plain, Tell)
    assert isinstance(patient, Tell)
    assert (plain.receipt_within_s, patient.receipt_within_s) == (None, 300.0)
    assert read_workflow(text).version != read_workflow(text + "  receipt_within: 5m\n").version
    (escalate,) = read_workflow("- escalate: chief\n  reply_within: 5m\n").steps
    assert isinstance(escalate, Escalate)
    assert escalate.reply_within_s == 300.0


def test_a_hand_off_that_reaches_nobody_keeps_its_pace(room: MakeRoom) -> None:
    one = room("""
- hand_off: [guard, nobody]
  channels: [email]
  within: 10m
""")
    one.raise_alarm()
    assert len(one.story("escalation.unreached")) == 1
    one.pass_time(minutes=9)
    assert one.told() == ["guard escalation"]
    one.pass_time(minutes=1)
    assert one.told() == ["guard escalation"] * 2
