"""PromQL, the language of Prometheus' rules, read into trees."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NoReturn

from rules.importing.promql_tree import (
    Aggregate,
    Binary,
    Call,
    Expression,
    Matcher,
    Negative,
    Number,
    Selector,
    String,
    Subquery,
)

_AGGREGATES = frozenset(
    {
        "avg",
        "bottomk",
        "count",
        "count_values",
        "group",
        "limitk",
        "limit_ratio",
        "max",
        "min",
        "quantile",
        "stddev",
        "stdvar",
        "sum",
        "topk",
    }
)
_LEVELS = (
    ("or",),
    ("and", "unless"),
    ("==", "!=", "<=", "<", ">=", ">"),
    ("+", "-"),
    ("*", "/", "%", "atan2"),
)
"""Operators that stand between two expressions, from the loosest; `^` and signs hold more tightly."""
_MATCHES = ("=~", "!~", "!=", "=")
_PERIODS = {
    "ms": 0.001,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86_400.0,
    "w": 604_800.0,
    "y": 31_536_000.0,
}
_PERIOD = re.compile(r"(\d+)(ms|[smhdwy])")
_TOKEN = re.compile(
    r"""\s*(?:\#[^\n]*\s*)*(?:
    (?P<time>(?:\d+(?:ms|[smhdwy]))+(?![\w.]))
  | (?P<number>0[xX][0-9a-fA-F]+ | (?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)? | (?:inf|nan)\b)
  | (?P<word>(?:[A-Za-z_]|:[A-Za-z_:])[\w:]*)
  | (?P<string>"(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' | `[^`]*`)
  | (?P<sign>=~|!~|==|!=|<=|>=|[-+*/%^<>=(){}\[\],@:])
  | (?P<end>\Z)
  )""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_MAX_DEPTH = 40


class PromqlError(ValueError):
    """A text that is not PromQL, with the place in it."""


def parse_promql(text: str) -> Expression:
    """Return the tree of an expression. Raises PromqlError."""
    try:
        return _Parser(text).parse()
    except OverflowError:
        raise PromqlError("a number in it is too large") from None


def parse_promql_time(text: str) -> float:
    """Return a length of time such as `5m` or `1h30m` in seconds. Raises PromqlError."""
    if text.strip() in {"0", ""}:
        return 0.0
    parts = _PERIOD.findall(text)
    if "".join(number + unit for number, unit in parts) != text.strip():
        message = f"{text!r} is no length of time"
        raise PromqlError(message)
    return sum(float(number) * _PERIODS[unit] for number, unit in parts)


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
            message = f"at character {position + 1}: {text[position : position + 10].strip()!r} is unknown"
            raise PromqlError(message)
        kind = match.lastgroup
        yield _Token(kind, match[kind], match.start(kind))
        if kind == "end":
            return
        position = match.end()


class _Parser:
    """Reads one expression from left to right."""

    def __init__(self, text: str) -> None:
        self._rest = list(_tokens(text))[::-1]
        self._depth = 0

    def parse(self) -> Expression:
        tree = self._binary(0)
        if self._next.kind != "end":
            self._fail("an operator")
        return tree

    @property
    def _next(self) -> _Token:
        return self._rest[-1]

    def _take(self, *texts: str) -> str:
        """Take the next token if it is one of `texts`; empty where it is not."""
        token = self._next
        if token.kind not in {"string", "end"} and token.text.lower() in texts:
            self._rest.pop()
            return token.text.lower()
        return ""

    def _need(self, text: str) -> None:
        if not self._take(text):
            self._fail(repr(text))

    def _fail(self, expected: str) -> NoReturn:
        token = self._next
        found = repr(token.text) if token.text else "the end"
        message = f"at character {token.offset + 1}: expected {expected}, not {found}"
        raise PromqlError(message)

    def _binary(self, level: int) -> Expression:
        if level == len(_LEVELS):
            return self._sign()
        left = self._binary(level + 1)
        while sign := self._take(*_LEVELS[level]):
            modifiers = self._modifiers()
            left = replace(modifiers, sign=sign, left=left, right=self._binary(level + 1))
        return left

    def _modifiers(self) -> Binary:
        is_bool = bool(self._take("bool"))
        matching = self._take("on", "ignoring")
        labels = self._labels() if matching else ()
        group = self._take("group_left", "group_right") if matching else ""
        if group and self._next.text == "(":
            self._labels()
        return Binary("", Number(0), Number(0), is_bool, matching, labels, group)

    def _sign(self) -> Expression:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise PromqlError("it is nested too deeply")
        sign = self._take("-", "+")
        inner = self._sign() if sign else self._power()
        self._depth -= 1
        return Negative(inner) if sign == "-" else inner

    def _power(self) -> Expression:
        left = self._shifted()
        if self._take("^"):
            return replace(self._modifiers(), sign="^", left=left, right=self._sign())
        return left

    def _shifted(self) -> Expression:
        """Read an expression with what stands behind it: `[5m]`, `offset 1h`, `@ end()`."""
        inner = self._primary()
        while sign := self._take("[", "offset", "@"):
            if sign == "[":
                inner = self._range(inner)
                continue
            self._take("-", "+")
            if self._take("start", "end"):
                self._need("(")
                self._need(")")
            elif self._next.kind in {"time", "number"}:
                self._rest.pop()
            else:
                self._fail("a time")
            inner = (
                replace(inner, is_shifted=True) if isinstance(inner, Selector) else Subquery(inner)
            )
        return inner

    def _range(self, inner: Expression) -> Expression:
        if self._next.kind != "time":
            self._fail("a length of time such as 5m")
        range_s = parse_promql_time(self._rest.pop().text)
        if self._take(":"):
            if self._next.kind == "time":
                self._rest.pop()
            self._need("]")
            return Subquery(inner)
        self._need("]")
        if not isinstance(inner, Selector) or inner.range_s is not None:
            raise PromqlError("a range [...] belongs behind the name of a metric")
        return replace(inner, range_s=range_s)

    def _primary(self) -> Expression:
        token = self._next
        match token.kind:
            case "number":
                self._rest.pop()
                is_hex = token.text.lower().startswith("0x")
                return Number(float(int(token.text, 16)) if is_hex else float(token.text))
            case "time":
                self._rest.pop()
                return Number(parse_promql_time(token.text))
            case "string":
                return String(self._string())
            case "word":
                return self._named()
        if token.text == "{":
            return self._selector("")
        if not self._take("("):
            self._fail("an expression")
        inner = self._binary(0)
        self._need(")")
        return inner

    def _named(self) -> Expression:
        name = self._rest.pop().text
        follows = self._next.text.lower()
        if name.lower() in _AGGREGATES and follows in {"(", "by", "without"}:
            return self._aggregate(name.lower())
        if follows == "(":
            return Call(name, self._arguments())
        return self._selector(name)

    def _aggregate(self, name: str) -> Aggregate:
        how = self._take("by", "without")
        labels = self._labels() if how else ()
        arguments = self._arguments()
        if not how:
            how = self._take("by", "without")
            labels = self._labels() if how else ()
        return Aggregate(name, arguments, labels, how == "without")

    def _arguments(self) -> tuple[Expression, ...]:
        self._need("(")
        arguments: list[Expression] = []
        while not self._take(")"):
            if arguments:
                self._need(",")
            arguments.append(self._binary(0))
        return tuple(arguments)

    def _labels(self) -> tuple[str, ...]:
        self._need("(")
        labels: list[str] = []
        while not self._take(")"):
            if labels:
                self._need(",")
                if self._take(")"):
                    break
            if self._next.kind not in {"word", "string"}:
                self._fail("a label")
            labels.append(self._string() if self._next.kind == "string" else self._rest.pop().text)
        return tuple(labels)

    def _selector(self, metric: str) -> Selector:
        matchers: list[Matcher] = []
        if self._take("{"):
            while not self._take("}"):
                if self._next.kind not in {"word", "string"}:
                    self._fail("a label")
                is_quoted = self._next.kind == "string"
                label = self._string() if is_quoted else self._rest.pop().text
                if is_quoted and self._next.text in {",", "}"}:
                    metric = label
                else:
                    matchers.append(Matcher(label, *self._match()))
                if not self._take(",") and self._next.text != "}":
                    self._fail("',' or '}'")
        for matcher in matchers:
            if (matcher.label, matcher.sign) == ("__name__", "="):
                metric = matcher.value
        return Selector(
            metric, tuple(m for m in matchers if m.label != "__name__" or m.sign != "=")
        )

    def _match(self) -> tuple[str, str]:
        sign = self._take(*_MATCHES)
        if not sign:
            self._fail("=, !=, =~ or !~")
        if self._next.kind != "string":
            self._fail("a text in quotes")
        return sign, self._string()

    def _string(self) -> str:
        text = self._rest.pop().text
        if text.startswith("`"):
            return text[1:-1]
        try:
            return str(ast.literal_eval(text.replace("\n", "\\n")))
        except (SyntaxError, ValueError):
            message = f"{text} is no text"
            raise PromqlError(message) from None
