"""From a change of an alarm to the transition that tells of it, with what decided."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from prevenant.domain import Reading, TraceLine, Transition, values_by_name
from rules.alarm import AlarmState, Change
from rules.derived import Lookup, value_lookup
from rules.explain import Asked, reason_of, with_values
from rules.expression import quantity_value
from rules.lane import DeviceState, Lane
from rules.signature import Signature
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
    if lane.is_predicted:
        values = values_by_name(reading.values)
    else:
        values = msgspec.structs.asdict(reading.values)
        if None in values.values():
            values = {name: value for name, value in values.items() if value is not None}
    asked = lane.plan.asked(number)
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
        with_values(_reason(lane, number, kind, held_until), _seen(values, asked, lookup)),
        held_by,
        held_until,
        _trace(asked, state.judged, lookup or value_lookup(reading)),
    )


def _reason(lane: Lane, number: int, kind: str, held_until: float) -> str:
    if kind == "shelved":
        until = datetime.fromtimestamp(held_until, UTC).isoformat(" ", "minutes")
        return reason_of(lane.rules[number], kind, until)
    reason = lane.reasons.get((number, kind))
    if reason is None:
        reason = lane.reasons[number, kind] = reason_of(lane.rules[number], kind)
    return reason


def _trace(asked: Asked, judged: Signature, lookup: Lookup) -> tuple[TraceLine, ...]:
    """Return every comparison with what it compared, and its truth."""
    return tuple(
        [
            TraceLine(words, None if of is None else quantity_value(of, lookup), truth_at(judged))
            for words, of, truth_at in asked.atoms
        ]
    )


def _seen(values: dict[str, Any], asked: Asked, lookup: Lookup | None) -> dict[str, Any]:
    """Return the values that the conditions looked at, as they were read and as they were derived."""
    seen = {name: value for name, value in values.items() if name in asked.fields}
    if lookup is not None:
        derived = {words: lookup(leaf) for leaf, words in asked.derived}
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
