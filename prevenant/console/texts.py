"""Texts of a rule book as pages show them: line by line, with remarks, or beside another version."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from prevenant.book_texts import Files
from prevenant.errors import Problem

_AROUND = 3
"""So many lines stand around what differs."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a text."""

    number: int
    text: str
    problems: Sequence[Problem] = ()
    warnings: Sequence[Problem] = ()

    @property
    def is_comment(self) -> bool:
        """Whether it says something to people alone."""
        return self.text.lstrip().startswith("#")


@dataclass(frozen=True, slots=True)
class Text:
    """One file, line by line."""

    name: str
    lines: Sequence[Line]


def number_lines(
    files: Files, problems: Sequence[Problem] = (), warnings: Sequence[Problem] = ()
) -> list[Text]:
    """Return files line by line, with what was found at each line."""
    wrong, doubtful = _by_place(problems), _by_place(warnings)
    return [
        Text(
            name,
            [
                Line(number, line, wrong.get((name, number), ()), doubtful.get((name, number), ()))
                for number, line in enumerate(text.splitlines(), 1)
            ],
        )
        for name, text in files.items()
    ]


def _by_place(found: Sequence[Problem]) -> dict[tuple[str, int], list[Problem]]:
    places: dict[tuple[str, int], list[Problem]] = defaultdict(list)
    for one in found:
        places[one.source, one.line].append(one)
    return places


@dataclass(frozen=True, slots=True)
class Changed:
    """One line beside another version: its number in each, 0 where it is not there."""

    before: int
    after: int
    text: str

    @property
    def word(self) -> str:
        """`added`, `removed` or `same`."""
        if not self.before:
            return "added"
        return "same" if self.after else "removed"


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """One file beside another version: parts that differ, each with some lines around it."""

    name: str
    parts: Sequence[Sequence[Changed]]

    @property
    def added(self) -> int:
        """How many lines came."""
        return sum(one.word == "added" for part in self.parts for one in part)

    @property
    def removed(self) -> int:
        """How many lines went."""
        return sum(one.word == "removed" for part in self.parts for one in part)


def compare_lines(before: Files, after: Files) -> list[ChangedFile]:
    """Return the files that differ, line by line."""
    found = []
    for name in dict.fromkeys([*after, *before]):
        old, new = before.get(name, ""), after.get(name, "")
        if old != new:
            found.append(ChangedFile(name, list(_parts(old.splitlines(), new.splitlines()))))
    return found


def _parts(old: Sequence[str], new: Sequence[str]) -> Iterator[list[Changed]]:
    matcher = SequenceMatcher(None, old, new)
    for group in matcher.get_grouped_opcodes(_AROUND):
        part: list[Changed] = []
        for word, i1, i2, j1, j2 in group:
            if word == "equal":
                part += [Changed(i + 1, i - i1 + j1 + 1, old[i]) for i in range(i1, i2)]
                continue
            part += [Changed(i + 1, 0, old[i]) for i in range(i1, i2)]
            part += [Changed(0, j + 1, new[j]) for j in range(j1, j2)]
        yield part
