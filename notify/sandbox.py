"""The sandbox that templates run in: nothing that they write makes more than a text can hold.

Jinja2's own sandbox keeps a template from what it is not to touch; this one also from `'a' * 10**9`.
"""

import re
from collections.abc import Callable, Mapping, Sequence, Sized
from functools import wraps
from types import BuiltinMethodType, MappingProxyType
from typing import Any

from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

LONGEST = 20_000
"""So many characters a text may have, on the way too."""
_MOST_TURNS = 1_000
_MOST_BITS = 4_096
"""A number of more than a thousand digits is nothing that anybody is told."""
_WIDTHS = {
    "%": re.compile(r"%(?:\([^)]*\))?[^%A-Za-z]*(?:[0-9]{5}|\*)"),
    "format": re.compile(r"\{[^{}]*(?:\{|:[^{}]*[0-9]{5})"),
}
"""What asks for a width of more than four digits, or takes it from what is filled in."""
_MEASURED = ("center", "indent", "wordwrap", "truncate", "batch", "slice", "round", "tojson")
"""Filters whose numbers say how much they make."""


class Sandbox(ImmutableSandboxedEnvironment):
    """Runs templates; what would make too much of something is an error of one line."""

    intercepted_binops = frozenset({"*", "**", "%", "+"})

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.globals["range"] = _few_turns
        # It makes words without end, and of no meaning.
        self.globals.pop("lipsum", None)
        for name in _MEASURED:
            self.filters[name] = _measured(self.filters[name])
        for name, check in _FILTERS.items():
            self.filters[name] = _after(check, self.filters[name])

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Return what an operator makes, where that is not too much."""
        _CHECKS[operator](left, right)
        return super().call_binop(context, operator, left, right)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Return `str.format` in the sandbox."""
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None
        _check_widths("format", value.__self__.replace("{{", ""))
        return wrapped

    # The two come by their places alone: a template may name its own arguments as it likes.
    def call(self, context: Context, called: Any, /, *arguments: Any, **options: Any) -> Any:
        """Return what is called in a template gives back, where that is not too much."""
        if isinstance(called, BuiltinMethodType) and isinstance(called.__self__, str | bytes | int):
            _check_numbers(*arguments, **options)
            check = _METHODS.get(called.__name__)
            if check is not None:
                check(called.__self__, *arguments)
        return super().call(context, called, *arguments, **options)


def _few_turns(*bounds: int) -> range:
    found = range(*bounds)
    if len(found) > _MOST_TURNS:
        message = f"range gives at most {_MOST_TURNS:,} numbers in a text, and this would be more"
        raise SecurityError(message)
    return found


def _check_length(length: int) -> None:
    if length > LONGEST:
        message = f"a text has at most {LONGEST:,} characters, and this would make more"
        raise SecurityError(message)


def _check_bits(bits: int) -> None:
    if bits > _MOST_BITS:
        message = "this would make a number of more than a thousand digits"
        raise SecurityError(message)


def _check_product(left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int):
        _check_bits(left.bit_length() + right.bit_length())
    for many, times in ((left, right), (right, left)):
        if isinstance(many, Sequence) and isinstance(times, int):
            _check_length(len(many) * times)


def _check_power(left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int):
        _check_bits(left.bit_length() * max(right, 1))


def _check_sum(left: Any, right: Any) -> None:
    if isinstance(left, Sequence) and isinstance(right, Sequence):
        _check_length(len(left) + len(right))


def _check_widths(kind: str, text: Any) -> None:
    if isinstance(text, str | bytes):
        said = text.decode("latin-1") if isinstance(text, bytes) else text
        if _WIDTHS[kind].search(said):
            message = f"a width is a number below {LONGEST // 2:,} that stands in the text"
            raise SecurityError(message)


def _check_numbers(*arguments: Any, **options: Any) -> None:
    for one in (*arguments, *options.values()):
        if isinstance(one, int):
            _check_length(abs(one))


def _check_replaced(text: Any, old: Any, new: Any, *_: Any) -> None:
    text, new = str(text), str(new)
    _check_length(len(text) + text.count(str(old)) * len(new))


def _check_joined(between: Any, parts: Any, *_: Any) -> None:
    if isinstance(parts, Sized):
        _check_length(len(str(between)) * len(parts))


_CHECKS: Mapping[str, Callable[[Any, Any], None]] = MappingProxyType(
    {
        "*": _check_product,
        "**": _check_power,
        "+": _check_sum,
        "%": lambda left, _: _check_widths("%", left),
    }
)
_METHODS: Mapping[str, Callable[..., None]] = MappingProxyType(
    {"replace": _check_replaced, "join": _check_joined}
)
# The first argument of these filters is the environment of the text, but for `format`.
_FILTERS: Mapping[str, Callable[..., None]] = MappingProxyType(
    {
        "format": lambda text, *_, **__: _check_widths("%", text),
        "replace": lambda _, *given, **__: _check_replaced(*given),
        "join": lambda _, parts, between="", *__, **___: _check_joined(between, parts),
    }
)


def _measured(work: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter whose numbers are checked, but for what it is applied to."""
    first = 2 if hasattr(work, "jinja_pass_arg") else 1
    return _after(lambda *given, **options: _check_numbers(*given[first:], **options), work)


def _after(check: Callable[..., None], work: Callable[..., Any]) -> Callable[..., Any]:
    """Return the same work, done after a check of what it is given."""

    @wraps(work)
    def checked(*given: Any, **options: Any) -> Any:
        check(*given, **options)
        return work(*given, **options)

    return checked
