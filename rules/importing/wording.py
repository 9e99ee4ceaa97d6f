"""Conditions of a rule book, put together from parts with the parentheses that they need."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prevenant.domain import DAYS
from rules.importing.carried import Unportable

OR, AND, NOT, COMPARISON, SUM, PRODUCT, SIGN, ATOM = range(8)
"""How tightly a piece of a condition holds together."""

_LEVELS = {"+": SUM, "-": SUM, "*": PRODUCT, "/": PRODUCT, "%": PRODUCT}

_PERIODS = ((86_400.0, "d"), (3600.0, "h"), (60.0, "m"), (1.0, "s"))


@dataclass(frozen=True, slots=True)
class Said:
    """A piece of a condition as the book has it."""

    text: str
    level: int = ATOM

    def within(self, level: int) -> str:
        """Return the text, in parentheses where what stands around it holds more tightly."""
        return self.text if self.level >= level else f"({self.text})"


def say_all(parts: Sequence[Said]) -> Said:
    """Return the condition that all of `parts` hold; a part that stands twice is said once."""
    return _joined(parts, "and", AND)


def say_any(parts: Sequence[Said]) -> Said:
    """Return the condition that one of `parts` holds."""
    return _joined(parts, "or", OR)


def say_not(part: Said) -> Said:
    """Return the condition that `part` does not hold."""
    if part.level == NOT:
        return Said(part.text.removeprefix("not "))
    return Said(f"not {part.within(ATOM)}", NOT)


def say_comparison(left: Said, sign: str, right: Said) -> Said:
    """Return a comparison of two values."""
    return Said(f"{left.within(SUM)} {sign} {right.within(SUM)}", COMPARISON)


def say_between(low: Said, middle: Said, high: Said) -> Said:
    """Return the condition that `middle` is above `low` and below `high`."""
    return Said(f"{low.within(SUM)} < {middle.within(SUM)} < {high.within(SUM)}", COMPARISON)


def say_arithmetic(left: Said, sign: str, right: Said) -> Said:
    """Return two numbers with one of `+ - * / %` between them."""
    level = _LEVELS[sign]
    return Said(f"{left.within(level)} {sign} {right.within(level + 1)}", level)


def say_minus(part: Said) -> Said:
    """Return a number with the opposite sign."""
    return Said(f"-{part.within(SIGN + 1)}", SIGN)


def say_call(name: str, *arguments: str) -> Said:
    """Return a function with its arguments."""
    return Said(f"{name}({', '.join(arguments)})")


def say_one_of(field: Said, values: Sequence[str]) -> Said:
    """Return the condition that a text is one of `values`."""
    if len(values) == 1:
        return say_comparison(field, "==", say_text(values[0]))
    return Said(f"{field.text} in [{', '.join(repr(value) for value in values)}]", COMPARISON)


def say_number(value: float) -> Said:
    """Return a number as the book writes it. Raises Unportable for infinity and NaN."""
    if not math.isfinite(value):
        what = f"the number {value}"
        raise Unportable(what, "compare with a number that a device can send")
    whole = value == int(value) and abs(value) < 1e15  # noqa: PLR2004  exact as a float
    text = str(int(value)) if whole else repr(float(value))
    return Said(text, ATOM if value >= 0 else SIGN)


def say_text(value: str) -> Said:
    """Return a text as the book writes it."""
    return Said(repr(value))


def say_time(seconds: float) -> str:
    """Return a length of time in one unit, as conditions take it: `90m`, `500ms`. Raises Unportable."""
    if not math.isfinite(seconds):
        raise Unportable("a length of time without end", "write one such as 5m")
    for length, unit in _PERIODS:
        if seconds >= length and seconds % length == 0:
            return f"{int(seconds // length)}{unit}"
    return f"{max(1, round(seconds * 1000))}ms"


def _joined(parts: Sequence[Said], word: str, level: int) -> Said:
    texts = list(dict.fromkeys(part.within(level) for part in parts))
    return Said(f" {word} ".join(texts), level) if len(texts) > 1 else parts[0]


def say_days(numbers: Iterable[int]) -> str:
    """Return days of the week, 1 for Monday, as `when_open` takes them: `mon-fri`, `mon, wed`."""
    chosen = sorted(set(numbers))
    names = [DAYS[number - 1] for number in chosen]
    if len(chosen) > 2 and chosen[-1] - chosen[0] == len(chosen) - 1:  # noqa: PLR2004  a range is shorter
        return f"{names[0]}-{names[-1]}"
    return ", ".join(names)


def say_hours(begin_s: float, end_s: float) -> str:
    """Return hours of the day as `when_open` takes them: `08:00-18:30`."""
    return "-".join(f"{int(s // 3600):02}:{int(s % 3600 // 60):02}" for s in (begin_s, end_s))


def say_plainly(text: str) -> str:
    """Return a text that a message can hold, without anything that a template would take as its own."""
    return text.replace("{{", "{ {").replace("{%", "{ %").replace("{#", "{ #")
