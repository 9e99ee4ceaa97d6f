"""What conditions are, walked as Python's own tree, over everything that devices ever said."""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import pstdev
from typing import Any

PANES = 30
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
SEVERITIES = ("info", "minor", "major", "critical", "life_safety")
WINDOWS = ("avg", "min", "max", "sum", "stddev", "count", "delta", "rate")


def seconds(text: str) -> float:
    """Read `90s` or `1h30m`."""
    return sum(float(n) * SECONDS[unit] for n, unit in re.findall(r"([\d.]+)([smhd])", text))


def read_condition(text: str) -> ast.expr:
    """Return Python's tree of a condition, in which times are seconds and units are gone."""
    text = re.sub(
        r"\b((?:\d+[smhd])+)\b(?=([^']*'[^']*')*[^']*$)", lambda m: str(seconds(m[1])), text
    )
    text = re.sub(r"(\d+) fahrenheit", lambda m: str(round((float(m[1]) - 32) / 1.8, 9)), text)
    return ast.parse(re.sub(r"(\d) (celsius|percent)", r"\1", text), mode="eval").body


def both(first: bool | None, second: bool | None) -> bool | None:
    """Return `first and second` in three values."""
    if first is False or second is False:
        return False
    return None if first is None or second is None else True


def opposite(truth: bool | None) -> bool | None:
    """Return `not truth` in three values."""
    return None if truth is None else not truth


STEADY_FOR, STEADY_LAG = 60.0, 10.0
"""So long, and so nearly, readings are equally late before their clock is taken for wrong."""


@dataclass
class Said:
    """A reading that was taken, in the order in which it was."""

    at: float
    received: float
    values: dict[str, Any]
    repeated: bool
    """The same as the one before: it says nothing new."""


@dataclass
class Device:
    """Everything that one device ever said."""

    type: str
    site: str
    name: str
    said: list[Said] = field(default_factory=list)
    clock: tuple[float, float] = (0.0, 0.0)
    """Observed and received: the first arrival of its newest time."""
    furthest: float = float("-inf")
    """Its own time at the latest; what a window has let go stays gone."""
    heard_at: float = 0.0
    silent: bool = False
    behind: list[tuple[float, float]] = field(default_factory=list)
    """Times of the equally late readings that came last, with none in time among them."""

    def is_put_back(self, at: float, now: float) -> bool:
        """Take a reading that is older than the newest; return whether its clock was put back."""
        if self.behind and abs((now - at) - (self.behind[0][1] - self.behind[0][0])) > STEADY_LAG:
            self.behind = []
        self.behind.append((at, now))
        return now - self.behind[0][1] >= STEADY_FOR

    def time(self, now: float) -> float:
        """Return its own time when it is `now` here."""
        return self.clock[0] + max(0.0, now - self.clock[1])


@dataclass
class Nearby:
    """The moment that one `near` of one rule and device is about."""

    rest: list[Any]
    at: float
    received: float
    truth: bool | None = None


