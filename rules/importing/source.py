"""A file of another system, read as plain values that know where they stand in it."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

from prevenant.errors import ConfigurationError

_PLAIN_KEY = re.compile(r"[\w-]+")
_LONGEST_SHOWN = 60


class Tagged(str):
    """A value of YAML with a tag that only its own system understands, as in `!input sensor`."""

    __slots__ = ()


class Part:
    """One value of a source file, with its path in it: `groups[0].rules[2].expr`."""

    def __init__(self, value: Any, source: str, path: str = "", label: str = "") -> None:
        self.value = value
        self._source = source
        self.path = path
        self.label = label
        """The name that people know it by; shown behind the path."""

    @property
    def place(self) -> str:
        """Where it stands, as a message has it."""
        label = f" ({self.label})" if self.label else ""
        return f"{self._source}: {self.path}{label}" if self.path else f"{self._source}{label}"

    def labelled(self, label: str) -> "Part":
        """Return the same value under a name that its parts show too."""
        return Part(self.value, self._source, self.path, label)

    def __bool__(self) -> bool:
        return self.value is not None

    def __contains__(self, key: str) -> bool:
        return isinstance(self.value, dict) and key in self.value

    def has(self, name: str) -> bool:
        """Return whether this is a mapping with something under `name`, however that begins."""
        return isinstance(self.value, dict) and bool(self.get(name))

    def get(self, *names: str) -> "Part":
        """Return the value under the first of `names` that is there; a Part of None where none is.

        A name may be spelled with a capital: CloudFormation does.
        """
        pairs = self.mapping()
        spelled = (each for name in names for each in (name, name[:1].upper() + name[1:]))
        found = next((each for each in spelled if pairs.get(each) is not None), names[0])
        return self._child(pairs.get(found), found)

    def mapping(self) -> dict[str, Any]:
        """Return the pairs of a mapping; nothing is an empty one. Raises ConfigurationError."""
        if self.value is None:
            return {}
        if not isinstance(self.value, dict):
            raise self.wrong("`key: value` pairs")
        return {str(key): value for key, value in self.value.items()}

    def parts(self) -> Iterator[tuple[str, "Part"]]:
        """Yield the names of a mapping with their values."""
        for name, value in self.mapping().items():
            yield name, self._child(value, name)

    def items(self) -> list["Part"]:
        """Return the values of a list; nothing is an empty one. Raises ConfigurationError."""
        if self.value is None:
            return []
        if not isinstance(self.value, list):
            raise self.wrong("a list")
        return [
            Part(value, self._source, f"{self.path}[{number}]", self.label)
            for number, value in enumerate(self.value)
        ]

    def one_or_more(self) -> list["Part"]:
        """Return the values of a list, or the value itself as a list of one."""
        return self.items() if self.value is None or isinstance(self.value, list) else [self]

    def text(self, default: str = "") -> str:
        """Return a text or a plain value as one. Raises ConfigurationError for lists and mappings."""
        if self.value is None:
            return default
        if isinstance(self.value, dict | list):
            raise self.wrong("a text")
        if isinstance(self.value, bool):
            return "true" if self.value else "false"
        return str(self.value).strip()

    def number(self) -> float | None:
        """Return a finite number, also one written as a text, or None where it is none."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float | str):
            return None
        try:
            number = float(self.value)
        except (ValueError, OverflowError):
            return None
        return number if math.isfinite(number) else None

    def wrong(self, expected: str) -> ConfigurationError:
        """Return the error that something else was expected here."""
        message = f"{self.place}: expected {expected}, not {shorten(str(self.value))!r}"
        return ConfigurationError(f"{message}: mend the file, or name its format rightly")

    def _child(self, value: Any, name: str) -> "Part":
        step = name if _PLAIN_KEY.fullmatch(name) else f'["{name}"]'
        dot = "." if self.path and not step.startswith("[") else ""
        return Part(value, self._source, f"{self.path}{dot}{step}", self.label)


def read_yaml_source(text: str, source: str) -> Part:
    """Read YAML; tags of other systems are kept as texts. Raises ConfigurationError."""
    try:
        value = yaml.load(text, _Loader)  # noqa: S506  _Loader is a safe one
        json.dumps(value, default=str, skipkeys=True)  # refuses anchors that hold themselves
        return Part(value, source)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        message = f"{place}: this is not YAML: {error.problem or error.context}"
    except (yaml.YAMLError, ValueError) as error:
        message = f"{source}: this is not YAML: {str(error).splitlines()[0]}"
    except RecursionError:
        message = f"{source}: this is nested too deeply to be a file of rules"
    what = f"{message}: name a file that the other system accepts"
    raise ConfigurationError(what)


def read_json_source(text: str, source: str) -> Part:
    """Read JSON. Raises ConfigurationError."""
    try:
        return Part(json.loads(text), source)
    except json.JSONDecodeError as error:
        message = f"{source}:{error.lineno}:{error.colno}: this is not JSON: {error.msg}"
    except RecursionError:
        message = f"{source}: this is nested too deeply to be a file of rules"
    what = f"{message}: name a file that the other system exported"
    raise ConfigurationError(what)


def shorten(text: str) -> str:
    """Return `text` on one line, cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_SHOWN else f"{line[: _LONGEST_SHOWN - 1]}…"


class _Loader(yaml.SafeLoader):
    """Reads YAML as other systems write it, with tags of their own."""


def _read_tagged(_loader: _Loader, tag: str, node: yaml.Node) -> Tagged:
    value = node.value if isinstance(node, yaml.ScalarNode) else "…"
    return Tagged(f"!{tag} {value}")


_Loader.add_multi_constructor("!", _read_tagged)
