"""Conditions as rule authors write them: parsed with `ast`, checked, and turned into our own trees.

The grammar is a checked part of Python's: comparisons, also chained, `and or not in`, arithmetic,
numbers with a unit (`5 percent`), lengths of time (`30m`) and the functions in `FUNCTIONS`. Nothing
is ever handed to `eval`.
"""

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from prevenant.document import suggest
from prevenant.domain import DeviceType, FieldType
from prevenant.durations import parse_duration
from prevenant.units import UNITS
from rules.expression import (
    All,
    Arithmetic,
    Comparison,
    Condition,
    Constant,
    Field,
    Flag,
    Near,
    Not,
    Quantity,
    Same,
    Some,
    quantity_value,
)

FUNCTIONS = ("near",)
_MAX_DEPTH = 50

IDENTITY = ("device", "site")
"""Names that stand for a device's own name and its site's in any condition."""


class ExpressionError(ValueError):
    """A condition cannot be used; `offset` is the place in its text, from 0."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


def parse_condition(text: str, on: DeviceType, types: Mapping[str, DeviceType]) -> Condition:
    """Return the tree of a condition on devices of type `on`. Raises ExpressionError."""
    return _Parser(text, on, types).parse()


_AST_ARITHMETIC: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.Mod: "%",
}
_AST_COMPARE: dict[type[ast.cmpop], str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.In: "in",
    ast.NotIn: "not in",
}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_MEASURE = re.compile(
    r"'[^']*'|\"[^\"]*\""
    r"|(?<![\w.])(?P<time>\d+(?:\.\d+)?(?:ms|s|m|h|d|w))(?![\w.])"
    rf"|(?<![\w.])(?P<number>\d+(?:\.\d+)?)\s+(?P<unit>{'|'.join(sorted(UNITS, key=len, reverse=True))})\b"
)


@dataclass(frozen=True, slots=True)
class _Measure:
    """A literal that Python's grammar lacks: a length of time, or a number with a unit."""

    value: float
    unit: str | None
    is_time: bool


@dataclass(frozen=True, slots=True)
class _Operand:
    """One side of a comparison, as far as it is understood."""

    quantity: Quantity | None = None
    unit: str | None = None
    text: str | Field | None = None
    flag: Field | None = None
    truth: bool | None = None


def _read_measures(text: str) -> tuple[str, dict[int, _Measure]]:
    """Replace `30m` and `5 percent` by names of the same length; return them by their offset."""
    measures: dict[int, _Measure] = {}

    def replace(match: re.Match[str]) -> str:
        if match["time"]:
            measures[match.start()] = _Measure(parse_duration(match["time"]), None, is_time=True)
        elif match["number"]:
            value = float(match["number"])
            measures[match.start()] = _Measure(value, match["unit"], is_time=False)
        else:
            return match[0]
        return "_" * len(match[0])

    return _MEASURE.sub(replace, text), measures


