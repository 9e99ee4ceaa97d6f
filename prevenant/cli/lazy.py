"""Commands that are loaded when they are typed: what one of them needs, the others do not wait for."""

import copy
from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Any, ClassVar

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup


class LazyGroup(TyperGroup):
    """A group that knows of its commands only where they stand and what they are for."""

    parts: ClassVar[Mapping[str, tuple[str, str]]] = {}
    """By name: `module:function` or `module:app`, and the first line of its help."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs)
        self.commands = _Commands(self.commands, self.parts)

    def list_commands(self, ctx: Any) -> list[str]:
        """Return their names, those that are loaded already first."""
        del ctx
        return [*self.commands]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help without loading anything for it."""
        known = copy.copy(self)
        known.commands = {
            name: TyperCommand(name, help=self.parts[name][1])
            if name in self.parts
            else self.commands[name]
            for name in self.commands
        }
        TyperGroup.format_help(known, ctx, formatter)


class _Commands(MutableMapping[str, Any]):
    """Commands by name, each loaded when it is asked for."""

    def __init__(self, loaded: Mapping[str, Any], parts: Mapping[str, tuple[str, str]]) -> None:
        self._loaded = dict(loaded)
        self._parts = parts

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = _load(name, self._parts[name][0])
        return self._loaded[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self._loaded or name in self._parts

    def __iter__(self) -> Iterator[str]:
        yield from dict.fromkeys([*self._loaded, *self._parts])

    def __len__(self) -> int:
        return len({*self._loaded, *self._parts})


def _load(name: str, where: str) -> Any:
    """Return a command from where it stands: a function, or a Typer application."""
    module, _, attribute = where.partition(":")
    found = getattr(import_module(module), attribute)
    if isinstance(found, typer.Typer):
        group = typer.main.get_group(found)
        group.name = name
        return group
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    alone.command(name)(found)
    return typer.main.get_command(alone)
