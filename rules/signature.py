"""Which conditions can have changed: a reading's *signature* among the breakpoints of a device type.

Every comparison of a quantity with a constant is a breakpoint of that quantity. A signature is the
tuple of positions between breakpoints. Readings with equal signatures make the same conditions true;
between two signatures, only the rules whose breakpoints lie between them can differ. So the cost of a
reading grows with the breakpoints that it crosses, and not with the number of rules.
"""

import math
from array import array
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any

from prevenant.domain import DeviceType, Reading
from rules.alarm import Truths
from rules.derived import Derived, Lookup, has_derived, value_lookup
from rules.explain import Asked, asked_of
from rules.expression import (
    Age,
    All,
    Atom,
    Changed,
    Comparison,
    Condition,
    Field,
    Flag,
    Near,
    Not,
    Quantity,
    Same,
    Silent,
    SiteNumber,
    Some,
    Truth,
    atom_truth,
    atoms_of,
    beside_near,
    leaves_of,
    quantity_value,
)

Signature = tuple[Any, ...]
TruthAt = Callable[[Signature], Truth]


@dataclass(frozen=True, slots=True)
class Compiled:
    """One rule's conditions; `clear` is None where the opposite of `when` clears."""

    when: Condition
    clear: Condition | None = None
    levels: tuple[Condition, ...] = ()
    """The lowest first; empty where the rule has one severity."""

    @property
    def written(self) -> list[Condition]:
        """The conditions as their author wrote them: with levels, those are `when`."""
        return [*(self.levels or [self.when]), *([] if self.clear is None else [self.clear])]

    @property
    def every(self) -> list[Condition]:
        """All conditions of the rule."""
        return [self.when, *([] if self.clear is None else [self.clear]), *self.levels]


