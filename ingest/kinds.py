"""What came instead of what was expected, in words that whoever sets up a device can act on."""

from typing import Any

OBJECT = 'an object such as {"field": 1}'
NUMBER, WHOLE_NUMBER, TEXT, TRUTH = "a number", "a whole number", "text", "true or false"
_WORDS = {
    "float": NUMBER,
    "int": WHOLE_NUMBER,
    "str": TEXT,
    "bool": TRUTH,
    "object": OBJECT,
    "dict": OBJECT,
    "array": "a list",
    "list": "a list",
    "bytes": "bytes",
    "null": "nothing",
    "NoneType": "nothing",
    "CBORTag": "a tag of CBOR that is not known here",
}
_SCALARS = {NUMBER, WHOLE_NUMBER, TEXT, TRUTH}
_UNQUOTED = {NUMBER, WHOLE_NUMBER, TRUTH}


def kind_of(value: Any) -> str:
    """Return what a value of a payload is."""
    return _WORDS.get(type(value).__name__, type(value).__name__)


def kind_named(name: str) -> str:
    """Return a kind in words: `float` and `float | null` are a number."""
    return _WORDS.get(name.removesuffix(" | null"), name)


def describe_mismatch(expected: str, got: str) -> str:
    """Return what was expected of a field and what came, both in words, with the remedy."""
    if (expected, got) == (OBJECT, "a list"):
        return f"expected {OBJECT}, got a list: `readings: payload` in the book takes its elements"
    said = f"expected {expected}, got {'an object' if got == OBJECT else got}"
    if expected in _UNQUOTED and got == TEXT:
        return f"{said}: send it without quotes"
    if expected == TEXT and got in _SCALARS:
        return f"{said}: send it in quotes"
    if expected in _SCALARS:
        return f"{said}: send {expected}, or declare the field as what the device sends"
    return said
