"""Expressions of PromQL as trees."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Number:
    """A number."""

    value: float


@dataclass(frozen=True, slots=True)
class String:
    """A text."""

    value: str


@dataclass(frozen=True, slots=True)
class Matcher:
    """What a label of a series has to be."""

    label: str
    sign: str
    """`=`, `!=`, `=~` or `!~`."""
    value: str

    def __str__(self) -> str:
        return f'{self.label}{self.sign}"{self.value}"'


@dataclass(frozen=True, slots=True)
class Selector:
    """The series of a metric, at the moment or over a time."""

    metric: str
    matchers: tuple[Matcher, ...] = ()
    range_s: float | None = None
    is_shifted: bool = False
    """Whether `offset` or `@` moves it to another time."""


@dataclass(frozen=True, slots=True)
class Subquery:
    """An expression evaluated over a time."""

    of: "Expression"


@dataclass(frozen=True, slots=True)
class Call:
    """A function with its arguments."""

    name: str
    arguments: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One value made of those of several series."""

    name: str
    arguments: tuple["Expression", ...]
    labels: tuple[str, ...] = ()
    is_without: bool = False
    """Whether `labels` are those that are dropped."""


@dataclass(frozen=True, slots=True)
class Binary:
    """Two expressions and what is between them."""

    sign: str
    left: "Expression"
    right: "Expression"
    is_bool: bool = False
    matching: str = ""
    """`on`, `ignoring` or nothing."""
    labels: tuple[str, ...] = ()
    group: str = ""
    """`group_left`, `group_right` or nothing."""


@dataclass(frozen=True, slots=True)
class Negative:
    """An expression with the opposite sign."""

    of: "Expression"


Expression = Number | String | Selector | Subquery | Call | Aggregate | Binary | Negative


def inner_parts(node: Expression) -> tuple[Expression, ...]:
    """Return the expressions that stand directly inside `node`."""
    match node:
        case Call() | Aggregate():
            return node.arguments
        case Binary():
            return node.left, node.right
        case Subquery(of) | Negative(of):
            return (of,)
    return ()


def selectors_of(node: Expression) -> Iterator[Selector]:
    """Yield all series that an expression is about."""
    if isinstance(node, Selector):
        yield node
    for part in inner_parts(node):
        yield from selectors_of(part)
