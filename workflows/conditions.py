"""Conditions of the step `if`: a checked part of Python's grammar, in three values. Pure.

A condition is read once when the book is checked, and again when it decides; it is never given to
Python to run. What a case does not know is *unknown*, which is neither true nor false.
"""

import ast
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any, NoReturn

from prevenant.document import suggest
from prevenant.domain import DAYS, Severity
from workflows.definition import FACTS

_NUMBER, _TEXT, _TRUTH, _ANY = "a number", "a text", "true or false", ""
KINDS: Mapping[type, str] = {float: _NUMBER, str: _TEXT, bool: _TRUTH}
"""What the values of a field are, in words."""


def _is_time(text: str) -> bool:
    return re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text, re.ASCII) is not None


def _is_day(text: str) -> bool:
    try:
        return str(date.fromisoformat(text)) == text
    except ValueError:
        return False


NAMES: Mapping[str, str] = {
    "severity": _NUMBER,
    "rating": _NUMBER,
    "alarm.rule": _TEXT,
    "device.id": _TEXT,
    "device.type": _TEXT,
    "device.label": _TEXT,
    "device.place": _TEXT,
    "site.id": _TEXT,
    "site.name": _TEXT,
    "site.area": _TEXT,
    "customer.id": _TEXT,
    "customer.name": _TEXT,
    "customer.language": _TEXT,
    "technician.id": _TEXT,
    "technician.name": _TEXT,
    "case.owner": _TEXT,
    "local.time": _TEXT,
    "local.date": _TEXT,
    "local.day": _TEXT,
    "local.hour": _NUMBER,
    **dict.fromkeys(FACTS, _TRUTH),
}
"""What a condition can name, and of which kind it is; beside it `values`, `prediction` and `answer`."""

OPEN_NAMES = ("values", "prediction", "answer")
_CHOICES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "severity": (set(Severity).__contains__, f"one of {', '.join(one.word for one in Severity)}"),
    "local.day": (set(DAYS).__contains__, f"one of {', '.join(DAYS)}"),
    "local.time": (_is_time, "a time such as '07:30'"),
    "local.date": (_is_day, "a day such as '2026-05-04'"),
}
"""What a name that is not free can be, and how that is written."""
_WORDS: Mapping[str, Any] = {
    "true": True,
    "false": False,
    **{one.word: int(one) for one in Severity},
    **{day: day for day in DAYS},
}
_COMPARISONS: Mapping[type[ast.cmpop], tuple[str, Callable[[Any, Any], bool]]] = {
    ast.Eq: ("==", operator.eq),
    ast.NotEq: ("!=", operator.ne),
    ast.Lt: ("<", operator.lt),
    ast.LtE: ("<=", operator.le),
    ast.Gt: (">", operator.gt),
    ast.GtE: (">=", operator.ge),
}
_ARITHMETIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_LONGEST = 1_000
_UNKNOWN = object()

Truth = bool | None


@dataclass(frozen=True, slots=True)
class Decision:
    """What a condition says, and of which values."""

    truth: Truth
    """None: not known."""
    reason: str


class ConditionError(ValueError):
    """A condition that cannot be used: why, and how far into its text."""

    def __init__(self, message: str, offset: int = 0) -> None:
        super().__init__(message)
        self.offset = offset


def check_condition(text: str) -> list[str]:
    """Return the names that a condition uses, in their order. Raises ConditionError."""
    names: list[str] = []
    kind = _check(_parse(text), names)
    if kind not in {_TRUTH, _ANY}:
        message = f"this is {kind}, and neither true nor false: compare it with something"
        raise ConditionError(message)
    for one in find_compared(text):
        can_be, remedy = _CHOICES.get(one.name, (None, ""))
        is_text = one.kind == _TEXT
        if can_be is not None and (one.is_same or is_text) and not can_be(one.value):
            message = f"{one.name} is never {one.value!r}: write {remedy}"
            raise ConditionError(message, one.offset)
    return names


@dataclass(frozen=True, slots=True)
class Compared:
    """A name and a value with which a condition compares it."""

    name: str
    value: bool | float | str
    is_same: bool
    """Whether it is asked if they are the same; else which is the greater."""
    offset: int

    @property
    def kind(self) -> str:
        """Of which kind the value is, in words."""
        return _kind_of(self.value)


def find_compared(text: str) -> list[Compared]:
    """Return what a checked condition compares names with."""
    return [
        one
        for node in ast.walk(_parse(text))
        if isinstance(node, ast.Compare)
        for one in _compared_in(node)
    ]


