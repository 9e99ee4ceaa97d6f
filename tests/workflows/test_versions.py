"""A running case keeps its workflow: what was stored before can be read, whatever is published."""

import json
from collections.abc import Callable

import msgspec
import pytest

from tests.workflows.room import Room, read_workflow
from workflows.definition import Dispatch, Tell, Wait, decode_steps, encode_steps
from workflows.running import Progress

MakeRoom = Callable[[str], Room]

EARLIER = """[
{"type":"parallel","branches":[[{"type":"tell","whom":"facilities","template":"site_notice",
"turns":[["email"],["sms"]],"ask":null,"ask_for_s":null}],
[{"type":"dispatch","skill":"hvac","level":1,"within_km":30.0,"offer_s":300.0,
"otherwise":[{"type":"hand_off","to":["maintenance-supervisor"],"within_s":900.0,
"turns":[["sms"],["voice"]],"template":"escalation"}],"turns":[["sms"]],"at_once":1,
"on_foot":false,"arrive_within_s":null,"window_s":7200.0,"offer_template":"job_offer",
"accepted_template":"job_accepted","gone_template":"job_gone"}]]},
{"type":"wait","facts":["technician.arrived"],"within":{"seconds":900.0,"visit":"end"},
"otherwise":[{"type":"escalate","to":["maintenance-supervisor"],"within_s":900.0,
"turns":[["sms"],["voice"]],"template":"escalation","repeat":3}]},
{"type":"close","outcome":"resolved"}]"""
"""A workflow as it was stored before there were tracks, questions and errands."""

EARLIER_PROGRESS = {
    "tracks": [
        {"path": "0", "begun": True, "due_at": None, "data": {}},
        {"path": "0.branches.1.0", "begun": True, "due_at": 1.5, "data": {"travel": {}}},
    ],
    "facts": {"alarm.cleared": 1.0},
    "excluded": {},
    "message": {"en": "It is hot."},
    "messages": 2,
    "rounds": 1,
}

EVERY_STEP = """
- tell: {nearest: 3, role: guard}
  template: plain
- ask: customer
  name: entry
  template: access
  answers: {home: {close: home}, away: }
  within: 1h
  otherwise: {close: silent}
- call: https://desk.example.com/x
  body: {a: [1, {b: "{{ case.number }}"}], c: null, d: true}
  name: ticket
  within: 5m
  otherwise: {close: deaf}
- command: {topic: a/b, payload: {on: 1.5}}
- if: answer.ticket.open == true
  then: {tell: guard, template: plain}
  else: {tell: chief, template: plain}
  unknown: {escalate: chief}
- dispatch:
    skill: cold >= 2
    parts: [seal, "{{ device.type }}"]
    territory: north
    position_fresh: 30m
    max_jobs: 2
    arrive_within: 10m
  otherwise: {hand_off: [guard, on-call:night]}
- parallel:
    - wait: technician.done
      within: visit.end + 1h
      otherwise: {escalate: guard}
    - survey: nps
- close: done
"""


def test_what_was_stored_before_is_read() -> None:
    workflow = decode_steps("earlier", EARLIER)
    dispatch = workflow.steps[0].branches[1][0]  # type: ignore[union-attr]
    assert isinstance(dispatch, Dispatch)
    assert (dispatch.parts, dispatch.fresh_s, dispatch.territory) == ([], None, False)
    tell = workflow.steps[0].branches[0][0]  # type: ignore[union-attr]
    assert isinstance(tell, Tell)
    assert tell.nearest == 0
    assert isinstance(workflow.steps[1], Wait)


def test_where_a_case_stood_before_is_read() -> None:
    progress = msgspec.convert(EARLIER_PROGRESS, Progress)
    assert [track.path for track in progress.tracks] == ["0", "0.branches.1.0"]
    assert (progress.answers, progress.endings, progress.failures) == ({}, {}, 0)


def test_every_step_survives_the_store() -> None:
    workflow = read_workflow(EVERY_STEP)
    text = encode_steps(workflow)
    again = decode_steps("visit", text)
    assert again.steps == workflow.steps
    assert again.version == workflow.version
    assert json.loads(text)[0]["nearest"] == 3


def test_the_keys_of_dispatch_reach_it() -> None:
    workflow = read_workflow(EVERY_STEP)
    dispatch = next(step for step in workflow.steps if isinstance(step, Dispatch))
    assert dispatch.parts == ["seal", "{{ device.type }}"]
    assert (dispatch.territory, dispatch.area) == (True, "north")
    assert (dispatch.fresh_s, dispatch.max_jobs) == (1_800.0, 2)
    own = read_workflow("- dispatch: {skill: x, territory: true}\n  otherwise: {close: no}").steps[
        0
    ]
    assert isinstance(own, Dispatch)
    assert (own.territory, own.area) == (True, "")


WAITING = {
    "wait": ("- wait: alarm.cleared\n  within: 1h\n  otherwise: {close: late}\n- close: first", 1),
    "ask": (
        (
            "- ask: customer\n  name: a\n  template: access\n  answers: [home, away]\n"
            "  within: 1h\n  otherwise: {close: late}\n- close: first"
        ),
        1,
    ),
    "call": (
        "- call: https://x.example.com\n  within: 1h\n  otherwise: {close: late}\n- close: first",
        1,
    ),
    "dispatch": (
        "- dispatch: {skill: cold, offer: 40m}\n  otherwise: {close: late}\n- close: first",
        2,
    ),
    "escalate": ("- escalate: guard\n  within: 1h\n  repeat: 1\n- close: late", 1),
}


@pytest.mark.parametrize("kind", WAITING)
def test_a_case_goes_on_in_a_step_that_a_published_workflow_has_no_longer(
    room: MakeRoom, kind: str
) -> None:
    text, hours = WAITING[kind]
    one = room(text)
    one.raise_alarm()
    assert one.outcome[0] == "open"
    one.use(read_workflow("- close: second"))
    for _ in range(hours):
        one.pass_time(hours=1)
    assert one.outcome == ("closed", "late")


def test_a_case_whose_steps_cannot_be_read_any_more_comes_to_a_person(room: MakeRoom) -> None:
    from workflows.tables import WorkflowVersion  # noqa: PLC0415  only here

    one = room("- wait: alarm.cleared\n  within: 1h\n  otherwise: {close: late}")
    one.raise_alarm()
    with one.store.write() as session:
        version = session.get_one(WorkflowVersion, one.case().workflow_version)
        version.steps = '[{"type": "unheard_of"}]'
        session.add(version)
    one.runtime._kept.clear()  # as after a restart
    one.pass_time(hours=1)
    assert one.told() == ["desk case_failed"]
    assert "cannot go on" in one.outcome[1]
    assert one.due_at is not None
