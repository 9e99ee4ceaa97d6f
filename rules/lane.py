"""Everything about one device type: its rules in order, their plan, and the state of its devices."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

import msgspec

from prevenant.domain import Reading
from rules import nearby
from rules.alarm import AlarmState, Holds
from rules.derived import Lookup, Memory
from rules.expression import asked_by
from rules.flood import Flood
from rules.put_back import Behind
from rules.rule import Rule, RuleBook
from rules.signature import Compiled, Plan, Signature


class DeviceState(msgspec.Struct, gc=False):
    """What the processor knows of one device. It stands in no cycle: `gc` need not look at it."""

    reading: Reading
    weighed: Signature = ()
    """The signature of `reading`."""
    at_rest: Signature | None = None
    """The signature of readings that can change nothing; None while each one needs a look."""
    judged: Signature = ()
    """The whole signature at which the alarms stand; empty where none was judged."""
    alarms: dict[str, AlarmState] | None = None
    """By rule, all that are not idle."""
    timed: set[int] | None = None
    """The rules, by number, whose alarm has a timer: each reading that agrees may move it."""
    nears: list[nearby.NearState] | None = None
    """One for each `near` of the type."""
    ended: dict[str, float] | None = None
    """Onsets of the alarms, by rule, that ended last: what begins again there is another alarm."""
    raised: dict[str, list[float]] | None = None
    """By rule, when its alarm was raised lately."""
    shelved: dict[str, float] | None = None
    """By rule, until when its alarm is shelved because it flaps."""
    memory: Memory | None = None
    flood: Flood | None = None
    is_holding: bool = False
    """Whether a newer reading is held back, because the device changes too often."""
    is_silent: bool = False
    behind: Behind | None = None
    """Where all that came of late is older than the newest reading."""

    @property
    def newest(self) -> Reading:
        """The newest reading, weighed or held."""
        return (self.flood.held if self.flood else None) or self.reading

    def observed(self, now: float) -> float:
        """Return what the device's own time is when it is `now` here."""
        if self.memory is not None:
            return self.memory.observed + max(0.0, now - self.memory.received)
        newest = self.newest
        return newest.observed_at + max(0.0, now - newest.received_at)


def _compile(rule: Rule) -> Compiled:
    """Return a rule's conditions, each `near` with the rule that asks."""
    return Compiled(
        asked_by(rule.name, rule.when),
        None if rule.clear is None else asked_by(rule.name, rule.clear),
        tuple(asked_by(rule.name, level) for _, level in rule.levels),
    )


class Lane:
    """The rules on one device type, and its devices."""

    def __init__(self, book: RuleBook, type_name: str, zone_of: Callable[[str], str]) -> None:
        device_type = book.devices[type_name]
        self.name = type_name
        self.values_type = device_type.values_type
        self.is_predicted = bool(device_type.predicted)
        """Whether models speak for its devices."""
        self.silent_after_s = device_type.silent_after_s
        self.max_rate = device_type.max_rate
        self.rules: list[Rule] = [rule for rule in book.every_rule if rule.on in {type_name, ""}]
        if not self.silent_after_s:
            self.rules = [rule for rule in self.rules if rule.on]
        self.plan = Plan(
            device_type,
            [_compile(rule) for rule in self.rules],
        )
        self.index = {rule.name: number for number, rule in enumerate(self.rules)}
        self.devices: dict[str, DeviceState] = {}
        self.at_site: dict[str, dict[str, DeviceState]] = defaultdict(dict)
        """By site, where the rules ask for a number of the site."""
        self.is_kept = False
        """Whether readings of this type may answer another type's `near`."""
        self.shares = [number for number in book.site_numbers if number.type == type_name]
        """The numbers of the site that these devices add to."""
        self.reasons: dict[tuple[int, str], str] = {}
        """In words, by rule and kind of transition, as far as they were told."""
        self._zone_of = zone_of
        self._holds = [Holds(rule.for_s, rule.clear_for_s, rule.repeat) for rule in self.rules]

    @property
    def needs_every_reading(self) -> bool:
        """Whether a reading matters also where its signature is that of the one before."""
        return self.plan.is_derived or self.is_kept or bool(self.shares)

    def holds(self, number: int, site: str) -> Holds:
        """Return what a rule asks of time on a device of `site`."""
        schedule = self.rules[number].schedule
        if schedule is None:
            return self._holds[number]
        return replace(self._holds[number], hours=schedule.in_zone(self._zone_of(site)))

    def release_after_s(self, rule: Rule) -> float:
        """Return how long an alarm that nothing inhibits any more has to go on before it is told."""
        return rule.for_s if rule.on else self.silent_after_s

    def new_state(self, reading: Reading) -> DeviceState:
        """Take in a device that was not heard before."""
        plan = self.plan
        nears = [nearby.NearState() for _ in plan.nears] or None
        memory = plan.derived.new_memory(reading) if plan.remembers else None
        state = DeviceState(reading, nears=nears, memory=memory)
        self.add(reading.device_id, state)
        return state

    def add(self, device_id: str, state: DeviceState) -> None:
        """Take a device's state."""
        self.devices[device_id] = state
        if self.plan.sites:
            self.at_site[state.reading.site_id][device_id] = state

    def settle(self, state: DeviceState) -> None:
        """Find out which readings of a device will change nothing."""
        is_restless = state.timed or state.is_holding or state.is_silent
        looks_at_each = is_restless or self.plan.remembers or self.needs_every_reading
        state.at_rest = None if looks_at_each else state.weighed

    def whole_signature(self, state: DeviceState, lookup: Lookup | None) -> Signature:
        """Return the signature of all that is known of a device; `lookup` where something is derived."""
        if not self.plan.goes_on:
            return state.weighed
        if state.is_silent:
            return self.plan.silent
        nears = tuple([near.truth for near in state.nears]) if state.nears else ()
        return self.plan.whole(state.weighed, lookup, nears)