def _compared_in(node: ast.Compare) -> Iterator[Compared]:
    left = node.left
    for operation, right in zip(node.ops, node.comparators, strict=True):
        others = right.elts if isinstance(right, ast.List | ast.Tuple | ast.Set) else [right]
        is_same = isinstance(operation, ast.Eq | ast.NotEq | ast.In | ast.NotIn)
        for named, other in [pair for one in others for pair in ((left, one), (one, left))]:
            value = _constant(other)
            if value is not None and _constant(named) is None and _is_name(named):
                yield Compared(_dotted(named), value, is_same, other.col_offset)
        left = right


def _is_name(node: ast.expr) -> bool:
    return isinstance(node, ast.Name | ast.Attribute)


def _constant(node: ast.expr) -> bool | float | str | None:
    """Return the value that is written; None where a name or a sum stands."""
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float | str):
        return node.value
    return _WORDS.get(_dotted(node)) if _is_name(node) else None


def decide(text: str, values: Mapping[str, Any]) -> Decision:
    """Return what a checked condition says of `values`; a name that is missing there is unknown."""
    tree = _parse(text)
    names: list[str] = []
    _check(tree, names)
    result = _evaluate(tree, values)
    truth = None if result is _UNKNOWN or not isinstance(result, bool) else result
    shown = [f"{name} is {_shown(name, values)}" for name in dict.fromkeys(names)]
    said = {True: "holds", False: "does not hold", None: "is not known"}[truth]
    return Decision(truth, f"`{text}` {said}" + (f": {', '.join(shown)}" if shown else ""))


@lru_cache(maxsize=512)
def _parse(text: str) -> ast.expr:
    if len(text) > _LONGEST:
        message = f"a condition has at most {_LONGEST} characters: use several steps"
        raise ConditionError(message)
    try:
        return ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        message = f"this is no condition: {error.msg}"
        raise ConditionError(message, max(0, (error.offset or 1) - 1)) from None
    except (RecursionError, MemoryError, ValueError):
        message = "this is no condition: it goes too deep"
        raise ConditionError(message) from None


def _check(node: ast.expr, names: list[str]) -> str:  # noqa: C901, PLR0911  a line a kind
    """Return of which kind a part of a condition is; its names are added to `names`."""
    match node:
        case ast.BoolOp():
            for value in node.values:
                _check_truth(value, names)
            return _TRUTH
        case ast.UnaryOp(op=ast.Not()):
            _check_truth(node.operand, names)
            return _TRUTH
        case ast.UnaryOp(op=ast.USub()):
            return _expect(node.operand, _NUMBER, names)
        case ast.BinOp() if type(node.op) in _ARITHMETIC:
            _expect(node.left, _NUMBER, names)
            return _expect(node.right, _NUMBER, names)
        case ast.Compare():
            _check_comparison(node, names)
            return _TRUTH
        case ast.Call(func=ast.Name(id="known"), args=[one], keywords=[]):
            if not isinstance(one, ast.Name | ast.Attribute):
                _refuse(node, "known(…) asks about one name, as in known(customer.id)")
            _check(one, names)
            return _TRUTH
        case ast.Constant(value=bool() | int() | float() | str()):
            return _kind_of(node.value)
        case ast.Name() | ast.Attribute():
            return _check_name(node, names)
    return _refuse(
        node, "this cannot stand in a condition: compare names with and, or, not, in, + - * /"
    )


def _check_truth(node: ast.expr, names: list[str]) -> None:
    if _check(node, names) not in {_TRUTH, _ANY}:
        _refuse(node, "this is neither true nor false: compare it with something")


def _expect(node: ast.expr, kind: str, names: list[str]) -> str:
    if _check(node, names) not in {kind, _ANY}:
        _refuse(node, f"{kind} is expected here")
    return kind


def _check_comparison(node: ast.Compare, names: list[str]) -> None:
    kind = _check(node.left, names)
    for compared, right in zip(node.ops, node.comparators, strict=True):
        if isinstance(compared, ast.In | ast.NotIn):
            if not isinstance(right, ast.List | ast.Tuple | ast.Set) or not right.elts:
                _refuse(right, "write what it may be as a list, as in [sat, sun]")
            kinds = [_check(one, names) for one in right.elts]
        elif type(compared) in _COMPARISONS:
            kinds = [_check(right, names)]
        else:
            _refuse(right, "compare with < <= > >= == != in or not in")
        for other in kinds:
            if _ANY not in {kind, other} and kind != other:
                _refuse(right, f"{kind} cannot be compared with {other}")
        kind = kinds[0]


