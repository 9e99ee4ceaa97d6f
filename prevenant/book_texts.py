"""The texts of a rule book's files, on the disk or kept in a version, and how two sets of them differ."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prevenant.document import Value, read_file, read_yaml
from prevenant.errors import Problem

Files = Mapping[str, str]
"""Texts by the name under which the book includes them, from the main file's folder."""


class BookTexts:
    """Where a book's texts come from; it remembers those that were read."""

    def __init__(self, folder: Path, kept: Files | None = None) -> None:
        self._folder = folder
        self._kept = kept
        self.read: dict[str, str] = {}
        """The texts that were read, by name, the main file's first."""

    def source(self, name: str) -> str:
        """Return what a file is called in messages."""
        return str(self._folder / name)

    def identity(self, name: str) -> Path:
        """Return what is the same for two names of one file."""
        return Path(name) if self._kept is not None else (self._folder / name).resolve()

    def has(self, name: str) -> bool:
        """Return whether there is such a file."""
        return name in self._kept if self._kept is not None else (self._folder / name).is_file()

    def document(self, name: str, problems: list[Problem]) -> Value | None:
        """Read one file; what is wrong with it as a whole is added to `problems`."""
        source = self.source(name)
        if self._kept is not None:
            text: str | None = self._kept[name]
        else:
            text = read_file(self._folder / name, problems, source)
        if text is None:
            return None
        self.read[name] = text
        return read_yaml(text, problems, source)


@dataclass(frozen=True, slots=True)
class Differences:
    """The names of the entries of one section that came, went, or say something else."""

    added: list[str]
    changed: list[str]
    removed: list[str]

    def __str__(self) -> str:
        parts = (("added", self.added), ("changed", self.changed), ("removed", self.removed))
        return "; ".join(f"{word} {', '.join(names)}" for word, names in parts if names)


def fingerprint_texts(main: str, files: Files) -> str:
    """Return the SHA-256 of a book's texts; what the main file is called does not matter."""
    others = sorted((name, text) for name, text in files.items() if name != main)
    return hashlib.sha256(json.dumps([files[main], others]).encode()).hexdigest()


def compare_texts(before: Files, after: Files) -> dict[str, Differences]:
    """Return what differs between two books whose YAML is good, by section, the rules first."""
    old, new = _entries(before), _entries(after)
    found = {}
    for section in sorted({*old, *new}, key=lambda name: (name != "rules", name)):
        was, becomes = old.get(section, {}), new.get(section, {})
        differences = Differences(
            [name for name in becomes if name not in was],
            [name for name in becomes if name in was and becomes[name] != was[name]],
            [name for name in was if name not in becomes],
        )
        if str(differences):
            found[section] = differences
    return found


def describe_differences(found: Mapping[str, Differences]) -> str:
    """Return what differs in words."""
    words = [f"{section}: {differences}" for section, differences in found.items()]
    return ". ".join(words) or "nothing but comments and layout"


def _entries(files: Files) -> dict[str, dict[str, Any]]:
    """Return the entries of all files by section and name."""
    sections: dict[str, dict[str, Any]] = {}
    for text in files.values():
        document = read_yaml(text, [], "")
        for section, entries in document.as_written().items() if document else ():
            if isinstance(entries, dict):
                sections.setdefault(section, {}).update(entries)
    return sections
