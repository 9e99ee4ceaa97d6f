"""From a change of an alarm to the transition that tells of it, with what decided."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from prevenant.domain import Reading, Transition
from rules.alarm import AlarmState, Change
from rules.derived import Lookup, value_lookup
from rules.explain import describe_quantity, reason_of, trace_line, with_values
from rules.expression import Atom, Field, Truth, leaves_of
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
    values = msgspec.structs.asdict(reading.values)
    if None in values.values():
        values = {name: value for name, value in values.items() if value is not None}
    traced = lane.plan.trace(number, state.judged)
    value_of = lookup or value_lookup(reading)
    held_by, held_until = "", 0.0
    if alarm is not None and alarm.held_by and kind in {"raised", "shelved"}:
        held_by = alarm.held_by
        held_until = alarm.held_until if held_by == FLAPPING else 0.0
    return Transition(
        kind,
        rule.name,
        lane.name,
        reading.site_id,
        reading.device_id,
        int(rule.severity_at(change.level)),
        change.onset,
        change.at,
        values,
        with_values(_reason(lane, number, kind, held_until), _seen(values, traced, lookup)),
        held_by,
        held_until,
        tuple([trace_line(atom, words, truth, value_of) for atom, words, truth in traced]),
    )


def _reason(lane: Lane, number: int, kind: str, held_until: float) -> str:
    if kind == "shelved":
        until = datetime.fromtimestamp(held_until, UTC).isoformat(" ", "minutes")
        return reason_of(lane.rules[number], kind, until)
    reason = lane.reasons.get((number, kind))
    if reason is None:
        reason = lane.reasons[number, kind] = reason_of(lane.rules[number], kind)
    return reason


def _seen(
    values: dict[str, Any], traced: Sequence[tuple[Atom, str, Truth]], lookup: Lookup | None
) -> dict[str, Any]:
    """Return the values that the conditions looked at, as they were read and as they were derived."""
    leaves = [leaf for atom, _, _ in traced for leaf in leaves_of(atom)]
    read = {leaf.name for leaf in leaves if isinstance(leaf, Field)}
    seen = {name: value for name, value in values.items() if name in read}
    if lookup is not None:
        derived = {describe_quantity(x): lookup(x) for x in leaves if not isinstance(x, Field)}
        seen |= {name: value for name, value in derived.items() if value is not None}
    return seen


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
