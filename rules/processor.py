"""The processor: a function of (book, state, readings, time) to the changes of alarms. It does no I/O.

    process(readings, now) -> transitions      advance(now) -> transitions      next_deadline()
    snapshot() -> bytes                        restore(bytes, now) -> transitions

The same readings give the same transitions for any split into batches, because every timer that is
due before a reading was received ends before that reading is taken, at its own due time.
All times are seconds since 1970, UTC.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from prevenant.domain import FieldType, Reading, Transition
from rules import nearby
from rules.alarm import PENDING, AlarmState, Change, Evidence, Holds, Step, take_evidence, take_time
from rules.book import Rule, RuleBook
from rules.explain import reason_of
from rules.flood import Flood
from rules.signature import Compiled, Plan, Signature

_MICROSECOND = 1e-6
_FLOOD = "*"
"""Stands for a rule where the timer is that of a held reading."""


class DeviceState(msgspec.Struct):
    """What the processor knows of one device."""

    reading: Reading
    signature: Signature
    alarms: dict[str, AlarmState]
    """By rule, all that are not idle."""
    nears: list[nearby.NearState]
    """One for each `near` of the type."""
    ended: dict[str, float] = {}
    """Onsets of alarms, by rule, that began and ended at the present observed time."""
    judged: Signature = ()
    """The whole signature, with `nears`, at which the alarms stand; empty where none was judged."""
    timed: set[int] = set()
    """The rules, by number, whose alarm has a timer: each reading that agrees may move it."""
    flood: Flood | None = None
    is_holding: bool = False
    """Whether a newer reading is held back, because the device changes too often."""

    def whole_signature(self) -> Signature:
        """Return the signature with the truths of `near`."""
        return self.signature + tuple([near.truth for near in self.nears])


class _Lane:
    """Everything about one device type: its rules in order, their plan, and its devices."""

    def __init__(self, book: RuleBook, type_name: str) -> None:
        self.rules: list[Rule] = [rule for rule in book.rules.values() if rule.on == type_name]
        self.holds = [Holds(rule.for_s, rule.clear_for_s) for rule in self.rules]
        self.plan = Plan(
            book.devices[type_name], [Compiled(rule.when, rule.clear) for rule in self.rules]
        )
        self.index = {rule.name: number for number, rule in enumerate(self.rules)}
        self.devices: dict[str, DeviceState] = {}
        self.max_rate = book.devices[type_name].max_rate
        self.is_kept = False
        """Whether readings of this type may answer another type's `near`."""


