"""The expressions of AWS IoT Events, read into trees."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

_LEVELS = (
    ("||",),
    ("&&",),
    ("|", "^"),
    ("&",),
    ("==", "!="),
    ("<=", "<", ">=", ">"),
    ("+", "-"),
    ("*", "/"),
)
"""Operators between two expressions, from the loosest."""
_NEGATED = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
  | (?P<string>"(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*')
  | (?P<word>\$?[A-Za-z_]\w* | `[^`]+`)
  | (?P<sign>\|\||&&|==|!=|<=|>=|[-+*/<>!~|&^().,\[\]])
  | (?P<end>\Z)
  )""",
    re.VERBOSE | re.ASCII,
)
_ESCAPED = re.compile(r"\\(.)")
_MAX_DEPTH = 40


class IotExpressionError(ValueError):
    """A text that is no expression of IoT Events, with the place in it."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A number, a text or a truth."""

    value: float | str | bool
    is_decimal: bool = False


@dataclass(frozen=True, slots=True)
class Reference:
    """A value of an input, `$input.Pump.data.flow`, a variable, `$variable.x`, or another source."""

    of: str
    """`input`, `variable` or the other source's name."""
    steps: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Function:
    """A function with its arguments."""

    name: str
    arguments: tuple["IotExpression", ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """Two expressions and what is between them."""

    sign: str
    left: "IotExpression"
    right: "IotExpression"


@dataclass(frozen=True, slots=True)
class Prefixed:
    """An expression behind `!`, `-` or `~`."""

    sign: str
    of: "IotExpression"


IotExpression = Literal | Reference | Function | Operation | Prefixed


def parse_iot_expression(text: str) -> IotExpression:
    """Return the tree of an expression. Raises IotExpressionError."""
    return _Parser(text).parse()


def conjuncts_of(node: IotExpression) -> list[IotExpression]:
    """Return the parts that all have to hold."""
    if isinstance(node, Operation) and node.sign == "&&":
        return [*conjuncts_of(node.left), *conjuncts_of(node.right)]
    return [] if node == Literal(value=True) else [node]


def negated(node: IotExpression) -> IotExpression:
    """Return the opposite, with comparisons turned round."""
    match node:
        case Operation("&&" | "||" as sign, left, right):
            return Operation("||" if sign == "&&" else "&&", negated(left), negated(right))
        case Operation(sign, left, right) if sign in _NEGATED:
            return Operation(_NEGATED[sign], left, right)
        case Prefixed("!", inner):
            return inner
    return Prefixed("!", node)


def references_of(node: IotExpression) -> Iterator[Reference]:
    """Yield all inputs and variables that an expression names."""
    match node:
        case Reference():
            yield node
        case Function(_, arguments):
            for argument in arguments:
                yield from references_of(argument)
        case Operation(_, left, right):
            yield from references_of(left)
            yield from references_of(right)
        case Prefixed(_, inner):
            yield from references_of(inner)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    offset: int


def _tokens(text: str) -> Iterator[_Token]:
    position = 0
    while True:
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            found = text[position : position + 10].strip()
            message = f"at character {position + 1}: {found!r} is unknown"
            raise IotExpressionError(message)
        yield _Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup))
        if match.lastgroup == "end":
            return
        position = match.end()


class _Parser:
    """Reads one expression from left to right."""

    def __init__(self, text: str) -> None:
        self._rest = list(_tokens(text))[::-1]
        self._depth = 0

    def parse(self) -> IotExpression:
        tree = self._operation(0)
        if self._rest[-1].kind != "end":
            self._fail("an operator")
        return tree

    def _take(self, *texts: str) -> str:
        token = self._rest[-1]
        if token.kind == "sign" and token.text in texts:
            self._rest.pop()
            return token.text
        return ""

    def _need(self, text: str) -> None:
        if not self._take(text):
            self._fail(repr(text))

    def _fail(self, expected: str) -> NoReturn:
        token = self._rest[-1]
        found = repr(token.text) if token.text else "the end"
        message = f"at character {token.offset + 1}: expected {expected}, not {found}"
        raise IotExpressionError(message)

    def _operation(self, level: int) -> IotExpression:
        if level == len(_LEVELS):
            return self._prefixed()
        left = self._operation(level + 1)
        while sign := self._take(*_LEVELS[level]):
            left = Operation(sign, left, self._operation(level + 1))
        return left

    def _prefixed(self) -> IotExpression:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise IotExpressionError("it is nested too deeply")
        sign = self._take("!", "-", "~")
        node = Prefixed(sign, self._prefixed()) if sign else self._primary()
        self._depth -= 1
        match node:
            case Prefixed("-", Literal(float() as value, is_decimal)):
                return Literal(-value, is_decimal)
        return node

    def _primary(self) -> IotExpression:
        token = self._rest[-1]
        if token.kind == "number":
            self._rest.pop()
            return Literal(float(token.text), is_decimal=not token.text.isdigit())
        if token.kind == "string":
            self._rest.pop()
            return Literal(_ESCAPED.sub(r"\1", token.text[1:-1]))
        if token.kind == "word":
            return self._named()
        if not self._take("("):
            self._fail("an expression")
        inner = self._operation(0)
        self._need(")")
        return inner

    def _named(self) -> IotExpression:
        name = self._rest.pop().text
        if name in {"true", "false"}:
            return Literal(name == "true")
        if name.startswith("$"):
            return Reference(name[1:], tuple(self._steps()))
        if not self._take("("):
            # A bare word is a keyword of convert(), as in convert(Decimal, …).
            return Literal(name)
        arguments: list[IotExpression] = []
        while not self._take(")"):
            if arguments:
                self._need(",")
            arguments.append(self._operation(0))
        return Function(name, tuple(arguments))

    def _steps(self) -> Iterator[str | int]:
        while sign := self._take(".", "["):
            token = self._rest.pop()
            if sign == "." and token.kind == "word":
                yield token.text.strip("`")
            elif sign == "[" and token.text.isdigit():
                self._need("]")
                yield int(token.text)
            else:
                self._rest.append(token)
                self._fail("a name or a number")
