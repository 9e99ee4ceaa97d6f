"""Conditions as rule authors write them: parsed with `ast`, checked, and turned into our own trees.

The grammar is a checked part of Python's: comparisons, also chained, `and or not in`, arithmetic,
numbers with a unit (`5 percent`), lengths of time (`30m`) and the functions in `FUNCTIONS`. Nothing
is ever handed to `eval`.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import NoReturn

from prevenant.document import suggest
from prevenant.domain import DeviceType, FieldType
from prevenant.units import conversion
from rules.expression import (
    WINDOW_FUNCTIONS,
    Age,
    All,
    Arithmetic,
    Changed,
    Comparison,
    Condition,
    Constant,
    Field,
    Flag,
    Last,
    Near,
    Not,
    Quantity,
    Same,
    SiteNumber,
    Some,
    Windowed,
    leaves_of,
    quantity_value,
)
from rules.measures import read_measures
from rules.syntax import count_characters, depth_of, dotted_name

_TIME_FUNCTIONS = ("last", "age", "changed", "changed_to")
_SITE_FUNCTIONS = ("near", "site_count", "site_avg")
FUNCTIONS = (*WINDOW_FUNCTIONS, *_TIME_FUNCTIONS, *_SITE_FUNCTIONS)
_FORMS = {
    **dict.fromkeys(WINDOW_FUNCTIONS, "{}(NUMBER, TIME), as in {}(temperature, 10m)"),
    "count": "count(CONDITION, TIME), as in count(open, 10m)",
    "rate": "rate(NUMBER, TIME), per hour, or rate(NUMBER, TIME, PER), as in rate(litres, 10m, 1s)",
    "last": "last(FIELD, TIME), as in last(setpoint, 1h)",
    "age": "age(FIELD), as in age(temperature) > 1h",
    "changed": "changed(FIELD, TIME), as in changed(mode, 10m)",
    "changed_to": "changed_to(FIELD, VALUE, TIME), as in changed_to(mode, 'eco', 10m)",
    "near": "near(TYPE, CONDITION, TIME), as in near(badge_reader, granted, 5s)",
    "site_count": "site_count(TYPE, CONDITION), as in site_count(door, open)",
    "site_avg": "site_avg(TYPE, NUMBER), as in site_avg(thermometer, temperature)",
}
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


def check_input(text: str, on: DeviceType) -> None:
    """Judge what a model is to learn from: a field, or arithmetic over fields. Raises ExpressionError."""
    _Parser(text, on, {}).input()


def parse_input(text: str, on: DeviceType) -> Quantity:
    """Return arithmetic over fields that a model learns from. Raises ExpressionError where it is none."""
    quantity = _Parser(text, on, {}).input().quantity
    if quantity is None:
        message = f"{text!r} is no number"
        raise ExpressionError(message, 0)
    return quantity


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


@dataclass(frozen=True, slots=True)
class _Operand:
    """One side of a comparison, as far as it is understood."""

    quantity: Quantity | None = None
    unit: str | None = None
    text: str | Field | Last | None = None
    flag: Field | Last | None = None
    truth: bool | None = None
    is_difference: bool = False
    """Whether the number is a difference, to which the offset between two units does not belong."""


class _Parser:
    """Turns Python's tree of one condition into ours, and refuses what a rule cannot say."""

    def __init__(
        self,
        text: str,
        on: DeviceType,
        types: Mapping[str, DeviceType],
        this: DeviceType | None = None,
        inside: str = "",
    ) -> None:
        self._indent = len(text) - len(text.lstrip())
        try:
            self._text, self._measures = read_measures(text.strip().replace("\n", " "))
        except ValueError as error:
            raise ExpressionError(str(error), 0) from None
        self._on = on
        self._types = types
        self._this = this
        """Within near(): the type of the device whose rule it is."""
        self._inside = inside
        """The function that this part of the condition stands in."""

    def parse(self) -> Condition:
        try:
            return self.condition(self._tree("a condition", "temperature > 26"))
        except ExpressionError as error:
            error.offset += self._indent
            raise

    def input(self) -> _Operand:
        try:
            return self._input(self._tree("a field or arithmetic over fields", "hot - cold"))
        except ExpressionError as error:
            error.offset += self._indent
            raise

    def _input(self, tree: ast.expr) -> _Operand:
        if isinstance(tree, ast.Call):
            self._refuse(tree, "a model finds windows by itself: name the field alone")
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                self._refuse(node, "a model learns from what devices send, not from a model")
        of = self._operand(tree)
        leaves = leaves_of(of.quantity) if of.quantity is not None else [of.text or of.flag]
        if not leaves or not all(isinstance(leaf, Field) for leaf in leaves):
            self._refuse(tree, "name fields that devices send, perhaps with arithmetic")
        return of

    def _tree(self, what: str, example: str) -> ast.expr:
        try:
            tree = ast.parse(self._text, mode="eval").body
        except SyntaxError as error:
            message = f"this is not {what}: {error.msg}; write one such as `{example}`"
            raise ExpressionError(message, max(0, (error.offset or 1) - 1)) from None
        except (RecursionError, MemoryError):
            raise _too_deep() from None
        if depth_of(tree) > _MAX_DEPTH:
            raise _too_deep()
        if not self._text.isascii():
            count_characters(tree, self._text)
        return tree

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
            case ast.Call(ast.Name("near" | "changed" | "changed_to" as name)):
                return self._truth_function(node, name)
            case ast.Call(ast.Name(name)):
                found = self._number_function(node, name)
                if found.flag is None:
                    self._refuse(node, f"{name}() is no condition: compare it with something")
                return Flag(found.flag)
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
            left, right = self._in_one_unit(node, left, right)
            return self._number_comparison(
                node, _known(left.quantity), sign, _known(right.quantity)
            )
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
        if isinstance(quantity, Arithmetic) and any(
            isinstance(x, Age) for x in leaves_of(quantity)
        ):
            self._refuse(node, "age() is compared by itself with a length of time: age(FIELD) > 1h")
        match sign:
            case "<":
                return Not(Comparison(quantity, ">=", bound))
            case "<=":
                return Not(Comparison(quantity, ">", bound))
            case "!=":
                return Not(Comparison(quantity, "==", bound))
        return Comparison(quantity, sign, bound)

    def _operand(self, node: ast.expr) -> _Operand:  # noqa: C901, PLR0911  one for each kind of node
        match node:
            case ast.Constant(bool() as truth):
                return _Operand(truth=truth)
            case ast.Constant(int() | float() as number):
                return _Operand(Constant(self._finite(node, number)))
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
            case ast.Call(ast.Name("near" | "changed" | "changed_to" as name)):
                self._refuse(node, f"{name}() is true or false already: leave out the comparison")
            case ast.Call(ast.Name(name)):
                return self._number_function(node, name)
        return self._refuse(node, "expected a field, a number or a text here")

    def _finite(self, node: ast.expr, number: float) -> float:
        try:
            value = float(number)
        except OverflowError:
            value = inf
        if value == inf:
            self._refuse(node, "no device sends a number as large as this")
        return value

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
            left, right = self._in_one_unit(node, left, right, sign)
            unit = left.unit or right.unit
        elif sign == "/" or isinstance(right.quantity, Constant):
            unit = left.unit if right.unit is None else None
        elif isinstance(left.quantity, Constant):
            unit = right.unit if left.unit is None else None
        first, second = left.quantity, right.quantity
        is_difference = bool(sign == "-" and left.unit and right.unit) or (
            left.is_difference and right.is_difference
        )
        if isinstance(first, Constant) and isinstance(second, Constant):
            value = quantity_value(Arithmetic(sign, first, second), lambda _: None)
            if value is None:
                self._refuse(node, "this divides by zero")
            return _Operand(Constant(value), unit, is_difference=is_difference)
        if sign in "/%" and second == Constant(0.0):
            self._refuse(node, "this divides by zero")
        quantity = Arithmetic(sign, _known(first), _known(second))
        return _Operand(quantity, unit, is_difference=is_difference)

    def _in_one_unit(
        self, node: ast.expr, left: _Operand, right: _Operand, sign: str = ""
    ) -> tuple[_Operand, _Operand]:
        """Return both in the unit of that which is no constant, or of the left one.

        `sign` is that of the arithmetic between them; empty where they are compared.
        """
        if not left.unit or not right.unit or left.unit == right.unit:
            return left, right
        turn_left = isinstance(left.quantity, Constant) and not isinstance(right.quantity, Constant)
        turned, kept = (left, right) if turn_left else (right, left)
        factors = conversion(turned.unit or "", kept.unit or "")
        if factors is None:
            what = (
                f"{left.unit} {sign} {right.unit} has no meaning"
                if sign
                else f"{left.unit} cannot be compared with {right.unit}"
            )
            self._refuse(node, f"{what}: use units of one dimension")
        scale, shift = factors
        # What is added to a temperature, and what a difference is compared with, is a difference.
        is_step = kept.is_difference or (sign and isinstance(turned.quantity, Constant))
        quantity = _scaled(_known(turned.quantity), scale, 0.0 if is_step else shift)
        turned = _Operand(quantity, kept.unit, is_difference=turned.is_difference)
        return (turned, kept) if turn_left else (kept, turned)

    def _number(self, node: ast.expr) -> _Operand:
        operand = self._operand(node)
        if operand.quantity is None:
            self._refuse(node, "only numbers can be reckoned with")
        return operand

    def _field(self, node: ast.Name | ast.Attribute) -> tuple[FieldType, Field]:
        if isinstance(node, ast.Name):
            return self._known_field(node, node.id, self._on, of_this=False)
        name = dotted_name(node)
        if self._this and name.startswith("this."):
            name = name.removeprefix("this.")
            if "." in name:
                return self._predicted(node, name, self._this, of_this=True)
            return self._known_field(node, name, self._this, of_this=True)
        if name.count(".") != 1:
            return self._refuse(node, f"{ast.unparse(node)} is not a field here")
        return self._predicted(node, name, self._on, of_this=False)

    def _predicted(
        self, node: ast.expr, name: str, owner: DeviceType, *, of_this: bool
    ) -> tuple[FieldType, Field]:
        """Return what a model says of a device, as `engine.remaining_life`."""
        for field_type in owner.predicted:
            if field_type.name == name:
                return field_type, Field(name, of_this)
        known = [field_type.name for field_type in owner.predicted]
        if not known:
            return self._refuse(
                node,
                f"{name} is not a field here: no model speaks for {owner.name}; "
                "name one in the section `models`",
            )
        model = name.partition(".")[0]
        said = [one for one in known if one.startswith(f"{model}.")]
        if said:
            return self._refuse(node, f"{model} says nothing of that name: {suggest(name, said)}")
        return self._refuse(
            node, f"no model {model!r} speaks for {owner.name}: {suggest(name, known)}"
        )

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

    def _truth_function(self, node: ast.Call, name: str) -> Condition:
        if name == "near":
            return self._near(node)
        arguments = self._arguments(node, name, 2 if name == "changed" else 3)
        field_type, field = self._own_field(arguments[0], name)
        window_s = self._time(arguments[-1], name)
        if name == "changed":
            return Changed(field, window_s)
        value = self._operand(arguments[1])
        to = value.truth
        if field_type.kind is str and isinstance(value.text, str):
            return Changed(field, window_s, value.text)
        if field_type.kind is float and isinstance(value.quantity, Constant):
            value, _ = self._in_one_unit(node, value, _Operand(field, field_type.unit))
            return Changed(field, window_s, _constant(value.quantity))
        if field_type.kind is not bool or to is None:
            kind = {str: "a text", float: "a number", bool: "true or false"}[field_type.kind]
            self._refuse(arguments[1], f"{field.name} is {kind}: write a value that it can have")
        return Changed(field, window_s, to)

    def _number_function(self, node: ast.Call, name: str) -> _Operand:
        if name not in FUNCTIONS:
            self._refuse(node, f"there is no function {name}(): {suggest(name, FUNCTIONS)}")
        if name in {"site_count", "site_avg"}:
            return self._site_number(node, name)
        if name == "age":
            _, field = self._own_field(self._arguments(node, name, 1)[0], name)
            return _Operand(Age(field), "second")
        if name == "last":
            arguments = self._arguments(node, name, 2)
            field_type, field = self._own_field(arguments[0], name)
            last = Last(field, self._time(arguments[1], name))
            if field_type.kind is str:
                return _Operand(text=last)
            return (
                _Operand(flag=last) if field_type.kind is bool else _Operand(last, field_type.unit)
            )
        return self._windowed(node, name)

    def _windowed(self, node: ast.Call, name: str) -> _Operand:
        most = 3 if name == "rate" else 2
        arguments = self._arguments(node, name, 2, most)
        window_s = self._time(arguments[1], name)
        inner = self._within(name)
        if name == "count":
            counted = Windowed(name, inner.counted(arguments[0]), window_s)
            return _Operand(counted, "count")
        of = inner._number(arguments[0])
        quantity = _known(of.quantity)
        if isinstance(quantity, Constant):
            self._refuse(arguments[0], f"{name}() of a constant is that constant: name a field")
        per_s = self._time(arguments[2], name) if len(arguments) == most > 2 else 3600.0  # noqa: PLR2004
        is_difference = name in {"stddev", "delta", "rate"}
        windowed = Windowed(name, quantity, window_s, per_s)
        return _Operand(windowed, of.unit, is_difference=is_difference)

    def counted(self, node: ast.expr) -> Quantity | Condition:
        """Return what `count` counts: readings in which a condition holds, or that carry a number."""
        if isinstance(node, ast.Name | ast.Attribute):
            field_type, field = self._field(node)
            if field_type.kind is float:
                return field
        return self.condition(node)

    def _site_number(self, node: ast.Call, name: str) -> _Operand:
        type_node, of_node = self._arguments(node, name, 2)
        inner = self._within(name, self._neighbour(type_node, name))
        if name == "site_count":
            counted = SiteNumber("count", inner._on.name, inner.condition(of_node))
            return _Operand(counted, "count")
        of = inner._number(of_node)
        return _Operand(SiteNumber("avg", inner._on.name, _known(of.quantity)), of.unit)

    def _near(self, node: ast.Call) -> Condition:
        type_node, condition, time_node = self._arguments(node, "near", 3)
        neighbour = self._neighbour(type_node, "near")
        within_s = self._time(time_node, "near")
        inner = self._within("near", neighbour)
        inner._this = self._on
        return Near(neighbour.name, inner.condition(condition), within_s)

    def _within(self, name: str, on: DeviceType | None = None) -> "_Parser":
        """Return a parser for what stands inside a function."""
        inner = _Parser("", on or self._on, self._types, inside=name)
        inner._measures = self._measures
        return inner

    def _arguments(self, node: ast.Call, name: str, least: int, most: int = 0) -> list[ast.expr]:
        if self._inside:
            self._refuse(node, f"{name}() cannot stand inside {self._inside}()")
        if node.keywords or not least <= len(node.args) <= max(least, most):
            self._refuse(node, _form(name))
        return node.args

    def _neighbour(self, node: ast.expr, name: str) -> DeviceType:
        if not isinstance(node, ast.Name):
            self._refuse(node, _form(name))
        if node.id not in self._types:
            hint = suggest(node.id, self._types)
            self._refuse(node, f"there is no device type {node.id!r}: {hint}")
        return self._types[node.id]

    def _time(self, node: ast.expr, name: str) -> float:
        measure = self._measures.get(node.col_offset)
        if measure is None or not measure.is_time:
            self._refuse(node, _form(name))
        if measure.value <= 0:
            self._refuse(node, f"{name}() needs a time above 0")
        return measure.value

    def _own_field(self, node: ast.expr, name: str) -> tuple[FieldType, Field]:
        if not isinstance(node, ast.Name | ast.Attribute) or node.col_offset in self._measures:
            self._refuse(node, _form(name))
        if isinstance(node, ast.Name) and node.id in IDENTITY:
            self._refuse(node, f"{node.id} never changes: name a field")
        return self._field(node)

    def _refuse(self, node: ast.expr, message: str) -> NoReturn:
        raise ExpressionError(message, node.col_offset)


