"""`command` and `call`: what is published to a device, what is said to another system."""

import json
from collections.abc import Callable

import pytest

from tests.workflows.room import Room

MakeRoom = Callable[[str], Room]

URL = "https://desk.example.com/hooks/1"


def test_a_command_is_queued_with_its_templates_filled_in(room: MakeRoom) -> None:
    one = room("""
- command:
    topic: "homes/{{ site.id }}/{{ device.name }}/set"
    payload: {defrost: true, minutes: 20, note: "case {{ case.number }}", list: [1, "{{ severity }}"]}
""")
    one.raise_alarm()
    (message,) = one.messages()
    assert message.addresses == {"mqtt": "homes/s/fridge/set"}
    number = one.case().id
    assert json.loads(message.texts["mqtt"]) == {
        "defrost": True,
        "minutes": 20,
        "note": f"case {number}",
        "list": [1, "major"],
    }
    assert one.outcome == ("closed", "completed"), "it waits for nobody"


def test_a_text_is_published_as_it_is(room: MakeRoom) -> None:
    one = room("- command: {topic: a/b, payload: 'ON'}")
    one.raise_alarm()
    assert one.messages()[0].texts == {"mqtt": "ON"}


COMMAND = """
- command: {topic: a/b, payload: 'ON'}
  within: 1m
  otherwise: {close: deaf}
- close: heard
"""


@pytest.mark.parametrize(
    ("state", "outcome"), [("delivered", "heard"), ("failed", "deaf"), ("suppressed", "deaf")]
)
def test_a_command_can_be_waited_for(room: MakeRoom, state: str, outcome: str) -> None:
    one = room(COMMAND)
    one.raise_alarm()
    assert one.outcome[0] == "open"
    one.deliver(state)
    assert one.outcome == ("closed", outcome)


def test_a_command_that_nobody_takes_ends_by_its_deadline(room: MakeRoom) -> None:
    one = room(COMMAND)
    one.raise_alarm()
    one.pass_time(minutes=1)
    assert one.outcome == ("closed", "deaf")
    one.deliver()
    assert one.outcome == ("closed", "deaf"), "it comes too late"


@pytest.mark.parametrize("topic", ["{{ values.x }}/y", "{{ '+' }}/y", "{{ '' }}"])
def test_a_topic_that_cannot_be_used_goes_another_way(room: MakeRoom, topic: str) -> None:
    one = room(f"""
- command: {{topic: "{topic}", payload: x}}
  within: 1m
  otherwise: {{close: other}}
- close: well
""")
    one.raise_alarm()
    assert one.outcome == ("closed", "other")
    assert "command.failed" in one.kinds()


def test_a_call_says_what_the_case_is_about(room: MakeRoom) -> None:
    one = room(f"- call: {URL}")
    one.raise_alarm(values={"temperature": 31.5})
    (message,) = one.messages()
    body = json.loads(message.texts["webhook"])
    assert message.addresses == {"webhook": URL}
    assert message.name == "desk.example.com", "the story names the host, and no secret of the path"
    assert (body["rule"], body["severity"], body["values"]) == (
        "hot",
        "major",
        {"temperature": 31.5},
    )
    assert (body["device"], body["site"], body["customer"]) == ("s/fridge", "s", "home")
    assert one.outcome == ("closed", "completed")


CALL = f"""
- call: {URL}
  body: {{summary: "{{{{ alarm.message }}}}", urgent: true}}
  name: ticket
  within: 10m
  otherwise: {{hand_off: dispatcher}}
- if: answer.ticket.open == true
  then: {{tell: guard, template: ticket_made}}
- close: "ticket"
"""


def test_what_a_call_answers_is_known_afterwards(room: MakeRoom) -> None:
    from tests.workflows.room import make_templates, read_workflow  # noqa: PLC0415  only here

    one = room(CALL)
    one.templates = make_templates("ticket_made: {en: {sms: 'Ticket {{ answer.ticket.id }}'}}")
    one.use(read_workflow(CALL))
    one.raise_alarm()
    body = json.loads(one.messages()[0].texts["webhook"])
    assert body == {"summary": "It is hot.", "urgent": True}
    one.deliver(answer={"id": "T-7", "open": True})
    assert one.messages()[-1].texts["sms"] == "Ticket T-7"
    assert one.outcome == ("closed", "ticket")


@pytest.mark.parametrize("way", ["failed", "late"])
def test_a_call_that_nobody_takes_comes_to_a_person_with_the_reason(
    room: MakeRoom, way: str
) -> None:
    one = room(CALL)
    one.raise_alarm()
    if way == "failed":
        one.deliver("failed")
    else:
        one.pass_time(minutes=10)
    assert one.told("desk") == ["escalation"]
    assert "another system did not answer" in one.messages()[-1].texts["sms"]


def test_a_webhook_without_a_secret_fails_and_says_so(room: MakeRoom) -> None:
    one = room(CALL)
    one.raise_alarm()
    one.deliver("suppressed")
    assert one.told("desk") == ["escalation"]
