"""What the processor says of alarms is written once, however often it is said."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import col, select

from prevenant.clock import from_epoch
from prevenant.domain import Severity, Transition
from prevenant.shelving import FLAPPING, MAINTENANCE, SHELVED, Shelf
from prevenant.store import Store
from prevenant.stream.alarms import write_transitions
from prevenant.tables import Alarm, CaseEvent, TimelineEntry
from tests.servers import Files

_START = 1_800_000_000.0


def _transition(
    kind: str, after_s: float, onset_s: float, severity: Severity = Severity.MINOR
) -> Transition:
    at, onset_at = _START + after_s, _START + onset_s
    held_by = "flapping" if kind == "shelved" else ""
    return Transition(
        kind, "hot", "unit", "s", "s/u", severity, onset_at, at, {}, "why", held_by, at + 3600
    )


def _story(store: Store) -> list[tuple[str, float]]:
    with store.read() as session:
        entries = session.exec(select(TimelineEntry).order_by(col(TimelineEntry.id)))
        return [(one.kind, (one.at - from_epoch(_START)).total_seconds()) for one in entries]


def _heard(store: Store) -> list[str]:
    with store.read() as session:
        return list(session.exec(select(CaseEvent.kind).order_by(col(CaseEvent.id))))


def _alarms(store: Store) -> list[tuple[str, int]]:
    with store.read() as session:
        return [(one.state, one.severity) for one in session.exec(select(Alarm))]


def _write_from_every_crash(store: Store, whole: list[Transition]) -> None:
    """Write a history, and then again from each of its points, as after a crash."""
    with store.write() as session:
        write_transitions(session, whole)
    told = _story(store), _heard(store), _alarms(store)
    for begin in range(len(whole)):
        with store.write() as session:
            write_transitions(session, whole[begin:])
        assert (_story(store), _heard(store), _alarms(store)) == told, f"from {begin}"


def test_a_ladder_climbed_twice(store: Store) -> None:
    _write_from_every_crash(
        store,
        [
            _transition("raised", 0, 0),
            _transition("levelled", 10, 0, Severity.MAJOR),
            _transition("levelled", 20, 0, Severity.MINOR),
            _transition("levelled", 30, 0, Severity.MAJOR),
        ],
    )
    assert _alarms(store) == [("active", Severity.MAJOR)]
    assert _heard(store) == ["alarm.raised"] + ["alarm.levelled"] * 3


def test_a_latched_alarm_lives_three_times(store: Store) -> None:
    _write_from_every_crash(
        store,
        [
            _transition(kind, after_s, onset_s)
            for onset_s in (0, 100, 200)
            for kind, after_s in (("raised", onset_s), ("latched", onset_s + 50))
        ][:-1],
    )
    assert _alarms(store) == [("active", Severity.MINOR)]


def test_an_alarm_that_flaps_is_shelved_while_it_is_raised(store: Store) -> None:
    _write_from_every_crash(
        store,
        [_transition("raised", 0, 0), _transition("shelved", 5, 0)],
    )
    assert [kind for kind, _ in _story(store)] == ["alarm.raised", "alarm.shelved"]


@st.composite
def _histories(draw: st.DrawFn) -> list[Transition]:
    """Draw changes of alarms as they follow each other, of a few rules and devices."""
    history = []
    onsets: dict[tuple[str, str], float] = {}
    for at in range(draw(st.integers(1, 50))):
        key = rule, device = draw(st.sampled_from("ab")), draw(st.sampled_from("xyz"))
        kinds = ["raised", "passed", "levelled", "shelved", "released", "cleared", "latched"]
        kind = draw(st.sampled_from(kinds))
        if kind in {"raised", "passed"}:
            onsets[key] = float(at)
        held_by = draw(st.sampled_from(["", "", FLAPPING, "other"]))
        severity = draw(st.sampled_from([Severity.MINOR, Severity.LIFE_SAFETY]))
        onset_at = _START + onsets.get(key, 0.0)
        now = _START + at
        history.append(
            Transition(
                kind, rule, "unit", "s", device, severity, onset_at, now, {}, "", held_by, now + 20
            )
        )
    return history


@st.composite
def _shelves(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw what people have shelved."""
    return [
        {
            "kind": draw(st.sampled_from([SHELVED, MAINTENANCE])),
            "rule": draw(st.sampled_from(["", "a", "b"])),
            "device_id": draw(st.sampled_from(["", "x"])),
            "site_id": draw(st.sampled_from(["s", "", "t"])),
            "starts_at": from_epoch(_START + draw(st.integers(-5, 30))),
            "ends_at": from_epoch(_START + 30 + draw(st.integers(0, 30))),
            "owner": "Nora",
            "created_at": from_epoch(_START),
        }
        for _ in range(draw(st.integers(0, 3)))
    ]


@given(history=_histories(), shelves=_shelves())
def test_changes_written_together_are_as_if_each_were_written_by_itself(
    files: Files, history: list[Transition], shelves: list[dict[str, Any]]
) -> None:
    def write(parts: Sequence[Sequence[Transition]]) -> list[list[dict[str, Any]]]:
        with files.lent() as path:
            store = Store(f"sqlite:///{path}", is_durable=False)
            with store.write() as session:
                session.add_all(Shelf(**shelf) for shelf in shelves)
            for part in parts:
                with store.write() as session:
                    write_transitions(session, part)
            with store.read() as session:
                found = [
                    [
                        row.model_dump()
                        for row in session.exec(select(table).order_by(col(table.id)))
                    ]
                    for table in (Alarm, TimelineEntry, CaseEvent, Shelf)
                ]
            store.close()
        return found

    assert write([history]) == write([[one] for one in history])