def _too_deep() -> ExpressionError:
    return ExpressionError("this condition is nested too deeply: split it into several rules", 0)


def _equality(left: _Operand, right: _Operand) -> Condition | None:
    if isinstance(left.text, Field | Last) and right.text is not None:
        return Same(left.text, right.text)
    if left.flag and right.truth is not None:
        return Flag(left.flag) if right.truth else Not(Flag(left.flag))
    if left.flag and right.flag:
        first, second = Flag(left.flag), Flag(right.flag)
        return Some((All((first, second)), All((Not(first), Not(second)))))
    return None


def _form(name: str) -> str:
    return "write " + _FORMS[name].format(name, name)


def _scaled(quantity: Quantity, scale: float, shift: float) -> Quantity:
    """Return `quantity` times `scale` plus `shift`."""
    if isinstance(quantity, Constant):
        # A bound that an author writes in whole numbers is not to miss by the last binary digit.
        return Constant(round(quantity.value * scale + shift, 9))
    scaled = quantity if scale == 1 else Arithmetic("*", quantity, Constant(scale))
    return scaled if shift == 0 else Arithmetic("+", scaled, Constant(shift))


def _constant(quantity: Quantity | None) -> float:
    return quantity.value if isinstance(quantity, Constant) else 0.0


def _known(quantity: Quantity | None) -> Quantity:
    if quantity is None:
        message = "a number was expected"
        raise TypeError(message)
    return quantity
