"""Conditions as trees, evaluated in three values: True, False and None for *unknown*.

`rules.parsing` makes them from what a rule author writes.
"""

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from prevenant.domain import attribute_of

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
    attribute: str = field(init=False, repr=False, compare=False)
    """Where the values of a reading have it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "attribute", attribute_of(self.name))


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Two quantities and one of `+ - * / %`."""

    operator: str
    left: "Quantity"
    right: "Quantity"


@dataclass(frozen=True, slots=True)
class Windowed:
    """A number over the readings of the last `window_s` seconds, by one of `WINDOW_FUNCTIONS`."""

    function: str
    of: "Quantity | Condition"
    """A condition only with `count`."""
    window_s: float
    per_s: float = 3600.0
    """The time that a `rate` is for."""


@dataclass(frozen=True, slots=True)
class Last:
    """The newest value that a field was sent with, where that was within the last `window_s` seconds."""

    field: Field
    window_s: float


@dataclass(frozen=True, slots=True)
class Age:
    """The seconds since a field was last sent."""

    field: Field


@dataclass(frozen=True, slots=True)
class SiteNumber:
    """A number across the devices of a type at one site: `count` of those in a state, or `avg`."""

    function: str
    type: str
    of: "Quantity | Condition"
    """A condition with `count`, a quantity with `avg`."""


WINDOW_FUNCTIONS = ("avg", "min", "max", "sum", "stddev", "count", "delta", "rate")

Leaf = Field | Windowed | Last | Age | SiteNumber
"""What has a value of its own on a device."""
Quantity = Constant | Leaf | Arithmetic


@dataclass(frozen=True, slots=True)
class Comparison:
    """A quantity against a constant by `>=`, `>` or `==`; the other orders are `Not` one of these."""

    quantity: Quantity
    operator: str
    bound: float


@dataclass(frozen=True, slots=True)
class Same:
    """A text field equal to a constant or to another text field."""

    field: Field | Last
    text: "str | Field | Last"


@dataclass(frozen=True, slots=True)
class Flag:
    """A field that is true or false."""

    field: Field | Last


@dataclass(frozen=True, slots=True)
class Changed:
    """Whether a field took another value within the last `window_s` seconds; or the value `to`."""

    field: Field
    window_s: float
    to: float | bool | str | None = None
    """None: any other value."""


@dataclass(frozen=True, slots=True)
class Silent:
    """Whether nothing was heard of the device for as long as its type allows."""


@dataclass(frozen=True, slots=True)
class Near:
    """A device of another type at the same site, observed within ± `within_s` to satisfy `condition`.

    The moment in the middle is when the rest of the rule's condition last changed on this device.
    """

    type: str
    condition: "Condition"
    within_s: float
    asked_by: str = ""
    """The rule that asks: each one has a moment of its own."""


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


Atom = Comparison | Same | Flag | Changed | Near | Silent
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


def asked_by(rule: str, condition: Condition) -> Condition:
    """Return `condition` with the name of the rule in each `near` of it."""
    match condition:
        case Near():
            return replace(condition, asked_by=rule)
        case Not(inner):
            return Not(asked_by(rule, inner))
        case All(parts):
            return All(tuple(asked_by(rule, part) for part in parts))
        case Some(parts):
            return Some(tuple(asked_by(rule, part) for part in parts))
        case _:
            return condition


def beside_near(condition: Condition) -> list[Condition]:
    """Return the parts of a condition in which no `near` stands, as large as they are."""
    if not any(isinstance(atom, Near) for atom in atoms_of(condition)):
        return [condition]
    match condition:
        case Not(inner):
            return beside_near(inner)
        case All(parts) | Some(parts):
            return [rest for part in parts for rest in beside_near(part)]
    return []


def atoms_of(condition: Condition) -> list[Atom]:
    """Return the atoms of `condition` from left to right."""
    match condition:
        case Not(inner):
            return atoms_of(inner)
        case All(parts) | Some(parts):
            return [atom for part in parts for atom in atoms_of(part)]
        case _:
            return [condition]


def leaves_of(part: Quantity | Condition) -> list[Leaf]:
    """Return what `part` takes its values from, from left to right, without what stands inside those."""
    match part:
        case Constant() | Near() | Silent():
            return []
        case Arithmetic(_, left, right):
            return [*leaves_of(left), *leaves_of(right)]
        case Comparison(quantity):
            return leaves_of(quantity)
        case Same(field, text):
            return [field] if isinstance(text, str) else [field, text]
        case Flag(field) | Changed(field):
            return [field]
        case Not(inner):
            return leaves_of(inner)
        case All(parts) | Some(parts):
            return [leaf for one in parts for leaf in leaves_of(one)]
    return [part]


def quantity_value(quantity: Quantity, value_of: Callable[[Any], Any]) -> float | None:
    """Return the number that `quantity` is, or None where a field is missing or a divisor is 0."""
    match quantity:
        case Constant(value):
            return value
        case Arithmetic(sign, left, right):
            first, second = quantity_value(left, value_of), quantity_value(right, value_of)
            if first is None or second is None or (sign in "/%" and second == 0):
                return None
            result: float = _ARITHMETIC[sign](first, second)
            return result if result - result == 0 else None
    number: float | None = value_of(quantity)
    return number


def atom_truth(atom: Atom, value_of: Callable[[Any], Any]) -> Truth:
    """Return the truth of an atom, given the values of the leaves, and of what is one by itself."""
    match atom:
        case Comparison(quantity, sign, bound):
            number = quantity_value(quantity, value_of)
            return None if number is None else bool(_COMPARE[sign](number, bound))
        case Same(field, text):
            first = value_of(field)
            second = text if isinstance(text, str) else value_of(text)
            return None if first is None or second is None else first == second
        case Flag(field):
            flag: Truth = value_of(field)
            return flag
        case Near() | Changed() | Silent():
            truth: Truth = value_of(atom)
            return truth


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
