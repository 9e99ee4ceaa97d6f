"""Which conditions can have changed: a reading's *signature* among the breakpoints of a device type.

Every comparison of a quantity with a constant is a breakpoint of that quantity. A signature is the
tuple of positions between breakpoints. Readings with equal signatures make the same conditions true;
between two signatures, only the rules whose breakpoints lie between them can differ. So the cost of a
reading grows with the breakpoints that it crosses, and not with the number of rules.
"""

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from prevenant.domain import DeviceType, Reading
from rules.expression import (
    All,
    Atom,
    Comparison,
    Condition,
    Field,
    Flag,
    Near,
    Not,
    Quantity,
    Same,
    Some,
    Truth,
    atom_truth,
    atoms_of,
    evaluate,
    quantity_value,
)

Signature = tuple[Any, ...]
TruthAt = Callable[[Signature], Truth]


@dataclass(frozen=True, slots=True)
class Compiled:
    """One rule's conditions; `clear` is None where the opposite of `when` clears."""

    when: Condition
    clear: Condition | None


class Plan:
    """The conditions of all rules on one device type, arranged by breakpoints.

    A signature has one entry for each quantity, flag, text and `near`, in this order.
    """

    def __init__(self, device_type: DeviceType, conditions: Sequence[Compiled]) -> None:
        self.device_type = device_type
        self.conditions = conditions
        atoms = _distinct(
            atom
            for compiled in conditions
            for condition in (compiled.when, compiled.clear)
            if condition is not None
            for atom in atoms_of(condition)
        )
        self.nears = [atom for atom in atoms if isinstance(atom, Near)]
        self._slots: list[Callable[[Reading], Any]] = []
        self._crossed: list[list[list[int]]] = []
        """For each slot and each of its breakpoints, the rules that change there."""
        self._rules_of: list[list[int]] = []
        """For each slot, the rules that look at it."""
        self._truth_of: dict[Atom, TruthAt] = {}
        rules_by_atom = _rules_by_atom(conditions)
        comparisons = [atom for atom in atoms if isinstance(atom, Comparison)]
        quantities = _distinct(atom.quantity for atom in comparisons)
        fields = [quantity for quantity in quantities if isinstance(quantity, Field)]
        self._numbers_of = _getter([field.name for field in fields])
        self._cuts: list[list[float]] = []
        """For each of the fields that come first, its breakpoints."""
        for quantity in [*fields, *[one for one in quantities if not isinstance(one, Field)]]:
            of_quantity = [a for a in comparisons if a.quantity == quantity]
            self._add_quantity(quantity, of_quantity, rules_by_atom)
        for atom in atoms:
            if isinstance(atom, Flag | Same):
                self._truth_of[atom] = _entry(len(self._slots))
                self._add_slot(_truth_getter(atom), [], rules_by_atom[atom])
        self._others = self._slots[len(fields) :]
        for number, near in enumerate(self.nears):
            self._truth_of[near] = _entry(len(self._slots) + number)
        self._rules_of += [rules_by_atom[near] for near in self.nears]
        self._crossed += [[] for _ in self.nears]
        self._every_rule = range(len(conditions))
        self._whens = [compile_condition(one.when, self._truth_of) for one in conditions]
        self._clears = [
            None if one.clear is None else compile_condition(one.clear, self._truth_of)
            for one in conditions
        ]

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

    def touched(self, before: Signature, after: Signature) -> Collection[int]:
        """Return the rules, by number, whose truth may differ between two whole signatures."""
        if not before:
            return self._every_rule
        rules: set[int] = set()
        for slot, (old, new) in enumerate(zip(before, after, strict=True)):
            if old is new or old == new:
                continue
            crossed = self._crossed[slot]
            if not crossed or old is None or new is None:
                rules.update(self._rules_of[slot])
            else:
                rules.update(*crossed[min(old, new) : max(old, new)])
        return rules

    def truths(self, rule: int, signature: Signature) -> tuple[Truth, Truth]:
        """Return the truth of `when` and of `clear` of a rule at a whole signature."""
        when = self._whens[rule](signature)
        clear = self._clears[rule]
        if clear is None:
            return when, None if when is None else not when
        return when, clear(signature)

    def rest_of(self, near: Near, signature: Signature) -> list[Truth]:
        """Return the truths beside `near` in the rules that use it: its moment is their last change."""
        return [
            self._truth_of[atom](signature)
            for compiled in self.conditions
            for condition in (compiled.when, compiled.clear)
            if condition is not None and near in (atoms := atoms_of(condition))
            for atom in atoms
            if not isinstance(atom, Near)
        ]

    def _add_quantity(
        self,
        quantity: Quantity,
        comparisons: Sequence[Comparison],
        rules_by_atom: Mapping[Atom, list[int]],
    ) -> None:
        cuts = sorted({cut for atom in comparisons for cut in _cuts(atom)})
        crossed: list[list[int]] = [[] for _ in cuts]
        slot = len(self._slots)
        for atom in comparisons:
            low, *high = (bisect_left(cuts, cut) for cut in _cuts(atom))
            self._truth_of[atom] = _between(slot, low, high[0] if high else math.inf)
            for number in (low, *high):
                crossed[number] += rules_by_atom[atom]
        rules = _distinct(rule for atom in comparisons for rule in rules_by_atom[atom])
        if isinstance(quantity, Field):
            self._cuts.append(cuts)
        self._add_slot(_position_getter(quantity, cuts), crossed, rules)

    def _add_slot(
        self, getter: Callable[[Reading], Any], crossed: list[list[int]], rules: list[int]
    ) -> None:
        self._slots.append(getter)
        self._crossed.append(crossed)
        self._rules_of.append(rules)


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
        both = [compiled.when, *([] if compiled.clear is None else [compiled.clear])]
        for atom in _distinct(atom for condition in both for atom in atoms_of(condition)):
            rules[atom].append(number)
    return rules


def value_lookup(reading: Reading, this: Reading | None = None) -> Callable[[Field], Any]:
    """Return how to find a field's value in `reading`, or in `this` for a `this.` field."""

    def value_of(field: Field) -> Any:
        source = this if field.of_this and this is not None else reading
        if field.name == "device":
            return source.device_id.rpartition("/")[2]
        if field.name == "site":
            return source.site_id
        return getattr(source.values, field.name)

    return value_of


def holds(condition: Condition, reading: Reading, this: Reading) -> Truth:
    """Return the truth of a condition inside `near`, without any breakpoints."""
    value_of = value_lookup(reading, this)
    return evaluate(condition, lambda atom: atom_truth(atom, value_of))


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


def _truth_getter(atom: Flag | Same) -> Callable[[Reading], Truth]:
    if isinstance(atom, Flag):
        getter: Callable[[Reading], Truth] = attrgetter(f"values.{atom.field.name}")
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
