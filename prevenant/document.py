"""YAML whose every value knows its line and column, and which collects all problems at once."""

import difflib
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml

from prevenant.durations import parse_duration
from prevenant.errors import Problem

T = TypeVar("T")

_INT = re.compile(r"[-+]?\d+")
_FLOAT = re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?")
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_KINDS = {
    dict: "a mapping",
    list: "a list",
    str: "a text",
    bool: "true or false",
    float: "a number",
}


class Value:
    """One value of a YAML document, with its place.

    The readers (`text`, `number`, …) return None and note a problem where the value is of another
    kind, so that one pass reports everything.
    """

    def __init__(
        self, node: yaml.Node, source: str, problems: list[Problem], what: str, written: str = ""
    ) -> None:
        self._node = node
        self._source = source
        self._problems = problems
        self._written = written
        """The whole document, as its author wrote it."""
        self.what = what
        """What this value is, for messages: `rule 'door-held-open': when`."""

    @property
    def line(self) -> int:
        """The line of the file, from 1."""
        return int(self._node.start_mark.line) + 1

    @property
    def column(self) -> int:
        """The column of the line, from 1."""
        return int(self._node.start_mark.column) + 1

    @property
    def source(self) -> str:
        """The file's name as the user wrote it."""
        return self._source

    @property
    def is_mapping(self) -> bool:
        """Whether this is `key: value` pairs."""
        return isinstance(self._node, yaml.MappingNode)

    @property
    def is_list(self) -> bool:
        """Whether this is a list."""
        return isinstance(self._node, yaml.SequenceNode)

    def fail(self, message: str, offset: int = 0) -> None:
        """Note a problem here, or where the text's character number `offset` was written."""
        line, column = self.place_at(offset)
        self._problems.append(
            Problem(self._source, line, column, f"{self.what}: {message}" if self.what else message)
        )

    def place_at(self, offset: int) -> tuple[int, int]:
        """Return the line and the column at which the text's character number `offset` was written."""
        if offset and isinstance(self._node, yaml.ScalarNode):
            return self._place_of(self._node, offset)
        return self.line, self.column

    def scalar(self) -> Any:
        """Return the value as str, bool, int, float or None by the rules of YAML 1.2."""
        if not isinstance(self._node, yaml.ScalarNode):
            return None
        text = self._node.value
        if self._node.style:
            return text
        if text.lower() in _WORDS:
            return _WORDS[text.lower()]
        if _INT.fullmatch(text):
            return int(text)
        return float(text) if _FLOAT.fullmatch(text) else text

    def raw(self) -> str | None:
        """Return the characters as written, for values that are a language of their own."""
        if isinstance(self._node, yaml.ScalarNode) and self._node.value.strip():
            return str(self._node.value)
        self.fail("expected a text here")
        return None

    def text(self) -> str | None:
        """Return a text; a number is taken as it was written."""
        return self.raw()

    def number(self) -> float | None:
        """Return a number."""
        value = self.scalar()
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        self.fail(f"expected a number, not {self._shown()}")
        return None

    def integer(self, least: int) -> int | None:
        """Return a whole number of `least` or more."""
        value = self.scalar()
        if isinstance(value, int) and not isinstance(value, bool) and value >= least:
            return value
        self.fail(f"expected a whole number from {least} up, not {self._shown()}")
        return None

    def boolean(self) -> bool | None:
        """Return true or false."""
        value = self.scalar()
        if isinstance(value, bool):
            return value
        self.fail(f"expected true or false, not {self._shown()}")
        return None

    def duration_s(self) -> float | None:
        """Return a length of time in seconds."""
        text = self.raw()
        if text is None:
            return None
        try:
            return parse_duration(text)
        except ValueError as error:
            self.fail(str(error))
            return None

    def choice(self, known: Collection[str]) -> str | None:
        """Return one of the words `known`."""
        text = self.raw()
        if text is None or text in known:
            return text
        self.fail(f"{text!r} is not known here: {suggest(text, known)}")
        return None

    def items(self) -> list["Value"] | None:
        """Return the values of a list."""
        if not isinstance(self._node, yaml.SequenceNode):
            self.fail(f"expected a list, not {self._shown()}")
            return None
        return [self._child(node, self.what) for node in self._node.value]

    def one_or_more(self) -> list["Value"]:
        """Return the values of a list, or the value itself as a list of one."""
        return self.items() or [] if self.is_list else [self]

    def mapping(self, known: Collection[str] | None = None) -> "Mapping | None":
        """Return the pairs of a mapping; where `known` is given, every other key is a problem."""
        if not isinstance(self._node, yaml.MappingNode):
            self.fail(f"expected `key: value` pairs, not {self._shown()}")
            return None
        pairs: dict[str, Value] = {}
        for key, node in self._pairs(self._node):
            name = str(key.value)
            where = f"{self.what}: {name}" if self.what else name
            child = self._child(node, where)
            if name in pairs:
                self._child(key, self.what).fail(f"{name!r} stands here twice: keep one of them")
            elif known is not None and name not in known:
                self._child(key, self.what).fail(
                    f"{name!r} is not known here: {suggest(name, known)}"
                )
            else:
                pairs[name] = child
        return Mapping(self, pairs)

    def as_written(self) -> Any:
        """Return everything below as dictionaries, lists and texts, to compare it with another."""
        return _as_written(self._node)

    def named(self, what: str) -> "Value":
        """Return the same value under another name for messages."""
        return self._child(self._node, what)

    def _child(self, node: yaml.Node, what: str) -> "Value":
        return Value(node, self._source, self._problems, what, self._written)

    def _place_of(self, node: yaml.ScalarNode, offset: int) -> tuple[int, int]:
        """Return line and column at which a character of a text was written.

        The file has more than the text: quotes, escapes, a `>` before it, line ends and indentation.
        """
        begin, end = node.start_mark.index, node.end_mark.index
        written, text = self._written[begin:end], str(node.value)
        at = 0
        if node.style in {"|", ">"}:
            at = written.find("\n") + 1
        for number, char in enumerate(text[: offset + 1]):
            while at < len(written) and not _is_written_as(char, written[at]):
                at += 1
            if number < offset:
                at += 1
        before = self._written[: begin + min(at, len(written))]
        return before.count("\n") + 1, begin + at - before.rfind("\n")

    def _pairs(self, node: yaml.MappingNode) -> Iterator[tuple[yaml.Node, yaml.Node]]:
        own = {str(key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode)}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._child(key, self.what).fail("a key has to be a plain word")
            elif key.value == "<<" and not key.style:
                merged = value.value if isinstance(value, yaml.SequenceNode) else [value]
                for other in merged:
                    if isinstance(other, yaml.MappingNode):
                        yield from (p for p in self._pairs(other) if p[0].value not in own)
            else:
                yield key, value

    def _shown(self) -> str:
        if isinstance(self._node, yaml.ScalarNode):
            return f"{self._node.value!r}" if self._node.value else "nothing"
        return _KINDS[dict] if self.is_mapping else _KINDS[list]


