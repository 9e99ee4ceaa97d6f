"""What a model learns from: fields, and arithmetic over fields such as `process - air`."""

import ast
import operator
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prevenant.errors import ConfigurationError

Floats = NDArray[np.float64]
Compute = Callable[[Mapping[str, Floats]], Floats]

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_FUNCTIONS: dict[str, Callable[[Any], Any]] = {"abs": np.abs, "sqrt": np.sqrt, "log": np.log}


def fields_of(text: str) -> tuple[str, ...]:
    """Return the fields that an input is made of, in order. Raises ConfigurationError."""
    return _parse(text)[0]


def compute_input(text: str, columns: Mapping[str, Floats]) -> Floats:
    """Return an input from the columns of its fields; NaN where a field is missing or nothing results."""
    with np.errstate(all="ignore"):
        values = np.asarray(_parse(text)[1](columns), float)
    return np.where(np.isfinite(values), values, np.nan)


@cache
def _parse(text: str) -> tuple[tuple[str, ...], Compute]:
    """Return the fields that `text` names, and what computes it from their columns."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _wrong(text, "is no arithmetic over fields") from None
    fields: dict[str, None] = {}
    compute = _compile(tree, text, fields)
    if not fields:
        raise _wrong(text, "names no field")
    return tuple(fields), compute


def _compile(node: ast.expr, text: str, fields: dict[str, None]) -> Compute:
    match node:
        case ast.Name(id=name):
            fields[name] = None
            return lambda columns: columns[name]
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return lambda columns: np.full(1, float(number))  # noqa: ARG005  every part is called alike
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = _compile(operand, text, fields)
            return lambda columns: -inner(columns)
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _OPERATORS:
            one, other = _compile(left, text, fields), _compile(right, text, fields)
            apply = _OPERATORS[type(sign)]
            return lambda columns: apply(one(columns), other(columns))
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in _FUNCTIONS:
            inner, function = _compile(argument, text, fields), _FUNCTIONS[name]
            return lambda columns: function(inner(columns))
    raise _wrong(text, f"holds {ast.unparse(node)!r}, which is no arithmetic")


def _wrong(text: str, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"feature {text!r} {what}: write a field, or arithmetic over fields such as process - air"
    )
