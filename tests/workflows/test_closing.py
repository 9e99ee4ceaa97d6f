"""What the technician found becomes a label, however it is said; no word of a code is no label."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
from sqlmodel import select

from prevenant.clock import epoch_seconds
from prevenant.errors import ConfigurationError
from prevenant.labels import Label, find_labels, write_failures
from prevenant.store import Store
from tests.moved_clock import MovedClock
from tests.workflows.room import Room
from workflows import deskwork
from workflows.closing import CONFIRMED, NO_FAULT, OTHER, read_code
from workflows.tables import CaseAlarm, WorkOrder

STEPS = """
- dispatch: {skill: cold, within: 60 km}
  otherwise: {hand_off: desk}
- wait: technician.done
  within: 8h
  otherwise: {hand_off: desk}
- close: done
"""
PREDICTED = {"worn.probability": 0.9, "worn.why": {"en": "its current is high"}}


@pytest.mark.parametrize(
    ("text", "code", "cause"),
    [
        ("confirmed", CONFIRMED, ""),
        ("Confirmed: bearing worn", CONFIRMED, "bearing worn"),
        ("as predicted, the relay", CONFIRMED, "the relay"),
        ("confirmé - roulement usé", CONFIRMED, "roulement usé"),
        ("Comme prévu.", CONFIRMED, ""),
        ("no fault found", NO_FAULT, ""),
        ("NFF", NO_FAULT, ""),
        ("no fault. cleaned it", NO_FAULT, "cleaned it"),
        ("rien trouvé", NO_FAULT, ""),
        ("RAS", NO_FAULT, ""),
        ("aucun défaut", NO_FAULT, ""),
        ("other cause: door left open", OTHER, "door left open"),
        ("autre : fusible", OTHER, "fusible"),
        ("seal worn", "", "seal worn"),
        ("otherwise fine", "", "otherwise fine"),
        ("confirmation pending", "", "confirmation pending"),
        ("", "", ""),
    ],
)
def test_a_code_stands_first_in_either_language(text: str, code: str, cause: str) -> None:
    assert read_code(text) == (code, cause)


def begin(store: Store, clock: MovedClock, values: Mapping[str, Any] | None = None) -> Room:
    """Let an alarm bring a technician, one that a model raised where nothing else is said."""
    room = Room(store, clock, STEPS)
    room.raise_alarm(values=PREDICTED if values is None else values)
    room.deliver()
    room.reply("tom", "1")
    assert room.kinds().count("offer.accepted") == 1
    return room


def order_of(store: Store) -> WorkOrder:
    with store.read() as session:
        return session.exec(select(WorkOrder)).one()


@pytest.mark.parametrize(
    ("said", "code", "cause"),
    [
        ("3 confirmed: bearing worn", CONFIRMED, "bearing worn"),
        ("3 aucun défaut", NO_FAULT, ""),
        ("3 other cause: door left open", OTHER, "door left open"),
        ("3 seal worn", "", "seal worn"),
    ],
)
def test_a_reply_with_a_code_is_a_label(
    store: Store, clock: MovedClock, said: str, code: str, cause: str
) -> None:
    room = begin(store, clock)
    raised_at = epoch_seconds(clock.now())
    room.pass_time(hours=1)
    room.deliver()
    room.reply("tom", said)
    order = order_of(store)
    assert (order.state, order.code, order.cause) == ("done", code, cause)
    with store.read() as session:
        labels = list(find_labels(session, "room", "worn"))
    expected = Label("s/fridge", epoch_seconds(clock.now()), code, raised_at, cause, ("worn",))
    assert labels == ([expected] if code else [])
    assert [one.is_failure for one in labels] == ([code == CONFIRMED] if code else [])


def test_the_desk_says_it_with_the_same_codes(store: Store, clock: MovedClock) -> None:
    room = begin(store, clock)
    case_id = room.case().id or 0
    with store.write() as session:
        with pytest.raises(ConfigurationError, match="is no closing code: write one of confirmed"):
            deskwork.post(session, deskwork.DONE, case_id, clock.now(), "ada", "", "maybe")
        deskwork.post(session, deskwork.DONE, case_id, clock.now(), "ada", "worn", CONFIRMED)
    room.work()
    assert (order_of(store).code, order_of(store).cause) == (CONFIRMED, "worn")
    assert room.story("technician.done") == ["Tom is done: confirmed: worn"]


def test_nobody_is_done_who_was_never_sent(store: Store, clock: MovedClock) -> None:
    room = Room(
        store, clock, "- wait: alarm.cleared\n  within: 1h\n  otherwise: {hand_off: desk}\n"
    )
    room.raise_alarm()
    with (
        store.write() as session,
        pytest.raises(ConfigurationError, match="no technician is under"),
    ):
        deskwork.post(
            session, deskwork.DONE, room.case().id or 0, clock.now(), "ada", "", CONFIRMED
        )


def test_labels_are_those_of_the_model_the_type_and_the_time(
    store: Store, clock: MovedClock
) -> None:
    room = begin(store, clock)
    room.deliver()
    room.reply("tom", "3 confirmed")
    with store.read() as session:
        assert len(list(find_labels(session, "room"))) == 1
        assert list(find_labels(session, "room", "other")) == []
        assert list(find_labels(session, "door")) == []
        later = clock.now() + timedelta(seconds=1)
        assert list(find_labels(session, "room", since=later)) == []


@pytest.mark.parametrize(
    "values", [{}, {"amps": 60.0, "worn.why": "", "worn.parts": "", "other.probability": 0.4}]
)
def test_a_visit_that_a_model_did_not_lead_to_is_none_of_its_labels(
    store: Store, clock: MovedClock, values: dict[str, Any]
) -> None:
    """The words of a model stand in every alarm of its devices, with nothing in them."""
    room = begin(store, clock, values)
    room.reply("tom", "3 confirmed")
    with store.read() as session:
        assert list(find_labels(session, "room", "worn")) == []
        (label,) = find_labels(session, "room")
    assert label.models == (("other",) if values else ())


def test_what_was_found_is_about_the_device_that_was_visited(
    store: Store, clock: MovedClock
) -> None:
    steps = f"group_wait: 10m\nsteps:\n{indent(STEPS, '  ')}"
    room = Room(store, clock, steps)
    room.raise_alarm(values=PREDICTED)
    room.raise_alarm(values=PREDICTED, device="s/other")
    room.pass_time(minutes=11)
    room.deliver()
    room.reply("tom", "1")
    room.reply("tom", "3 confirmed")
    with store.read() as session:
        assert len(session.exec(select(CaseAlarm)).all()) == 2
        assert [one.device for one in find_labels(session, "room")] == [order_of(store).device_id]


def test_what_was_confirmed_is_a_file_of_failures(clock: MovedClock, tmp_path: Path) -> None:
    at = epoch_seconds(clock.now())
    labels = [
        Label("s/one", at, CONFIRMED, at - 60, "bearing, worn"),
        Label("s/two", at, NO_FAULT, at - 60, ""),
    ]
    assert write_failures(tmp_path / "labels.csv", labels) == 1
    assert (tmp_path / "labels.csv").read_text().splitlines() == [
        "device,failed_at,cause",
        f's/one,{clock.now().isoformat()},"bearing, worn"',
    ]
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_failures(tmp_path / "none" / "labels.csv", labels)
