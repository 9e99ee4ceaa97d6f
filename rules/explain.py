"""Why an alarm was raised or cleared: in a sentence, and comparison by comparison."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from prevenant.durations import format_duration
from rules.expression import (
    Age,
    All,
    Arithmetic,
    Atom,
    Changed,
    Comparison,
    Condition,
    Constant,
    Field,
    Flag,
    Last,
    Leaf,
    Near,
    Not,
    Quantity,
    Same,
    Silent,
    SiteNumber,
    Some,
    Truth,
    Windowed,
    leaves_of,
)
from rules.rule import Rule

_SITE_FUNCTIONS = {"count": "site_count", "avg": "site_avg"}
_PER_HOUR = 3600.0
_TELLING = {
    "cleared": "{clear} holds{clear_for}",
    "latched": "{clear} holds{clear_for}; it is latched and stays until a person resets it",
    "passed": "{when} held{for_}, and was over before it was known",
    "levelled": "the level that holds is another",
    "shelved": "it is raised too often and shelved: nobody is told until {until}",
    "released": "what kept it from being told has ended, and it still holds",
    "raised": "{when} holds{for_}",
}


def with_values(reason: str, values: Mapping[str, Any]) -> str:
    """Return a reason with the values that decided."""
    if not values:
        return reason
    # With every transition: most values are numbers, and a call for each would cost as much again.
    shown = [
        f"{name} = {value:g}" if type(value) is float else f"{name} = {shown_value(value)}"
        for name, value in values.items()
    ]
    return f"{reason} ({', '.join(shown)})"


def reason_of(rule: Rule, kind: str, until: str = "") -> str:
    """Return one sentence: the condition, and how long it held."""
    text = _TELLING[kind].format(
        when=f"`{rule.when_text}`",
        clear=f"`{rule.clear_text or f'not ({rule.when_text})'}`",
        for_=_for(rule.for_s),
        clear_for=_for(rule.clear_for_s),
        until=until,
    )
    if kind == "raised" and rule.repeat is not None:
        within = format_duration(rule.repeat.within_s)
        text += f", {rule.repeat.times} times within {within}"
    return text


class Asked(NamedTuple):
    """What a rule's conditions look at: found once, and told with every change of its alarms."""

    atoms: tuple[tuple[str, Quantity | None, Callable[[Any], Truth]], ...]
    """Each comparison in words, what it compares, and how to find its truth."""
    fields: frozenset[str]
    """What is read."""
    derived: tuple[tuple[Leaf, str], ...]
    """What is derived from more than one reading, in words."""


def asked_of(truths: Mapping[Atom, Callable[[Any], Truth]]) -> Asked:
    """Return what a rule looks at whose atoms have these truths."""
    leaves = [leaf for atom in truths for leaf in leaves_of(atom)]
    return Asked(
        tuple([(describe_condition(one), _compared(one), truth) for one, truth in truths.items()]),
        frozenset(leaf.name for leaf in leaves if isinstance(leaf, Field)),
        tuple([(leaf, describe_quantity(leaf)) for leaf in leaves if not isinstance(leaf, Field)]),
    )


def _compared(atom: Atom) -> Quantity | None:
    match atom:
        case Comparison(quantity):
            return quantity
        case Same(field) | Flag(field) | Changed(field):
            return field
    return None


def describe_condition(condition: Condition) -> str:  # noqa: PLR0911  one for each kind
    """Return a condition in the words of the rule book."""
    match condition:
        case Not(inner):
            text = describe_condition(inner)
            return f"not {text}" if isinstance(inner, Flag | Near | Changed) else f"not ({text})"
        case All(parts):
            return " and ".join(_inside(part) for part in parts)
        case Some(parts):
            return " or ".join(_inside(part) for part in parts)
        case Comparison(quantity, sign, bound):
            return f"{describe_quantity(quantity)} {sign} {bound:.12g}"
        case Same(field, text):
            other = f"'{text}'" if isinstance(text, str) else describe_quantity(text)
            return f"{describe_quantity(field)} == {other}"
        case Flag(field):
            return describe_quantity(field)
        case Changed(field, window_s, to):
            value = "" if to is None else f", {shown_value(to)}"
            name = "changed" if to is None else "changed_to"
            return f"{name}({field.name}{value}, {format_duration(window_s)})"
        case Near(type_name, inner, within_s):
            return f"near({type_name}, {describe_condition(inner)}, {format_duration(within_s)})"
        case Silent():
            return "silent"


def describe_quantity(quantity: Quantity) -> str:
    """Return a number in the words of the rule book."""
    match quantity:
        case Constant(value):
            return f"{value:.12g}"
        case Field(name, of_this):
            return f"this.{name}" if of_this else name
        case Arithmetic(sign, left, right):
            return f"{_bracketed(left)} {sign} {_bracketed(right)}"
        case Windowed(function, of, window_s, per_s):
            per = "" if per_s == _PER_HOUR else f", {format_duration(per_s)}"
            return f"{function}({_described(of)}, {format_duration(window_s)}{per})"
        case Last(field, window_s):
            return f"last({field.name}, {format_duration(window_s)})"
        case Age(field):
            return f"age({field.name})"
        case SiteNumber(function, type_name, of):
            return f"{_SITE_FUNCTIONS[function]}({type_name}, {_described(of)})"


def _described(of: Quantity | Condition) -> str:
    return describe_quantity(of) if isinstance(of, Quantity) else describe_condition(of)


def _inside(condition: Condition) -> str:
    text = describe_condition(condition)
    return f"({text})" if isinstance(condition, All | Some) else text


def _bracketed(quantity: Quantity) -> str:
    text = describe_quantity(quantity)
    return f"({text})" if isinstance(quantity, Arithmetic) else text


def _for(seconds: float) -> str:
    return f" for {format_duration(seconds)}" if seconds else ""


def shown_value(value: Any) -> str:
    """Return a field's value as people read it."""
    if type(value) is float:
        return f"{value:g}"
    return str(value).lower() if isinstance(value, bool) else str(value)
