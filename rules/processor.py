"""The processor: a function of (book, state, readings, time) to the changes of alarms. It does no I/O.

    process(readings, now) -> transitions      advance(now) -> transitions      next_deadline()
    snapshot() -> bytes                        restore(bytes, now) -> transitions

The same readings give the same transitions for any split into batches, because every timer that is
due before a reading was received ends before that reading is taken, at its own due time.
All times are seconds since 1970, UTC.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable
from math import inf

import msgspec

from prevenant.domain import Reading, Transition
from rules import nearby
from rules.alarm import RAISED, AlarmState, Change, Evidence, Step, take_evidence, take_time
from rules.deadlines import DERIVED, HELD, HOLD, NEAR, SILENT, Deadlines, Timer
from rules.derived import Lookup, share_of
from rules.expression import Near, SiteNumber
from rules.flood import Flood
from rules.lane import DeviceState, Lane
from rules.put_back import take_behind
from rules.rule import Rule, RuleBook
from rules.saving import Saved, load_state, save_state
from rules.signature import Signature
from rules.sites import SiteNumbers
from rules.suppression import AlarmKey, Inhibitions, hold_back
from rules.telling import tell_change, tell_orphan

_MICROSECOND = 1e-6


def in_utc(_site: str) -> str:
    """Return UTC for every site."""
    return "UTC"


class Processor:
    """Decides alarms on every device of a book, with timers that need no message to fire.

    `zone_of` names the time zone of a site, for rules that are watched at certain hours.
    """

    def __init__(self, book: RuleBook, zone_of: Callable[[str], str] = in_utc) -> None:
        self._book = book
        self._lanes = {name: Lane(book, name, zone_of) for name in book.devices}
        self._timers = Deadlines()
        self._sites = SiteNumbers()
        self._inhibitions = Inhibitions(book.every_rule)
        self._history = nearby.History(
            {
                near.type: near.within_s
                for lane in self._lanes.values()
                for near in sorted(lane.plan.nears, key=lambda n: n.within_s)
            }
        )
        for name, lane in self._lanes.items():
            lane.is_kept = self._history.keeps(name)
        self._watchers: dict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)
        """By (site, type of the neighbour): the devices whose `near` it may answer."""
        self._site_positions: dict[tuple[str, str, SiteNumber], float | None] = {}
        """By (type, site, number): where the number was last seen between its breakpoints."""
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
        timers, type_name = self._timers.heap, ""
        for reading in readings:
            if timers and timers[0][0] <= reading.received_at:
                self._advance(min(reading.received_at, now), transitions)
            if reading.type != type_name:
                type_name = reading.type
                lane = self._lanes[type_name]
                devices, signature_of = lane.devices, lane.plan.signature
            state = devices.get(reading.device_id)
            signature = signature_of(reading)
            if (
                state is None
                or signature != state.at_rest
                or reading.observed_at < state.reading.observed_at
                or reading.retained
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
        return None if state is None else state.newest

    def readings(self) -> list[Reading]:
        """Return the newest reading of every device."""
        lanes = self._lanes.values()
        return [state.newest for lane in lanes for state in lane.devices.values()]

    def take_floods(self) -> dict[str, int]:
        """Return `floods` and begin anew."""
        floods, self.floods = self.floods, {}
        return floods

    def next_deadline(self) -> float | None:
        """Return when `advance` may next have something to do, or None."""
        return self._timers.next_due()

    def snapshot(self) -> bytes:
        """Return the whole state."""
        history = self._history
        saved = Saved(self._book.fingerprint, self.late, history.packed(), history.packed_losses())
        return save_state(saved, self._lanes.values())

    def restore(self, snapshot: bytes, now: float) -> list[Transition]:
        """Take over the state of an earlier processor, perhaps of another book.

        Alarms of rules that the book no longer has are cleared, and say so. New rules judge what was
        last received.
        """
        rules = self._book.fingerprint
        saved = load_state(snapshot, self._lanes, rules)
        self.late = saved.late
        self._history.unpack(saved.history, saved.losses, self._book.devices)
        transitions: list[Transition] = []
        devices = [(lane, one) for lane in self._lanes.values() for one in lane.devices.values()]
        for lane, state in devices:
            self._take_over(lane, state, now, transitions)
        for lane, state in devices:
            self._resume(lane, state, now)
            if saved.rules == rules:
                state.judged = lane.whole_signature(state, self._lookup(lane, state, now))
                lane.settle(state)
            else:
                self._tick(lane, state, now, transitions)
        return transitions

    def _take(
        self,
        lane: Lane,
        state: DeviceState | None,
        reading: Reading,
        signature: Signature,
        transitions: list[Transition],
    ) -> None:
        """Take a reading that may change something."""
        is_new = state is None
        if state is None:
            state = lane.new_state(reading)
            self._expect(lane, reading)
        elif reading.retained or reading.observed_at < state.newest.observed_at:
            counted = None
            if not reading.retained:
                state.behind, counted = take_behind(state.behind, reading, state.newest)
            if counted is None:
                self.late += 1
                return
            reading = counted
        if state.memory is not None and (is_new or not _is_repeated(state.newest, reading)):
            lane.plan.derived.note(state.memory, reading)
        may_change = signature != state.weighed or lane.needs_every_reading or state.is_holding
        if may_change and self._is_held(lane, state, reading):
            lane.settle(state)
        else:
            self._weigh(lane, state, reading, signature, transitions)

    def _expect(self, lane: Lane, reading: Reading) -> None:
        """Take a device for silent after some time; readings until then put it off."""
        if lane.silent_after_s:
            due = reading.received_at + lane.silent_after_s
            self._timers.set(due, Timer(lane.name, reading.device_id, SILENT))

    def _is_held(self, lane: Lane, state: DeviceState, reading: Reading) -> bool:
        """Return whether the device changes too often for this reading to be weighed now."""
        flood = state.flood
        if flood is None:
            flood = state.flood = Flood()
        was_holding, shed = state.is_holding, flood.shed
        state.is_holding = not flood.admits(reading, lane.max_rate)
        if state.is_holding and not was_holding:
            self._timers.set(flood.due, Timer(lane.name, reading.device_id, HELD))
        if flood.shed > shed:
            self.floods[reading.device_id] = self.floods.get(reading.device_id, 0) + 1
        return state.is_holding

    def _weigh(
        self,
        lane: Lane,
        state: DeviceState,
        reading: Reading,
        signature: Signature,
        transitions: list[Transition],
    ) -> None:
        if state.ended and reading.observed_at > state.reading.observed_at:
            state.ended = None
        if state.is_silent:
            self._expect(lane, reading)
        state.reading, state.weighed, state.is_silent = reading, signature, False
        moved = self._share(lane, state) if lane.shares else ()
        evidence = Evidence(reading.observed_at, reading.received_at, reading.received_at)
        self._evaluate(lane, state, evidence, transitions, is_reading=True)
        lane.settle(state)
        if lane.is_kept:
            self._history.add(reading)
            self._answer_watchers(reading, transitions)
        for number in moved:
            self._tell_site(state, number, reading.received_at, transitions)

    def _tick(
        self, lane: Lane, state: DeviceState, now: float, transitions: list[Transition]
    ) -> None:
        """Weigh what is known of a device at a moment at which nothing was received from it."""
        observed = now if state.is_silent else state.observed(now)
        evidence = Evidence(observed, now, now, is_reading=False)
        self._evaluate(lane, state, evidence, transitions, is_reading=False)
        lane.settle(state)

    def _evaluate(
        self,
        lane: Lane,
        state: DeviceState,
        evidence: Evidence,
        transitions: list[Transition],
        *,
        is_reading: bool,
    ) -> None:
        """Weigh the device's last reading for every rule that it can concern."""
        lookup = self._lookup(lane, state, evidence.now)
        signature = lane.whole_signature(state, lookup)
        is_asking = state.nears and not state.is_silent
        if is_asking and self._move_nears(lane, state, signature, evidence):
            signature = lane.whole_signature(state, lookup)
        touched = lane.plan.touched(state.judged, signature)
        state.judged = signature
        timed = (state.timed or ()) if is_reading else ()
        for number in sorted({*touched, *timed} if timed else touched):
            rule = lane.rules[number]
            alarm = state.alarms.get(rule.name) if state.alarms else None
            if alarm is None and not lane.plan.holds(number, signature):
                continue
            truths = lane.plan.truths(number, signature)
            weighed = evidence
            if alarm is None and state.ended and rule.name in state.ended:
                # The onset is part of an alarm's identity: the next one at the same time is another.
                onset = max(evidence.onset, state.ended[rule.name] + _MICROSECOND)
                observed = max(evidence.observed, onset)
                weighed = msgspec.structs.replace(evidence, observed=observed, began=onset)
            step = take_evidence(alarm, truths, weighed, lane.holds(number, state.reading.site_id))
            self._settle(lane, number, state, step, evidence.now, transitions)
        if lane.plan.is_derived and not state.is_silent:
            self._watch_windows(lane, state, evidence.now)

    def _settle(
        self,
        lane: Lane,
        number: int,
        state: DeviceState,
        step: Step,
        now: float,
        transitions: list[Transition],
    ) -> None:
        """Keep the alarm's new state, its timer, and what has to be told of it."""
        alarm, change = step
        rule = lane.rules[number]
        if state.timed:
            state.timed.discard(number)
        if alarm is None:
            if state.alarms:
                state.alarms.pop(rule.name, None)
            if change is not None:
                state.ended = {**(state.ended or {}), rule.name: change.onset}
        else:
            state.alarms = state.alarms or {}
            state.alarms[rule.name] = alarm
        flaps = False
        if change is not None and change.kind == "raised" and alarm is not None:
            flaps = self._hold_back(lane, rule, state, alarm, now)
        if alarm is not None:
            self._set_timer(lane, number, state)
        if change is None:
            return
        lookup = self._lookup(lane, state, now)
        transitions.append(tell_change(lane, number, state, change, alarm, lookup))
        if flaps:
            change = Change("shelved", change.onset, change.at, change.level)
            transitions.append(tell_change(lane, number, state, change, alarm, lookup))
        if change.kind == "cleared" and not self._inhibitions.are_none:
            self._free(lane, state, rule.name, now)

    def _hold_back(
        self, lane: Lane, rule: Rule, state: DeviceState, alarm: AlarmState, now: float
    ) -> bool:
        """Find out who keeps a raised alarm from being told; return whether it flaps from now on."""
        flaps = hold_back(rule, state, alarm, self._inhibitions, now)
        if not self._inhibitions.are_none:
            key = AlarmKey(lane.name, state.reading.device_id, rule.name)
            self._inhibitions.note_raised(rule, state.reading.site_id, key, alarm)
        return flaps

    def _set_timer(self, lane: Lane, number: int, state: DeviceState) -> None:
        rule = lane.rules[number]
        alarm = (state.alarms or {})[rule.name]
        ends_at = alarm.ends_at(lane.holds(number, state.reading.site_id))
        if ends_at < inf:
            state.timed = state.timed or set()
            state.timed.add(number)
        due = min(ends_at, alarm.held_until or inf)
        if due < inf:
            self._timers.set(due, Timer(lane.name, state.reading.device_id, HOLD, rule.name))

    def _free(self, lane: Lane, state: DeviceState, rule: str, now: float) -> None:
        """Let the alarms be told, if they go on, that only the one just ended explained."""
        site = state.reading.site_id
        key = AlarmKey(lane.name, state.reading.device_id, rule)
        for freed in self._inhibitions.note_ended(rule, site, key):
            other = self._lanes[freed.type]
            device = other.devices[freed.device_id]
            alarm = (device.alarms or {}).get(freed.rule)
            if alarm is not None:
                number = other.index[freed.rule]
                alarm.held_until = now + other.release_after_s(other.rules[number])
                self._set_timer(other, number, device)
                other.settle(device)

    def _advance(self, now: float, transitions: list[Transition]) -> None:
        while self._timers.heap and self._timers.heap[0][0] <= now:
            ended = self._timers.pop(now)
            if ended is None:
                return
            due, timer = ended
            lane = self._lanes[timer.type]
            state = lane.devices[timer.device_id]
            match timer.kind:
                case "hold":
                    self._end_hold(lane, state, timer.rule, due, transitions)
                case "near":
                    self._end_nears(lane, state, due, transitions)
                case "held":
                    self._release(lane, state, due, transitions)
                case "silent":
                    self._end_silence(lane, state, due, transitions)
                case _ if not state.is_silent:
                    self._tick(lane, state, due, transitions)

    def _release(
        self, lane: Lane, state: DeviceState, now: float, transitions: list[Transition]
    ) -> None:
        """Weigh the reading that was held, unless a newer one took its place."""
        flood = state.flood
        if flood is None or flood.held is None:
            return
        if flood.due > now:
            self._timers.set(flood.due, Timer(lane.name, state.reading.device_id, HELD))
            return
        held, state.is_holding = flood.release(), False
        if held is not None:
            self._weigh(lane, state, held, lane.plan.signature(held), transitions)

    def _end_hold(
        self, lane: Lane, state: DeviceState, rule: str, now: float, transitions: list[Transition]
    ) -> None:
        alarm = (state.alarms or {}).get(rule)
        if alarm is None:
            return
        number, site = lane.index[rule], state.reading.site_id
        if alarm.held_until and alarm.held_until <= now:
            alarm.held_until = 0.0
            inhibitor = self._inhibitions.inhibitor_of(lane.rules[number], site)
            if alarm.held_by and not inhibitor:
                change = Change("released", alarm.onset, now, alarm.level)
                lookup = self._lookup(lane, state, now)
                transitions.append(tell_change(lane, number, state, change, alarm, lookup))
                self._inhibitions.note_released(
                    site, AlarmKey(lane.name, state.reading.device_id, rule)
                )
            alarm.held_by = inhibitor
        step = take_time(alarm, now, lane.holds(number, site))
        self._settle(lane, number, state, step, now, transitions)
        lane.settle(state)

    def _end_silence(
        self, lane: Lane, state: DeviceState, now: float, transitions: list[Transition]
    ) -> None:
        """Take a device for silent, unless it was heard meanwhile."""
        device_id = state.reading.device_id
        due = state.newest.received_at + lane.silent_after_s
        if due > now:
            self._timers.set(due, Timer(lane.name, device_id, SILENT))
            return
        if state.is_silent:
            return
        state.is_silent = True
        moved = self._share(lane, state)
        self._tick(lane, state, now, transitions)
        for number in moved:
            self._tell_site(state, number, now, transitions)

    def _lookup(self, lane: Lane, state: DeviceState, now: float) -> Lookup | None:
        """Return how to find derived values on a device; None where its rules need none."""
        if state.memory is None:
            return None
        site = state.reading.site_id
        return lane.plan.derived.lookup(
            state.memory,
            state.reading,
            state.observed(now),
            lambda number: self._sites.value(site, number),
        )

    def _watch_windows(self, lane: Lane, state: DeviceState, now: float) -> None:
        """Set the timer at which time alone may change what windows, changes or ages say."""
        if state.memory is None:
            return
        observed = state.observed(now)
        changes_at = lane.plan.derived.changes_at(state.memory, observed)
        if changes_at < inf:
            due = max(now + _MICROSECOND, now + (changes_at - observed))
            self._timers.set(due, Timer(lane.name, state.reading.device_id, DERIVED))

    def _share(self, lane: Lane, state: DeviceState) -> list[SiteNumber]:
        """Put what a device adds to the numbers of its site; return those that are others now."""
        reading = state.reading
        return [
            number
            for number in lane.shares
            if self._sites.set_share(
                reading.site_id,
                number,
                reading.device_id,
                None if state.is_silent else share_of(number, reading),
            )
        ]

    def _tell_site(
        self, cause: DeviceState, number: SiteNumber, now: float, transitions: list[Transition]
    ) -> None:
        """Weigh the other devices of a site whose rules ask for a number that is another now."""
        site = cause.reading.site_id
        value = self._sites.value(site, number)
        for lane in self._lanes.values():
            if number not in lane.plan.site_cuts or site not in lane.at_site:
                continue
            cuts = lane.plan.site_cuts[number]
            position = value if cuts is None or value is None else float(bisect_right(cuts, value))
            key = (lane.name, site, number)
            if key in self._site_positions and self._site_positions[key] == position:
                continue
            self._site_positions[key] = position
            for state in lane.at_site[site].values():
                if state is not cause and not state.is_silent:
                    self._tick(lane, state, now, transitions)

    def _move_nears(
        self, lane: Lane, state: DeviceState, signature: Signature, evidence: Evidence
    ) -> bool:
        """Where the rest of a condition changed, move the moment of its `near` to this evidence."""
        moved = False
        reading = state.reading
        site = reading.site_id
        for number, moment in enumerate(state.nears or ()):
            near, rest = lane.plan.nears[number], lane.plan.rest_of(number, signature)
            if rest == moment.rest:
                continue
            if moment.rest is None:
                moment.leave_open(rest)
                continue
            moved = True
            moment.move(evidence.observed, evidence.received, rest)
            nearby.answer(moment, near, reading, self._history.readings(site, near.type))
            if moment.truth is None and not self._history.reaches(site, near, moment.observed):
                moment.leave_open(rest)
            self._watch_near(lane, state, near, moment)
        return moved

    def _watch_near(
        self, lane: Lane, state: DeviceState, near: Near, moment: nearby.NearState
    ) -> None:
        """Let neighbours answer a `near` of a device, and time where none of them does."""
        device_id = state.reading.device_id
        self._watchers[state.reading.site_id, near.type].add((lane.name, device_id))
        due = moment.due(near)
        if due < inf:
            self._timers.set(due, Timer(lane.name, device_id, NEAR))

    def _answer_watchers(self, neighbour: Reading, transitions: list[Transition]) -> None:
        for type_name, device_id in sorted(self._watchers[neighbour.site_id, neighbour.type]):
            lane = self._lanes[type_name]
            state = lane.devices[device_id]
            for near, moment in zip(lane.plan.nears, state.nears or (), strict=True):
                if near.type != neighbour.type or moment.truth:
                    continue
                if nearby.answer(moment, near, state.reading, [neighbour]):
                    self._weigh_near(lane, state, moment, neighbour.received_at, transitions)

    def _end_nears(
        self, lane: Lane, state: DeviceState, now: float, transitions: list[Transition]
    ) -> None:
        """Answer `near` with false where its time has passed without a neighbour's reading."""
        for near, moment in zip(lane.plan.nears, state.nears or (), strict=True):
            if moment.due(near) <= now:
                moment.truth = False
                self._weigh_near(lane, state, moment, now, transitions)
            else:
                self._watch_near(lane, state, near, moment)

    def _weigh_near(
        self,
        lane: Lane,
        state: DeviceState,
        moment: nearby.NearState,
        now: float,
        transitions: list[Transition],
    ) -> None:
        """Weigh a device whose `near` was answered: what follows came about at the moment asked about."""
        memory = state.memory
        if memory is None or moment.observed > memory.observed:
            evidence = Evidence(moment.observed, moment.received, now)
        else:
            evidence = Evidence(memory.observed, memory.received, now, moment.observed)
        self._evaluate(lane, state, evidence, transitions, is_reading=False)
        lane.settle(state)

    def _take_over(
        self, lane: Lane, state: DeviceState, now: float, transitions: list[Transition]
    ) -> None:
        """Put a restored device's part in the numbers and alarms of its site; end what has no rule."""
        reading = state.reading
        self._share(lane, state)
        for name, alarm in list((state.alarms or {}).items()):
            key = AlarmKey(lane.name, reading.device_id, name)
            if name in lane.index:
                if alarm.phase in RAISED:
                    rule = lane.rules[lane.index[name]]
                    self._inhibitions.note_raised(rule, reading.site_id, key, alarm)
                continue
            del (state.alarms or {})[name]
            if alarm.phase in RAISED:
                transitions.append(tell_orphan(name, reading, alarm, now))

    def _resume(self, lane: Lane, state: DeviceState, now: float) -> None:
        """Set every timer of a restored device."""
        reading = state.reading
        for name, alarm in (state.alarms or {}).items():
            rule = lane.rules[lane.index[name]]
            inhibitor = self._inhibitions.inhibitor_of(rule, reading.site_id)
            if alarm.held_by and not alarm.held_until and not inhibitor:
                alarm.held_until = now
            self._set_timer(lane, lane.index[name], state)
        if state.flood is not None and state.flood.held is not None:
            self._timers.set(state.flood.due, Timer(lane.name, reading.device_id, HELD))
        if lane.silent_after_s:
            due = state.newest.received_at + lane.silent_after_s
            self._timers.set(due, Timer(lane.name, reading.device_id, SILENT))
        else:
            state.is_silent = False
        for near, moment in zip(lane.plan.nears, state.nears or (), strict=True):
            self._watch_near(lane, state, near, moment)
        if lane.plan.is_derived and not state.is_silent:
            self._watch_windows(lane, state, now)


def _is_repeated(newest: Reading, reading: Reading) -> bool:
    """Whether a reading says again what the device's newest says, of the same moment."""
    return reading.observed_at == newest.observed_at and reading.values == newest.values