class Plan:
    """The conditions of all rules on one device type, arranged by breakpoints.

    A signature has one entry for each quantity, flag and text of a reading, in this order. The whole
    signature goes on with those of what is derived from more than the last reading, with the truths of
    `near`, and with whether the device is silent.
    """

    def __init__(self, device_type: DeviceType, conditions: Sequence[Compiled]) -> None:
        self.device_type = device_type
        self.conditions = conditions
        atoms = _distinct(
            atom for one in conditions for part in one.every for atom in atoms_of(part)
        )
        leaves = _distinct(leaf for atom in atoms for leaf in leaves_of(atom))
        self.nears = [atom for atom in atoms if isinstance(atom, Near)]
        self.sites = [leaf for leaf in leaves if isinstance(leaf, SiteNumber)]
        self.derived = Derived(leaves, [atom for atom in atoms if isinstance(atom, Changed)])
        self._slots: list[Callable[[Reading], Any]] = []
        self._derived_slots: list[Callable[[Lookup], Any]] = []
        self._crossed: list[list[list[int]]] = []
        """For each slot and each of its breakpoints, the rules that change there."""
        self._rules_of: list[list[int]] = []
        """For each slot, the rules that look at it."""
        self._truth_of: dict[Atom, TruthAt] = {}
        self._rules_by_atom = _rules_by_atom(conditions)
        comparisons: dict[Quantity, list[Comparison]] = defaultdict(list)
        for atom in atoms:
            if isinstance(atom, Comparison):
                comparisons[atom.quantity].append(atom)
        fields = [quantity for quantity in comparisons if isinstance(quantity, Field)]
        self._numbers_of = _getter([field.attribute for field in fields])
        self._cuts: list[list[float]] = []
        """For each of the fields that come first, its breakpoints."""
        self.site_cuts: dict[SiteNumber, list[float] | None] = {
            leaf: None
            for quantity in comparisons
            if not isinstance(quantity, SiteNumber)
            for leaf in leaves_of(quantity)
            if isinstance(leaf, SiteNumber)
        }
        """For each number of the site its breakpoints; None where it is also reckoned with."""
        for field in fields:
            self._cuts.append(self._add_quantity(field, comparisons[field]))
        truths = [atom for atom in atoms if isinstance(atom, Flag | Same | Changed)]
        self._add_plain(comparisons, [atom for atom in truths if not _is_derived(atom)])
        self._others = self._slots[len(fields) :]
        self._add_derived(comparisons, [atom for atom in truths if _is_derived(atom)])
        for near in self.nears:
            self._add_entry(near)
        self._unknown = (None,) * len(self._rules_of)
        self._can_be_silent = Silent() in atoms
        if self._can_be_silent:
            self._add_entry(Silent())
        self.is_derived = bool(self._derived_slots)
        """Whether a signature needs more than the last reading."""
        self.remembers = bool(self._derived_slots or self.nears)
        """Whether more is kept of a device than its last reading."""
        self.goes_on = self.remembers or self._can_be_silent
        """Whether the whole signature is more than that of the last reading."""
        self._asked: dict[int, Asked] = {}
        """By rule, once an alarm of it was told."""
        self._rests = [self._beside(near) for near in self.nears]
        self._every_rule = range(len(conditions))
        self._whens = [compile_condition(one.when, self._truth_of) for one in conditions]
        self._clears = [
            None if one.clear is None else compile_condition(one.clear, self._truth_of)
            for one in conditions
        ]
        self._levels = [
            [compile_condition(level, self._truth_of) for level in one.levels] for one in conditions
        ]

    @property
    def domains(self) -> list[Sequence[Any]]:
        """For each entry of the whole signature, every position or truth that can be known."""
        return [range(len(crossed) + 1) if crossed else (False, True) for crossed in self._crossed]

    @property
    def entries(self) -> int:
        """How many rules stand at breakpoints, all told: what finding those that may change takes."""
        return sum(len(rules) for crossed in self._crossed for rules in crossed)

    def signature(self, reading: Reading) -> Signature:
        """Return the positions of `reading`, without those of `near`."""
        try:
            # Every reading passes here, and most have all their fields: no call of ours for each.
            positions = tuple(map(bisect_right, self._cuts, self._numbers_of(reading.values)))
        except TypeError:
            return tuple([slot(reading) for slot in self._slots])
        if self._others:
            return (*positions, *[slot(reading) for slot in self._others])
        return positions

    def whole(self, signature: Signature, lookup: Lookup | None, nears: Signature) -> Signature:
        """Return `signature` with what is derived, the truths of `near`, and that it is not silent."""
        derived = [slot(lookup) for slot in self._derived_slots] if lookup else ()
        return (*signature, *derived, *nears, *((False,) if self._can_be_silent else ()))

    @property
    def silent(self) -> Signature:
        """The whole signature of a device that is silent: everything else is unknown."""
        return (*self._unknown, True)

    def touched(self, before: Signature, after: Signature) -> Collection[int]:
        """Return the rules, by number, whose truth may differ between two whole signatures."""
        if not before:
            return self._every_rule
        found: list[list[int]] = []
        for slot, old in enumerate(before):
            new = after[slot]
            if old is new or old == new:
                continue
            crossed = self._crossed[slot]
            if not crossed or old is None or new is None:
                found.append(self._rules_of[slot])
            else:
                found += crossed[old:new] if old < new else crossed[new:old]
        # Nearly always one breakpoint was crossed, at which one rule changes.
        return found[0] if len(found) == 1 else set().union(*found)

    def holds(self, rule: int, signature: Signature) -> bool:
        """Return whether it is known that a rule's `when` holds at a whole signature."""
        return self._whens[rule](signature) is True

    def truths(self, rule: int, signature: Signature) -> Truths:
        """Return the truths of a rule's conditions at a whole signature."""
        when = self._whens[rule](signature)
        clear = self._clears[rule]
        cleared = (None if when is None else not when) if clear is None else clear(signature)
        levels = self._levels[rule]
        return Truths(
            when, cleared, tuple([level(signature) for level in levels]) if levels else ()
        )

    def rest_of(self, near: int, signature: Signature) -> list[Truth]:
        """Return the truths beside a `near`, by number: its moment is their last change."""
        return [truth_at(signature) for truth_at in self._rests[near]]

    def asked(self, rule: int) -> Asked:
        """Return what a rule's conditions look at; its truths are those at a whole signature."""
        asked = self._asked.get(rule)
        if asked is None:
            atoms = _distinct(a for part in self.conditions[rule].every for a in atoms_of(part))
            asked = self._asked[rule] = asked_of({atom: self._truth_of[atom] for atom in atoms})
        return asked

    def _beside(self, near: Near) -> list[TruthAt]:
        """Return what stands beside `near` in its conditions."""
        return [
            compile_condition(rest, self._truth_of)
            for compiled in self.conditions
            for condition in compiled.written
            if near in atoms_of(condition)
            for rest in beside_near(condition)
        ]

    def _add_quantity(self, quantity: Quantity, comparisons: Sequence[Comparison]) -> list[float]:
        cuts = self._add_breakpoints(comparisons)
        self._slots.append(_position_getter(quantity, cuts))
        return cuts

    def _add_plain(
        self, comparisons: Mapping[Quantity, Sequence[Comparison]], truths: Sequence[Atom]
    ) -> None:
        for quantity, of_quantity in comparisons.items():
            if not isinstance(quantity, Field) and not has_derived(quantity):
                self._add_quantity(quantity, of_quantity)
        for atom in truths:
            self._slots.append(_truth_getter(atom))
            self._add_entry(atom)

    def _add_derived(
        self, comparisons: Mapping[Quantity, Sequence[Comparison]], truths: Sequence[Atom]
    ) -> None:
        for quantity, of_quantity in comparisons.items():
            if has_derived(quantity):
                cuts = self._add_breakpoints(of_quantity)
                self._derived_slots.append(_derived_position_getter(quantity, cuts))
                if isinstance(quantity, SiteNumber):
                    self.site_cuts.setdefault(quantity, cuts)
                elif isinstance(quantity, Age):
                    self.derived.ages[quantity] = cuts
        for atom in truths:
            self._derived_slots.append(partial(atom_truth, atom))
            self._add_entry(atom)

    def _add_breakpoints(self, comparisons: Sequence[Comparison]) -> list[float]:
        """Take a further slot for the comparisons of one quantity; return its breakpoints."""
        # Numbers that lie side by side in memory, in their order, are searched in less time.
        cuts = array("d", sorted({cut for atom in comparisons for cut in _cuts(atom)})).tolist()
        crossed: list[list[int]] = [[] for _ in cuts]
        slot = len(self._rules_of)
        for atom in comparisons:
            low, *high = (bisect_left(cuts, cut) for cut in _cuts(atom))
            self._truth_of[atom] = _between(slot, low, high[0] if high else math.inf)
            for number in (low, *high):
                crossed[number] += self._rules_by_atom[atom]
        self._crossed.append([_distinct(rules) for rules in crossed])
        self._rules_of.append(
            _distinct(rule for atom in comparisons for rule in self._rules_by_atom[atom])
        )
        return cuts

    def _add_entry(self, atom: Atom) -> None:
        """Take a further slot for an atom that is true, false or unknown by itself."""
        self._truth_of[atom] = _entry(len(self._rules_of))
        self._rules_of.append(self._rules_by_atom[atom])
        self._crossed.append([])


