"""Conditions as trees, evaluated in three values: True, False and None for *unknown*.

`rules.parsing` makes them from what a rule author writes.
"""

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

Truth = bool | None


@dataclass(frozen=True, slots=True)
class Constant:
    """A number."""

    value: float


@dataclass(frozen=True, slots=True)
class Field:
    """The value of a field; `this.` fields belong to the device whose rule it is."""

    name: str
    of_this: bool = False


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Two quantities and one of `+ - * / %`."""

    operator: str
    left: "Quantity"
    right: "Quantity"


Quantity = Constant | Field | Arithmetic


@dataclass(frozen=True, slots=True)
class Comparison:
    """A quantity against a constant by `>=`, `>` or `==`; the other orders are `Not` one of these."""

    quantity: Quantity
    operator: str
    bound: float


@dataclass(frozen=True, slots=True)
class Same:
    """A text field equal to a constant or to another text field."""

    field: Field
    text: "str | Field"


@dataclass(frozen=True, slots=True)
class Flag:
    """A field that is true or false."""

    field: Field


@dataclass(frozen=True, slots=True)
class Near:
    """A device of another type at the same site, observed within ± `within_s` to satisfy `condition`.

    The moment in the middle is when the rest of the rule's condition last changed on this device.
    """

    type: str
    condition: "Condition"
    within_s: float


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite; unknown stays unknown."""

    condition: "Condition"


@dataclass(frozen=True, slots=True)
class All:
    """True where all are, false where one is false."""

    conditions: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Some:
    """True where one is, false where all are false."""

    conditions: tuple["Condition", ...]


Atom = Comparison | Same | Flag | Near
Condition = Atom | Not | All | Some


def evaluate(condition: Condition, truth_of: Callable[[Any], Truth]) -> Truth:
    """Return the truth of `condition`, given the truth of each of its atoms."""
    match condition:
        case Not(inner):
            truth = evaluate(inner, truth_of)
            return None if truth is None else not truth
        case All(parts):
            return _all(evaluate(part, truth_of) for part in parts)
        case Some(parts):
            truth = _all(_negated(evaluate(part, truth_of)) for part in parts)
            return _negated(truth)
        case _:
            return truth_of(condition)


def atoms_of(condition: Condition) -> list[Atom]:
    """Return the atoms of `condition` from left to right."""
    match condition:
        case Not(inner):
            return atoms_of(inner)
        case All(parts) | Some(parts):
            return [atom for part in parts for atom in atoms_of(part)]
        case _:
            return [condition]


def quantity_value(quantity: Quantity, value_of: Callable[[Field], Any]) -> float | None:
    """Return the number that `quantity` is, or None where a field is missing or a divisor is 0."""
    match quantity:
        case Constant(value):
            return value
        case Field():
            number: float | None = value_of(quantity)
            return number
        case Arithmetic(sign, left, right):
            first, second = quantity_value(left, value_of), quantity_value(right, value_of)
            if first is None or second is None or (sign in "/%" and second == 0):
                return None
            result: float = _ARITHMETIC[sign](first, second)
            return result if result - result == 0 else None


def atom_truth(atom: Atom, value_of: Callable[[Field], Any]) -> Truth:
    """Return the truth of an atom other than `near`, given the values of the fields."""
    match atom:
        case Comparison(quantity, sign, bound):
            number = quantity_value(quantity, value_of)
            return None if number is None else bool(_COMPARE[sign](number, bound))
        case Same(field, text):
            first = value_of(field)
            second = value_of(text) if isinstance(text, Field) else text
            return None if first is None or second is None else first == second
        case Flag(field):
            flag: Truth = value_of(field)
            return flag
        case Near():
            message = "near() cannot stand inside near()"
            raise TypeError(message)


_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
}
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "==": operator.eq,
}


def _all(truths: Iterable[Truth]) -> Truth:
    unknown = False
    for truth in truths:
        if truth is False:
            return False
        unknown = unknown or truth is None
    return None if unknown else True


def _negated(truth: Truth) -> Truth:
    return None if truth is None else not truth
