"""A step that fails stops neither its case nor another, and a person hears of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlmodel import select

from tests.workflows.room import Room
from workflows import case as cases
from workflows import steps
from workflows.running import RESCUE, RunningCase
from workflows.tables import Case, Offer

MakeRoom = Callable[[str], Room]

WAIT = """
- wait: alarm.cleared
  within: 1h
  otherwise: {tell: guard, template: plain}
- close: over
"""


@contextmanager
def broken(name: str, *, unless: Callable[[RunningCase], bool]) -> Iterator[None]:
    """Let a step function of a case fail, except where `unless` says otherwise."""
    sound = getattr(steps, name)

    def fails(run: RunningCase, *rest: object) -> object:
        if unless(run):
            return sound(run, *rest)
        message = "the step is broken"
        raise ZeroDivisionError(message)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(steps, name, fails)
        yield


def _is_rescued(run: RunningCase) -> bool:
    """Return whether what happens now is of the track that brings a person."""
    return any(track.path == RESCUE and track.due_at is None for track in run.progress.tracks)


def test_a_deadline_that_fails_is_told_at_once_and_tried_again(room: MakeRoom) -> None:
    one = room(WAIT)
    one.raise_alarm()
    with broken("expire", unless=_is_rescued):
        one.pass_time(hours=1)
        assert one.told() == ["desk case_failed"]
        assert one.outcome[0] == "open"
        assert "the step is broken" in one.outcome[1]
        assert one.due_at == one.clock.now() + timedelta(minutes=5)
        one.pass_time(minutes=5)
    assert one.told() == ["desk case_failed"], "once is enough"
    one.pass_time(minutes=5)
    assert one.told() == ["desk case_failed", "guard plain"]
    assert one.outcome == ("closed", "over")
    assert "case.recovered" in one.kinds()


def test_while_it_fails_people_are_asked_again(room: MakeRoom) -> None:
    one = room(WAIT)
    one.raise_alarm()
    with broken("expire", unless=_is_rescued):
        for _ in range(5):
            one.pass_time(hours=1)
    assert one.told("desk").count("case_failed") >= 3
    assert one.outcome[0] == "open"
    assert one.due_at is not None


def test_what_fails_for_good_is_left_to_a_person(room: MakeRoom) -> None:
    one = room(WAIT)
    one.raise_alarm()
    with broken("expire", unless=_is_rescued):
        one.pass_time(hours=1)
        for _ in range(12):
            one.pass_time(minutes=5)
        paths = [track["path"] for track in one.case().progress["tracks"]]
    assert paths == [RESCUE]
    one.reply("desk", "1")
    assert one.outcome == ("handed_over", "handed over to Desk")
    assert one.due_at is None


def test_offers_of_a_case_that_is_left_to_a_person_are_taken_back(room: MakeRoom) -> None:
    one = room("- dispatch: {skill: cold, offer: 10m}\n  otherwise: {hand_off: guard}")
    one.raise_alarm()
    with broken("expire", unless=_is_rescued):
        one.pass_time(minutes=10)
        for _ in range(12):
            one.pass_time(minutes=5)
    with one.store.read() as session:
        assert session.exec(select(Offer.state)).all() == ["withdrawn"]
    assert one.told("tom") == ["job_offer", "job_over"]
    one.reply("tom", "1")
    assert "offer.late" in one.kinds()
    assert one.outcome[0] == "open", "a person is still asked"


def test_an_event_that_fails_again_and_again_brings_a_person_beside_the_rest(
    room: MakeRoom,
) -> None:
    one = room(WAIT)
    one.raise_alarm()
    with pytest.MonkeyPatch.context() as patched:

        def fails(*_: object) -> None:
            raise ZeroDivisionError

        patched.setattr(cases, "take", fails)
        one.clear_alarm()
        assert one.told() == []
        one.pass_time(seconds=3)
        one.pass_time(seconds=5)
        assert one.told() == ["desk case_failed"]
    one.pass_time(hours=1)
    assert one.outcome == ("closed", "over"), "the rest of the case went on"


@pytest.mark.parametrize("texts", ["odd: {en: {sms: '{{ values.temperature + 1 }}'}}"])
def test_an_alarm_whose_workflow_cannot_begin_still_has_a_case(room: MakeRoom, texts: str) -> None:
    from tests.workflows.room import make_templates, read_workflow  # noqa: PLC0415  only here

    one = room(WAIT)
    one.templates = make_templates(texts)
    one.use(read_workflow("- tell: customer\n  template: odd"))
    one.raise_alarm()
    for _ in range(3):
        one.pass_time(seconds=5)
    assert one.told() == ["desk case_failed"]
    assert "the workflow cannot begin" in one.outcome[1]
    one.tell_case("case.taken", by="Zoe")
    assert one.outcome == ("handed_over", "handed over to Zoe")


def test_where_nobody_is_there_to_take_it_somebody_is_looked_for_again(room: MakeRoom) -> None:
    from prevenant.crm.tables import RoleHolder  # noqa: PLC0415  only here

    one = room(WAIT)
    with one.store.write() as session:
        holder = session.exec(select(RoleHolder).where(RoleHolder.role == "dispatcher")).one()
        session.delete(holder)
    one.raise_alarm()
    with broken("expire", unless=_is_rescued):
        one.pass_time(hours=1)
        assert one.told() == []
        with one.store.write() as session:
            session.add(RoleHolder(contact_id="desk", role="dispatcher"))
        one.pass_time(hours=1)
    assert one.told() == ["desk case_failed"]


def test_a_case_that_takes_steps_without_end_is_left_to_a_person(
    room: MakeRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = room(WAIT)
    monkeypatch.setattr(cases, "_STEP_LIMIT", 0)
    one.raise_alarm()
    for _ in range(3):
        one.pass_time(seconds=5)
    assert one.told() == ["desk case_failed"]


def test_a_person_hears_of_a_case_whose_progress_cannot_be_read(room: MakeRoom) -> None:
    """What it said before says nothing of what it has to say now."""
    one = room("- tell: guard\n  template: plain\n" + WAIT.lstrip())
    one.raise_alarm()
    with one.store.write() as session:
        case = session.exec(select(Case)).one()
        case.progress = {"tracks": "as no version writes them"}
        session.add(case)
    one.pass_time(hours=1)
    assert one.told() == ["guard plain", "desk case_failed"]
