"""`ask`: a question with its answers, each with steps of its own."""

from collections.abc import Callable

import pytest

from tests.workflows.room import Room

MakeRoom = Callable[[str], Room]

ASK = """
- ask: customer
  name: entry
  template: access
  answers:
    home: {words: [at home, je suis là], then: {tell: guard, template: plain}}
    neighbour: [{close: neighbour}]
    nobody:
  within: 2h
  otherwise: {close: unanswered}
- if: answer.entry == 'nobody'
  then: {close: empty}
- close: entered
"""


def test_the_question_lists_its_answers(room: MakeRoom) -> None:
    one = room(ASK)
    one.raise_alarm()
    (message,) = one.messages()
    assert message.texts["sms"] == "May we come in? 1: at home, 2: neighbour, 3: nobody"
    assert one.due_at is not None
    assert (one.due_at - one.clock.now()).total_seconds() == 7_200


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("1", "entered"),
        ("Je suis là !", "entered"),
        ("I am AT HOME all day", "entered"),
        ("2", "neighbour"),
        ("ask my neighbour please", "neighbour"),
        ("3", "empty"),
        ("nobody", "empty"),
    ],
)
def test_each_answer_has_its_way(room: MakeRoom, text: str, outcome: str) -> None:
    one = room(ASK)
    one.raise_alarm()
    assert one.reply("ada", text) == "bound"
    assert one.outcome == ("closed", outcome)
    assert one.told("guard") == (["plain"] if outcome == "entered" else [])
    assert one.case().progress["answers"]["entry"] in {"home", "neighbour", "nobody"}


@pytest.mark.parametrize("text", ["4", "0", "what?", "at home or with the neighbour"])
def test_what_is_unclear_is_asked_back_with_the_answers(room: MakeRoom, text: str) -> None:
    one = room(ASK)
    one.raise_alarm()
    assert one.reply("ada", text) == "unclear"
    back = one.messages()[-1]
    assert back.template == "reply_unclear"
    assert "1: at home, 2: neighbour, 3: nobody" in back.texts["sms"]
    assert one.outcome[0] == "open"
    one.reply("ada", "2")
    assert one.outcome == ("closed", "neighbour")


def test_no_answer_ends_by_its_deadline(room: MakeRoom) -> None:
    one = room(ASK)
    one.raise_alarm()
    one.pass_time(hours=2)
    assert one.outcome == ("closed", "unanswered")
    assert "ask.expired" in one.kinds()


def test_an_answer_that_comes_too_late_changes_nothing(room: MakeRoom) -> None:
    one = room(ASK)
    one.raise_alarm()
    one.pass_time(hours=3)
    one.reply("ada", "1")
    assert one.outcome == ("closed", "unanswered")
    assert one.told("guard") == []


def test_whoever_wants_a_person_gets_one_and_the_question_stands(room: MakeRoom) -> None:
    one = room(ASK)
    one.raise_alarm()
    one.reply("ada", "let me talk to a person")
    assert one.told("desk") == ["customer_needs_person"]
    one.reply("ada", "1")
    assert one.outcome == ("closed", "entered")


def test_the_first_of_several_answers(room: MakeRoom) -> None:
    one = room("""
- ask: {nearest: 5, role: guard}
  name: busy
  template: access
  answers: ['yes', 'no']
  within: 5m
  otherwise: {close: silent}
- wait: alarm.cleared
  within: 1m
  otherwise: {close: done}
""")
    one.raise_alarm()
    one.reply("guard", "no")
    assert one.case().progress["answers"] == {"busy": "no"}
    one.reply("guard", "1")
    assert one.case().progress["answers"] == {"busy": "no"}


@pytest.mark.parametrize("state", ["failed", "undelivered", "suppressed"])
def test_nobody_reached_is_no_answer_at_once(room: MakeRoom, state: str) -> None:
    one = room(ASK)
    one.raise_alarm()
    one.deliver(state)
    assert one.outcome == ("closed", "unanswered")
    assert "ask.unreached" in one.kinds()


def test_nobody_to_ask_is_no_answer_at_once(room: MakeRoom) -> None:
    one = room("""
- ask: nobody
  name: entry
  template: access
  answers: [home, away]
  within: 1h
  otherwise: {close: unanswered}
""")
    one.raise_alarm()
    assert one.outcome == ("closed", "unanswered")
    assert "ask.nobody" in one.kinds()


def test_another_track_waits_for_the_answer(room: MakeRoom) -> None:
    one = room("""
tracks:
  staff:
    - wait: answer.entry
      within: 3h
      otherwise: {close: never}
    - tell: guard
      template: plain
  customer:
    - ask: customer
      name: entry
      template: access
      answers: [home, away]
      within: 2h
      otherwise: {close: unanswered}
""")
    one.raise_alarm()
    one.reply("ada", "1")
    assert one.told("guard") == ["plain"]
    assert one.outcome == ("closed", "completed")
