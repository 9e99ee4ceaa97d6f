"""The bounds that a rule compares with: what is drawn into a picture of the values that it looks at."""

from collections.abc import Iterator
from dataclasses import dataclass

from prevenant.domain import Reading, Severity
from rules.derived import Derived
from rules.expression import (
    All,
    Arithmetic,
    Changed,
    Comparison,
    Condition,
    Constant,
    Field,
    Flag,
    Last,
    Not,
    Quantity,
    SiteNumber,
    Some,
    Windowed,
    leaves_of,
    quantity_value,
)
from rules.rule import Rule

_OPPOSITE = {">=": "<", ">": "<=", "==": "!="}


@dataclass(frozen=True, slots=True)
class Bound:
    """A number that something is compared with, and what the alarm is worth beyond it."""

    quantity: Quantity
    sign: str
    value: float
    severity: Severity
    clears: bool = False
    """Whether it ends the alarm instead of raising it."""
    beside: Quantity | None = None
    """What `value` is added to, where the bound moves: `cabinet > setpoint + 4`."""


class Curves:
    """What a rule looks at on one device, reckoned again from its readings in the order of their time.

    What depends on other devices, or on what models say, cannot be had of them and is left out.
    """

    def __init__(self, rule: Rule, fields: frozenset[str]) -> None:
        """Prepare. `fields` are those that devices of the type send."""
        bounds = bounds_of(rule)
        found = [one for bound in bounds for one in (bound.quantity, bound.beside) if one]
        found += _flags_of(rule)
        self.quantities = [
            one for one in dict.fromkeys(found) if _is_of_device(one, fields) and leaves_of(one)
        ]
        leaves = [leaf for one in self.quantities for leaf in leaves_of(one)]
        self._derived = Derived([one for one in leaves if not isinstance(one, Field)], [])
        self._memory = self._derived.new_memory()

    @property
    def looks_back_s(self) -> float:
        """How long before a moment readings count for it."""
        leaves = [leaf for one in self.quantities for leaf in leaves_of(one)]
        return max(
            (one.window_s for one in leaves if isinstance(one, Windowed | Last)), default=0.0
        )

    def take(self, reading: Reading) -> dict[Quantity, float]:
        """Return what each quantity is at a reading, where it is known."""
        if reading.observed_at >= self._memory.observed:
            self._derived.note(self._memory, reading)
        find = self._derived.lookup(self._memory, reading, reading.observed_at, lambda _: None)
        found = {one: quantity_value(one, find) for one in self.quantities}
        return {
            one: float(value) for one, value in found.items() if isinstance(value, float | bool)
        }


def bounds_of(rule: Rule) -> list[Bound]:
    """Return every bound of a rule, each once: those that raise its alarm, then those that clear it."""
    found = list(_bounds(rule.when, rule.severity)) if not rule.levels else []
    for severity, condition in rule.levels:
        found += _bounds(condition, severity)
    if rule.clear is not None:
        found += _bounds(rule.clear, rule.severity, clears=True)
    return list(dict.fromkeys(found))


def _bounds(
    condition: Condition, severity: Severity, *, clears: bool = False, is_negated: bool = False
) -> Iterator[Bound]:
    match condition:
        case Not(inner):
            yield from _bounds(inner, severity, clears=clears, is_negated=not is_negated)
        case All(parts) | Some(parts):
            for part in parts:
                yield from _bounds(part, severity, clears=clears, is_negated=is_negated)
        case Comparison(quantity, sign, value):
            shown = _OPPOSITE[sign] if is_negated else sign
            yield _bound(quantity, shown, value, severity, clears=clears)


def _bound(
    quantity: Quantity, sign: str, value: float, severity: Severity, *, clears: bool
) -> Bound:
    """Return a bound beside what it is compared with: a difference is compared with its other side."""
    match quantity:
        case Arithmetic("-", left, Constant(number)):
            return Bound(left, sign, value + number, severity, clears)
        case Arithmetic("-", left, right) if not isinstance(left, Constant):
            return Bound(left, sign, value, severity, clears, right)
    return Bound(quantity, sign, value, severity, clears)


def _flags_of(rule: Rule) -> Iterator[Field]:
    """Yield the fields that a rule looks at without a bound: what is true or false, or changes."""
    conditions = [rule.when, *(level for _, level in rule.levels)]
    while conditions:
        match conditions.pop():
            case Not(inner):
                conditions.append(inner)
            case All(parts) | Some(parts):
                conditions += parts
            case Flag(Field() as field) | Changed(field) | Flag(Last(field)):
                yield field


def _is_of_device(quantity: Quantity, fields: frozenset[str]) -> bool:
    match quantity:
        case Constant():
            return True
        case Field(name):
            return name in fields
        case SiteNumber():
            return False
        case Arithmetic(_, left, right):
            return _is_of_device(left, fields) and _is_of_device(right, fields)
        case Windowed(of=of):
            return all(_is_of_device(leaf, fields) for leaf in leaves_of(of))
    return quantity.field.name in fields