def _check_name(node: ast.Name | ast.Attribute, names: list[str]) -> str:
    name = _dotted(node)
    if name in _WORDS:
        return _kind_of(_WORDS[name])
    names.append(name)
    if name in NAMES:
        return NAMES[name]
    first, _, rest = name.partition(".")
    if first in OPEN_NAMES and rest:
        return _ANY
    if first in OPEN_NAMES:
        _refuse(node, f"{name!r} is a group of names: name one of it, as in {first}.temperature")
    known = [*NAMES, *_WORDS, *(f"{one}.…" for one in OPEN_NAMES)]
    return _refuse(node, f"{name!r} is not known here: {suggest(name, known)}")


def _dotted(node: ast.expr) -> str:
    match node:
        case ast.Name():
            return node.id
        case ast.Attribute():
            return f"{_dotted(node.value)}.{node.attr}"
    return _refuse(node, "a name is made of words with dots between them")


def _refuse(node: ast.expr, message: str) -> NoReturn:
    raise ConditionError(message, node.col_offset)


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return _TRUTH
    return _TEXT if isinstance(value, str) else _NUMBER


def _evaluate(  # noqa: PLR0911  a line for each kind
    node: ast.expr, values: Mapping[str, Any]
) -> Any:
    """Return the value of a checked part, or `_UNKNOWN`."""
    match node:
        case ast.BoolOp():
            stop = isinstance(node.op, ast.Or)
            found = [_truth(_evaluate(value, values)) for value in node.values]
            if stop in found:
                return stop
            return _UNKNOWN if _UNKNOWN in found else not stop
        case ast.UnaryOp(op=ast.Not()):
            truth = _truth(_evaluate(node.operand, values))
            return truth if truth is _UNKNOWN else not truth
        case ast.UnaryOp():
            return _calculate(operator.mul, -1, _evaluate(node.operand, values))
        case ast.BinOp():
            left, right = _evaluate(node.left, values), _evaluate(node.right, values)
            return _calculate(_ARITHMETIC[type(node.op)], left, right)
        case ast.Compare():
            return _compare(node, values)
        case ast.Call():
            return _evaluate(node.args[0], values) is not _UNKNOWN
        case ast.Constant():
            return node.value
        case _:
            name = _dotted(node)
            value = _WORDS[name] if name in _WORDS else values.get(name)
            return _UNKNOWN if value is None else value


def _truth(value: Any) -> Any:
    return value if isinstance(value, bool) else _UNKNOWN


def _calculate(work: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    if not all(isinstance(one, int | float) for one in (left, right)):
        return _UNKNOWN
    try:
        return work(left, right)
    except ArithmeticError:
        return _UNKNOWN


def _compare(node: ast.Compare, values: Mapping[str, Any]) -> Any:
    """Return whether a chain of comparisons holds; one that is false decides, whatever is unknown."""
    left = _evaluate(node.left, values)
    found: list[Any] = []
    for compared, right in zip(node.ops, node.comparators, strict=True):
        if isinstance(right, ast.List | ast.Tuple | ast.Set):
            options = [_evaluate(one, values) for one in right.elts]
            among = _is_among(left, options)
            found.append(
                (not among) if isinstance(compared, ast.NotIn) and among is not _UNKNOWN else among
            )
            continue
        other = _evaluate(right, values)
        found.append(_compare_two(_COMPARISONS[type(compared)][1], left, other))
        left = other
    if False in found:
        return False
    return _UNKNOWN if _UNKNOWN in found else True


def _is_among(value: Any, options: Sequence[Any]) -> Any:
    found = [_compare_two(operator.eq, value, option) for option in options]
    if True in found:
        return True
    return _UNKNOWN if _UNKNOWN in found else False


def _compare_two(compare: Callable[[Any, Any], bool], left: Any, right: Any) -> Any:
    if left is _UNKNOWN or right is _UNKNOWN or _kind_of(left) != _kind_of(right):
        return _UNKNOWN
    return compare(left, right)


def _shown(name: str, values: Mapping[str, Any]) -> str:
    value = values.get(name)
    if value is None:
        return "not known"
    if name == "severity":
        return Severity(value).word
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
