"""Two tracks on one case: neither waits for the other, and each ends by itself."""

from collections.abc import Callable
from datetime import timedelta

from tests.workflows.room import Room, read_workflow

MakeRoom = Callable[[str], Room]

TRACKS = """
tracks:
  staff:
    - escalate: guard
      within: 10m
      repeat: 1
    - parallel:
        - wait: alarm.cleared
          within: 1h
          otherwise: {hand_off: chief}
        - wait: acknowledged
          within: 20m
          otherwise: {tell: chief, template: plain}
    - close: repaired
  customer:
    - tell: customer
      template: plain
    - wait: customer.confirmed
      within: 24h
      otherwise: {close: silent}
    - close: content
"""


def test_both_begin_at_once_under_their_names(room: MakeRoom) -> None:
    one = room(TRACKS)
    one.raise_alarm()
    assert one.told() == ["guard escalation", "ada plain"]
    assert one.story("track.begun") == ["staff begins", "customer begins"]
    assert one.due_at == one.clock.now() + timedelta(minutes=10)


def test_a_track_that_ends_leaves_the_other_alone(room: MakeRoom) -> None:
    one = room(TRACKS)
    one.raise_alarm()
    one.tell_case("customer.confirmed")
    assert one.story("track.ended") == ["customer: content"]
    assert one.outcome[0] == "open"
    one.reply("guard", "1")
    one.clear_alarm()
    assert one.outcome == ("closed", "customer: content; staff: repaired")


def test_a_track_that_is_handed_over_ends_the_case_as_handed_over_after_the_other(
    room: MakeRoom,
) -> None:
    one = room(TRACKS)
    one.raise_alarm()
    one.pass_time(minutes=10)
    one.pass_time(hours=1)
    one.reply("chief", "1")
    assert one.story("track.ended") == ["staff: handed over to Chief"]
    assert one.outcome[0] == "open", "the customer has not answered yet"
    one.pass_time(hours=24)
    assert one.outcome == (
        "handed_over",
        "staff: handed over to Chief; customer: silent",
    )
    assert one.due_at is None


def test_what_stands_behind_a_track_that_ends_goes_with_it(room: MakeRoom) -> None:
    one = room(TRACKS)
    one.raise_alarm()
    one.reply("guard", "1")
    one.clear_alarm()
    paths = [track["path"] for track in one.case().progress["tracks"]]
    assert paths == ["0", "0.branches.1.1"]


def test_group_wait_is_read_and_is_part_of_the_version() -> None:
    plain = read_workflow("steps:\n  - close: done")
    grouped = read_workflow("group_wait: 30s\nsteps:\n  - close: done")
    assert (plain.group_wait_s, grouped.group_wait_s) == (0.0, 30.0)
    assert plain.steps == grouped.steps
    assert plain.version != grouped.version
    assert plain.version == read_workflow("- close: done").version


def test_tracks_can_be_grouped_too() -> None:
    workflow = read_workflow(
        "group_wait: 1m\ntracks:\n  staff: {close: a}\n  customer:\n    - close: b"
    )
    assert workflow.group_wait_s == 60.0