class Processor:
    """Decides alarms on every device of a book, with timers that need no message to fire."""

    def __init__(self, book: RuleBook) -> None:
        self._book = book
        self._lanes = {name: _Lane(book, name) for name in book.devices}
        self._deadlines: list[tuple[float, str, str, str]] = []
        """A heap of (due, type, device, rule); the rule is empty for a `near`, `*` for a held reading. Old
        entries are passed."""
        self._scheduled: dict[tuple[str, str, str], float] = {}
        self._history = nearby.History(
            {
                near.type: max(near.within_s, 0.0)
                for lane in self._lanes.values()
                for near in sorted(lane.plan.nears, key=lambda n: n.within_s)
            }
        )
        for name, lane in self._lanes.items():
            lane.is_kept = self._history.keeps(name)
        self._watchers: dict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)
        """By (site, type of the neighbour): the devices whose `near` it may answer."""
        self.late = 0
        """Readings that came after a newer one of their device: recorded, not evaluated."""
        self.floods: dict[str, int] = {}
        """By device: how many readings were not weighed because it changes too often."""

    def process(self, readings: Iterable[Reading], now: float) -> list[Transition]:
        """Take readings in the order in which they were received, then the time up to `now`.

        Where `now` lies before their arrival, timers wait: what comes after a time in which nothing
        could be heard may tell of a change within it.
        """
        transitions: list[Transition] = []
        deadlines, lanes = self._deadlines, self._lanes
        for reading in readings:
            if deadlines and deadlines[0][0] <= reading.received_at:
                self._advance(min(reading.received_at, now), transitions)
            lane = lanes[reading.type]
            state = lane.devices.get(reading.device_id)
            signature = lane.plan.signature(reading)
            if (
                state is None
                or signature != state.signature
                or state.timed
                or state.ended
                or state.is_holding
                or lane.is_kept
                or reading.retained
                or reading.observed_at < state.reading.observed_at
            ):
                self._take(lane, state, reading, signature, transitions)
            else:
                # Nothing can have changed: so it is with nearly every reading.
                state.reading = reading
        self._advance(now, transitions)
        return transitions

    def advance(self, now: float) -> list[Transition]:
        """Let every timer end that is due at `now`."""
        transitions: list[Transition] = []
        self._advance(now, transitions)
        return transitions

    def newest(self, type_name: str, device_id: str) -> Reading | None:
        """Return the newest reading of a device, or None."""
        state = self._lanes[type_name].devices.get(device_id)
        return None if state is None else _newest(state)

    def readings(self) -> list[Reading]:
        """Return the newest reading of every device."""
        lanes = self._lanes.values()
        return [_newest(state) for lane in lanes for state in lane.devices.values()]

    def take_floods(self) -> dict[str, int]:
        """Return `floods` and begin anew."""
        floods, self.floods = self.floods, {}
        return floods

    def next_deadline(self) -> float | None:
        """Return when `advance` may next have something to do, or None."""
        return self._deadlines[0][0] if self._deadlines else None

    def snapshot(self) -> bytes:
        """Return the whole state."""
        devices = [
            (name, key, _packed(state))
            for name, lane in self._lanes.items()
            for key, state in lane.devices.items()
        ]
        return msgspec.msgpack.encode(
            {
                "rules": self._book.fingerprint,
                "devices": devices,
                "history": self._history.packed(),
                "late": self.late,
            }
        )

    def restore(self, snapshot: bytes, now: float) -> list[Transition]:
        """Take over the state of an earlier processor, perhaps of another book.

        Alarms of rules that the book no longer has are cleared, and say so. New rules judge what was
        last received.
        """
        state = msgspec.msgpack.decode(snapshot)
        self.late = state["late"]
        self._history.unpack(state["history"], self._unpack_reading)
        transitions: list[Transition] = []
        for name, key, packed in state["devices"]:
            if name in self._lanes:
                self._restore_device(name, key, packed, now, transitions)
        same_rules = state["rules"] == self._book.fingerprint
        for lane in self._lanes.values():
            for device in lane.devices.values():
                if same_rules:
                    device.judged = device.whole_signature()
                else:
                    self._evaluate(lane, device, now, transitions)
        return transitions

    def _take(
        self,
        lane: _Lane,
        state: DeviceState | None,
        reading: Reading,
        signature: Signature,
        transitions: list[Transition],
    ) -> None:
        if state is None:
            nears = [nearby.NearState() for _ in lane.plan.nears]
            state = lane.devices[reading.device_id] = DeviceState(reading, (), {}, nears)
        elif reading.retained or reading.observed_at < _newest(state).observed_at:
            self.late += 1
            return
        may_change = signature != state.signature or lane.is_kept or state.is_holding
        if may_change and self._is_held(lane, state, reading):
            return
        self._weigh(lane, state, reading, signature, transitions)

    def _is_held(self, lane: _Lane, state: DeviceState, reading: Reading) -> bool:
        """Return whether the device changes too often for this reading to be weighed now."""
        flood = state.flood
        if flood is None:
            flood = state.flood = Flood()
        was_holding, shed = state.is_holding, flood.shed
        state.is_holding = not flood.admits(reading, lane.max_rate)
        if state.is_holding and not was_holding:
            self._schedule(flood.due, reading.type, reading.device_id, _FLOOD)
        if flood.shed > shed:
            self.floods[reading.device_id] = self.floods.get(reading.device_id, 0) + 1
        return state.is_holding

    def _weigh(
        self,
        lane: _Lane,
        state: DeviceState,
        reading: Reading,
        signature: Signature,
        transitions: list[Transition],
    ) -> None:
        if state.ended and reading.observed_at > state.reading.observed_at:
            state.ended.clear()
        state.reading = reading
        if signature != state.signature:
            state.signature = signature
            if lane.plan.nears:
                self._move_nears(lane, state)
            self._evaluate(lane, state, reading.received_at, transitions)
        elif state.timed:
            self._evaluate(lane, state, reading.received_at, transitions)
        if lane.is_kept:
            self._history.add(reading)
            self._answer_watchers(reading, transitions)

    def _evaluate(
        self, lane: _Lane, state: DeviceState, now: float, transitions: list[Transition]
    ) -> None:
        """Weigh the device's last reading for every rule that it can concern."""
        evidence = Evidence(state.reading.observed_at, state.reading.received_at, now)
        signature = state.whole_signature() if state.nears else state.signature
        touched = lane.plan.touched(state.judged, signature)
        state.judged = signature
        for number in sorted({*touched, *state.timed}):
            truths = lane.plan.truths(number, signature)
            rule = lane.rules[number]
            alarm = state.alarms.get(rule.name)
            if alarm is None and truths[0] is not True:
                continue
            if alarm is None and rule.name in state.ended:
                # The onset is part of an alarm's identity: the next one at the same time is another.
                onset = max(evidence.observed, state.ended[rule.name] + _MICROSECOND)
                again = Evidence(onset, evidence.received, now)
                step = take_evidence(None, truths, again, lane.holds[number])
            else:
                step = take_evidence(alarm, truths, evidence, lane.holds[number])
            self._settle(lane, number, state, step, transitions)

    def _settle(
        self,
        lane: _Lane,
        number: int,
        state: DeviceState,
        step: Step,
        transitions: list[Transition],
    ) -> None:
        """Keep the alarm's new state, its timer, and what has to be told of it."""
        alarm, change = step
        rule = lane.rules[number]
        state.timed.discard(number)
        if alarm is None:
            state.alarms.pop(rule.name, None)
            if change is not None:
                state.ended[rule.name] = change.onset
        else:
            state.alarms[rule.name] = alarm
            due = alarm.due_at(lane.holds[number])
            if due is not None:
                state.timed.add(number)
                self._schedule(due, state.reading.type, state.reading.device_id, rule.name)
        if change is not None:
            fields = self._book.devices[rule.on].fields
            transitions.append(_transition(rule, fields, state.reading, change))

    def _schedule(self, due: float, type_name: str, device_id: str, rule: str) -> None:
        key = (type_name, device_id, rule)
        scheduled = self._scheduled.get(key)
        if scheduled is None or due < scheduled:
            self._scheduled[key] = due
            heapq.heappush(self._deadlines, (due, *key))

    def _advance(self, now: float, transitions: list[Transition]) -> None:
        while self._deadlines and self._deadlines[0][0] <= now:
            due, type_name, device_id, rule_name = heapq.heappop(self._deadlines)
            key = (type_name, device_id, rule_name)
            if self._scheduled.get(key) != due:
                continue
            del self._scheduled[key]
            lane = self._lanes[type_name]
            state = lane.devices[device_id]
            if rule_name == _FLOOD:
                self._release(lane, state, due, transitions)
            elif rule_name:
                self._end_hold(lane, state, rule_name, due, transitions)
            else:
                self._end_nears(lane, state, due, transitions)

    def _release(
        self, lane: _Lane, state: DeviceState, now: float, transitions: list[Transition]
    ) -> None:
        """Weigh the reading that was held, unless a newer one took its place."""
        flood = state.flood
        if flood is None or flood.held is None:
            return
        if flood.due > now:
            self._schedule(flood.due, state.reading.type, state.reading.device_id, _FLOOD)
            return
        held, state.is_holding = flood.release(), False
        if held is not None:
            self._weigh(lane, state, held, lane.plan.signature(held), transitions)

    def _end_hold(
        self,
        lane: _Lane,
        state: DeviceState,
        rule_name: str,
        now: float,
        transitions: list[Transition],
    ) -> None:
        alarm = state.alarms.get(rule_name)
        if alarm is None:
            return
        number = lane.index[rule_name]
        step = take_time(alarm, now, lane.holds[number])
        self._settle(lane, number, state, step, transitions)

    def _move_nears(self, lane: _Lane, state: DeviceState) -> None:
        """Where the rest of a condition changed, move the moment of its `near` to this reading."""
        reading = state.reading
        for near, moment in zip(lane.plan.nears, state.nears, strict=True):
            rest = lane.plan.rest_of(near, state.signature)
            if rest == moment.rest:
                continue
            moment.move(reading, rest)
            nearby.answer(moment, near, reading, self._history.readings(reading.site_id, near.type))
            self._watchers[reading.site_id, near.type].add((reading.type, reading.device_id))
            if moment.truth is None:
                due = moment.received + near.within_s
                self._schedule(due, reading.type, reading.device_id, "")

    def _answer_watchers(self, neighbour: Reading, transitions: list[Transition]) -> None:
        for type_name, device_id in sorted(self._watchers[neighbour.site_id, neighbour.type]):
            lane = self._lanes[type_name]
            state = lane.devices[device_id]
            before = [near.truth for near in state.nears]
            for near, moment in zip(lane.plan.nears, state.nears, strict=True):
                if near.type == neighbour.type and moment.truth is not True:
                    nearby.answer(moment, near, state.reading, [neighbour])
            if before != [near.truth for near in state.nears]:
                self._evaluate(lane, state, neighbour.received_at, transitions)

    def _end_nears(
        self, lane: _Lane, state: DeviceState, now: float, transitions: list[Transition]
    ) -> None:
        """Answer `near` with false where its time has passed without a neighbour's reading."""
        changed = False
        for near, moment in zip(lane.plan.nears, state.nears, strict=True):
            if moment.truth is None and moment.rest:
                due = moment.received + near.within_s
                if due <= now:
                    moment.truth = False
                    changed = True
                else:
                    self._schedule(due, state.reading.type, state.reading.device_id, "")
        if changed:
            self._evaluate(lane, state, now, transitions)

    def _restore_device(
        self, type_name: str, key: str, packed: Any, now: float, transitions: list[Transition]
    ) -> None:
        lane = self._lanes[type_name]
        reading, alarms, nears, ended, flood = packed
        state = DeviceState(
            self._unpack_reading(reading),
            (),
            {name: msgspec.convert(alarm, AlarmState) for name, alarm in alarms.items()},
            [msgspec.convert(near, nearby.NearState) for near in nears],
            ended,
            flood=flood and self._unpack_flood(flood),
        )
        if len(state.nears) != len(lane.plan.nears):
            state.nears = [nearby.NearState() for _ in lane.plan.nears]
        state.signature = lane.plan.signature(state.reading)
        if state.flood is not None and state.flood.held is not None:
            state.is_holding = True
            self._schedule(state.flood.due, type_name, key, _FLOOD)
        lane.devices[key] = state
        for name, alarm in list(state.alarms.items()):
            if name not in lane.index:
                del state.alarms[name]
                if alarm.phase != PENDING:
                    transitions.append(_orphan(name, state.reading, alarm, now))
                continue
            due = alarm.due_at(lane.holds[lane.index[name]])
            if due is not None:
                state.timed.add(lane.index[name])
                self._schedule(due, type_name, key, name)
        for near, moment in zip(lane.plan.nears, state.nears, strict=True):
            self._watchers[state.reading.site_id, near.type].add((type_name, key))
            if moment.truth is None and moment.rest:
                self._schedule(moment.received + near.within_s, type_name, key, "")

    def _unpack_flood(self, packed: Any) -> Flood:
        second, weighed, held, due, shed = packed
        return Flood(second, weighed, held and self._unpack_reading(held), due, shed)

    def _unpack_reading(self, packed: Any) -> Reading:
        reading = Reading(*packed)
        values_type = self._book.devices[reading.type].values_type
        return msgspec.structs.replace(reading, values=msgspec.convert(reading.values, values_type))


