"""From a change of an alarm to the transition that tells of it, with what decided."""

from datetime import UTC, datetime

from prevenant.domain import Reading, Transition
from rules.alarm import AlarmState, Change
from rules.derived import Lookup, value_lookup
from rules.explain import describe_quantity, reason_of, trace_line
from rules.expression import Field, leaves_of
from rules.lane import DeviceState, Lane
from rules.suppression import FLAPPING


def tell_change(
    lane: Lane,
    number: int,
    state: DeviceState,
    change: Change,
    alarm: AlarmState | None,
    lookup: Lookup | None,
) -> Transition:
    """Return the transition of a rule's alarm on a device; `lookup` where its rules derive values."""
    rule, reading = lane.rules[number], state.reading
    kind = "latched" if change.kind == "cleared" and rule.latch else change.kind
    value_of = lookup or value_lookup(reading)
    names = lane.field_names
    values = {n: value for n in names if (value := getattr(reading.values, n)) is not None}
    traced = lane.plan.trace(number, state.judged)
    seen = dict(values)
    if lookup is not None:
        leaves = (leaf for atom, _ in traced for leaf in leaves_of(atom))
        derived = {describe_quantity(x): lookup(x) for x in leaves if not isinstance(x, Field)}
        seen |= {name: value for name, value in derived.items() if value is not None}
    held_until = alarm.held_until if alarm else 0.0
    until = datetime.fromtimestamp(held_until, UTC).isoformat(" ", "minutes") if held_until else ""
    raised = kind in {"raised", "shelved"}
    return Transition(
        kind=kind,
        rule=rule.name,
        type=reading.type,
        site_id=reading.site_id,
        device_id=reading.device_id,
        severity=int(rule.severity_at(change.level)),
        onset_at=change.onset,
        at=change.at,
        values=values,
        reason=reason_of(rule, kind, seen, until),
        held_by=alarm.held_by if alarm and raised else "",
        held_until=held_until if alarm and raised and alarm.held_by == FLAPPING else 0.0,
        trace=tuple([trace_line(atom, truth, value_of) for atom, truth in traced]),
    )


def tell_orphan(name: str, reading: Reading, alarm: AlarmState, now: float) -> Transition:
    """Return the end of an alarm whose rule the book no longer has."""
    return Transition(
        kind="cleared",
        rule=name,
        type=reading.type,
        site_id=reading.site_id,
        device_id=reading.device_id,
        severity=1,
        onset_at=alarm.onset,
        at=now,
        values={},
        reason="the rule is no longer in the book",
    )