class Conditions:
    """The devices of a book, and what its conditions are on them."""

    def __init__(
        self, types: Mapping[str, Mapping[str, Any]], rules: Mapping[str, Mapping[str, Any]]
    ) -> None:
        self.types, self.rules = types, rules
        self.devices: dict[tuple[str, str], Device] = {}
        self.nears: dict[tuple[Any, ...], Nearby] = {}
        self.trees: dict[str, ast.expr] = {}

    def truth(self, text: str, rule: str, device: Device, now: float) -> bool | None:
        """Return what a condition is on a device."""
        if device.silent:
            return None
        found = self.value(self.tree(text), device, now, device.said[-1], rule=rule)
        return None if found is None else bool(found)

    def value(  # noqa: C901, PLR0911, PLR0912  one for each kind of node
        self,
        node: ast.expr,
        device: Device,
        now: float,
        said: Said,
        *,
        rule: str = "",
        this: tuple[Device, Said] | None = None,
    ) -> Any:
        """Return the value of an expression at what a device `said`."""

        def of(one: ast.expr) -> Any:
            return self.value(one, device, now, said, rule=rule, this=this)

        match node:
            case ast.BoolOp(ast.And(), parts):
                truth: bool | None = True
                for part in parts:
                    truth = both(truth, of(part))
                return truth
            case ast.BoolOp(ast.Or(), parts):
                truth = True
                for part in parts:
                    truth = both(truth, opposite(of(part)))
                return opposite(truth)
            case ast.UnaryOp(ast.Not(), part):
                return opposite(of(part))
            case ast.UnaryOp(ast.USub(), part):
                number = of(part)
                return None if number is None else -number
            case ast.Constant(constant):
                return constant
            case ast.Name("true" | "false" as word):
                return word == "true"
            case ast.Name("device"):
                return device.name.rpartition("/")[2]
            case ast.Name("site"):
                return device.site
            case ast.Name(name):
                return said.values[name]
            case ast.Attribute(ast.Name("this"), name):
                assert this is not None
                return self.value(ast.Name(name), this[0], now, this[1])
            case ast.BinOp(left, sign, right):
                return reckon(of(left), sign, of(right))
            case ast.Compare(left, signs, rights):
                truth = True
                for one, comparing, other in zip([left, *rights], signs, rights, strict=False):
                    truth = both(truth, self.compare(of(one), comparing, other, of))
                return truth
            case ast.Call(ast.Name("near")):
                return self.nears[(rule, device.type, device.name, ast.dump(node))].truth
            case ast.Call(ast.Name(name), arguments):
                return self.call(name, arguments, device, now)
        raise AssertionError(ast.dump(node))

    @staticmethod
    def compare(first: Any, sign: ast.cmpop, second: ast.expr, of: Any) -> bool | None:
        """Return a comparison in three values."""
        if isinstance(sign, ast.In | ast.NotIn):
            assert isinstance(second, ast.List | ast.Tuple)
            found = None if first is None else first in [of(one) for one in second.elts]
            return opposite(found) if isinstance(sign, ast.NotIn) else found
        other = of(second)
        if first is None or other is None:
            return None
        order = int(first > other) - int(first < other)
        match sign:
            case ast.Lt():
                return order < 0
            case ast.LtE():
                return order <= 0
            case ast.Gt():
                return order > 0
            case ast.GtE():
                return order >= 0
            case ast.Eq():
                return order == 0
        return order != 0

    def call(self, name: str, arguments: list[ast.expr], device: Device, now: float) -> Any:
        """Return a function's value on a device."""
        if name in WINDOWS:
            return self.window(name, arguments, device, now)
        if name == "site_count":
            found = [t for t in self.of_site(arguments, device, now) if t is not None]
            return float(sum(found)) if found else None
        if name == "site_avg":
            found = [n for n in self.of_site(arguments, device, now) if n is not None]
            return sum(found) / len(found) if found else None
        at = device.time(now)
        of = arguments[0]
        sent = [(s.at, v) for s in device.said if (v := self.value(of, device, now, s)) is not None]
        if not sent:
            return None
        if name == "age":
            return at - sent[-1][0]
        window_s = number_in(arguments[-1])
        if name == "last":
            return sent[-1][1] if at - sent[-1][0] <= window_s else None
        turns = [later for earlier, later in pairwise(sent) if later[1] != earlier[1]]
        if name == "changed_to":
            wanted = self.value(arguments[1], device, now, device.said[-1])
            turns = [turn for turn in turns if turn[1] == wanted]
        if any(at - when <= window_s for when, _ in turns):
            return True
        return False if at - sent[0][0] >= window_s else None

    def window(self, name: str, arguments: list[ast.expr], device: Device, now: float) -> Any:
        """Return a number over a window, reckoned from everything that falls into it."""
        of, window_s = arguments[0], number_in(arguments[1])
        pane_s = window_s / PANES
        oldest = (max(device.furthest, device.time(now)) // pane_s - PANES) * pane_s
        every = [
            (said.at, float(value))
            for said in device.said
            if not said.repeated and (value := self.value(of, device, now, said)) is not None
        ]
        within = [(at, value) for at, value in every if at >= oldest]
        values = [value for _, value in within]
        if name == "count":
            is_number = isinstance(of, ast.Name) and of.id != "open"
            return float(len(values) if is_number else sum(values)) if every else None
        if not values:
            return None
        if name in {"delta", "rate"}:
            change, span = values[-1] - values[0], within[-1][0] - within[0][0]
            if name == "delta":
                return change if len(values) > 1 else None
            per_s = number_in(arguments[2]) if len(arguments) > 2 else 3600.0
            return change / span * per_s if span > 0 and span >= window_s / 2 else None
        match name:
            case "avg":
                return sum(values) / len(values)
            case "min":
                return min(values)
            case "max":
                return max(values)
        return sum(values) if name == "sum" else pstdev(values)

    def of_site(self, arguments: list[ast.expr], device: Device, now: float) -> Iterator[Any]:
        """Yield what each device of a type at a site says."""
        assert isinstance(arguments[0], ast.Name)
        for other in self.devices.values():
            if other.type == arguments[0].id and other.site == device.site and not other.silent:
                yield self.value(arguments[1], other, now, other.said[-1])

    def move_nears(
        self, name: str, device: Device, now: float, evidence: tuple[float, float], *, answers: bool
    ) -> float | None:
        """Ask a rule's `near` anew where the rest of its condition changed, and answer what can be.

        Return the moment that was answered, where an answer came after it.
        """
        rule = self.rules.get(name, {})
        answered = None
        texts = [*ladder(rule).values(), *(rule[key] for key in ("when", "clear") if key in rule)]
        trees = [self.tree(text) for text in texts if "near(" in text]
        nodes = {ast.dump(n): n for tree in trees for n in ast.walk(tree) if is_near(n)}
        for written, node in nodes.items():
            if device.silent:
                continue
            assert isinstance(node, ast.Call)
            rest = [
                self.value(atom, device, now, device.said[-1])
                for tree in trees
                if written in ast.dump(tree)
                for atom in beside_near(tree)
            ]
            key = (name, device.type, device.name, written)
            asked = self.nears.get(key)
            if asked is None or asked.rest != rest:
                asked = self.nears[key] = Nearby(rest, *evidence)
                asked.truth = True if self.has_neighbour(node, asked, device, now) else None
            elif answers:
                before = asked.truth
                if self.has_neighbour(node, asked, device, now):
                    asked.truth = True
                elif asked.truth is None and now >= asked.received + number_in(node.args[2]):
                    asked.truth = False
                if asked.truth is not before:
                    answered = asked.at
        return answered

    def tree(self, text: str) -> ast.expr:
        """Return the tree of a condition, read once."""
        if text not in self.trees:
            self.trees[text] = read_condition(text)
        return self.trees[text]

    def has_neighbour(self, node: ast.Call, asked: Nearby, device: Device, now: float) -> bool:
        """Return whether another device of the site was in the state asked for, around the moment."""
        type_node, condition, within = node.args
        assert isinstance(type_node, ast.Name)
        return any(
            abs(said.at - asked.at) <= number_in(within)
            and self.value(condition, other, now, said, this=(device, device.said[-1])) is True
            for other in self.devices.values()
            if other is not device and other.type == type_node.id and other.site == device.site
            for said in other.said
        )


def ladder(rule: Mapping[str, Any]) -> dict[str, str]:
    """Return the levels of a rule, the lowest first."""
    levels = rule.get("levels", {})
    named = {"minor" if name == "warning" else name: text for name, text in levels.items()}
    return {name: named[name] for name in SEVERITIES if name in named}


def number_in(node: ast.expr) -> float:
    """Return a constant."""
    assert isinstance(node, ast.Constant)
    return float(node.value)  # type: ignore[arg-type]


def is_near(node: ast.AST) -> bool:
    """Return whether a node is a call of `near`."""
    return isinstance(node, ast.Call) and getattr(node.func, "id", "") == "near"


def beside_near(node: ast.expr) -> list[ast.expr]:
    """Return the largest parts of a condition in which no `near` stands."""
    if not any(is_near(one) for one in ast.walk(node)):
        return [node]
    match node:
        case ast.BoolOp(_, parts):
            return [rest for part in parts for rest in beside_near(part)]
        case ast.UnaryOp(ast.Not(), part):
            return beside_near(part)
    return []


def reckon(left: float | None, sign: ast.operator, right: float | None) -> float | None:
    """Return a sum, a difference, a product, a quotient or a remainder."""
    if left is None or right is None:
        return None
    match sign:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.Div():
            return left / right if right else None
        case ast.Mod():
            return left % right if right else None
    raise AssertionError(sign)
