"""What a rule is, and the rules of a book together."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from prevenant.domain import DeviceType, Severity
from prevenant.errors import Problem
from rules.alarm import Repeat
from rules.expression import Condition, Near, Silent, SiteNumber, atoms_of, leaves_of
from rules.models import BookModel
from rules.schedule import Schedule

DEVICE_SILENT = "device-silent"
"""The rule that every device type with `silent_after` has."""


@dataclass(frozen=True, slots=True)
class Flapping:
    """How often an alarm may be raised, within what time, before it is shelved, and for how long."""

    times: int = 10
    within_s: float = 600.0
    shelve_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class Rule:
    """A named condition on devices of one type, and what follows from it."""

    name: str
    on: str
    when: Condition
    when_text: str
    severity: Severity
    workflow: str | None
    """The workflow of the case that an alarm opens; None where the alarm is only shown."""
    clear: Condition | None = None
    """None: the alarm clears when `when` is false."""
    clear_text: str = ""
    for_s: float = 0.0
    clear_for_s: float = 0.0
    levels: tuple[tuple[Severity, Condition], ...] = ()
    """The ladder of severities, the lowest first; empty where there is one."""
    repeat: Repeat | None = None
    schedule: Schedule | None = None
    """When the rule is watched; None: always."""
    latch: bool = False
    inhibited_by: tuple[str, ...] = ()
    flapping: Flapping | None = Flapping()
    message: Mapping[str, str] = field(default_factory=dict)
    """What is the matter, by language; a Jinja2 template."""
    place: Problem | None = None
    """Where the rule stands, for problems found later."""

    def severity_at(self, level: int) -> Severity:
        """Return how much the alarm matters at a level."""
        return self.levels[level][0] if self.levels else self.severity


SILENT_RULE = Rule(DEVICE_SILENT, "", Silent(), "silent", Severity.MINOR, None)


@dataclass(frozen=True)
class RuleBook:
    """What devices publish, and the rules on it."""

    devices: Mapping[str, DeviceType]
    rules: Mapping[str, Rule]
    silent_rule: Rule = SILENT_RULE
    """What follows where nothing is heard of a device; it is about every type with `silent_after`."""
    models: Mapping[str, BookModel] = field(default_factory=dict)
    """The models that speak for devices; what they say stands among the fields of these types."""

    @property
    def every_rule(self) -> list[Rule]:
        """All rules, that of silence where it is about anything."""
        some = any(device.silent_after_s for device in self.devices.values())
        return [*self.rules.values(), *([self.silent_rule] if some else [])]

    @cached_property
    def site_numbers(self) -> list[SiteNumber]:
        """What the rules ask of a site as a whole."""
        leaves = [leaf for condition in self._conditions for leaf in leaves_of(condition)]
        return list(dict.fromkeys(leaf for leaf in leaves if isinstance(leaf, SiteNumber)))

    @cached_property
    def is_about_sites(self) -> bool:
        """Whether what is decided on a device may depend on others at its site."""
        inhibits = any(rule.inhibited_by for rule in self.every_rule)
        atoms = [atom for condition in self._conditions for atom in atoms_of(condition)]
        return bool(self.site_numbers or inhibits or any(isinstance(atom, Near) for atom in atoms))

    @property
    def _conditions(self) -> list[Condition]:
        return [
            condition
            for rule in self.rules.values()
            for condition in (rule.when, rule.clear, *(level for _, level in rule.levels))
            if condition is not None
        ]

    @property
    def fingerprint(self) -> str:
        """A short text that differs between books that decide differently."""
        parts = [repr(device) for device in self.devices.values()]
        parts += [
            f"{r.name} {r.on} {r.when} {r.clear} {r.for_s} {r.clear_for_s} {r.levels} {r.repeat} "
            f"{r.schedule} {r.latch} {r.inhibited_by} {r.flapping}"
            for r in (*self.rules.values(), self.silent_rule)
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
