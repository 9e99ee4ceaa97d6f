"""Expressions of AWS IoT Events said as conditions of a rule book."""

from collections.abc import Sequence

from rules.importing.carried import Draft, Unportable
from rules.importing.iot_expressions import (
    Function,
    IotExpression,
    Literal,
    Operation,
    Prefixed,
    Reference,
    conjuncts_of,
    references_of,
)
from rules.importing.wording import (
    Said,
    say_all,
    say_any,
    say_arithmetic,
    say_comparison,
    say_minus,
    say_not,
    say_number,
    say_text,
)

_COMPARISONS = {"==", "!=", "<", "<=", ">", ">="}
_WRITE_PLAINLY = "write the condition with the functions of docs/rule-book.md"


def is_message(node: IotExpression) -> bool:
    """Return whether a part only says that a message came, which here is what a condition waits for."""
    match node:
        case Function("triggerType", (Literal("Message"),)) | Function("currentInput"):
            return True
    return False


class IotConditions:
    """Says the conditions of one rule."""

    def __init__(self, draft: Draft, inputs: Sequence[str]) -> None:
        self._draft = draft
        self._inputs = inputs
        """All inputs of the model; a device sends one message for each."""

    def narrowed(self, nodes: Sequence[IotExpression], place: str) -> Said:
        """Return that all of `nodes` hold; one that cannot be said is left out and noted."""
        kept: list[Said] = []
        refused: list[Unportable] = []
        for node in nodes:
            if is_message(node):
                self._note_input(node, place)
                continue
            try:
                with self._draft.on_trial():
                    kept.append(self.condition(node))
            except Unportable as error:
                refused.append(error)
        if not kept:
            why = Unportable("it holds with any message", "compare a field of the message")
            raise refused[0] if refused else why
        for why in refused:
            what = f"a part of the condition is left out: {why.what}"
            self._draft.lose(what, why.remedy, place=place)
        named = {str(r.steps[0]) for node in nodes for r in references_of(node) if r.steps}
        if len(named & set(self._inputs)) > 1:
            self._draft.lose(
                f"it joins the inputs {' and '.join(sorted(named))}",
                "see that one message of the device carries all of these fields",
                place=place,
            )
        return say_all(kept)

    def condition(self, node: IotExpression) -> Said:
        """Return a condition. Raises Unportable."""
        match node:
            case Operation("&&"):
                return say_all([self.condition(part) for part in conjuncts_of(node)])
            case Operation("||", left, right):
                return say_any([self.condition(left), self.condition(right)])
            case Operation(sign) if sign in _COMPARISONS:
                return self._comparison(node)
            case Prefixed("!", inner):
                return say_not(self.condition(inner))
            case Reference():
                return Said(self._field(node, "bool"))
        raise self._refusal(node)

    def _comparison(self, node: Operation) -> Said:
        left, right = node.left, node.right
        if isinstance(left, Literal) and isinstance(right, Literal):
            raise Unportable("a comparison of two fixed values", "compare a field")
        for side, other in ((left, right), (right, left)):
            if isinstance(other, Literal) and isinstance(other.value, bool | str):
                if not isinstance(side, Reference) or node.sign not in {"==", "!="}:
                    what = f"`{node.sign}` with {other.value!r}"
                    raise Unportable(what, _WRITE_PLAINLY)
                if isinstance(other.value, bool):
                    field = Said(self._field(side, "bool"))
                    return field if other.value == (node.sign == "==") else say_not(field)
                if "${" in other.value:
                    raise Unportable("a text with ${…}", "write the text itself")
                field = Said(self._field(side, "string"))
                return say_comparison(field, node.sign, say_text(other.value))
        return say_comparison(self.number(left), node.sign, self.number(right))

    def number(self, node: IotExpression) -> Said:
        """Return a number. Raises Unportable."""
        match node:
            case Literal(float() as value):
                return say_number(value)
            case Reference():
                return Said(self._field(node, "number"))
            case Prefixed("-", inner):
                return say_minus(self.number(inner))
            case Operation("+" | "-" | "*" | "/" as sign, left, right):
                if sign == "/" and not (_is_decimal(left) or _is_decimal(right)):
                    self._draft.lose(
                        "IoT Events rounds the quotient of whole numbers",
                        "mind that here it is exact",
                    )
                return say_arithmetic(self.number(left), sign, self.number(right))
        raise self._refusal(node)

    def _field(self, node: Reference, kind: str) -> str:
        if node.of != "input":
            raise self._refusal(node)
        if len(node.steps) < 2:  # noqa: PLR2004  the input, and what of it
            raise Unportable("an input as a whole", "name a field of it")
        _, *steps = node.steps
        key = ".".join(map(str, node.steps))
        return self._draft.on.need_field(key, tuple(steps), kind)

    def _note_input(self, node: IotExpression, place: str) -> None:
        if len(self._inputs) > 1 and isinstance(node, Function) and node.name == "currentInput":
            self._draft.lose(
                "which of the inputs a message came by is not asked here",
                "give each input a device type, or see that the fields tell",
                place=place,
            )

    def _refusal(self, node: IotExpression) -> Unportable:
        match node:
            case Reference("variable", steps):
                name = ".".join(map(str, steps))
                remedy = (
                    "a rule keeps no values: write for:, repeat: or a window, as in max(x, 10m)"
                )
                return Unportable(f"the variable {name}", remedy)
            case Reference(of):
                return Unportable(f"a value of ${of}", "have the device send it as a field")
            case Function("timeout"):
                return Unportable("a timer that no other state sets", "write for: or clear_for:")
            case Function("isUndefined" | "isNull" as name):
                remedy = "a missing value makes a condition unknown: nothing has to be asked"
                return Unportable(f"{name}()", remedy)
            case Function(name):
                return Unportable(f"{name}()", "have a field say it")
            case Operation(sign) | Prefixed(sign):
                return Unportable(f"the operator {sign}", "have a field say it")
        return Unportable("a fixed value", "compare a field")


def _is_decimal(node: IotExpression) -> bool:
    return isinstance(node, Literal) and node.is_decimal
