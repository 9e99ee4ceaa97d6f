"""What the processor says of alarms is written once, however often it is said."""

from sqlmodel import col, select

from prevenant.clock import from_epoch
from prevenant.domain import Severity, Transition
from prevenant.store import Store
from prevenant.stream.alarms import write_transitions
from prevenant.tables import Alarm, CaseEvent, TimelineEntry

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
