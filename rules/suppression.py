"""Which raised alarms are not told: those that another alarm explains, and those that flap.

Shelving by a person and maintenance are no matter of the processor: they are weighed where alarms are
written.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from prevenant.domain import Severity
from rules.alarm import AlarmState
from rules.lane import DeviceState
from rules.rule import Rule

FLAPPING = "flapping"


class AlarmKey(NamedTuple):
    """Which alarm: the device's type, the device and the rule."""

    type: str
    device_id: str
    rule: str


class Inhibitions:
    """The alarms that are raised and inhibit others at their site, and those that are inhibited."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._inhibitors = frozenset(name for rule in rules for name in rule.inhibited_by)
        self.are_none = not self._inhibitors
        """Whether no rule inhibits another."""
        self._raised: dict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)
        """By (site, inhibiting rule): the devices, as (type, device), on which it is raised."""
        self._inhibited: dict[str, dict[AlarmKey, Rule]] = defaultdict(dict)
        """By site: the raised alarms that some rule inhibits."""

    def inhibitor_of(self, rule: Rule, site: str) -> str:
        """Return the rule that keeps an alarm of `rule` at `site` from being told; else nothing."""
        for name in rule.inhibited_by:
            if self._raised.get((site, name)):
                return name
        return ""

    def note_raised(self, rule: Rule, site: str, key: AlarmKey, alarm: AlarmState) -> None:
        """Take note of an alarm that is raised, and of who inhibits it."""
        if rule.name in self._inhibitors:
            self._raised[site, rule.name].add((key.type, key.device_id))
        if alarm.held_by and alarm.held_by != FLAPPING:
            self._inhibited[site][key] = rule

    def note_ended(self, rule: str, site: str, key: AlarmKey) -> list[AlarmKey]:
        """Take note that an alarm is over; return those that nothing inhibits any more."""
        self.note_released(site, key)
        raised = self._raised.get((site, rule))
        if not raised:
            return []
        raised.discard((key.type, key.device_id))
        if raised:
            return []
        waiting = self._inhibited.get(site, {})
        return [
            freed
            for freed, one in waiting.items()
            if rule in one.inhibited_by and not self.inhibitor_of(one, site)
        ]

    def note_released(self, site: str, key: AlarmKey) -> None:
        """Take note that an alarm is not inhibited any more, or over."""
        self._inhibited.get(site, {}).pop(key, None)


def hold_back(
    rule: Rule, state: DeviceState, alarm: AlarmState, inhibitions: Inhibitions, now: float
) -> bool:
    """Find out who keeps an alarm just raised from being told; return whether it flaps from now on."""
    if rule.inhibited_by:
        alarm.held_by = inhibitions.inhibitor_of(rule, state.reading.site_id)
    flapping = rule.flapping
    if alarm.held_by or flapping is None or rule.severity_at(alarm.level) == Severity.LIFE_SAFETY:
        return False
    until = state.shelved.get(rule.name, 0.0) if state.shelved else 0.0
    begins = False
    if now >= until:
        if state.raised is None:
            state.raised = {}
        earlier = state.raised.get(rule.name, ())
        lately = [at for at in earlier if now - at <= flapping.within_s]
        lately.append(now)
        begins = len(lately) >= flapping.times
        state.raised[rule.name] = [] if begins else lately
        if begins:
            until = now + flapping.shelve_s
            state.shelved = {**(state.shelved or {}), rule.name: until}
    if now < until:
        alarm.held_by, alarm.held_until = FLAPPING, until
    return begins