def _newest(state: DeviceState) -> Reading:
    """Return the newest reading of a device, weighed or held."""
    held = state.flood.held if state.flood else None
    return held or state.reading


def _packed(state: DeviceState) -> Any:
    flood = state.flood
    return (
        pack_reading(state.reading),
        state.alarms,
        state.nears,
        state.ended,
        flood
        and (
            flood.second,
            flood.weighed,
            flood.held and pack_reading(flood.held),
            flood.due,
            flood.shed,
        ),
    )


def pack_reading(reading: Reading) -> Any:
    """Return `reading` as plain values for a snapshot."""
    return msgspec.structs.astuple(reading)


def _transition(
    rule: Rule, fields: Sequence[FieldType], reading: Reading, change: Change
) -> Transition:
    names = [field.name for field in fields]
    values = {n: value for n in names if (value := getattr(reading.values, n)) is not None}
    return Transition(
        kind=change.kind,
        rule=rule.name,
        type=reading.type,
        site_id=reading.site_id,
        device_id=reading.device_id,
        severity=int(rule.severity),
        onset_at=change.onset,
        at=change.at,
        values=values,
        reason=reason_of(rule, change.kind, values),
    )


def _orphan(name: str, reading: Reading, alarm: AlarmState, now: float) -> Transition:
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
