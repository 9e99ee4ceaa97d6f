"""Names that a rule book takes, as near as can be to those of another system."""

import keyword
import re
import unicodedata
from collections.abc import Container, Sequence

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NOT_WORD = re.compile(r"[^A-Za-z0-9]+")
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_PLAIN_STEP = re.compile(r"[^\s.\[\]\"']+")
_TAKEN = {"device", "site", "this", "true", "false", "payload"}


def name_rule(text: str, taken: Container[str]) -> str:
    """Return a valid name for a rule, as near to `text` as can be: `HighTemp` is `high-temp`."""
    name = "-".join(_words(text)) or "rule"
    name = name if name[0].isalpha() else f"rule-{name}"
    if name == "device-silent":
        name = "device-silent-imported"  # the name of an alarm that Prevenant has itself
    return _unique(name, "-", taken)


def name_field(text: str, taken: Container[str] = ()) -> str:
    """Return a valid name for a field or a device type, as near to `text` as can be."""
    name = text if _IDENTIFIER.fullmatch(text) else "_".join(_words(text))
    name = name or "value"
    if name[0].isdigit() or keyword.iskeyword(name) or name in _TAKEN or not name.strip("_"):
        name = f"value_{name}".rstrip("_")
    return _unique(name, "_", taken)


def name_type(text: str, taken: Container[str]) -> str:
    """Return a valid name for a device type: `Boiler Room` is `boiler_room`."""
    return name_field("_".join(_words(text)) or "device_type", taken)


def write_path(steps: Sequence[str | int]) -> str:
    """Return a path in a payload as the book has it: `data[0].t`, `["air temperature"]`."""
    path = ""
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
        elif _PLAIN_STEP.fullmatch(step) and (path or step != "payload"):
            path += f".{step}" if path else step
        else:
            path += f"['{step}']" if '"' in step else f'["{step}"]'
    return path


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return [word.lower() for word in _NOT_WORD.split(_CAMEL.sub(" ", plain)) if word]


def _unique(name: str, between: str, taken: Container[str]) -> str:
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name}{between}{number}"
    return found
