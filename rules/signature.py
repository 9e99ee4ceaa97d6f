"""Which conditions can have changed: a reading's *signature* among the breakpoints of a device type.

Every comparison of a quantity with a constant is a breakpoint of that quantity. A signature is the
tuple of positions between breakpoints. Readings with equal signatures make the same conditions true,
so that the truth of all rules is worked out once per signature and then remembered.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from prevenant.domain import DeviceType, Reading
from rules.expression import (
    Atom,
    Comparison,
    Condition,
    Field,
    Flag,
    Near,
    Quantity,
    Same,
    Truth,
    atom_truth,
    atoms_of,
    evaluate,
    quantity_value,
)

Signature = tuple[Any, ...]
Truths = tuple[tuple[Truth, Truth], ...]

_MEMO_SIZE = 20_000


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
        self._memo: dict[Signature, Truths] = {}
        self._slots: list[Callable[[Reading], Any]] = []
        self._truth_of: dict[Atom, Callable[[Signature], Truth]] = {}
        comparisons = [atom for atom in atoms if isinstance(atom, Comparison)]
        for quantity in _distinct(atom.quantity for atom in comparisons):
            self._add_quantity(quantity, [a for a in comparisons if a.quantity == quantity])
        for atom in atoms:
            if isinstance(atom, Flag | Same):
                self._truth_of[atom] = _entry(len(self._slots))
                self._slots.append(_truth_getter(atom))
        for number, near in enumerate(self.nears):
            self._truth_of[near] = _entry(len(self._slots) + number)

    def signature(self, reading: Reading) -> Signature:
        """Return the positions of `reading`, without those of `near`."""
        return tuple([slot(reading) for slot in self._slots])

    def truths(self, signature: Signature) -> Truths:
        """Return for every rule the truth of `when` and of `clear` at a whole signature."""
        truths = self._memo.get(signature)
        if truths is None:
            if len(self._memo) >= _MEMO_SIZE:
                self._memo.clear()
            truths = self._memo[signature] = self._work_out(signature)
        return truths

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

    def _work_out(self, signature: Signature) -> Truths:
        known = {atom: truth(signature) for atom, truth in self._truth_of.items()}
        rows = []
        for compiled in self.conditions:
            when = evaluate(compiled.when, known.__getitem__)
            if compiled.clear is None:
                clear = None if when is None else not when
            else:
                clear = evaluate(compiled.clear, known.__getitem__)
            rows.append((when, clear))
        return tuple(rows)

    def _add_quantity(self, quantity: Quantity, comparisons: Sequence[Comparison]) -> None:
        cuts = sorted({cut for atom in comparisons for cut in _cuts(atom)})
        slot = len(self._slots)
        self._slots.append(_position_getter(quantity, cuts))
        for atom in comparisons:
            low, *high = (bisect_left(cuts, cut) for cut in _cuts(atom))
            self._truth_of[atom] = _between(slot, low, high[0] if high else math.inf)


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


def _position_getter(quantity: Quantity, cuts: list[float]) -> Callable[[Reading], Any]:
    if isinstance(quantity, Field):
        get = attrgetter(f"values.{quantity.name}")

        def field_position(reading: Reading) -> int | None:
            number = get(reading)
            return None if number is None or math.isnan(number) else bisect_right(cuts, number)

        return field_position

    def position(reading: Reading) -> int | None:
        number = quantity_value(quantity, value_lookup(reading))
        return None if number is None or math.isnan(number) else bisect_right(cuts, number)

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