def compile_condition(condition: Condition, truth_of: Mapping[Atom, TruthAt]) -> TruthAt:
    """Return a function from a whole signature to the truth of `condition`."""
    match condition:
        case Not(inner):
            truth_at = compile_condition(inner, truth_of)
            return lambda signature: None if (truth := truth_at(signature)) is None else not truth
        case All(parts) | Some(parts):
            # `or` is `and` with everything turned round.
            ends = isinstance(condition, Some)
            return _joined([compile_condition(part, truth_of) for part in parts], ends=ends)
        case _:
            return truth_of[condition]


def _joined(parts: Sequence[TruthAt], *, ends: bool) -> TruthAt:
    """Return `ends` where one part is that, else unknown where one is unknown, else the opposite."""

    def truth_at(signature: Signature) -> Truth:
        unknown = False
        for part in parts:
            truth = part(signature)
            if truth is ends:
                return ends
            unknown = unknown or truth is None
        return None if unknown else not ends

    return truth_at


def _rules_by_atom(conditions: Sequence[Compiled]) -> Mapping[Atom, list[int]]:
    rules: dict[Atom, list[int]] = defaultdict(list)
    for number, compiled in enumerate(conditions):
        for atom in _distinct(atom for part in compiled.every for atom in atoms_of(part)):
            rules[atom].append(number)
    return rules


def _distinct(values: Any) -> list[Any]:
    return list(dict.fromkeys(values))


def _cuts(atom: Comparison) -> list[float]:
    """Return where the truth of `atom` changes: true from the first on, and before the second."""
    above = math.nextafter(atom.bound, math.inf)
    return {">=": [atom.bound], ">": [above], "==": [atom.bound, above]}[atom.operator]


def _getter(names: Sequence[str]) -> Callable[[Any], Sequence[Any]]:
    """Return how to get the attributes `names` at once."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda values: [getattr(values, name) for name in names]


def _position_getter(quantity: Quantity, cuts: list[float]) -> Callable[[Reading], Any]:
    def position(reading: Reading) -> int | None:
        number = quantity_value(quantity, value_lookup(reading))
        return None if number is None else bisect_right(cuts, number)

    return position


def _derived_position_getter(quantity: Quantity, cuts: list[float]) -> Callable[[Lookup], Any]:
    def position(lookup: Lookup) -> int | None:
        number = quantity_value(quantity, lookup)
        return None if number is None else bisect_right(cuts, number)

    return position


def _is_derived(atom: Atom) -> bool:
    return isinstance(atom, Changed) or has_derived(atom)


def _truth_getter(atom: Atom) -> Callable[[Reading], Truth]:
    if isinstance(atom, Flag) and isinstance(atom.field, Field):
        getter: Callable[[Reading], Truth] = attrgetter(f"values.{atom.field.attribute}")
        return getter
    return lambda reading: atom_truth(atom, value_lookup(reading))


def _entry(slot: int) -> Callable[[Signature], Truth]:
    def truth(signature: Signature) -> Truth:
        found: Truth = signature[slot]
        return found

    return truth


def _between(slot: int, low: int, high: float) -> Callable[[Signature], Truth]:
    def truth(signature: Signature) -> Truth:
        position = signature[slot]
        return None if position is None else low < position <= high

    return truth