class _Parser:
    """Turns Python's tree of one condition into ours, and refuses what a rule cannot say."""

    def __init__(
        self,
        text: str,
        on: DeviceType,
        types: Mapping[str, DeviceType],
        this: DeviceType | None = None,
    ) -> None:
        self._text, self._measures = _read_measures(text.strip().replace("\n", " "))
        self._on = on
        self._types = types
        self._this = this
        """Within near(): the type of the device whose rule it is."""

    def parse(self) -> Condition:
        try:
            tree = ast.parse(self._text, mode="eval").body
        except SyntaxError as error:
            message = f"this is not a condition: {error.msg}; write one such as `temperature > 26`"
            raise ExpressionError(message, max(0, (error.offset or 1) - 1)) from None
        except (RecursionError, MemoryError):
            raise _too_deep() from None
        if _depth(tree) > _MAX_DEPTH:
            raise _too_deep()
        return self.condition(tree)

    def condition(self, node: ast.expr) -> Condition:
        match node:
            case ast.BoolOp(ast.And(), values):
                return All(tuple(self.condition(value) for value in values))
            case ast.BoolOp(ast.Or(), values):
                return Some(tuple(self.condition(value) for value in values))
            case ast.UnaryOp(ast.Not(), operand):
                return Not(self.condition(operand))
            case ast.Compare(left, signs, rights):
                return self._chain(node, [left, *rights], signs)
            case ast.Call(ast.Name(name)):
                return self._call(node, name)
            case ast.Name() | ast.Attribute():
                field_type, field = self._field(node)
                if field_type.kind is not bool:
                    kind = "a text" if field_type.kind is str else "a number"
                    self._refuse(node, f"{field.name} is {kind}: compare it with something")
                return Flag(field)
        return self._refuse(
            node, "a condition compares fields, as in `temperature > 26 and not open`"
        )

    def _chain(self, node: ast.expr, sides: list[ast.expr], signs: list[ast.cmpop]) -> Condition:
        parts = []
        for left, sign, right in zip(sides, signs, sides[1:], strict=False):
            word = _AST_COMPARE.get(type(sign))
            if word is None:
                self._refuse(node, "use == and != here; `is` compares nothing that a device sends")
            if word in {"in", "not in"}:
                parts.append(self._membership(left, right, negated=word == "not in"))
            else:
                parts.append(
                    self._comparison(node, self._operand(left), word, self._operand(right))
                )
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _membership(self, left: ast.expr, right: ast.expr, *, negated: bool) -> Condition:
        if not isinstance(right, ast.Tuple | ast.List | ast.Set) or not right.elts:
            self._refuse(right, "`in` takes a list of constants, as in `mode in ['eco', 'off']`")
        first = self._operand(left)
        found = Some(
            tuple(
                self._comparison(element, first, "==", self._operand(element))
                for element in right.elts
            )
        )
        return Not(found) if negated else found

    def _comparison(self, node: ast.expr, left: _Operand, sign: str, right: _Operand) -> Condition:
        if left.quantity is not None and right.quantity is not None:
            if left.unit and right.unit and left.unit != right.unit:
                self._refuse(
                    node, f"{left.unit} cannot be compared with {right.unit}: use one unit for both"
                )
            return self._number_comparison(node, left.quantity, sign, right.quantity)
        if sign not in {"==", "!="}:
            self._refuse(node, f"`{sign}` compares numbers: use == or != for texts and truths")
        if isinstance(left.text, str) or left.truth is not None:
            left, right = right, left
        equal = _equality(left, right)
        if equal is None:
            self._refuse(node, "the two sides are of different kinds and are never equal")
        return equal if sign == "==" else Not(equal)

    def _number_comparison(
        self, node: ast.expr, left: Quantity, sign: str, right: Quantity
    ) -> Condition:
        if isinstance(left, Constant) and isinstance(right, Constant):
            self._refuse(node, "this compares two constants: name a field on one side")
        if isinstance(left, Constant):
            left, sign, right = right, _MIRRORED[sign], left
        if isinstance(right, Constant):
            quantity, bound = left, right.value
        else:
            quantity, bound = Arithmetic("-", left, right), 0.0
        match sign:
            case "<":
                return Not(Comparison(quantity, ">=", bound))
            case "<=":
                return Not(Comparison(quantity, ">", bound))
            case "!=":
                return Not(Comparison(quantity, "==", bound))
        return Comparison(quantity, sign, bound)

    def _operand(self, node: ast.expr) -> _Operand:  # noqa: PLR0911  one for each kind of node
        match node:
            case ast.Constant(bool() as truth):
                return _Operand(truth=truth)
            case ast.Constant(int() | float() as number):
                return _Operand(Constant(float(number)))
            case ast.Constant(str() as text):
                return _Operand(text=text)
            case ast.UnaryOp(ast.USub(), operand):
                inner = self._number(operand)
                if isinstance(inner.quantity, Constant):
                    return _Operand(Constant(-inner.quantity.value), inner.unit)
                return _Operand(Arithmetic("-", Constant(0.0), _known(inner.quantity)), inner.unit)
            case ast.BinOp(left, sign, right) if type(sign) in _AST_ARITHMETIC:
                return self._arithmetic(
                    node, self._number(left), _AST_ARITHMETIC[type(sign)], self._number(right)
                )
            case ast.Name("true" | "false" as word):
                return _Operand(truth=word == "true")
            case ast.Name() if node.col_offset in self._measures and set(node.id) == {"_"}:
                measure = self._measures[node.col_offset]
                return _Operand(
                    Constant(measure.value), "second" if measure.is_time else measure.unit
                )
            case ast.Name() | ast.Attribute():
                return self._field_operand(node)
        return self._refuse(node, "expected a field, a number or a text here")

    def _field_operand(self, node: ast.Name | ast.Attribute) -> _Operand:
        field_type, field = self._field(node)
        if field_type.kind is str:
            return _Operand(text=field)
        if field_type.kind is bool:
            return _Operand(flag=field)
        return _Operand(field, field_type.unit)

    def _arithmetic(self, node: ast.expr, left: _Operand, sign: str, right: _Operand) -> _Operand:
        unit = None
        if sign in "+-%":
            if left.unit and right.unit and left.unit != right.unit:
                self._refuse(node, f"{left.unit} {sign} {right.unit} has no meaning: use one unit")
            unit = left.unit or right.unit
        first, second = left.quantity, right.quantity
        if isinstance(first, Constant) and isinstance(second, Constant):
            value = quantity_value(Arithmetic(sign, first, second), lambda _: None)
            if value is None:
                self._refuse(node, "this divides by zero")
            return _Operand(Constant(value), unit)
        return _Operand(Arithmetic(sign, _known(first), _known(second)), unit)

    def _number(self, node: ast.expr) -> _Operand:
        operand = self._operand(node)
        if operand.quantity is None:
            self._refuse(node, "only numbers can be reckoned with")
        return operand

    def _field(self, node: ast.Name | ast.Attribute) -> tuple[FieldType, Field]:
        if isinstance(node, ast.Attribute):
            if self._this and isinstance(node.value, ast.Name) and node.value.id == "this":
                return self._known_field(node, node.attr, self._this, of_this=True)
            return self._refuse(node, f"{ast.unparse(node)} is not a field here")
        return self._known_field(node, node.id, self._on, of_this=False)

    def _known_field(
        self, node: ast.expr, name: str, owner: DeviceType, *, of_this: bool
    ) -> tuple[FieldType, Field]:
        if name in IDENTITY:
            return FieldType(name, str), Field(name, of_this)
        field_type = owner.field(name)
        if field_type is None:
            known = [field.name for field in owner.fields]
            return self._refuse(node, f"{owner.name} has no field {name!r}: {suggest(name, known)}")
        return field_type, Field(name, of_this)

    def _call(self, node: ast.Call, name: str) -> Condition:
        if name not in FUNCTIONS:
            self._refuse(node, f"there is no function {name}(): {suggest(name, FUNCTIONS)}")
        form = "write near(TYPE, CONDITION, TIME), as in near(badge_reader, granted, 5s)"
        if self._this is not None:
            self._refuse(node, "near() cannot stand inside near()")
        if node.keywords or len(node.args) != 3:  # noqa: PLR2004  type, condition, time
            self._refuse(node, form)
        type_node, condition, time_node = node.args
        if not isinstance(type_node, ast.Name):
            self._refuse(type_node, form)
        if type_node.id not in self._types:
            hint = suggest(type_node.id, self._types)
            self._refuse(type_node, f"there is no device type {type_node.id!r}: {hint}")
        measure = self._measures.get(time_node.col_offset)
        if measure is None or not measure.is_time:
            self._refuse(time_node, form)
        inner = _Parser("", self._types[type_node.id], self._types, this=self._on)
        inner._measures = self._measures
        return Near(type_node.id, inner.condition(condition), measure.value)

    def _refuse(self, node: ast.expr, message: str) -> NoReturn:
        raise ExpressionError(message, node.col_offset)


def _depth(tree: ast.expr) -> int:
    """Return how many expressions stand inside each other."""
    level, depth = [tree], 0
    while level:
        depth += 1
        level = [c for node in level for c in ast.iter_child_nodes(node) if isinstance(c, ast.expr)]
    return depth


def _too_deep() -> ExpressionError:
    return ExpressionError("this condition is nested too deeply: split it into several rules", 0)


def _equality(left: _Operand, right: _Operand) -> Condition | None:
    if isinstance(left.text, Field) and right.text is not None:
        return Same(left.text, right.text)
    if left.flag and right.truth is not None:
        return Flag(left.flag) if right.truth else Not(Flag(left.flag))
    if left.flag and right.flag:
        first, second = Flag(left.flag), Flag(right.flag)
        return Some((All((first, second)), All((Not(first), Not(second)))))
    return None


def _known(quantity: Quantity | None) -> Quantity:
    if quantity is None:
        message = "a number was expected"
        raise TypeError(message)
    return quantity