class Mapping:
    """The pairs of a YAML mapping, in the order of the file."""

    def __init__(self, owner: Value, pairs: dict[str, Value]) -> None:
        self.owner = owner
        self._pairs = pairs

    def __contains__(self, name: str) -> bool:
        return name in self._pairs

    def __iter__(self) -> Iterator[tuple[str, Value]]:
        return iter(self._pairs.items())

    def get(self, name: str) -> Value | None:
        """Return the value under `name`, or None."""
        return self._pairs.get(name)

    def need(self, name: str, remedy: str) -> Value | None:
        """Return the value under `name`; where it is missing, note a problem with its remedy."""
        if name not in self._pairs:
            self.owner.fail(f"{name!r} is missing: {remedy}")
        return self._pairs.get(name)

    def duration_s(self, name: str, default: T) -> float | T:
        """Return the length of time under `name` in seconds, or `default`."""
        value = self._pairs.get(name)
        seconds = value.duration_s() if value else None
        return default if seconds is None else seconds

    def text(self, name: str, default: T) -> str | T:
        """Return the text under `name`, or `default`."""
        value = self._pairs.get(name)
        text = value.text() if value else None
        return default if text is None else text

    def number(self, name: str, default: T) -> float | T:
        """Return the number under `name`, or `default`."""
        value = self._pairs.get(name)
        number = value.number() if value else None
        return default if number is None else number

    def boolean(self, name: str, *, default: bool) -> bool:
        """Return the truth under `name`, or `default`."""
        value = self._pairs.get(name)
        found = value.boolean() if value else None
        return default if found is None else found


def read_document(path: Path, problems: list[Problem], source: str | None = None) -> Value | None:
    """Read one YAML file. What is wrong with the file as a whole is added to `problems`."""
    source = source or str(path)
    text = read_file(path, problems, source)
    return None if text is None else read_yaml(text, problems, source)


def read_file(path: Path, problems: list[Problem], source: str) -> str | None:
    """Return the text of a file; None where it cannot be read, with the reason in `problems`."""
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        message = "there is no such file: name another, or set PREVENANT_BOOK for the rule book"
        problems.append(Problem(source, 1, 1, message))
    except OSError as error:
        message = f"cannot be read: {error.strerror}; name a file that can be"
        problems.append(Problem(source, 1, 1, message))
    except UnicodeDecodeError:
        problems.append(Problem(source, 1, 1, "this is not UTF-8: save it as a text in UTF-8"))
    return None


def read_yaml(text: str, problems: list[Problem], source: str) -> Value | None:
    """Read YAML from `text`; an empty document is an empty mapping."""
    try:
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        problem = error.problem or error.context or "cannot be read"
        problems.append(Problem(source, line, column, f"this is not YAML: {problem}"))
        return None
    except yaml.YAMLError as error:
        problems.append(Problem(source, 1, 1, f"this is not YAML: {error}".splitlines()[0]))
        return None
    if node is None:
        start = yaml.Mark(source, 0, 0, 0, None, 0)
        node = yaml.MappingNode("tag:yaml.org,2002:map", [], start, start)
    return Value(node, source, problems, "", text)


def _is_written_as(char: str, written: str) -> bool:
    """Whether a character of a text may be this one in the file: line ends become spaces."""
    return char == written or (char.isspace() and written == "\n")


def _as_written(node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): _as_written(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_as_written(one) for one in node.value]
    return node.value


def suggest(word: str, known: Collection[str]) -> str:
    """Return the remedy for an unknown word: the nearest known one, or all of them."""
    near = nearest_word(word, known)
    if near:
        return near
    return f"write one of {', '.join(sorted(known))}" if known else "nothing is known here yet"


def nearest_word(word: str, known: Collection[str], most: int = 1) -> str:
    """Return the remedy for an unknown word among too many to list: the nearest known ones, if any."""
    close = difflib.get_close_matches(word, known, most)
    return f"did you mean {' or '.join(map(repr, close))}?" if close else ""
